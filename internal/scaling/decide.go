// Package scaling decides how many tasks a service needs.
//
// It is pure: values in, values out; no I/O, no clock, no goroutine. It
// imports config, the standard library and pure libraries. Start with Decide.
package scaling

import (
	"maps"
	"slices"
	"time"

	"github.com/novaura/acs-operator/config"
)

// Decide returns the fewest tasks that keep the oldest message of every queue
// younger than its MaxAge, and the state to hand to the next call.
//
// Depths are in messages, rates in messages/s, the result in tasks. A metric
// that is missing, or older at now than p.Spec.Fallback.After, never lowers
// the count. There is no error: p was validated when it was loaded, and what
// obs does not tell is named in Decision.Reason.
//
// prev is not changed. Equal arguments give equal results.
func Decide(p *config.ScalingPolicy, obs Observation, prev State, now time.Time) (Decision, State) {
	d := &deciding{spec: &p.Spec, obs: obs.at(now), state: prev.clone(), now: now, at: stampOf(now)}
	d.state.turnTo(d.at)
	d.out = Decision{Time: now, Policy: p.Metadata.Name, Alerts: []any{}}
	d.obs.Service = d.obs.Service.possible()
	if d.obs.Service == nil {
		d.holdBlind()
		return d.out, d.state
	}
	d.current = d.obs.Service.Desired
	d.tasks = d.current
	d.watch()
	d.learn()
	d.findStalls()
	d.fleet = d.count()
	d.noticeOthers()
	d.reckon()
	d.constrain()
	d.hold()
	d.finish()
	return d.out, d.state
}

// at gives an observation without a time the time of the decision.
func (o Observation) at(now time.Time) Observation {
	if o.Time.IsZero() || o.Time.After(now) {
		o.Time = now
	}
	return o
}

// deciding is one decision in the making.
type deciding struct {
	spec    *config.ScalingSpec
	obs     Observation
	state   State
	now     time.Time
	at      stamp
	queues  []watched // those of the policy, in its order
	fleet   fleet
	bounds  bounds
	current int // tasks, as found
	tasks   int // the count as it stands after the steps so far
	// unknown names what is missing to take tasks away; empty: nothing.
	unknown string
	// competes says that the need is the sum of the queues'.
	competes bool
	blind    bool // no depth is young enough: the fallback's time
	out      Decision
}

// watched is one queue of the policy: what is remembered of it, and what is
// told.
type watched struct {
	*queueMemory // of the state

	spec   *config.QueueSpec
	told   Queue
	newer  bool  // told has a depth newer than the one remembered
	probed stamp // when one task fewer was tried last, before this decision
	// stalled says why its tasks get nothing done although they run; empty: they do.
	stalled string
}

// step lets a rule set the count, and remembers it when that changed it.
func (d *deciding) step(rule string, to int, reason string) {
	if to == d.tasks {
		return
	}
	d.out.Steps = append(d.out.Steps, Step{Rule: rule, From: d.tasks, To: to, Reason: reason})
	d.tasks = to
}

// holdBlind keeps the count when the service itself could not be read.
func (d *deciding) holdBlind() {
	count := d.spec.MinTasks
	if d.state.Wanted != nil {
		count = *d.state.Wanted
	}
	d.out.Current, d.out.Desired, d.out.Need = count, count, count
	d.out.LimitedBy = "unknown"
	d.out.Reason = "the service's task counts are unknown: nothing is changed"
}

// watch gathers the policy's queues, and forgets those it no longer names.
func (d *deciding) watch() {
	maps.DeleteFunc(d.state.Queues, func(name string, _ *queueMemory) bool {
		return !slices.ContainsFunc(d.spec.Queues, func(q config.QueueSpec) bool { return q.Name == name })
	})
	d.queues = make([]watched, len(d.spec.Queues))
	for i := range d.spec.Queues {
		spec := &d.spec.Queues[i]
		memory := d.state.Queues[spec.Name]
		if memory == nil {
			memory = new(queueMemory)
			d.state.Queues[spec.Name] = memory
		}
		memory.every = d.spec.Interval
		told := d.obs.Queues[spec.Name].possible(d.obs.Time)
		for _, gauge := range []**Sample{&told.Delayed, &told.Parked, &told.OldestWaiting, &told.OldestUnsettled} {
			*gauge = (*gauge).fresh(d.now, d.spec.Fallback.After)
		}
		d.queues[i] = watched{queueMemory: memory, spec: spec, told: told, probed: memory.Probed}
	}
}

// learn takes the observation into the state.
func (d *deciding) learn() {
	tasks := &d.state.Tasks
	tasks.every = d.spec.Interval
	tasks.observe(d.at, *d.obs.Service)
	for i := range d.queues {
		q := &d.queues[i]
		q.newer = q.see(q.spec, q.told, tasks.runningNow(), d.at)
	}
	for i := range d.queues {
		q := &d.queues[i]
		limited := q.told.ProviderLimited != nil && *q.told.ProviderLimited
		q.learn(q.spec, tasks, d.at, q.newer, limited, d.beside(i))
	}
	d.learnCompeting()
}

// capacity is the service without the extra tasks that a rollout runs: they
// are gone when it ends.
func (d *deciding) capacity() Service {
	s := *d.obs.Service
	if s.rollsOut() {
		s.Running = min(s.Running, s.Desired)
	}
	return s
}

// noticeOthers sees what someone else did to the count. A count raised by
// hand counts as advice, so that it comes down no faster than behavior
// allows; 0 where the policy wants more is the emergency stop.
func (d *deciding) noticeOthers() {
	d.bounds = boundsAhead(d.spec, d.now, d.fleet.lag)
	wanted := d.state.Wanted
	foreign := wanted == nil || *wanted != d.current
	found := d.current                                                     // of its own: the state outlives the decision
	notSet := wanted != nil && d.state.Found != nil && *d.state.Found == 0 // it was 0 before, too
	switch {
	case found > 0:
		d.state.Stopped = false
	case foreign && d.bounds.Min > 0 && !notSet:
		d.state.Stopped = true
	}
	d.state.Found = &found
	if !foreign || wanted == nil {
		return
	}
	d.out.Steps = append(d.out.Steps, Step{
		Rule: "externalChange", From: *wanted, To: d.current,
		Reason: "someone else changed the count from " + number(float64(*wanted)) + " to " + number(float64(d.current)),
	})
	if d.current > *wanted {
		d.state.Behavior.advise(d.spec.Behavior, d.at, d.current)
	}
}

// reckon asks every queue. Each task serves every queue with slots of its
// own, so the service needs what its neediest queue needs; where they were
// seen to take from each other, the sum.
func (d *deciding) reckon() {
	parts := d.competing()
	if slices.ContainsFunc(d.queues, func(q watched) bool { return q.stalled != "" }) {
		parts = nil // a queue that stands still takes nothing from the others
	}
	var rulings []ruling // where they compete
	need, sum := 0, 0
	d.blind = true
	d.out.Queues = make([]QueueNeed, 0, len(d.queues))
	for i := range d.queues {
		q, own := &d.queues[i], d.fleet
		if parts != nil {
			own = parts[i]
		}
		asked, by, unknown := q.needOf(q.spec, q.told, &d.state.Tasks, own, d.now, d.spec.Fallback.After)
		asked.Age = max(asked.Age, valueOf(q.told.OldestUnsettled))
		if q.stalled != "" {
			asked.Need, asked.Stalled, asked.Why = d.current, q.stalled, q.stalled+", and more tasks would not help"
		}
		d.out.Queues = append(d.out.Queues, asked)
		if parts != nil {
			rulings = append(rulings, by)
		}
		d.blind = d.blind && !q.Depth.At.within(d.spec.Fallback.After+time.Millisecond, d.at)
		if unknown != "" && d.unknown == "" {
			d.unknown = q.spec.Name + ": " + unknown
		}
		need = max(need, asked.Need)
		sum += asked.share()
	}
	if parts != nil {
		sum = d.summed(rulings, sum)
		d.competes = sum > need
		need = max(need, min(sum, maxTasks))
	}
	if need >= d.fleet.count() { // one that wants to try fewer waits for the others
		for i := range d.queues {
			d.queues[i].Probed = d.queues[i].probed
		}
	}
	d.out.Need, d.tasks = need, need
	d.capUseless()
	d.capStalled()
}

// capUseless leaves out the tasks that would find nothing to do: a provider's
// limit, told or seen. Where queues compete, the limits add up as their needs do.
func (d *deciding) capUseless() {
	capped, useless, neediest := 0, 0, 0
	why, rule := "", ""
	for i := range d.queues {
		q, need := &d.queues[i], d.out.Queues[i].Need
		most := min(need, useful(q.spec, d.out.Queues[i].PerTask))
		by, reason := "", ""
		switch limit := q.Service.Helped.Limit; {
		case limit > 0 && limit < most:
			most, by = limit, "saturated"
			reason = q.spec.Name + " got no faster with more than " + taskCount(limit) + ": more do not help"
		case most < need:
			by = "maxThroughput"
			reason = q.spec.Name + " takes " + perSecond(q.spec.MaxThroughput) + ": more tasks do not help"
		}
		if by != "" && need > neediest {
			neediest, rule, why = need, by, reason
		}
		capped, useless = max(capped, most), useless+need-most
	}
	if d.competes {
		capped = max(capped, d.tasks-useless)
	}
	if capped < d.tasks && rule != "" {
		d.step(rule, capped, why)
	}
}

// count is the tasks that the need counts on.
func (d *deciding) count() fleet {
	s := d.capacity()
	running := min(s.Running, s.Desired) // what is above is stopping
	tasks, interval := &d.state.Tasks, d.spec.Interval.Seconds()
	start := tasks.lag()
	lag := start + interval
	return fleet{
		running: running, serving: running, starting: s.Desired - running, lag: lag, longest: tasks.longest(), interval: interval,
		share: tasks.startingWork(d.at, start, lag),
	}
}

// finish writes the decision down, and what the next one must know of it.
func (d *deciding) finish() {
	d.out.Current, d.out.Desired = d.current, d.tasks
	for i := range d.out.Queues {
		d.out.Queues[i].Drain = drainTime(d.out.Queues[i], d.tasks)
	}
	d.out.LimitedBy = d.limitedBy()
	d.out.Reason = d.reason()
	d.excuse()
	wanted := d.tasks // of its own: the state outlives the decision
	d.state.Wanted = &wanted
	d.state.Tasks.ask(d.at, d.tasks)
	d.state.Behavior.record(d.spec.Behavior, d.at, d.current, d.tasks)
}

// drainTime is when the backlog is gone with so many tasks, in seconds.
func drainTime(q QueueNeed, tasks int) float64 {
	spare := q.PerTask*float64(tasks) - q.Arrival
	if q.Backlog <= 0 || spare <= 1e-9 {
		return 0
	}
	return q.Backlog / spare
}
