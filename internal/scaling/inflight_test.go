package scaling

import (
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

// Messages in flight are work that somebody has, whatever is known of how long
// it takes.
func TestMessagesInFlightAreWork(t *testing.T) {
	t.Parallel()
	auto := func(s *config.ScalingSpec) { s.Queues[0].ThroughputPerTask = 0 }
	flying := func(tasks int, messages, arriving, deleted float64, changes ...func(*Observation, *Queue)) Observation {
		return seen(tasks, 0, arriving, append([]func(*Observation, *Queue){func(_ *Observation, q *Queue) {
			q.InFlight, q.Deleted.Value = &Sample{Value: messages}, deleted
		}}, changes...)...)
	}
	uncounted := func(_ *Observation, q *Queue) { q.Sent, q.Deleted = nil, nil }
	noneRuns := func(o *Observation, _ *Queue) { o.Service.Running = 0 }
	for name, tc := range map[string]struct {
		policy *config.ScalingPolicy
		obs    []Observation
		want   int
		says   string
	}{
		"of which none gets done, are stuck: nothing is taken away":                {policy: policy(auto), obs: again(40, flying(8, 4000, 0, 0)), want: 8, says: "may be stuck"},
		"which are stuck, where the rate a task is told":                           {obs: again(40, flying(8, 4000, 0, 0)), want: 8, says: "may be stuck"},
		"which are stuck, add no task either":                                      {obs: again(40, flying(8, 4000, 60, 0)), want: 8, says: "nothing was finished"},
		"of which three are stuck, keep three tasks":                               {obs: again(40, flying(8, 3, 0, 0)), want: 3, says: "may be stuck"},
		"of which nobody has counted what gets done, are not said to be stuck":     {policy: policy(auto), obs: again(4, flying(1, 4, 0, 0, uncounted)), want: 1, says: "until the rate of one is known"},
		"which get done more slowly than a task stops, keep their tasks":           {obs: again(2, flying(8, 4000, 0, 3840)), want: 8, says: "more than a task that stops would finish"},
		"that failed and are out of sight until they are tried again, keep none":   {obs: again(40, flying(8, 4000, 960, 960, func(_ *Observation, q *Queue) { q.Received = &Sample{Value: 1400} })), want: 2},
		"which are done soon after, keep none":                                     {obs: again(40, flying(8, 80, 960, 960)), want: 2},
		"where nobody counts what is deleted, are told from what arrives":          {obs: again(40, flying(8, 80, 960, 0, func(_ *Observation, q *Queue) { q.Deleted = nil })), want: 2},
		"where no task runs, come back: they are a backlog":                        {obs: []Observation{flying(8, 4000, 0, 0, noneRuns)}, want: 8, says: "4,000 in flight come back"},
		"where the tasks crashed, come back: those that start drain them":          {obs: again(4, flying(2, 4000, 0, 0, noneRuns)), want: 8, says: "4,000 in flight come back"},
		"at the first look ever, wake a service from zero":                         {policy: policy(auto, minZero), obs: []Observation{flying(0, 4000, 0, 0)}, want: 4, says: "4,000 in flight come back"},
		"at the first look ever, take no task away":                                {policy: policy(auto), obs: []Observation{flying(8, 4000, 0, 0)}, want: 8},
		"whose number is not told, are as many as before":                          {obs: append(again(8, flying(8, 4000, 0, 0)), again(8, flying(8, 0, 0, 0, func(_ *Observation, q *Queue) { q.InFlight = nil }))...), want: 8, says: "4,000 in flight"},
		"of which one comes back again and again, keep the last task and no other": {policy: policy(minZero), obs: again(40, flying(8, 1, 0, 0)), want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := tc.policy
			if p == nil {
				p = policy()
			}
			if d := story(t, p, tc.obs...); d.Desired != tc.want || !strings.Contains(d.Reason, tc.says) {
				t.Errorf("%d tasks, want %d and %q: %s", d.Desired, tc.want, tc.says, d.Reason)
			}
		})
	}
}

// After a time in which nobody looked, no minute shows yet what the tasks do.
func TestNoTaskIsSaidToBeStuckForMinutesInWhichNobodyLooked(t *testing.T) {
	t.Parallel()
	p := policy(func(s *config.ScalingSpec) { s.Queues[0].ThroughputPerTask = 0 })
	look := func(at time.Time, inFlight, deleted float64, state State) (Decision, State) {
		obs := seen(3, 0, deleted, func(_ *Observation, q *Queue) { q.InFlight = &Sample{Value: inFlight} })
		obs.Time = at
		return Decide(p, obs, state, at)
	}
	var state State
	at := monday
	for ; at.Sub(monday) < 10*time.Minute; at = at.Add(15 * time.Second) {
		_, state = look(at, 3, 300, state)
	}
	at = at.Add(10 * time.Minute)
	for back, later := at, at.Add(3*time.Minute); at.Before(later); at = at.Add(15 * time.Second) {
		var d Decision
		d, state = look(at, 3, 0, state)
		said := strings.Contains(d.Reason, "stuck")
		if at.Sub(back) < time.Minute && said || at.Sub(back) > 2*time.Minute && !said {
			t.Errorf("%s after it is back: %s", at.Sub(back), d.Reason)
		}
	}
}
