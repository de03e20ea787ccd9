package scaling

import (
	"fmt"
	"math"
	"time"

	"github.com/novaura/acs-operator/config"
)

const (
	// marginPart of the objective is kept free for what the estimates miss.
	marginPart = 0.25
	// utilization above which a calm queue's tasks may run: the objective has
	// room for the backlog that it lets grow, slowly.
	utilization = 1 / 0.95
	// lateSpread is how many standard deviations above the estimate is
	// planned for when the numbers are minutes late.
	lateSpread = 1.0
	// zerosToRest is how many depths in a row must be zero before the last
	// task may stop: SQS shows phantom messages, and phantom absences.
	zerosToRest = 3
	// maxTasks is above what any policy allows.
	maxTasks = 1_000_000
)

// fleet is the tasks a need is reckoned with.
type fleet struct {
	running, starting int
	lag               float64 // seconds until a task asked for now runs
}

func (f fleet) count() int { return f.running + f.starting }

// outlook is one queue as the need sees it: estimates, at one time.
type outlook struct {
	now       stamp
	objective float64 // seconds
	waiting   float64 // messages that no task has yet
	inFlight  float64
	rate      float64 // messages/s that arrive
	high      float64 // as rate, with what the estimate may be off by
	perTask   float64 // messages/s; 0: nothing known
	learned   bool
	age       float64 // seconds, 0: unknown or none
}

// ahead is the backlog when a task asked for now starts to work: running
// tasks work until then, starting ones half of the time.
func (o outlook) ahead(f fleet) float64 {
	capacity := float64(f.running) + float64(f.starting)/2
	return max(0, o.waiting+(o.high-o.perTask*capacity)*f.lag)
}

// drain is the time in which a backlog is to be gone once tasks came: what
// the objective leaves, and half of it when a start takes longer than that.
func (o outlook) drain(f fleet) float64 {
	left := o.objective*(1-marginPart) - f.lag
	return max(left, o.objective/2, 1)
}

// tasks returns the fewest tasks that keep the objective, and what set them.
func (o outlook) tasks(f fleet) (int, string) {
	count := f.count()
	ahead := o.ahead(f)
	quick := ceil((o.high + ahead/o.drain(f)) / o.perTask)
	if ahead > o.objective*(1-marginPart)*o.rate && ahead > 1 {
		if quick > count {
			return quick, fmt.Sprintf("%s %s it within %s", taskCount(quick), verb(quick, "clears", "clear"), seconds(f.lag+o.drain(f)))
		}
		return count, fmt.Sprintf("%s %s to drain it", taskCount(count), verb(count, "is enough", "are enough"))
	}
	if o.calm() {
		keep := min(count, ceil(o.high/o.perTask/utilization))
		return keep, fmt.Sprintf("%s %s up", taskCount(keep), verb(keep, "keeps", "keep"))
	}
	enough := ceil((o.high + o.waiting/o.drain(fleet{})) / o.perTask)
	if enough >= f.running {
		enough = count // those that start are waited for
	}
	return enough, fmt.Sprintf("%s %s it in time", taskCount(enough), verb(enough, "drains", "drain"))
}

// calm says that next to nothing waits.
func (o outlook) calm() bool {
	return o.waiting <= max(2*o.rate, fewMessages/2)
}

// guess returns a count while the rate a task is not known: enough for an
// optimist at once, and double whenever those that run do not make it.
func (o outlook) guess(f fleet, shrinking bool) (int, string) {
	count := f.count()
	wanted := ceil((o.high + o.waiting/o.drain(f)) / guessedPerTask)
	if shrinking || o.waiting <= fewMessages {
		wanted = max(min(count, wanted), min(1, count))
		return wanted, taskCount(wanted) + " until the rate of one is known"
	}
	if f.starting <= count/2 {
		wanted = max(wanted, 2*count)
	}
	wanted = max(wanted, count, 1)
	return wanted, "growing, " + taskCount(wanted) + " until the rate of one is known"
}

// ceil rounds up to a count of tasks, a hair's breadth forgiven.
func ceil(v float64) int {
	if math.IsNaN(v) || v <= 0 {
		return 0
	}
	return int(math.Ceil(min(v, maxTasks) - 1e-6))
}

// needOf reckons what one queue asks for. Its need never lies below the
// current count when something that a lower one would rest on is not known;
// held says what.
func (q *queueMemory) needOf(spec *config.QueueSpec, o Queue, tasks *taskMemory, f fleet, now time.Time, after time.Duration) (need QueueNeed, held string) {
	view := q.outlook(spec, o, tasks, f, stampOf(now))
	need = QueueNeed{
		Queue: spec.Name, Backlog: view.waiting + view.inFlight + valueOf(o.Parked), InFlight: view.inFlight,
		Age: view.age, Arrival: view.rate, ArrivalKnown: q.Arrival.known(), PerTask: view.perTask, Learned: view.learned,
		Known: o.Visible.fresh(now, after) != nil,
	}
	remembered := q.Depth.At.within(after, stampOf(now))
	switch {
	case !remembered:
		need.Need, need.Why = f.count(), "depth unknown"
		held = "depth unknown"
	case view.perTask > 0:
		need.Need, need.Why = view.tasks(f)
	default:
		need.Need, need.Why = view.guess(f, q.shrinking(view, f))
	}
	if remembered && q.mayProbe(spec, view, f) && need.Need >= f.count() {
		need.Need = f.count() - max(1, f.count()/10)
		need.Why = fmt.Sprintf("calm, trying %s", taskCount(need.Need))
	}
	q.awake(&need, o, view, f)
	q.push(&need, view, o, f)
	if held == "" {
		held = q.unknown(o, now, after)
	}
	return need, held
}

// outlook gathers the estimates of the queue at now.
func (q *queueMemory) outlook(spec *config.QueueSpec, o Queue, tasks *taskMemory, f fleet, now stamp) outlook {
	view := outlook{
		now: now, objective: spec.MaxAge.Seconds(), perTask: q.perTask(spec), rate: q.Arrival.plan(now),
		inFlight: q.Depth.InFlight,
	}
	_, learned := q.Service.rate()
	view.learned = spec.ThroughputPerTask == 0 && learned
	view.high = view.rate
	late := now.sub(q.Depth.At)
	if late > liveWithin.Seconds() && q.Arrival.known() {
		view.high += lateSpread * q.Arrival.spread(now.add(time.Duration(f.lag)*time.Second))
	}
	view.waiting = min(q.backlogAt(now, tasks, view.rate, view.perTask)+valueOf(o.Parked), maxCount)
	for _, age := range []*Sample{o.OldestAge, o.OldestWaiting} {
		view.age = max(view.age, valueOf(age))
	}
	return view
}

// shrinking says that the backlog goes down fast enough as it is.
func (q *queueMemory) shrinking(o outlook, f fleet) bool {
	passed := q.Depth.At.sub(q.Before.At)
	if q.Before.At == 0 || passed <= 0 {
		return false
	}
	gone := q.Before.Visible - q.Depth.Visible
	return gone > 0 && gone/passed*o.drain(f) >= q.Depth.Visible
}

// mayProbe says that one task fewer may be tried: the queue has been calm for
// two minutes with a fleet that was never full, so that nobody knows what a
// task could do. A fleet that is never full never learns it.
func (q *queueMemory) mayProbe(spec *config.QueueSpec, o outlook, f fleet) bool {
	const calmFor = 120 // seconds
	return spec.ThroughputPerTask == 0 && q.Service.PerTask == 0 && f.starting == 0 && f.count() > 1 &&
		o.waiting <= fewMessages && q.Calm != 0 && o.now.sub(q.Calm) >= calmFor
}

// awake keeps or wakes the first task: one message is enough to start a
// service, and only zeros, seen several times, let it rest.
func (q *queueMemory) awake(need *QueueNeed, o Queue, view outlook, f fleet) {
	waits := view.waiting + valueOf(o.Delayed)
	switch {
	case need.Need > 0:
	case waits >= 1:
		need.Need, need.Why = 1, "a message waits"
	case f.count() > 0 && q.Zeros < zerosToRest:
		need.Need, need.Why = 1, "not empty for long enough to stop the last task"
	case view.rate*f.lag >= 1:
		need.Need, need.Why = 1, "messages keep coming"
	default:
		need.Why = "empty"
	}
}

// push raises the count by a quarter, once a lag, while messages are older
// than the objective although the estimates see no need: then they are wrong.
// Age does not fall in proportion to tasks, so it is a trigger, not a factor.
func (q *queueMemory) push(need *QueueNeed, o outlook, source Queue, f fleet) {
	seen := source.OldestAge
	if o.age <= o.objective || o.waiting <= max(fewMessages, o.inFlight) || seen == nil || o.now.sub(stampOf(seen.Time)) > 200 {
		return
	}
	if need.Need < f.count() {
		need.Need, need.Why = f.count(), "oldest message "+seconds(o.age)+" old"
	}
	draining := o.perTask > 0 && o.waiting/max(o.perTask*float64(f.count())-o.rate, 1e-9) < o.objective
	if need.Need > f.count() || draining || o.now.sub(q.Pushed) < f.lag {
		return
	}
	q.Pushed = o.now
	need.Need = f.count() + max(1, f.count()/4)
	need.Why = fmt.Sprintf("oldest message %s old, %s", seconds(o.age), taskCount(need.Need))
}

// unknown names what is missing to take tasks away; empty: nothing. No age
// and no rates are healthy on a queue that is empty.
func (q *queueMemory) unknown(o Queue, now time.Time, after time.Duration) string {
	switch {
	case o.Visible.fresh(now, after) == nil:
		return "depth unknown"
	case o.InFlight.fresh(now, after) == nil:
		return "messages in flight unknown"
	case q.Zeros >= zerosToRest:
		return ""
	case o.OldestAge.fresh(now, after) == nil && o.Visible.Value > 0:
		return "age of the oldest message unknown"
	case o.Sent.fresh(now, after) == nil:
		return "arrival rate unknown"
	}
	return ""
}

// useful is how many tasks the provider can feed; maxTasks when it has no
// limit, or nothing is known of a task.
func useful(spec *config.QueueSpec, perTask float64) int {
	if spec.MaxThroughput == 0 || perTask == 0 {
		return maxTasks
	}
	return max(1, ceil(spec.MaxThroughput/perTask))
}
