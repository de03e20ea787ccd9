package scaling

import (
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

// late is what CloudWatch tells at now, a minute and a half late, of 13 tasks
// that did so much in the newest minute and left 900 messages waiting.
func late(now time.Time, deleted float64) Observation {
	end := now.Add(-90 * time.Second)
	gauge := func(value float64) *Sample { return &Sample{Value: value, Time: end} }
	count := func(value float64) *Sample { return &Sample{Value: value, Time: end, Period: 60} }
	return seen(13, 0, 0, func(o *Observation, q *Queue) {
		o.Time = now
		*q = Queue{Visible: gauge(900), InFlight: gauge(0), Delayed: gauge(0), OldestAge: gauge(30), Sent: count(0), Received: count(deleted), Deleted: count(deleted)}
	})
}

func TestLateNumbersTakeNoTasksAwayByWorkThatWasNotSeenToBeDone(t *testing.T) {
	t.Parallel()
	perTask := func(s *config.ScalingSpec) { s.Queues[0].ThroughputPerTask = 1 }
	for name, tc := range map[string]struct {
		deleted float64
		fewer   bool
	}{
		"nothing was done in the newest minute":        {0, false},
		"a tenth of what tasks are supposed to do was": {78, false},
		"what tasks are supposed to do was":            {780, true},
		"nobody counted what was done":                 {-1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, p := monday.Add(90*time.Second), policy(perTask)
			d, _ := Decide(p, late(now, tc.deleted), State{}, now)
			if got := d.Desired < 13; got != tc.fewer {
				t.Errorf("13 tasks become %d: %s", d.Desired, d.Reason)
			}
		})
	}
}
