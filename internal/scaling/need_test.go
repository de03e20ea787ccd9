package scaling

import (
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

func TestATaskThatIsBackTooLateStays(t *testing.T) {
	calm := outlook{objective: 30, flight: 1, rate: 75, unsure: 10, perTask: 8}
	for name, tc := range map[string]struct {
		lag  float64
		want int
	}{
		"a lag inside the objective: a twentieth too few": {20, 9},
		"a lag of many objectives: what the rate may be":  {255, 10},
	} {
		if got := calm.verdict(fleet{running: 20, lag: tc.lag, interval: 15}).tasks; got != tc.want {
			t.Errorf("%s: %d tasks, want %d", name, got, tc.want)
		}
	}
}

func TestMessagesThatWaitInTasksAreNotLeftToTooFew(t *testing.T) {
	for name, tc := range map[string]struct {
		flight float64 // seconds
		live   bool
		want   int
	}{
		"known to be done by the next look, they keep no task": {10, true, 2},
		"known to take longer, they keep some":                 {60, true, 16},
		"not known, they are taken for waiting":                {0, true, 26},
		"minutes old, they tell nothing":                       {0, false, 2},
	} {
		o := outlook{objective: 60, flight: tc.flight, rate: 1, perTask: 0.5, inFlight: 240, live: tc.live}
		if got := o.verdict(fleet{running: 30, lag: 75, interval: 15}).tasks; got != tc.want {
			t.Errorf("%s: %d tasks, want %d", name, got, tc.want)
		}
	}
}

func TestAFullTasksFlightIsNotTheNaturalOne(t *testing.T) {
	minute := minuteCounts{End: stampOf(monday), Period: 60, Deleted: 60, Received: 60, Flight: 80, Looks: 4}
	for name, tc := range map[string]struct {
		capacity float64 // messages a minute
		longer   bool
	}{
		"full":         {62, false},
		"half full":    {120, true},
		"rate unknown": {0, true},
	} {
		q := queueMemory{Calm: stampOf(monday.Add(-time.Hour)), Flight: 1}
		if q.learnFlight(minute, tc.capacity, true); q.Flight > 1 != tc.longer {
			t.Errorf("%s: %v s in flight, 1 before", name, q.Flight)
		}
	}
}

func TestTheLastTaskRestsOnlyWhereItsStartIsInTime(t *testing.T) {
	for objective, want := range map[time.Duration]int{time.Minute: 1, time.Hour: 0} {
		p := policy(func(s *config.ScalingSpec) { s.MinTasks, s.Queues[0].MaxAge = 0, objective })
		state := State{}
		state.Tasks.Lags = []float64{200, 200, 200, 200}
		var d Decision
		for i := range 60 {
			obs := seen(1, 0, 4, func(o *Observation, _ *Queue) { o.Time = monday.Add(time.Duration(i) * 15 * time.Second) })
			d, state = Decide(p, obs, state, obs.Time)
		}
		if d.Desired != want {
			t.Errorf("4 messages a minute, starts of 200 s, objective %s: %d tasks, want %d: %s", objective, d.Desired, want, d.Reason)
		}
		for name, counts := range map[string]func(*Observation, *Queue){
			"a count of none": func(*Observation, *Queue) {},
			"no more counts":  func(_ *Observation, q *Queue) { q.Sent, q.Deleted = nil, nil },
		} {
			rest, d := state, d
			quiet := 0
			for ; quiet < 240 && (quiet == 0 || d.Desired > 0); quiet++ {
				obs := seen(d.Desired, 0, 0, counts, func(o *Observation, _ *Queue) { o.Time = monday.Add(time.Duration(60+quiet) * 15 * time.Second) })
				d, rest = Decide(p, obs, rest, obs.Time)
			}
			if d.Desired > 0 {
				t.Errorf("%s for an hour, objective %s: %d tasks: %s", name, objective, d.Desired, d.Reason)
			}
		}
	}
}

func TestAQueueThatWouldTryFewerTasksWaitsForTheOthers(t *testing.T) {
	p := policy(func(s *config.ScalingSpec) {
		s.Queues = append(s.Queues, s.Queues[0])
		s.Queues[0].ThroughputPerTask, s.Queues[1].ThroughputPerTask, s.Queues[1].Name = 0, 0, "mails"
	})
	var state State
	for i := range 120 {
		now := monday.Add(time.Duration(i) * 15 * time.Second)
		obs := seen(6, 0, 600, func(o *Observation, q *Queue) { o.Time, q.InFlight = now, &Sample{Value: 12} })
		obs.Queues["mails"] = obs.Queues[queueName]
		if i < 30 { // busy: it needs all
			mails := obs.Queues["mails"]
			mails.Visible = &Sample{Value: 100}
			obs.Queues["mails"] = mails
		}
		var d Decision
		if d, state = Decide(p, obs, state, now); d.Need < 6 {
			if i < 30 || i > 75 {
				t.Errorf("look %d: %d tasks: %s", i, d.Need, d.Reason)
			}
			return
		}
	}
	t.Error("6 tasks that two calm queues have, and none was tried fewer")
}

func TestATaskFewerIsTriedOnlyWhereItIsNoHarm(t *testing.T) {
	for name, tc := range map[string]struct {
		lag  float64
		want int
	}{
		"another one is soon there":           {5, 1},
		"another one would come far too late": {200, 2},
	} {
		w := newWorld(8, func(s *config.ScalingSpec) { s.Queues[0].MaxAge = 40 * time.Second })
		w.pass(40, 40)
		w.state.Tasks.Lags = []float64{tc.lag, tc.lag, tc.lag, tc.lag}
		w.pass(40, 14)
		least := w.tasks
		for range 200 {
			w.pass(1, 14)
			least = min(least, w.tasks)
		}
		if least != tc.want {
			t.Errorf("%s: %d tasks at least, want %d: %s", name, least, tc.want, w.last.Reason)
		}
	}
}

// Of tasks that get as much as they do nothing is said that the rates beside it, which
// tell of the last minute, would belie.
func TestWhatWaitsIsToldAsTheTimeItTakes(t *testing.T) {
	t.Parallel()
	for waiting, want := range map[float64]string{
		8_862:  "1 task has 23s of work waiting, within the objective",
		38_800: "1 task has 1m40s of work waiting",
	} {
		o := outlook{objective: 60, perTask: 388, rate: 388, waiting: waiting}
		if told := (verdict{tasks: 1, rule: ruleFinish}).say(o, fleet{running: 1}); told != want {
			t.Errorf("got %q, want %q", told, want)
		}
	}
}

func TestWhatATaskDoesAloneLeavesOutWhatTheOthersTake(t *testing.T) {
	end := stampOf(monday)
	running := taskMemory{Seen: end, Running: []runningSince{{At: end.add(-time.Hour), Tasks: 10}}}
	spec := &config.QueueSpec{Name: queueName, MaxAge: time.Minute}
	never := func(stamp, stamp) bool { return false }
	for name, tc := range map[string]struct {
		others beside
		late   time.Duration
		want   float64
	}{
		"alone":                            {beside{busy: never}, 0, 4.8},
		"others take four of ten":          {beside{busy: never, competing: true, takes: 4}, 0, 8},
		"they take too much: a bound":      {beside{busy: never, competing: true, takes: 8}, 0, 4.24},
		"late numbers say too little":      {beside{busy: never, competing: true, takes: 4}, 2 * time.Minute, 4.8},
		"they do not take from each other": {beside{busy: never, takes: 0}, 0, 4.8},
	} {
		q := queueMemory{Depth: depth{At: end}, Busy: []span{{From: end.add(-time.Hour), To: end}}, Service: serviceRate{PerTask: 4}}
		m := minuteCounts{End: end, Period: 60, Sent: -1, Deleted: 48 * 60, Received: -1, Age: -1}
		q.learnMinute(spec, &m, &running, end.add(tc.late), false, tc.others)
		if got := q.Service.PerTask; got < tc.want-0.01 || got > tc.want+0.01 {
			t.Errorf("%s: a task does %.2f/s, want %v", name, got, tc.want)
		}
	}
}

// What waits gets a part of the tasks only, where other queues take the rest: it is
// too old sooner, and one task more is enough then.
func TestWhatWaitsOfAQueueThatCompetesIsJudgedByItsPart(t *testing.T) {
	f := fleet{running: 18, lag: 75, interval: 15}
	o := outlook{objective: 60, flight: 1, rate: 144, usual: 144, perTask: 8, waiting: 5000}
	for part, want := range map[float64]int{0: 18, 1: 18, 0.7: 19} {
		o.part = part
		if got := o.verdict(f).tasks; got < want || got > want+1 || part != 0.7 && got != want {
			t.Errorf("a part of %v: %d tasks, want %d", part, got, want)
		}
	}
}

func TestAGuessIsDoubledOnlyByADepthThatTheTasksThereAreHaveSeen(t *testing.T) {
	t.Parallel()
	o := outlook{waiting: 400, rate: 1, usual: 1}
	for seen, want := range map[bool]int{true: 8, false: 4} {
		if got, why := o.guess(fleet{running: 4, serving: 4, lag: 75, interval: 15}, false, seen); got != want {
			t.Errorf("a depth of after the newest task ran %v: %d tasks (%s), want %d", seen, got, why, want)
		}
	}
}
