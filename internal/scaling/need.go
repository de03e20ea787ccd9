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
	// burstPart of the objective is what a predicted dump is worked off in.
	burstPart = 0.85
	// finishWithin is the time, in seconds, in which the rest of a backlog is
	// worked off when tasks are let go.
	finishWithin = 20.0
	// calmProves is how long, in seconds, a queue must have been near empty to
	// say that its tasks keep up.
	calmProves = 60.0
	// ageComesWithin is how long after a queue was empty CloudWatch may still
	// have no age of it.
	ageComesWithin = 4 * time.Minute
	// zerosToRest is how many depths in a row must be zero before the last
	// task may stop: SQS shows phantom messages, and phantom absences.
	zerosToRest = 3
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

// needOf reckons what one queue asks for. Its need never lies below the
// current count when something that a lower one would rest on is not known;
// held says what. by is the rule's own part in it.
func (q *queueMemory) needOf(spec *config.QueueSpec, o Queue, tasks *taskMemory, f fleet, now time.Time, after time.Duration) (need QueueNeed, by ruling, held string) {
	at := stampOf(now)
	e := q.Arrival.now(nil)
	if e.since != 0 && q.Calendar.explains(e.since, e.extra) {
		e.Rate, e.since, q.Came = e.before, 0, max(q.Came, e.since)
	}
	view := q.outlook(spec, o, e, f, at)
	remembered, told := q.Depth.At.within(after, at), view.waiting
	guess := func() (int, string) { return view.guess(f, q.shrinking(drainWithin), q.Depth.At >= tasks.grown()) }
	switch {
	case !remembered:
		need.Need, need.Why = f.count(), "depth unknown"
		held = "depth unknown"
	case view.perTask > 0:
		need.Need, need.Why, by.courses = q.weigh(&view, e, tasks, f)
		if spec.ThroughputPerTask == 0 && !view.learned && need.Need > f.count() {
			// The rate is only a lower bound: a task may do far more.
			if guessed, why := guess(); guessed < need.Need {
				need.Need, need.Why = guessed, why
			}
		}
	default:
		need.Need, need.Why = guess()
	}
	if remembered && q.Service.Idle >= idleMinutes && f.serving > 0 {
		need.Why = taskCount(f.serving) + verb(f.serving, " gets", " get") + " next to nothing done"
	}
	by.view, by.tasks = view, need.Need
	if f.serving == 0 && q.Depth.InFlight >= 1 {
		need.Why = number(q.Depth.InFlight) + " in flight come back, since no task runs; " + need.Why
	}
	if remembered {
		q.foresee(&need, view, e, f)
		q.probe(&need, spec, view, f)
	}
	by.kept = q.keepWorking(&need, at, view.waiting, min(e.Rate, view.usual), f)
	q.awake(&need, o, view, told, f)
	q.push(&need, view, o, f)
	need.Queue, need.Backlog, need.InFlight = spec.Name, view.waiting+view.inFlight-q.held(view.perTask, f.serving), view.inFlight
	need.Age, need.Arrival, need.ArrivalKnown, need.Surge = view.age, e.Rate, q.Arrival.known(), e.plan(f.lag) < e.Rate
	need.PerTask, need.Learned = view.perTask, view.learned
	need.Known = o.Visible.fresh(now, after) != nil
	if held == "" {
		held = q.unknown(o, now, after)
	}
	return need, by, held
}

// ruling is what the rule was asked about, and its answer in tasks; what else a
// need has is of what came after it.
type ruling struct {
	view  outlook
	tasks int
	kept  int // tasks that hold more than they would finish
	// courses are what view is along each of the scenarios, where numbers are late.
	courses []outlook
}

// weigh asks the rule: once of live numbers, and of late ones once for each
// course that arrivals may have taken since.
func (q *queueMemory) weigh(view *outlook, e estimate, tasks *taskMemory, f fleet) (need int, why string, courses []outlook) {
	if q.live(view.now) {
		v := view.verdict(f)
		return v.tasks, v.say(*view, f), nil
	}
	p, beside := q.pastOf(tasks, view.now), view.waiting-q.Depth.Visible // parked, or held by busy tasks
	if f.part > 0 {
		for i := range p.ran {
			p.ran[i] *= f.part
		}
	}
	v, courses, waiting := q.weighLate(*view, e, p, f, beside, view.perTask)
	if done, leftOver := q.lately(tasks); leftOver && v.tasks < f.count() && done < view.perTask {
		// What tasks are supposed to do takes none away where they were seen to do less.
		if slow, _, left := q.weighLate(*view, e, p, f, beside, done); slow.tasks > v.tasks {
			v, waiting = slow, left
			v.tasks = min(v.tasks, f.count())
		}
	}
	view.waiting = waiting
	return v.tasks, v.say(*view, f), courses
}

// weighLate is the verdict on late numbers, and what waits by now on average,
// when a task did so much since, in messages/s.
func (q *queueMemory) weighLate(view outlook, e estimate, p past, f fleet, beside, perTask float64) (v verdict, courses []outlook, waiting float64) {
	needs := make([]verdict, scenarios)
	if f.part > 0 {
		courses = make([]outlook, scenarios)
	}
	for i, c := range q.courses(e, p, view.now, perTask) {
		o := view
		o.waiting, o.rate, o.usual = c.waiting+beside, c.rate, view.usual*c.rate/max(view.rate, 1e-9)
		needs[i] = o.verdict(f)
		waiting += o.waiting / scenarios
		if courses != nil {
			courses[i] = o
		}
	}
	return worst(needs), courses, min(waiting, maxCount)
}

// lately is what a task did, in messages/s, in the newest minute that was
// counted, where more was left over than that; 0 where none was counted.
func (q *queueMemory) lately(tasks *taskMemory) (perTask float64, leftOver bool) {
	served := 0.0
	for _, m := range q.Minutes { // oldest first
		if m.served() < 0 {
			continue
		}
		ran, _, known := tasks.seconds(m.begin(), m.End)
		if !known {
			ran = float64(tasks.runningNow()) * float64(m.Period)
		}
		served, perTask = float64(m.served()), float64(m.served())/max(ran, 1)
	}
	return perTask, q.Depth.Visible > max(fewMessages, served)
}

// outlook gathers the estimates of the queue at now.
func (q *queueMemory) outlook(spec *config.QueueSpec, o Queue, e estimate, f fleet, now stamp) outlook {
	view := outlook{
		now: now, objective: spec.MaxAge.Seconds(), flight: max(q.Flight, q.Stay), perTask: q.perTask(spec), rate: e.plan(f.lag), usual: q.Arrival.usual(q.Depth.At),
		inFlight: q.flying(), waiting: min(q.Depth.Visible+valueOf(o.Parked), maxCount),
	}
	_, learned := q.Service.rate()
	view.waiting += q.held(view.perTask, f.serving)
	calm := q.Calm != 0 && q.live(now) && q.Depth.At.sub(q.Calm) >= calmProves
	if told := spec.ThroughputPerTask > 0; calm && !told && view.perTask > 0 && view.usual > 2*view.perTask*float64(f.running) && f.running > 0 {
		// A queue that stays empty has tasks enough, whatever was learned of one.
		view.perTask = view.usual / float64(f.running)
	}
	if q.live(view.now) {
		view.rate = max(view.rate*(1+q.Arrival.ahead(now, f.lag)), view.rate+q.climb(e, f.lag))
	}
	view.unsure = math.Sqrt(e.Variance + q.Arrival.drift(view.rate)*f.lag/3)
	came := max(q.Calendar.last(), e.since, q.Came)
	view.live = q.live(now)
	view.dumped = came > q.Empty && came.within(shortest, now)
	view.more, view.lately = q.Outcome.More, q.Outcome.part()
	view.learned, view.atLeast = spec.ThroughputPerTask == 0 && learned, spec.ThroughputPerTask == 0 && !learned
	for _, age := range []*Sample{o.OldestAge, o.OldestWaiting} {
		view.age = max(view.age, valueOf(age))
	}
	return view
}

// climb is as the arrivals' own, but for dumps: those are no ramps, and a surge
// that may be one is taken for no more than its edge.
func (q *queueMemory) climb(e estimate, seconds float64) float64 {
	const settles = 2 * time.Minute
	fresh := e.since != 0 && e.At.sub(e.since) < 1.5*max(oneSample, q.Depth.At.sub(q.Before.At))
	if max(q.Calendar.last(), q.Came).within(settles, q.Depth.At) {
		return 0
	}
	highest := math.Inf(1)
	if fresh {
		highest = e.edge
	}
	return q.Arrival.climb(seconds, highest)
}

// foresee starts tasks one start lag ahead of a dump that the calendar
// predicts, and keeps them until it came or did not.
func (q *queueMemory) foresee(need *QueueNeed, o outlook, e estimate, f fleet) {
	ahead := stamp((f.longest + f.interval) * 1000)
	holds, give := f.interval+oneSample, 1.0
	if !q.live(o.now) { // nothing shows for minutes whether it came
		holds, give = f.interval+o.objective, 0
	}
	due, found := q.Calendar.due(o.now-stamp(holds*1000), o.now+ahead, give)
	if !found || o.perTask == 0 {
		return
	}
	came := q.Calendar.last()
	if !q.live(o.now) { // it is long over when it shows that it came
		came = max(came, e.since, q.Came)
	}
	if came.within(punctual, due.Next) {
		return
	}
	wanted := ceil((due.Size/(o.objective*burstPart) + o.rate) / o.perTask)
	if wanted > need.Need {
		need.Need, need.Why = wanted, due.sentence()+": "+taskCount(wanted)+" clear it in time"
		need.Foreseen = due.Size
	}
}

// probe tries one task fewer on a queue that has been calm for a while with a
// fleet that was never full, so that nobody knows what a task could do. A
// fleet that is never full never learns it.
func (q *queueMemory) probe(need *QueueNeed, spec *config.QueueSpec, o outlook, f fleet) {
	const (
		calmFor = 120 // seconds, before the first and after one that did no harm
		every   = 600 // seconds, once a rate was learned
	)
	waiting := q.Depth.Visible
	if !o.atLeast { // what tasks leave over that do more than is known is none
		waiting = max(waiting, o.waiting)
	}
	if spec.ThroughputPerTask != 0 || need.Foreseen > 0 || f.starting != 0 || f.count() < 2 || need.Need < f.count() ||
		waiting > fewMessages || q.Calm == 0 || o.now.sub(q.Calm) < calmFor {
		return
	}
	if _, due := q.Calendar.due(o.now, o.now+stamp((f.longest+f.interval)*1000), 1); due {
		return
	}
	harmless := q.Probed != 0 && q.Calm <= q.Probed
	wait, part := float64(every), 10
	if harmless || q.Service.PerTask == 0 {
		wait, part = calmFor, 5
	}
	if min(o.now.sub(q.Probed), o.now.sub(q.Calm)) < wait {
		return
	}
	fewer := f.count() - max(1, f.count()/part)
	if seen := max(0, o.now.sub(q.Depth.At)) + f.interval; o.learned && o.lagsBehind(fewer, seen+f.lag) {
		return
	}
	q.Probed = o.now
	need.Need = fewer
	need.Why = fmt.Sprintf("calm, trying %s", taskCount(need.Need))
}

// lagsBehind says that so many tasks, if one does what was learned, would fall behind
// by more than the objective allows in so many seconds: until that is seen, and
// another one started.
func (o outlook) lagsBehind(tasks int, seconds float64) bool {
	doing := o.perTask * float64(tasks)
	return (o.rate-doing)*seconds > o.allowed()*doing
}

// keepWorking keeps the tasks that hold more messages than they could finish
// before they stop, and returns them. No one tells which tasks hold them: each may
// hold one.
func (q *queueMemory) keepWorking(need *QueueNeed, now stamp, waiting, arriving float64, f fleet) (keep int) {
	messages, counted, stuck := q.unfinished(arriving, now)
	if keep = min(f.serving, int(messages)); keep > need.Need || counted && keep == need.Need && keep == f.count() && waiting == 0 {
		need.Need, need.Why = keep, number(q.Depth.InFlight)+" in flight, more than a task that stops would finish"
		if stuck {
			need.Why = "none of " + number(q.Depth.InFlight) + " in flight gets done: the tasks that hold them may be stuck"
		}
	}
	return keep
}

// awake keeps or wakes the first task: one message is enough to start a
// service, and only zeros, seen several times, let it rest. It counts what is told
// to wait: what may wait since, on average of the courses, is a part of a message.
func (q *queueMemory) awake(need *QueueNeed, o Queue, view outlook, told float64, f fleet) {
	waits, there := told+valueOf(o.Delayed), max(f.serving, f.count())
	switch {
	case need.Need > 1 || need.Need == 1 && view.perTask == 0:
	case waits >= 1:
		if need.Need < 1 {
			need.Need, need.Why = 1, "1 task for what waits"
			if told < 1 {
				need.Why = "1 task for what is delayed"
			}
		}
	case there > 0 && q.Zeros < zerosToRest:
		if need.Need < 1 || there == 1 && q.Zeros > 0 {
			need.Need, need.Why = 1, "not empty for long enough to stop the last task"
		}
	case view.rate*f.lag >= 1 && (q.Zeros < 2*zerosToRest || f.lag > view.allowed() && q.counted(view.now)):
		need.Need, need.Why = 1, "messages keep coming"
	default:
		need.Need, need.Why = 0, "empty"
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
	if o.waiting < o.allowed()*o.perTask*float64(f.running) {
		return // the age is of then: what waits now is young
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
	case o.OldestAge.fresh(now, after) == nil && o.Visible.Value > 0 && !q.Empty.within(ageComesWithin, stampOf(now)):
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
