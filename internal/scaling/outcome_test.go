package scaling

import (
	"strings"
	"testing"
	"time"
)

// day judges minutes of 600 messages, of which so many are late: in each of the
// first ones of every hour.
func (o *outcome) day(minutes int, late float64, blameless bool) {
	for i := range 24 * 60 {
		of := late
		if i%60 >= minutes {
			of = 0
		}
		o.take(600, of, 60, blameless)
	}
}

func TestHeadRoomGrowsWithWhatIsLateAndIsGivenBack(t *testing.T) {
	for name, tc := range map[string]struct {
		late          func(o *outcome)
		least, utmost float64 // messages/s of head room
	}{
		"none late":                            {func(o *outcome) { o.day(0, 0, false) }, 0, 0},
		"a hundredth may be":                   {func(o *outcome) { o.day(60, 6, false) }, 0, 0.01},
		"a surge an hour, a twentieth late":    {func(o *outcome) { o.day(3, 600, false) }, 19, 20},
		"it is bounded":                        {func(o *outcome) { o.day(60, 600, false) }, 19, 20.001},
		"nothing could be done about it":       {func(o *outcome) { o.day(3, 600, true) }, 0, 0},
		"a surge is one, however much is late": {func(o *outcome) { o.take(600, 0, 60, false); o.take(600, 1e6, 60, false) }, 0, 1.2},
		"given back, a day in time": {func(o *outcome) {
			o.More = 20
			o.day(0, 0, false)
		}, 11, 13},
	} {
		var o outcome
		o.take(600, 0, 60, false)
		if tc.late(&o); o.More < tc.least || o.More > tc.utmost {
			t.Errorf("%s: %.2f/s of head room, want %v to %v", name, o.More, tc.least, tc.utmost)
		}
	}
}

func TestHeadRoomKeepsTasksAndAddsNone(t *testing.T) {
	o := outlook{objective: 60, flight: 1, rate: 40, usual: 40, perTask: 8, more: 20, lately: 0.023}
	for running, want := range map[int]int{4: 4, 6: 6, 8: 8, 20: 8} {
		f := fleet{running: running, lag: 75, interval: 15}
		if v := o.verdict(f); v.tasks != want {
			t.Errorf("of %d tasks %d stay, want %d", running, v.tasks, want)
		} else if running == 8 && !strings.HasSuffix(v.say(o, f), "5 tasks keep up, 3 more kept: 2.3% of the messages were late since yesterday") {
			t.Errorf("it says %q", v.say(o, f))
		}
	}
}

// TestWhatNobodyCouldHelpAsksForNoHeadRoom: messages are late all the time, since
// more tasks may not be, do not come, or would not help.
func TestWhatNobodyCouldHelpAsksForNoHeadRoom(t *testing.T) {
	for name, change := range map[string]func(*world){
		"nothing stands against it": func(*world) {},
		"at maxTasks":               func(w *world) { w.policy.Spec.MaxTasks = 4 },
		"paused":                    func(w *world) { w.policy.Spec.Paused = true },
		"a provider that limits":    func(w *world) { w.change = func(_ *Observation, q *Queue) { q.ProviderLimited = new(true) } },
		"tasks that do not start": func(w *world) {
			w.change = func(o *Observation, _ *Queue) { o.Service.Running, o.Service.FailedStarts = 4, new(int(w.now.Unix())) }
		},
	} {
		w := newWorld(8)
		w.pass(40, 28)
		change(w)
		before := w.change
		w.change = func(o *Observation, q *Queue) {
			if before != nil {
				before(o, q)
			}
			q.OldestAge = &Sample{Value: 100, Time: w.sent.Time}
		}
		w.pass(60, 60)
		o := w.state.Queues[queueName].Outcome
		if o.part() < 0.1 || (o.More > 0) != (name == "nothing stands against it") {
			t.Errorf("%s: %.0f%% late, %.1f/s of head room: %s", name, 100*o.part(), o.More, w.last.Reason)
		}
	}
}

func TestADumpsLateMessagesAskForNoHeadRoom(t *testing.T) {
	m := minuteCounts{End: stampOf(monday), Period: 60, Deleted: 600, Received: 600, Age: 100}
	for name, tc := range map[string]struct {
		dumped time.Duration // before
		want   bool
	}{
		"a minute ago": {time.Minute, true}, "an hour ago": {time.Hour, false}, "later": {-time.Minute, false},
	} {
		q := queueMemory{Service: serviceRate{PerTask: 8}, Calendar: calendar{Dumps: []dump{{At: m.End.add(-tc.dumped), Size: 1e4}}}}
		if got := q.blameless(&m); got != tc.want {
			t.Errorf("a dump %s: blameless %v, want %v", name, got, tc.want)
		}
	}
}

func TestThePartOfAMinuteThatWasLate(t *testing.T) {
	for _, tc := range []struct{ from, to, want float64 }{{0, 30, 0}, {61, 90, 1}, {30, 90, 0.5}, {90, 30, 0.5}, {60, 60, 0}} {
		if got := partAbove(tc.from, tc.to, 60); got != tc.want {
			t.Errorf("from %v to %v s: %v late, want %v", tc.from, tc.to, got, tc.want)
		}
	}
}
