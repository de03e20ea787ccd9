package scaling

import (
	"strings"
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

// In some of these one message more asked for a task fewer.
func TestAMessageMoreInACompetingQueueTakesNoTaskAway(t *testing.T) {
	t.Parallel()
	type queue struct {
		perTask, rate, waiting, inFlight float64
	}
	now := stampOf(monday)
	need := func(running int, objective time.Duration, queues []queue, more float64) (int, []QueueNeed) {
		d := &deciding{
			now: monday, at: now, spec: &config.ScalingSpec{Fallback: config.Fallback{After: 5 * time.Minute}},
			fleet: fleet{running: running, serving: running, lag: 90, longest: 90, interval: 15, share: 0.5},
			state: State{Competition: competition{Part: 0.5, Minutes: enoughMinutes}},
		}
		for i, q := range queues {
			if i == 0 {
				q.waiting += more
			}
			d.queues = append(d.queues, watched{
				spec: &config.QueueSpec{Name: "q", MaxAge: objective},
				queueMemory: &queueMemory{
					Depth: depth{At: now, Visible: q.waiting, InFlight: q.inFlight}, Service: serviceRate{PerTask: q.perTask, Minutes: 100},
					Arrival: arrivalRate{level: level{At: now, Rate: q.rate}, Minute: now},
				},
				told: Queue{Visible: &Sample{Value: q.waiting, Time: monday}, InFlight: &Sample{Value: q.inFlight, Time: monday}, Delayed: &Sample{Time: monday}},
			})
		}
		d.reckon()
		return d.out.Need, d.out.Queues
	}
	for name, queues := range map[string][]queue{
		"the first is woken by it":                {{perTask: 8, rate: 0.016}, {perTask: 0.5, rate: 0.5}},
		"it is the unit that work is reckoned in": {{perTask: 0.5, rate: 0.008, inFlight: 1}, {perTask: 8, rate: 8, inFlight: 1}},
		"a part moves from the other to it":       {{perTask: 0.5, rate: 0.06, inFlight: 1}, {perTask: 0.5, rate: 0.03, inFlight: 3}},
		"the other has no task for itself":        {{perTask: 0.5, rate: 0.016, inFlight: 2}, {perTask: 0.5, rate: 0.008, inFlight: 2}},
		"nothing else came":                       {{perTask: 0.5, waiting: 1}, {perTask: 0.5, rate: 0.5}},
	} {
		for running := 1; running <= 8; running++ {
			for _, objective := range []time.Duration{30 * time.Second, time.Minute, 5 * time.Minute} {
				for more := range 3 {
					fewer, before := need(running, objective, queues, float64(more))
					if got, after := need(running, objective, queues, float64(more+1)); got < fewer {
						t.Errorf("%s: of %d tasks %d (%+v), and %d with one more (%+v)", name, running, fewer, before, got, after)
					}
				}
			}
		}
	}
}

func TestLimitsAddUpWhereQueuesCompeteAndAreNamedByTheirCause(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		needs    [2]int     // tasks
		limits   [2]float64 // messages/s that the provider takes; a task does 8
		competes bool
		beside   int // tasks that are needed beyond the sum
		want     int
		named    string
	}{
		"neither is limited":                   {needs: [2]int{20, 10}, want: 20},
		"the neediest is":                      {needs: [2]int{40, 18}, limits: [2]float64{100, 0}, want: 18, named: "a takes 100/s"},
		"both are":                             {needs: [2]int{41, 6}, limits: [2]float64{100, 10}, want: 13, named: "a takes 100/s"},
		"the other is, and sets nothing":       {needs: [2]int{20, 10}, limits: [2]float64{0, 16}, want: 20},
		"neither is, and they compete":         {needs: [2]int{20, 10}, competes: true, want: 30},
		"the neediest is, and they compete":    {needs: [2]int{180, 20}, limits: [2]float64{60, 0}, competes: true, want: 28, named: "a takes 60/s"},
		"one is, and more is needed":           {needs: [2]int{7, 36}, limits: [2]float64{8, 0}, competes: true, beside: 5, want: 42, named: "a takes 8/s"},
		"the other is, and takes of the first": {needs: [2]int{20, 10}, limits: [2]float64{0, 16}, competes: true, want: 22, named: "b takes 16/s"},
	} {
		d := &deciding{competes: tc.competes, tasks: tc.beside}
		for i, need := range tc.needs {
			spec := &config.QueueSpec{Name: string(rune('a' + i)), MaxThroughput: tc.limits[i]}
			d.queues = append(d.queues, watched{queueMemory: &queueMemory{}, spec: spec})
			d.out.Queues = append(d.out.Queues, QueueNeed{Need: need, PerTask: 8})
			if tc.competes {
				d.tasks += need
			} else {
				d.tasks = max(d.tasks, need)
			}
		}
		d.capUseless()
		said := ""
		if len(d.out.Steps) > 0 {
			said = d.out.Steps[0].Reason
		}
		if d.tasks != tc.want || !strings.HasPrefix(said, tc.named) || tc.named == "" && said != "" {
			t.Errorf("%s: %d tasks (%s), want %d (%s)", name, d.tasks, said, tc.want, tc.named)
		}
	}
}
