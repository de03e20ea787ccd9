package scaling

import "math"

const (
	// marginPart of the objective is kept free for what the estimates miss.
	marginPart = 0.25
	// shortBy is the part by which a calm queue's tasks may fall short of what
	// arrives. Each 5 % of standing headroom costs 2 % of the task-hours.
	shortBy = 0.05
	// unsureBy is how many standard deviations higher the rate may turn out. A
	// second one costs 0.4 % of the task-hours for 0.06 % fewer late messages.
	unsureBy = 1.0
	// drainWithin is the longest time, in seconds, in which a backlog that would
	// break the objective is to be gone once tasks came; an objective that is
	// shorter takes its place. Longer ones leave the
	// messages behind it late, shorter ones start tasks that pay no more.
	drainWithin = 100.0
	// drainSoonest is the shortest time, in seconds, in which a backlog is to be gone
	// that can still be in time: the shorter, the more tasks for a moment's work.
	drainSoonest = 30.0
	// leave is the part of the backlog allowed that is not counted as one.
	leave = 0.3
	// drainSlowly is what is added to it for a backlog that only just would:
	// it needs one task more, not five.
	drainSlowly = 250.0
	// finishWithin is the time, in seconds, in which the rest of a backlog is
	// worked off when tasks are let go.
	finishWithin = 20.0
	// maxTasks is above what any policy allows.
	maxTasks = 1_000_000
)

// fleet is the tasks a need is reckoned with.
type fleet struct {
	running, starting int
	serving           int     // tasks that run and have slots for the queue: of those that compete, each has a part of their work
	lag               float64 // seconds until a task asked for now runs
	longest           float64 // seconds, the longest that one took
	share             float64 // part of the lag that a starting task will work
	interval          float64 // seconds
	part              float64 // of the service's tasks, where queues compete; 0: it has them all
}

func (f fleet) count() int { return f.running + f.starting }

// outlook is one queue as the need sees it: estimates, at one time.
type outlook struct {
	now       stamp
	objective float64 // seconds
	flight    float64 // seconds of it that a task takes
	waiting   float64 // messages that no task has yet
	inFlight  float64
	rate      float64 // messages/s that arrive
	usual     float64 // as rate, as it was known before the newest depth
	unsure    float64 // standard deviation of the mean rate over the next lag, messages/s
	perTask   float64 // messages/s; 0: nothing known
	learned   bool
	atLeast   bool    // a task does perTask or more
	age       float64 // seconds, 0: unknown or none
	dumped    bool    // a dump is being worked off
	live      bool    // inFlight is of now
	part      float64 // of the tasks' work that what waits gets, where queues compete; 0: all
	more      float64 // messages/s of head room, since too many were late
	lately    float64 // part of the messages that was late since about a day ago
}

// verdict is a count of tasks, and the rule that set it.
type verdict struct {
	tasks int
	rule  rule
	more  int // of those: head room
}

type rule int

const (
	ruleShort    rule = iota // the backlog would break the objective
	ruleStarting             // it would, but for the tasks that are starting
	ruleCalm                 // next to nothing waits
	ruleFinish               // what waits is worked off
)

// verdict returns the fewest tasks that keep the objective, and of those that there
// are the ones that make up the head room.
func (o outlook) verdict(f fleet) verdict {
	v := o.fewest(f)
	if o.more > 0 {
		roomy := min(f.count(), max(1, ceil((o.least(f, o.waiting)+o.more)/o.perTask)))
		v.more = max(0, roomy-v.tasks)
		v.tasks += v.more
	}
	return v
}

// fewest is the verdict without head room.
func (o outlook) fewest(f fleet) verdict {
	count := f.count()
	ahead := o.ahead(f)
	allowed := o.allowed()
	served := max(o.usual, o.perTask*float64(count))
	if o.part > 0 {
		served *= o.part
	}
	if ahead > allowed*served && ahead > 1 {
		drain := o.drain(f, ahead)
		if need := ceil((o.rate + (ahead-leave*allowed*o.rate)/drain) / o.perTask); need > count {
			return verdict{tasks: need, rule: ruleShort}
		}
		return verdict{tasks: count, rule: ruleStarting}
	}
	least := o.kept(f, o.waiting)
	waiting := o.waiting + o.comeBack(o.kept(f, 0), f) // whatever waits: a larger backlog brings no fewer back
	if waiting <= max(2*o.rate, fewMessages/2) {
		return verdict{tasks: min(count, least), rule: ruleCalm}
	}
	within := max(finishWithin, f.interval)
	if o.dumped {
		within = 0.7 * f.interval // its messages are all of one age
	}
	finish := max(least, ceil((o.rate+waiting/within)/o.perTask))
	return verdict{tasks: min(count, finish), rule: ruleFinish}
}

// comeBack is how many of the messages in flight wait again when all tasks but
// so many go: of what these could not be working on, the part that is not done by
// the next look. How long one is in flight is known of a calm queue only; before,
// the longer it is in busy tasks, the more of it may have waited there.
func (o outlook) comeBack(tasks int, f fleet) float64 {
	if tasks >= f.running || !o.live {
		return 0
	}
	if o.flight == 0 {
		busy := o.inFlight / (o.perTask * float64(f.running))
		return o.inFlight * min(1, busy/f.interval)
	}
	return max(0, 1-f.interval/o.flight) * max(0, o.inFlight-o.perTask*o.flight*float64(tasks))
}

// allowed is how long, in seconds, a message may wait for a task.
func (o outlook) allowed() float64 {
	return max(o.objective-o.flight, o.objective/2) * (1 - marginPart)
}

// ahead is the backlog when a task asked for now starts to work.
func (o outlook) ahead(f fleet) float64 {
	working := float64(f.running) + float64(f.starting)*f.share
	return max(0, o.waiting+(o.rate-o.perTask*working)*f.lag)
}

// drain is the time in which the backlog ahead is to be gone once tasks came.
func (o outlook) drain(f fleet, ahead float64) float64 {
	allowed := o.allowed()
	near := min(1, allowed*o.rate/max(ahead, 1))
	within := max(min(drainWithin, o.objective), allowed-f.lag)
	if left := o.objective - o.flight - f.lag; left >= drainSoonest { // it can still be in time
		within = min(within, max(drainSoonest, allowed-f.lag))
	}
	return within + drainSlowly*near*near
}

// kept is the tasks that a calm queue needs. A twentieth too few is made up
// from the objective: the backlog that grows takes many minutes to fill it.
//
// A task let go is back one lag later at the soonest: where that is long against
// the objective, the backlog of a rate that turns out higher has to fit in it.
func (o outlook) kept(f fleet, waiting float64) int {
	return max(1, ceil(o.least(f, waiting)/o.perTask))
}

// least is the messages/s that a calm queue's tasks have to do.
func (o outlook) least(f fleet, waiting float64) float64 {
	regained := o.rate + unsureBy*o.unsure - (o.allowed()*o.rate-waiting)/f.lag
	return max(o.rate*(1-shortBy), regained)
}

// say tells a verdict for people.
func (v verdict) say(o outlook, f fleet) string {
	if v.more > 0 {
		fewest := verdict{tasks: v.tasks - v.more, rule: v.rule}
		return fewest.say(o, f) + ", " + number(float64(v.more)) + " more kept: " + number(100*o.lately) + "% of the messages were late since yesterday"
	}
	tasks := taskCount(v.tasks)
	switch {
	case v.rule == ruleCalm && !o.atLeast && o.perTask*float64(v.tasks) < o.rate:
		return tasks + verb(v.tasks, " nearly keeps up", " nearly keep up") + ", and the objective allows for the rest"
	case v.rule == ruleCalm:
		return tasks + verb(v.tasks, " keeps up", " keep up")
	case v.rule != ruleShort && o.stays(v.tasks):
		return tasks + verb(v.tasks, " has ", " have ") + o.work(v.tasks)
	}
	clears := verb(v.tasks, " clears it within ", " clear it within ")
	switch v.rule {
	case ruleShort:
		spare := o.perTask*float64(v.tasks) - o.rate
		return tasks + clears + seconds(f.lag+o.ahead(f)/max(spare, 1e-3))
	case ruleStarting:
		if o.lateWith(v.tasks) {
			late := ", late"
			if o.clearing(v.tasks) <= f.lag {
				late += ", and more would start too late to help"
			}
			return tasks + clears + seconds(o.clearing(v.tasks)) + late
		}
		return tasks + verb(v.tasks, " is enough to drain it", " are enough to drain it")
	default:
		switch clearing := o.clearing(v.tasks); {
		case !o.lateWith(v.tasks):
			return tasks + verb(v.tasks, " drains it in time", " drain it in time")
		case clearing <= f.lag:
			return tasks + clears + seconds(clearing) + ", sooner than another would start"
		default:
			return tasks + clears + seconds(clearing) + ", with " + o.work(v.tasks)
		}
	}
}

// work tells how long so many tasks need for what waits now, whatever arrives.
func (o outlook) work(tasks int) string {
	lasts := o.waiting / max(o.perTask*float64(tasks), 1e-9)
	told := seconds(lasts) + " of work waiting"
	if lasts <= o.objective {
		told += ", within the objective"
	}
	return told
}

// clearing is the time, in seconds, in which so many tasks work off what waits.
func (o outlook) clearing(tasks int) float64 {
	return o.waiting / max(o.perTask*float64(tasks)-o.rate, 1e-3)
}

// stays says that so many tasks leave what waits about as it is.
func (o outlook) stays(tasks int) bool { return o.clearing(tasks) > 10*o.objective }

func (o outlook) lateWith(tasks int) bool { return o.clearing(tasks) > o.objective }

// lagsBehind says that so many tasks, if one does what was learned, would fall behind
// by more than the objective allows in so many seconds: until that is seen, and
// another one started.
func (o outlook) lagsBehind(tasks int, seconds float64) bool {
	doing := o.perTask * float64(tasks)
	return (o.rate-doing)*seconds > o.allowed()*doing
}

// guess returns a count while the rate a task is not known: enough for an
// optimist at once, and double whenever those that run do not make it.
//
// A depth of before the newest task ran tells nothing of those that do.
func (o outlook) guess(f fleet, shrinking, seen bool) (int, string) {
	count := f.count()
	// What came since the look before waits: it is not taken for a rate as well.
	wanted := ceil((min(o.rate, o.usual) + o.waiting/drainWithin) / guessedPerTask)
	if shrinking || o.waiting <= max(fewMessages, float64(count)) {
		wanted = max(min(count, wanted), min(1, count))
		if o.rate > 0 {
			wanted = count // an optimist's guess is none to take tasks away by
		}
		return wanted, taskCount(wanted) + " until the rate of one is known"
	}
	if f.starting <= count/4 && seen {
		wanted = max(wanted, 2*count)
	}
	wanted = max(wanted, count, 1)
	return wanted, "not drained in time, " + taskCount(wanted) + " until the rate of one is known"
}

// ceil rounds up to a count of tasks, a hair's breadth forgiven.
func ceil(v float64) int {
	if math.IsNaN(v) || v <= 0 {
		return 0
	}
	return int(math.Ceil(min(v, maxTasks) - 1e-6))
}
