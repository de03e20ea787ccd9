package scaling

import (
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

func TestTheSentenceFitsWhatIsDecided(t *testing.T) {
	t.Parallel()
	learns := func(s *config.ScalingSpec) { s.Queues[0].ThroughputPerTask = 0 }
	toRest := func(s *config.ScalingSpec) { learns(s); s.MinTasks = 0 }
	slowly := func(s *config.ScalingSpec) {
		s.Behavior.ScaleUp.Policies = []config.RatePolicy{{Type: config.PercentPolicy, Value: 900, Period: 15 * time.Second}}
	}
	window := func(s *config.ScalingSpec) { s.Behavior.ScaleDown.StabilizationWindow = 10 * time.Minute }
	inFlight := func(_ *Observation, q *Queue) { q.InFlight = &Sample{Value: 8} }
	for name, tc := range map[string]struct {
		policy  *config.ScalingPolicy
		obs     Observation
		desired int
		says    string
		never   string
	}{
		"a message wakes the first task":                      {policy(toRest), seen(0, 1, 0), 1, "1 task for what waits", "0 tasks"},
		"the last of many tasks that stays is the one needed": {policy(), seen(14, 0, 400, inFlight), 1, "1 task keeps up", "stop the last"},
		"the one task that is needed":                         {policy(), seen(1, 0, 400, inFlight), 1, "1 task keeps up", "stop the last"},
		"the last task that is not needed any more":           {policy(), seen(1, 0, 0), 1, "not empty for long enough to stop the last task", ""},
		"a rate that is looser than the maximum":              {policy(slowly), seen(30, 90_000, 60), 40, "held to maxTasks 40", "scaleUp"},
		"a rate that is tighter than the maximum":             {policy(slowly), seen(2, 90_000, 60), 20, "limited to 20 by scaleUp (900% per 15s)", "maxTasks"},
		"tasks that fall a little short of what arrives":      {policy(), seen(9, 0, 66*60), 8, "8 tasks nearly keep up, and the objective allows for the rest", ""},
		"a window in which the count was higher":              {policy(window), seen(12, 0, 60), 12, "not below 12 (highest advice of the last 10m)", "held"},
	} {
		state := State{}
		got, _ := Decide(tc.policy, tc.obs, state, monday)
		if got.Desired != tc.desired || !strings.Contains(got.Reason, tc.says) || tc.never != "" && strings.Contains(got.Reason, tc.never) {
			t.Errorf("%s: %d, %q; want %d, %q and not %q", name, got.Desired, got.Reason, tc.desired, tc.says, tc.never)
		}
	}
}

func TestARateThatMayBeOverIsCalledASurge(t *testing.T) {
	t.Parallel()
	w := newWorld(8)
	for _, tick := range []struct {
		ticks int
		rate  float64
		says  string
	}{{20, 10, "10/s arriving"}, {1, 1300, "a surge of 1,"}, {12, 10, "10/s arriving"}} {
		w.pass(tick.ticks, tick.rate)
		if !strings.Contains(w.last.Reason, tick.says) {
			t.Errorf("after %d ticks of %v/s want %q: %s", tick.ticks, tick.rate, tick.says, w.last.Reason)
		}
	}
}

func TestNoTaskFewerIsTriedWhereWorkIsExpected(t *testing.T) {
	t.Parallel()
	now := stampOf(monday)
	for name, tc := range map[string]struct {
		foreseen, waiting float64
		due               time.Duration // until a dump that needs no more tasks than there are
		want              int
	}{
		"of a calm queue":                          {want: 15},
		"of one that a dump is expected on":        {foreseen: 6000, want: 16},
		"of one whose tasks wait for a dump":       {due: time.Minute, want: 16},
		"of one on which a dump is due in an hour": {due: time.Hour, want: 15},
		"of one on which late numbers expect work": {waiting: 900, want: 16},
	} {
		q := queueMemory{Depth: depth{At: now}, Calm: now.add(-time.Hour), Service: serviceRate{PerTask: 8, Minutes: 9}}
		if tc.due > 0 {
			q.Calendar.Patterns = []pattern{{Period: 3_600_000, Next: now.add(tc.due), Size: 6000, Hits: 3}}
		}
		need := QueueNeed{Need: 16, Foreseen: tc.foreseen, Why: "as it was"}
		q.probe(&need, &config.QueueSpec{}, outlook{now: now, objective: 60, rate: 8, perTask: 8, learned: true, waiting: tc.waiting}, fleet{running: 16, serving: 16, lag: 90, longest: 75, interval: 15})
		if need.Need != tc.want {
			t.Errorf("%s: %d tasks (%s), want %d", name, need.Need, need.Why, tc.want)
		}
	}
}

func TestNoTaskWakesForAPartOfAMessage(t *testing.T) {
	t.Parallel()
	for told, want := range map[float64]int{0: 0, 1: 1} {
		q, need := queueMemory{Zeros: 9}, QueueNeed{}
		q.awake(&need, Queue{}, outlook{waiting: told + 1.4, objective: 60}, told, fleet{lag: 90})
		if need.Need != want {
			t.Errorf("%v told: %d tasks (%s), want %d", told, need.Need, need.Why, want)
		}
	}
}
