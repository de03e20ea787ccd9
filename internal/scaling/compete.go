package scaling

import "github.com/novaura/acs-operator/config"

const (
	// enoughMinutes is how many minutes with several busy queues must have been
	// seen before they are believed to compete.
	enoughMinutes = 3
	// competingBelow is the part of what a task did for each queue alone, below
	// which they take from each other when they are busy together.
	competingBelow = 0.75
)

// competition is how queues that one service works fare when several are busy.
// A task has slots of its own for each, so that they need not disturb each
// other; where they do, by the processor, the network or the database, what a
// task does for each falls.
type competition struct {
	Part    float64 `json:"part,omitempty"`    // of the rate alone that was left, smoothed
	Minutes int     `json:"minutes,omitempty"` // with several busy queues
	Seen    stamp   `json:"seen,omitempty"`    // end of the newest of them
}

// learnCompeting compares, in each minute in which several queues were busy,
// what a task did for each with what it does for that one alone.
func (d *deciding) learnCompeting() {
	c := &d.state.Competition
	if len(d.spec.Queues) < 2 {
		*c = competition{}
		return
	}
	parts, newest := []float64{}, stamp(0)
	for i := range d.spec.Queues {
		q := d.state.Queues[d.spec.Queues[i].Name]
		alone := q.alone(&d.spec.Queues[i])
		if end, perTask := q.Together.At, q.Together.PerTask; alone > 0 && end > c.Seen {
			parts, newest = append(parts, min(perTask/alone, 1)), max(newest, end)
		}
	}
	if len(parts) < 2 {
		return
	}
	sum := 0.0
	for _, p := range parts {
		sum += p / float64(len(parts))
	}
	if c.Minutes == 0 {
		c.Part = sum
	}
	c.Part += newestWeight * (sum - c.Part)
	c.Minutes, c.Seen = min(c.Minutes+1, 1000), newest
}

// alone is what a task does for the queue when no other is busy.
func (q *queueMemory) alone(spec *config.QueueSpec) float64 {
	if spec.ThroughputPerTask > 0 {
		return spec.ThroughputPerTask
	}
	return q.Service.PerTask
}

// together is the newest minute in which others were busy too.
type together struct {
	At      stamp   `json:"at,omitempty"`
	PerTask float64 `json:"perTask,omitempty"` // messages/s
}

// busyBeside says that another queue of the service was busy from..to.
func (d *deciding) busyBeside(name string, from, to stamp) bool {
	for other, q := range d.state.Queues {
		if other != name && q.busyThrough(from, to) {
			return true
		}
	}
	return false
}

// competing says that the queues take from each other, and that more than one
// asks for tasks.
func (d *deciding) competing(f fleet) bool {
	c := d.state.Competition
	if c.Minutes < enoughMinutes || c.Part >= competingBelow {
		return false
	}
	asking := 0
	for _, q := range d.out.Queues {
		if q.share() > 0 && (q.Arrival > 0 || q.Backlog > 0) {
			asking++
		}
	}
	return asking > 1 && f.count() > 0
}

// share is what the queue adds to a sum: nothing when it is asleep.
func (q QueueNeed) share() int {
	if q.Backlog == 0 && q.Arrival == 0 {
		return 0
	}
	return q.Need
}
