package scaling

import (
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

func TestACompetingQueueOfWhichNothingIsKnownGetsAnEqualPart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		waiting [3]float64 // messages; nobody knows what a task does for the third queue
		want    [3]int     // tasks
	}{
		"beside two":                          {[3]float64{600, 600, 600}, [3]int{4, 4, 4}},
		"beside two of which one has no work": {[3]float64{600, 0, 600}, [3]int{6, 0, 6}},
		"none where it has no work":           {[3]float64{600, 600, 0}, [3]int{6, 6, 0}},
	} {
		d := &deciding{fleet: fleet{running: 12}, state: State{Competition: competition{Part: 0.5, Minutes: enoughMinutes}}}
		for i, waiting := range tc.waiting {
			q := watched{queueMemory: &queueMemory{Depth: depth{Visible: waiting}}, spec: &config.QueueSpec{MaxAge: time.Minute}}
			if i < 2 {
				q.Service.PerTask = 8
			}
			d.queues = append(d.queues, q)
		}
		for i, part := range d.competing() {
			if part.running != tc.want[i] {
				t.Errorf("%s: queue %d has %d of 12 tasks, want %d", name, i, part.running, tc.want[i])
			}
		}
	}
}
