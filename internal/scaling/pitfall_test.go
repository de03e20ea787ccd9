package scaling

import "testing"

// A queue that shows nothing visible is not empty while messages are in flight,
// hidden or parked: it keeps its last task, however long that goes on, and no task
// that says it is busy is cut.
func TestPitfall24MessagesInFlightMakeNoQueueLookEmpty(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]func(*Observation, *Queue){
		"in flight": func(_ *Observation, q *Queue) { q.InFlight = &Sample{Value: 3} },
		"in flight, and nothing comes or goes": func(_ *Observation, q *Queue) {
			q.InFlight, q.Sent, q.Deleted = &Sample{Value: 3}, &Sample{Period: 60}, &Sample{Period: 60}
		},
		"delayed":                     func(_ *Observation, q *Queue) { q.Delayed = &Sample{Value: 3} },
		"parked, and due before long": func(_ *Observation, q *Queue) { q.Parked = &Sample{Value: 3} },
	} {
		some := story(t, policy(minZero), again(40, seen(1, 0, 0, held))...)
		busy := story(t, policy(minZero), again(40, seen(8, 0, 0, held, func(o *Observation, _ *Queue) { o.Service.Protected = new(5) }))...)
		idle := story(t, policy(minZero), again(40, seen(8, 0, 0))...)
		if some.Desired != 1 || busy.Desired != 5 || idle.Desired != 0 {
			t.Errorf("%s: the last task becomes %d, 5 busy of 8 tasks %d, 8 idle ones %d: %s", name, some.Desired, busy.Desired, idle.Desired, busy.Reason)
		}
	}
}
