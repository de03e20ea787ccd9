// Package scaling decides how many tasks a service needs.
//
// It is pure: values in, values out; no I/O, no clock, no goroutine. It
// imports config, the standard library and pure libraries. Start with Decide.
package scaling

import (
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
	d := &deciding{spec: &p.Spec, obs: obs.at(now).Normalize(), state: prev.clone(), now: now, at: stampOf(now)}
	d.state.turnTo(d.at)
	d.out = Decision{Time: now, Policy: p.Metadata.Name, Alerts: []any{}}
	if d.obs.Service == nil {
		d.holdBlind()
		return d.out, d.state
	}
	d.current = d.obs.Service.Desired
	d.tasks = d.current
	d.learn()
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

// learn takes the observation into the state.
func (d *deciding) learn() {
	tasks := &d.state.Tasks
	tasks.observe(d.at, d.capacity())
	newer := make([]bool, len(d.spec.Queues))
	for i := range d.spec.Queues {
		spec := &d.spec.Queues[i]
		q := d.state.Queues[spec.Name]
		newer[i] = q.see(spec, d.obs.Queues[spec.Name], tasks.runningNow(), d.at)
		d.state.Queues[spec.Name] = q
	}
	for i := range d.spec.Queues {
		spec := &d.spec.Queues[i]
		q := d.state.Queues[spec.Name]
		told := d.obs.Queues[spec.Name].ProviderLimited
		beside := func(from, to stamp) bool { return d.busyBeside(spec.Name, from, to) }
		q.learn(spec, tasks, d.at, newer[i], told != nil && *told, d.state.Competition.believed(), beside)
		d.state.Queues[spec.Name] = q
	}
	d.forgetQueues()
	d.learnCompeting()
}

// forgetQueues drops what is remembered of queues the policy no longer names.
func (d *deciding) forgetQueues() {
	for name := range d.state.Queues {
		if !d.names(name) {
			delete(d.state.Queues, name)
		}
	}
}

func (d *deciding) names(queue string) bool {
	for i := range d.spec.Queues {
		if d.spec.Queues[i].Name == queue {
			return true
		}
	}
	return false
}

// capacity is the service without the extra tasks that a rollout runs: they
// are gone when it ends.
func (d *deciding) capacity() Service {
	s := *d.obs.Service
	if d.rollout() {
		s.Running = min(s.Running, s.Desired)
	}
	return s
}

func (d *deciding) rollout() bool {
	return d.obs.Service.Rollout != nil && *d.obs.Service.Rollout
}

// noticeOthers sees what someone else did to the count. A count raised by
// hand counts as advice, so that it comes down no faster than behavior
// allows; 0 where the policy wants more is the emergency stop.
func (d *deciding) noticeOthers() {
	d.bounds = boundsAhead(d.spec, d.now, d.fleet().lag)
	wanted := d.state.Wanted
	foreign := wanted == nil || *wanted != d.current
	if d.current > 0 {
		d.state.Stopped = false
	} else if foreign && d.bounds.Min > 0 {
		d.state.Stopped = true
	}
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
	fleet := d.fleet()
	parts := d.competing(fleet)
	rulings := make([]ruling, len(d.spec.Queues))
	need, sum := 0, 0
	d.blind = true
	for i := range d.spec.Queues {
		spec := &d.spec.Queues[i]
		q := d.state.Queues[spec.Name]
		own := fleet
		if parts != nil {
			own = parts[i]
		}
		asked, by, unknown := q.needOf(spec, d.obs.Queues[spec.Name], &d.state.Tasks, own, d.now, d.spec.Fallback.After)
		d.state.Queues[spec.Name] = q
		d.out.Queues = append(d.out.Queues, asked)
		rulings[i] = by
		d.blind = d.blind && !q.Depth.At.within(d.spec.Fallback.After+time.Millisecond, d.at)
		if unknown != "" && d.unknown == "" {
			d.unknown = spec.Name + ": " + unknown
		}
		need = max(need, asked.Need)
		sum += asked.share()
	}
	if parts != nil {
		sum = d.summed(fleet, rulings, sum)
		d.competes = sum > need
		need = max(need, min(sum, maxTasks))
	}
	d.out.Need, d.tasks = need, need
	d.capUseless()
}

// capUseless leaves out the tasks that would find nothing to do: a provider's
// limit, told or seen.
func (d *deciding) capUseless() {
	capped, why, rule := 0, "", "maxThroughput"
	for i, asked := range d.out.Queues {
		spec, q := &d.spec.Queues[i], d.state.Queues[asked.Queue]
		most := min(asked.Need, useful(spec, asked.PerTask))
		reason := spec.Name + " takes " + perSecond(spec.MaxThroughput) + ": more tasks do not help"
		by := "maxThroughput"
		if limit := q.Service.Helped.Limit; limit > 0 && limit < most {
			most, by = limit, "saturated"
			reason = spec.Name + " got no faster with more than " + taskCount(limit) + ": more do not help"
		}
		if most < asked.Need {
			why, rule = reason, by
		}
		capped = max(capped, most)
	}
	if capped < d.tasks && why != "" && !d.competes {
		d.step(rule, capped, why)
	}
}

// fleet is the tasks that the need counts on.
func (d *deciding) fleet() fleet {
	s := d.capacity()
	running := min(s.Running, s.Desired) // what is above is stopping
	tasks, interval := &d.state.Tasks, d.spec.Interval.Seconds()
	start := tasks.lag()
	lag := start + interval
	return fleet{
		running: running, starting: s.Desired - running, lag: lag, longest: tasks.longest(), interval: interval,
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
	d.state.Wanted = &d.tasks
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
