package scaling

import "github.com/novaura/acs-operator/config"

// constrain holds the need to every rule, in the order in which they have the
// say: people (pause, emergency stop), bounds that the count is outside of,
// what must not happen now, the behavior, the bounds.
func (d *deciding) constrain() {
	switch {
	case d.spec.Paused:
		d.halt("paused", "the policy is paused")
	case d.state.Stopped:
		was := "was above"
		if d.bounds.Min > 0 {
			was = "is " + number(float64(d.bounds.Min))
		}
		d.halt("emergencyStop", "someone set 0 although minTasks "+was+": left alone until the count is raised by hand")
	case d.bounds.clamp(d.current) != d.current:
		to := d.bounds.clamp(d.current)
		rule, reason := d.bounds.limiter(d.tasks, to)
		d.step(rule, to, reason)
	default:
		d.fallBack()
		d.refuse()
		d.behave()
		d.protect()
		d.bound()
	}
}

// halt keeps the count as it was found.
func (d *deciding) halt(rule, reason string) {
	d.out.Steps = append(d.out.Steps, Step{Rule: rule, From: d.tasks, To: d.current, Reason: reason})
	d.tasks = d.current
}

// fallBack lifts the need to the fallback's count once no queue's depth is
// young enough. It is one floor for the service, and never lowers anything.
func (d *deciding) fallBack() {
	if !d.blind {
		return
	}
	d.step("unknown", max(d.tasks, d.current), "no depth is known")
	f := d.spec.Fallback
	floor := f.Tasks
	switch f.Behavior {
	case config.FallbackCurrent:
		floor = d.current
	case config.FallbackCurrentIfHigher:
		floor = max(d.current, f.Tasks)
	case config.FallbackCurrentIfLower:
		floor = min(d.current, f.Tasks)
	}
	d.step("fallback", max(d.tasks, floor), "no depth younger than "+duration(f.After)+", "+f.Behavior)
}

// refuse keeps the count where a change would rest on what is not known, or
// would do harm or nothing. Tasks that fail it names even when none is asked for.
func (d *deciding) refuse() {
	if d.tasks < d.current {
		switch {
		case d.unknown != "":
			d.step("unknown", d.current, d.unknown)
		case d.obs.Service.rollsOut():
			d.step("rollout", d.current, "a deployment is in progress")
		}
	}
	if d.tasks < d.current {
		return
	}
	if how, failing := d.state.Tasks.failing(d.at, *d.obs.Service); failing {
		d.halt("failedStarts", how)
	} else if how, stopping := d.obs.Service.keepStopping(d.at); stopping {
		d.halt("stoppingTasks", how)
	} else if d.tasks > d.current && d.providerLimited() {
		d.step("providerLimited", d.current, "the workers wait for the provider: more tasks do not help")
	}
}

// providerLimited says that every queue that asks for more tasks waits for
// its provider.
func (d *deciding) providerLimited() bool {
	limited := false
	for i := range d.queues {
		if d.out.Queues[i].Need <= d.current {
			continue
		}
		told := d.queues[i].told.ProviderLimited
		if told == nil || !*told {
			return false
		}
		limited = true
	}
	return limited
}

// behave applies tolerance, stabilization and rates, as the
// HorizontalPodAutoscaler v2 does, in its order.
func (d *deciding) behave() {
	b := d.spec.Behavior
	d.step("tolerance", tolerate(b, d.current, d.tasks), "too small a difference")
	stable := d.state.Behavior.stabilize(b, d.at, d.current, d.tasks)
	if stable != d.tasks {
		d.step("stabilization", stable, d.windowText(stable))
	}
	limited, why := d.state.Behavior.limit(b, d.at, d.current, d.tasks)
	if d.bounds.clamp(limited) != d.bounds.clamp(d.tasks) { // else a bound is the tighter one
		d.step("behavior", limited, why)
	}
}

func (d *deciding) windowText(stable int) string {
	if stable > d.tasks {
		return "highest advice of the last " + duration(d.spec.Behavior.ScaleDown.StabilizationWindow)
	}
	return "lowest advice of the last " + duration(d.spec.Behavior.ScaleUp.StabilizationWindow)
}

// protect keeps the tasks that will not stop: below their number, ECS refuses
// protection to the other ones.
func (d *deciding) protect() {
	if d.obs.Service.Protected == nil || d.tasks >= d.current {
		return
	}
	protected := min(*d.obs.Service.Protected, d.current)
	d.step("protected", max(d.tasks, protected), taskCount(protected)+" under scale-in protection")
}

func (d *deciding) bound() {
	to := d.bounds.clamp(d.tasks)
	if to != d.tasks {
		rule, reason := d.bounds.limiter(d.tasks, to)
		d.step(rule, to, reason)
	}
}
