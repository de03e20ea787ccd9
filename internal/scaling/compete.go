package scaling

import (
	"cmp"
	"math"

	"github.com/novaura/acs-operator/config"
)

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
	if len(d.queues) < 2 {
		*c = competition{}
		return
	}
	parts, newest := []float64{}, stamp(0)
	for i := range d.queues {
		q := &d.queues[i]
		alone := q.alone(q.spec)
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

// beside is what a queue's neighbours in the service do to it.
type beside struct {
	busy  func(from, to stamp) bool // one of them had work waiting all the time
	takes float64                   // tasks that their arrivals keep busy, where queues compete
	// competing: they take from each other.
	competing bool
}

func (d *deciding) beside(queue int) beside {
	b := beside{competing: d.state.Competition.believed(), busy: func(from, to stamp) bool {
		for i := range d.queues {
			if i != queue && d.queues[i].busyThrough(from, to) {
				return true
			}
		}
		return false
	}}
	for i := range d.queues {
		if q := &d.queues[i]; b.competing && i != queue && q.alone(q.spec) > 0 {
			b.takes += q.Arrival.now(nil).Rate / q.alone(q.spec)
		}
	}
	return b
}

// leftOf is the tasks that the neighbours leave of so many, and whether that says
// what a task does alone: what they take is an estimate too.
func (b beside) leftOf(tasks float64) (left float64, tells bool) {
	const least = 0.5
	return max(tasks-b.takes, least*tasks), b.takes <= (1-least)*tasks
}

// believed says that the queues take from each other.
func (c competition) believed() bool { return c.Minutes >= enoughMinutes && c.Part < competingBelow }

// competing returns the part of the fleet that each queue has, where they take
// from each other and more than one asks for tasks; otherwise nil. A queue has as
// much of it as it has work: what arrives, and what waits. Where nobody knows how much
// work that is, it has an equal part: none would say that no task works for it.
func (d *deciding) competing() []fleet {
	f := d.fleet
	if !d.state.Competition.believed() || f.count() == 0 {
		return nil
	}
	work, sum, asking := make([]float64, len(d.queues)), 0.0, 0
	var strangers []int // that ask, and nobody knows what a task does for them
	for i := range d.queues {
		q := &d.queues[i]
		rate := q.Arrival.now(nil).Rate
		if alone := q.alone(q.spec); alone > 0 {
			work[i] = (rate + (q.Depth.Visible+q.held(alone, f.running))/q.spec.MaxAge.Seconds()) / alone
		} else if rate+q.Depth.Visible+q.Depth.InFlight > 0 {
			strangers = append(strangers, i)
		}
		if sum += work[i]; work[i] > 0 {
			asking++
		}
	}
	if asking > 0 { // as much as the others have on average: a task has slots for each alike
		usual := sum / float64(asking)
		for _, i := range strangers {
			work[i] = usual
			sum += usual
			asking++
		}
	}
	if asking < 2 {
		return nil
	}
	parts, cut := make([]fleet, len(work)), 0.0
	for i := range parts {
		parts[i] = f
		parts[i].part = work[i] / sum
		before := cut
		cut = min(1, cut+work[i]/sum)
		if i == len(parts)-1 {
			cut = 1
		}
		parts[i].running, parts[i].starting = slice(f.running, before, cut), slice(f.starting, before, cut)
	}
	return parts
}

// summed asks the rule about all queues that compete as if they were one: whole
// tasks for each would be half a task too many, a queue. Late numbers are asked
// about once for each course. Where nobody knows what a task does for one of them,
// whole tasks are summed.
func (d *deciding) summed(rulings []ruling, whole int) int {
	var asking []ruling
	beside, kept, late := 0, 0, false
	unit := 0.0
	for i, q := range d.out.Queues {
		r := rulings[i]
		unit = cmp.Or(unit, r.view.perTask)
		if q.share() == 0 {
			continue
		}
		if r.view.perTask == 0 {
			return whole
		}
		if kept += r.kept; q.Need > r.kept {
			beside += max(0, q.Need-max(1, r.tasks)) // the one that is kept awake serves all
		}
		asking, late = append(asking, r), late || r.courses != nil
	}
	var need int
	if late {
		needs := make([]verdict, scenarios)
		for c := range needs {
			needs[c].tasks = asOne(asking, c, unit, d.fleet)
		}
		need = worst(needs).tasks
	} else {
		need = asOne(asking, 0, unit, d.fleet)
	}
	return max(need+beside, min(kept, d.fleet.count()))
}

// asOne is the need of queues together, in one of the courses of those that have
// some, reckoned in messages of which a task does unit/s.
func asOne(rulings []ruling, course int, unit float64, f fleet) int {
	all := outlook{perTask: unit, objective: math.Inf(1), live: true}
	var waiting []outlook // of the queues that do
	work := 0.0           // tasks that they all keep busy
	for _, r := range rulings {
		o := r.view
		if r.courses != nil {
			o = r.courses[course]
		}
		work += o.busyTasks()
		if o.waiting > max(fewMessages, 2*o.rate) {
			waiting = append(waiting, o)
		}
		each := unit / o.perTask
		all.waiting += each * o.waiting
		all.inFlight += each * o.inFlight
		all.rate += each * o.rate
		all.usual += each * o.usual
		all.unsure = math.Hypot(all.unsure, each*o.unsure)
		all.more += each * o.more
		all.objective, all.flight = min(all.objective, o.objective), max(all.flight, o.flight)
		all.dumped, all.live = all.dumped || o.dumped, all.live && o.live
	}
	if len(rulings) == 0 {
		return 0
	}
	need := all.verdict(f).tasks
	for _, o := range waiting { // the others' messages are served beside its own
		alone := all
		alone.waiting = o.waiting * all.perTask / o.perTask
		alone.part = o.busyTasks() / work
		need = max(need, alone.verdict(f).tasks)
	}
	return need
}

// busyTasks is how many a queue keeps busy while its backlog is worked off, in about
// twice its objective.
func (o outlook) busyTasks() float64 { return (o.rate + o.waiting/(2*o.objective)) / o.perTask }

// slice is the tasks from one part of them to another: slices side by side make
// the whole.
func slice(tasks int, from, to float64) int {
	return int(math.Round(float64(tasks)*to)) - int(math.Round(float64(tasks)*from))
}

// share is what the queue adds to a sum: nothing when it is asleep.
func (q QueueNeed) share() int {
	if q.Backlog == 0 && q.Arrival == 0 {
		return 0
	}
	return q.Need
}
