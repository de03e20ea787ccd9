package scaling

import (
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

// slower is a queue at 08:02 of five tasks that were known to do 8/s each; 40/s
// arrive, and the minute from 08:01 counts 16/s done.
func slower(grown float64) (*queueMemory, *taskMemory) {
	end := stampOf(monday.Add(2 * time.Minute))
	q := &queueMemory{
		Before: depth{At: end.add(-time.Minute), Visible: 200}, Depth: depth{At: end, Visible: 200 + grown},
		Busy:    []span{{From: end.add(-time.Hour), To: end}},
		Arrival: arrivalRate{level: level{At: end, Rate: 40}, Minute: end},
		Service: serviceRate{PerTask: 8, Minutes: 100},
		Minutes: []minuteCounts{counted(end, 16)},
	}
	return q, &taskMemory{Seen: end, Running: []runningSince{{At: end.add(-time.Hour), Tasks: 5}}}
}

// counted is a minute of which all is told: so many messages/s were done.
func counted(end stamp, done float64) minuteCounts {
	return minuteCounts{End: end, Period: 60, Sent: -1, Deleted: float32(done * 60), Received: -1, Age: -1}
}

func TestASlowerTaskIsBelievedAtOnceWhenTheBacklogTellsOfItToo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ grown, want float64 }{
		"the backlog grew by what was not done": {24 * 60, 3.2},
		"the backlog did not grow":              {0, 8 - newestWeight*4.8},
		"the backlog grew by twice that":        {48 * 60, 8 - newestWeight*4.8},
	} {
		q, tasks := slower(tc.grown)
		q.learnMinute(&config.QueueSpec{}, &q.Minutes[0], tasks, q.Depth.At.add(time.Minute), false, beside{busy: func(stamp, stamp) bool { return false }})
		if got := q.Service.PerTask; got < tc.want-0.01 || got > tc.want+0.01 {
			t.Errorf("%s: a task does %.2f/s, want %v", name, got, tc.want)
		}
	}
}
