package scaling

import (
	"fmt"
	"math"
	"time"

	"github.com/novaura/acs-operator/config"
)

const (
	// burstPart of the objective is what a predicted dump is worked off in.
	burstPart = 0.85
	// calmProves is how long, in seconds, a queue must have been near empty to
	// say that its tasks keep up.
	calmProves = 60.0
	// ageComesWithin is how long after a queue was empty CloudWatch may still
	// have no age of it.
	ageComesWithin = 4 * time.Minute
	// zerosToRest is how many depths in a row must be zero before the last
	// task may stop: SQS shows phantom messages, and phantom absences.
	zerosToRest = 3
)

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
		need.Why = taskCount(f.serving) + verb(f.serving, " finishes", " finish") + " next to nothing"
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
	need.PerTask, need.Learned, need.AtLeast = view.perTask, view.learned, view.atLeast && view.perTask > 0
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
