package scaling

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

// world is a queue and a service that do what they are told, for stories of
// many ticks: tasks come up at once unless lag says otherwise.
type world struct {
	policy              *config.ScalingPolicy
	state               State
	now                 time.Time
	tasks               int
	waiting             float64
	perTask, ceiling    float64 // messages/s
	minuteIn, minuteOut float64
	sent, deleted       *Sample
	last                Decision
	change              func(*Observation, *Queue)
}

func newWorld(perTask float64, changes ...func(*config.ScalingSpec)) *world {
	return &world{policy: policy(append([]func(*config.ScalingSpec){func(s *config.ScalingSpec) { s.Queues[0].ThroughputPerTask = 0 }}, changes...)...),
		now: monday, tasks: 1, perTask: perTask}
}

// pass lets ticks of 15 s go by with so many messages/s arriving.
func (w *world) pass(ticks int, rate float64) {
	for range ticks {
		capacity := w.perTask * float64(w.tasks)
		if w.ceiling > 0 {
			capacity = min(capacity, w.ceiling)
		}
		done := min(capacity*15, w.waiting+rate*15)
		w.waiting += rate*15 - done
		w.minuteIn, w.minuteOut = w.minuteIn+rate*15, w.minuteOut+done
		w.now = w.now.Add(15 * time.Second)
		if w.now.Second() == 0 {
			w.sent, w.deleted = &Sample{Value: w.minuteIn, Time: w.now, Period: 60}, &Sample{Value: w.minuteOut, Time: w.now, Period: 60}
			w.minuteIn, w.minuteOut = 0, 0
		}
		obs := seen(w.tasks, w.waiting, 0, func(o *Observation, q *Queue) {
			o.Time, q.Sent, q.Deleted = w.now, w.sent, w.deleted
			q.InFlight = &Sample{Value: done / 15}
			if w.change != nil {
				w.change(o, q)
			}
		})
		w.last, w.state = Decide(w.policy, obs, w.state, w.now)
		w.tasks = w.last.Desired
	}
}

func TestMoreTasksThatDoNotHelpAreLetGo(t *testing.T) {
	w := newWorld(8)
	w.pass(40, 30)
	w.ceiling = 40 // the provider takes no more, whoever sends
	w.pass(60, 60)
	if w.last.LimitedBy != "saturated" || w.tasks > 20 {
		t.Errorf("%d tasks limited by %q: %s", w.tasks, w.last.LimitedBy, w.last.Reason)
	}
}

func TestALimitIsSeenInOneSteepRise(t *testing.T) {
	w := newWorld(8, func(s *config.ScalingSpec) { s.MaxTasks = 60 })
	w.pass(40, 40)
	w.ceiling = 60
	w.pass(40, 90)
	if w.last.LimitedBy != "saturated" || w.tasks > 15 {
		t.Errorf("%d tasks, where 8 would do, limited by %q: %s", w.tasks, w.last.LimitedBy, w.last.Reason)
	}
	w.ceiling = 0
	w.pass(360, 90)
	if w.waiting > 90*60 || w.tasks > 20 {
		t.Errorf("an hour and a half after the limit is gone %.0f wait, %d tasks: %s", w.waiting, w.tasks, w.last.Reason)
	}
}

func TestALimitThatRoseIsSeenWithinMinutes(t *testing.T) {
	w := newWorld(8, func(s *config.ScalingSpec) { s.MaxTasks = 60 })
	w.pass(40, 40)
	w.ceiling = 60
	w.pass(600, 90) // two and a half hours: few tries are left by then
	w.ceiling = 0
	before := w.waiting
	w.pass(60, 90)
	if w.waiting > before/2 || w.last.LimitedBy == "saturated" {
		t.Errorf("a quarter of an hour after the limit is gone %.0f of %.0f wait, limited by %q: %s", w.waiting, before, w.last.LimitedBy, w.last.Reason)
	}
}

func TestASlowerTaskIsNoLimit(t *testing.T) {
	w := newWorld(8)
	w.pass(40, 40)
	w.perTask = 3 // each does less, and more of them do more
	w.pass(80, 40)
	if w.tasks < 13 || w.waiting > 40*60 || w.last.LimitedBy == "saturated" {
		t.Errorf("%d tasks, %.0f waiting, limited by %q: %s", w.tasks, w.waiting, w.last.LimitedBy, w.last.Reason)
	}
}

func TestWhereNothingGetsDoneNothingIsAdded(t *testing.T) {
	w := newWorld(8)
	w.pass(40, 40)
	before := w.tasks
	w.perTask = 0 // the database is down
	w.pass(60, 40)
	if w.last.LimitedBy != "failing" || w.tasks > 5*before {
		t.Errorf("%d tasks became %d, limited by %q: %s", before, w.tasks, w.last.LimitedBy, w.last.Reason)
	}
	held := w.tasks
	w.pass(200, 40)
	if w.tasks != held {
		t.Errorf("held at %d, and became %d: %s", held, w.tasks, w.last.Reason)
	}
	w.perTask = 8
	w.pass(400, 40)
	if w.waiting > 40*60 || w.tasks > 8 {
		t.Errorf("after the outage %d tasks, %.0f waiting: %s", w.tasks, w.waiting, w.last.Reason)
	}
}

func TestAFullHourThatRepeatsIsForeseen(t *testing.T) {
	w := newWorld(8, func(s *config.ScalingSpec) { s.MaxTasks = 100 })
	w.pass(239, 10)
	for range 3 {
		w.waiting += 6000
		w.minuteIn += 6000
		w.pass(240, 10)
	}
	if w.tasks < 10 || !strings.Contains(w.last.Reason, "expected at") {
		t.Errorf("%d tasks before the fourth dump: %s", w.tasks, w.last.Reason)
	}
	w.pass(20, 10) // it does not come
	if w.tasks > 3 {
		t.Errorf("%d tasks after a dump that did not come: %s", w.tasks, w.last.Reason)
	}
}

func TestTheArrivalRateAfterADumpIsTheOneBefore(t *testing.T) {
	w := newWorld(8)
	w.pass(40, 12)
	w.waiting += 9000
	w.minuteIn += 9000
	for range 40 {
		w.pass(1, 12)
		if q := w.last.Queues[0]; q.Arrival < 6 && w.waiting == 0 {
			t.Fatalf("%.1f/s arriving, want about 12: %s", q.Arrival, w.last.Reason)
		}
	}
}

func TestTrapsOfTheField(t *testing.T) {
	at := func(d time.Duration, v float64) *Sample { return &Sample{Value: v, Time: monday.Add(d)} }
	for name, tc := range map[string]struct {
		policy *config.ScalingPolicy
		obs    []Observation
		want   int
	}{
		"an outage of the metrics is not zero":                   {obs: again(8, seen(9, 0, 0, func(_ *Observation, q *Queue) { *q = Queue{} })), want: 9},
		"one metric missing, the other says down: held":          {obs: again(8, seen(9, 0, 0, func(_ *Observation, q *Queue) { q.InFlight = nil })), want: 9},
		"an empty queue has no age, and is healthy":              {obs: again(8, seen(9, 0, 0, func(_ *Observation, q *Queue) { q.OldestAge = nil })), want: 1},
		"a depth without an age is a fault":                      {obs: again(8, seen(9, 40, 0, func(_ *Observation, q *Queue) { q.OldestAge = nil })), want: 9},
		"a poison pill's age alone buys no task":                 {obs: again(8, seen(2, 1, 900, func(_ *Observation, q *Queue) { q.OldestAge = at(0, 90000) })), want: 2},
		"phantom messages on an empty queue buy no task":         {obs: append(again(4, seen(1, 0, 0)), seen(1, 2, 0)), want: 1},
		"the last message in flight stops no task that works":    {policy: policy(minZero), obs: again(6, seen(1, 0, 0, func(_ *Observation, q *Queue) { q.InFlight = &Sample{Value: 1} })), want: 1},
		"protected tasks are more than desired: none of them go": {obs: again(6, seen(9, 0, 0, func(o *Observation, _ *Queue) { o.Service.Protected = new(12) })), want: 9},
		"pending tasks are counted":                              {obs: []Observation{seen(1, 2000, 0, func(o *Observation, _ *Queue) { o.Service = &Service{Desired: 8, Running: 1, Pending: 7} })}, want: 8},
		"one message starts a service from zero":                 {policy: policy(minZero), obs: []Observation{seen(0, 1, 0)}, want: 1},
		"a depth from the far future is unknown":                 {obs: again(8, seen(9, 0, 0, func(_ *Observation, q *Queue) { q.Visible = at(2*time.Hour, 0) })), want: 9},
		"a late depth gets no younger by being told again":       {obs: again(40, seen(9, 0, 0, func(_ *Observation, q *Queue) { q.Visible = at(-time.Minute, 0) })), want: 9},
	} {
		t.Run(name, func(t *testing.T) {
			p := tc.policy
			if p == nil {
				p = policy(func(s *config.ScalingSpec) { s.Fallback.Tasks = 1 })
			}
			if d := story(t, p, tc.obs...); d.Desired != tc.want {
				t.Errorf("%d tasks, want %d: %s", d.Desired, tc.want, d.Reason)
			}
		})
	}
}

func TestAStateOfTheVersionBeforeIsRead(t *testing.T) {
	const saved = `{"version":1,"time":1767600000000,"wanted":3,"tasks":{"seen":1767600000000,"desired":3,"running":[{"at":1767599000000,"n":3}],"lags":[40,50,60]},` +
		`"behavior":{"advice":[{"at":1767600000000,"n":3}]},"queues":{"sms-events":{"depth":{"at":1767600000000,"visible":4,"inFlight":1},` +
		`"arrival":{"at":1767600000000,"rate":21.5,"variance":0.4,"wander":0.01,"minute":1767600000000,"count":21,"dumps":[{"at":1767590000000,"size":900}]},"service":{"perTask":7.5,"minutes":9}}}}`
	var state State
	if err := json.Unmarshal([]byte(saved), &state); err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1767600015000)
	obs := seen(3, 4, 0, func(_ *Observation, q *Queue) { q.Sent = nil })
	obs.Time = now
	p := policy(func(s *config.ScalingSpec) { s.Queues[0].ThroughputPerTask = 0 })
	if d, next := Decide(p, obs, state, now); d.Queues[0].PerTask != 7.5 || next.Version != stateVersion || d.Desired != 3 {
		t.Errorf("%.1f a task, version %d, %d tasks: %s", d.Queues[0].PerTask, next.Version, d.Desired, d.Reason)
	}
}

func TestMisspeltKeysAreNamed(t *testing.T) {
	for name, tc := range map[string]struct{ line, want string }{
		"a metric":                       {`{"time":"2026-01-05T08:00:15Z","queues":{"sms-events":{"visble":{"value":3}}}}`, `queues.sms-events.visble is not known: did you mean \"visible\"?`},
		"a count of an earlier minute":   {`{"time":"2026-01-05T08:00:15Z","queues":{"sms-events":{"earlier":[{"sent":3},{"snet":3}]}}}`, `queues.sms-events.earlier[1].snet is not known: did you mean \"sent\"?`},
		"a part of a sample":             {`{"time":"2026-01-05T08:00:15Z","queues":{"sms-events":{"visible":{"valu":3}}}}`, `queues.sms-events.visible.valu is not known: did you mean \"value\"?`},
		"a count of the service":         {`{"time":"2026-01-05T08:00:15Z","service":{"desird":3}}`, `service.desird is not known: did you mean \"desired\"?`},
		"a part of the observation":      {`{"time":"2026-01-05T08:00:15Z","queus":{}}`, `queus is not known: did you mean \"queues\"?`},
		"a queue":                        {`{"time":"2026-01-05T08:00:15Z","queues":{"sms-event":{}}}`, `queues.sms-event is not known: did you mean \"sms-events\"?`},
		"what a newer producer tells":    {`{"time":"2026-01-05T08:00:15Z","region":"eu-west-1","queues":{"sms-events":{"visible":{"value":3,"unit":"Count"}}}}`, `"desired"`},
		"another service's queue":        {`{"time":"2026-01-05T08:00:15Z","queues":{"sms-events":{},"sms-event2":{}}}`, `"desired"`},
		"a key that is near one that is": {`{"time":"2026-01-05T08:00:15Z","queues":{"sms-events":{"sent":1,"cent":2}}}`, `"desired"`},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if _, err := DecideLines(policy(), State{}, strings.NewReader(tc.line), &out); err != nil || !strings.Contains(out.String(), tc.want) {
				t.Errorf("%s (%v), want %s in it", out.String(), err, tc.want)
			}
		})
	}
}

func TestQueuesThatCompeteAreSummed(t *testing.T) {
	run := func(perTaskTogether float64) Decision {
		p := policy(func(s *config.ScalingSpec) {
			s.MaxTasks = 60
			s.Queues = append(s.Queues, config.QueueSpec{Name: "push-events", MaxAge: time.Minute, ThroughputPerTask: 8})
		})
		var state State
		var d Decision
		now := monday
		for i := range 60 {
			now = now.Add(15 * time.Second)
			obs := seen(10, 9000-float64(i), 0)
			obs.Time = now
			q := obs.Queues[queueName]
			minute := now.Truncate(time.Minute)
			q.Sent = &Sample{Value: 2400, Time: minute, Period: 60}
			q.Deleted = &Sample{Value: 10 * perTaskTogether * 60, Time: minute, Period: 60}
			obs.Queues[queueName], obs.Queues["push-events"] = q, q
			d, state = Decide(p, obs, state, now)
		}
		return d
	}
	beside, against := run(8), run(4)
	if strings.Contains(beside.Reason, "compete") || !strings.Contains(against.Reason, "compete") || against.Need != 2*against.Queues[0].Need {
		t.Errorf("without competition: %s\nwith it: need %d: %s", beside.Reason, against.Need, against.Reason)
	}
}

func TestASchedulesTasksRunWhenItStarts(t *testing.T) {
	p := policy(func(s *config.ScalingSpec) {
		s.Schedules = []config.Schedule{{Name: "campaign", Cron: "10 8 * * *", TimeZone: "UTC", Duration: time.Hour, MinTasks: new(10)}}
	})
	var state State
	counts := map[string]int{}
	for i := range 45 {
		now := monday.Add(time.Duration(i) * 15 * time.Second)
		obs := seen(1, 0, 0)
		obs.Time = now
		var d Decision
		d, state = Decide(p, obs, state, now)
		counts[now.Format("15:04:05")] = d.Desired
	}
	if counts["08:08:30"] != 1 || counts["08:09:00"] != 10 {
		t.Errorf("%d tasks 90 s before the schedule, %d a minute before, want 1 and 10", counts["08:08:30"], counts["08:09:00"])
	}
}

// BenchmarkDecide decides for a thousand policies: one core, under 10 ms.
func BenchmarkDecide(b *testing.B) {
	w := newWorld(8)
	w.pass(400, 60)
	obs := seen(w.tasks, 400, 3600)
	obs.Time = w.now.Add(15 * time.Second)
	b.ReportAllocs()
	for b.Loop() {
		for range 1000 {
			Decide(w.policy, obs, w.state, obs.Time)
		}
	}
}

func TestAQueueThatStaysEmptyHasTasksEnough(t *testing.T) {
	now := stampOf(monday)
	q := queueMemory{
		Depth: depth{At: now}, Calm: now.add(-2 * time.Minute),
		Service: serviceRate{PerTask: 0.35, Minutes: 5}, Arrival: arrivalRate{level: level{At: now, Rate: 40, Variance: 1}, Minute: now},
	}
	spec := &config.QueueSpec{Name: queueName, MaxAge: time.Minute}
	need, _, _ := q.needOf(spec, seen(40, 0, 2400).Queues[queueName], &taskMemory{}, fleet{running: 40, lag: 75, interval: 15}, monday, 5*time.Minute)
	if need.Need > 40 {
		t.Errorf("%d tasks for an empty queue, of which 40 run: %s", need.Need, need.Why)
	}
}

func TestADumpIsAnsweredAgainWhenTheCountWasNotSet(t *testing.T) {
	w := newWorld(8, func(s *config.ScalingSpec) { s.MaxTasks, s.Queues[0].ThroughputPerTask = 200, 8 })
	w.pass(20, 4)
	for _, rate := range []float64{1333, 4, 4} {
		w.tasks = 1 // UpdateService failed, or someone set it back
		w.pass(1, rate)
		if w.tasks < 30 {
			t.Errorf("%d tasks: %s", w.tasks, w.last.Reason)
		}
	}
}

func TestTheExtraTasksOfARolloutWorkToo(t *testing.T) {
	w := newWorld(8)
	w.tasks = 8
	w.pass(30, 64)
	w.waiting += 20000
	w.policy.Spec.MaxTasks = 8
	w.pass(20, 64)
	before := w.last.Queues[0].PerTask
	w.perTask = 16 // of twice as many tasks
	w.change = func(o *Observation, _ *Queue) { o.Service.Running, o.Service.Rollout = 2*o.Service.Desired, new(true) }
	w.pass(20, 64)
	if got := w.last.Queues[0].PerTask; before < 7 || got > 9 {
		t.Errorf("a task does %.1f/s, %.1f/s before the rollout: %s", got, before, w.last.Reason)
	}
}

func TestAnOutageIsNamedThoughAllTheTasksThereMayBeRun(t *testing.T) {
	w := newWorld(8, func(s *config.ScalingSpec) { s.MaxTasks = 8 })
	w.pass(40, 40)
	w.perTask = 0.01
	w.pass(40, 40)
	if w.last.LimitedBy != "failing" || !strings.Contains(w.last.Reason, "nothing was finished") {
		t.Errorf("limited by %q: %s", w.last.LimitedBy, w.last.Reason)
	}
}

func TestAnOutageIsOverWhenNothingWaitsAnyMore(t *testing.T) {
	for name, tc := range map[string]struct {
		least       int
		before, now float64 // messages/s
	}{"where a task stays": {1, 40, 60}, "where none does": {0, 40, 60}, "where all of them stay": {8, 80, 62}} {
		w := newWorld(8, func(s *config.ScalingSpec) { s.MinTasks = tc.least })
		w.pass(40, tc.before)
		w.perTask = 0.01
		w.pass(24, 40)
		if w.last.LimitedBy != "failing" {
			t.Fatalf("%s: no outage: %s", name, w.last.Reason)
		}
		w.waiting, w.perTask = 0, 8 // the queue was purged
		w.pass(160, 0)
		w.pass(16, tc.now)
		if w.tasks < 7 || w.last.LimitedBy == "failing" {
			t.Errorf("%s: %d tasks limited by %q: %s", name, w.tasks, w.last.LimitedBy, w.last.Reason)
		}
	}
}

func TestDeadLettersWithoutATimeLeaveTheMinutesAlone(t *testing.T) {
	w := newWorld(8)
	w.change = func(o *Observation, q *Queue) {
		q.DeadLettered = &Sample{Time: o.Time, Period: 60}
		q.Sent = &Sample{Value: 1800, Time: o.Time.Truncate(time.Minute).Add(-2 * time.Minute), Period: 60}
	}
	w.pass(40, 30)
	if ago := stampOf(w.now).sub(w.state.Queues[queueName].Arrival.Minute); ago > 180 {
		t.Errorf("the newest minute that was learned from ended %.0f s ago", ago)
	}
}
