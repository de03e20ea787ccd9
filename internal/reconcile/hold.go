package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

// holds is what forbids changes beside the policy: another autoscaler, a database
// that fails, a lease that cannot be confirmed, a person's pause.
func (r *runner) holds(ctx context.Context, p *config.ScalingPolicy, obs scaling.Observation, standing Standing, rival bool) []scaling.Hold {
	var holds []scaling.Hold
	if rival {
		holds = append(holds, RivalHold())
	}
	holds = append(holds, r.databaseHold()...)
	holds = append(holds, r.leaseHolds(obs, standing)...)
	if pause := r.paused(ctx, p, standing, obs.Time); pause != nil {
		holds = append(holds, pauseHold(pause))
	}
	return holds
}

// RivalHold is what another autoscaler of the service comes to.
func RivalHold() scaling.Hold {
	return scaling.Hold{
		Rule: "rival", Direction: scaling.HoldBoth,
		Reason: "the service is registered with Application Auto Scaling: deregister it there, or remove this policy",
	}
}

// PauseHolds is what the pauses come to for a policy.
func PauseHolds(pauses []store.Pause, policy string) []scaling.Hold {
	if pause := pauseOf(pauses, policy); pause != nil {
		return []scaling.Hold{pauseHold(pause)}
	}
	return nil
}

func pauseHold(p *store.Pause) scaling.Hold {
	return scaling.Hold{Rule: "paused", Direction: p.Direction, Reason: pauseText(p)}
}

// leaseHolds lets an unconfirmed holder add tasks, and nothing once it read a
// count that it did not write: then another may lead. That lasts until the
// lease is confirmed.
func (r *runner) leaseHolds(obs scaling.Observation, standing Standing) []scaling.Hold {
	if standing.Role == Leading {
		r.memory.foreign = false
		return nil
	}
	if wanted := r.memory.state.Wanted; obs.Service != nil && (wanted == nil || *wanted != obs.Service.Desired) {
		r.memory.foreign = true
	}
	if r.memory.foreign {
		return []scaling.Hold{{
			Rule: "lease", Direction: scaling.HoldBoth,
			Reason: "the database is unreachable and someone else changed the count: another controller may lead",
		}}
	}
	return []scaling.Hold{{Rule: "lease", Direction: scaling.HoldIn, Reason: "the database is unreachable: out only"}}
}

// paused is the pause that holds for p at now. Without a database the one that
// was known goes on, to its end.
func (r *runner) paused(ctx context.Context, p *config.ScalingPolicy, standing Standing, now time.Time) *store.Pause {
	if standing.Problem == "" {
		bounded, cancel := context.WithTimeout(ctx, memoryBound)
		defer cancel()
		if pauses, err := r.options.Memory.Pauses(bounded); err == nil {
			r.memory.pause = pauseOf(pauses, p.Metadata.Name)
		}
	}
	if r.memory.pause != nil && !r.memory.pause.Until.After(now) {
		r.memory.pause = nil
	}
	r.mu.Lock()
	before := r.pause
	r.pause = r.memory.pause
	r.mu.Unlock()
	r.tellPause(p, before, r.memory.pause)
	return r.memory.pause
}

// pauseOf is the pause of a policy: its own, or the one for all.
func pauseOf(pauses []store.Pause, policy string) *store.Pause {
	for _, name := range []string{policy, store.EveryPolicy} {
		if at := slices.IndexFunc(pauses, func(one store.Pause) bool { return one.Policy == name }); at >= 0 {
			return &pauses[at]
		}
	}
	return nil
}

func (r *runner) tellPause(p *config.ScalingPolicy, before, now *store.Pause) {
	switch {
	case now != nil && (before == nil || *before != *now):
		r.notice(Warning, "Paused", pauseText(now))
	case now == nil && before != nil:
		r.notice(Normal, "Resumed", "the pause of "+before.Author+" is over")
	}
	switch {
	case now != nil:
		r.setCondition(Paused, True, "PausedByPerson", pauseText(now))
	case p.Spec.Paused:
		r.setCondition(Paused, True, "PausedByPolicy", "the policy says paused: true")
	default:
		r.setCondition(Paused, False, "NotPaused", "the controller may change the count")
	}
}

func pauseText(p *store.Pause) string {
	what := map[string]string{store.PauseIn: "no scaling in", store.PauseOut: "no scaling out", store.PauseBoth: "no scaling"}[p.Direction]
	text := fmt.Sprintf("%s until %s, says %s", what, p.Until.UTC().Format(time.RFC3339), p.Author)
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

// rivalled asks whether Application Auto Scaling sets the count of the service
// too. What is not known is said, and stops nothing that was not stopped before;
// nor does a count that somebody else contests.
func (r *runner) rivalled(ctx context.Context, p *config.ScalingPolicy) bool {
	if r.options.Rivals == nil {
		return false
	}
	bounded, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	registered, err := r.options.Rivals.Registered(bounded, p.Spec.Target)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.setCondition(TargetExclusive, Unknown, "NotKnown", err.Error())
	case registered:
		message := "the service is registered with Application Auto Scaling, which changes the count too: nothing is written until it is deregistered there"
		if r.setCondition(TargetExclusive, False, "AutoScalingRegistered", message) {
			r.notice(Warning, "RivalAutoscaler", message)
		}
	case r.memory.contest.message() != "":
		message := r.memory.contest.message()
		if r.setCondition(TargetExclusive, False, "CountContested", message) {
			r.notice(Warning, "CountContested", message)
		}
	default:
		r.setCondition(TargetExclusive, True, "NotRegistered", "no other autoscaler has the service")
	}
	return registered
}

// lead says who leads, as a condition.
func (r *runner) lead(s Standing) {
	switch s.Role {
	case Leading:
		r.setCondition(Led, True, "LeaseHeld", fmt.Sprintf("%s leads, epoch %d", s.Self, s.Epoch))
	case Unconfirmed:
		if r.setCondition(Led, Unknown, "DatabaseUnreachable", "led last, and goes on, out only: "+s.Problem) {
			r.logger.Warn("lease not confirmed, scaling out only", "error", s.Problem)
		}
	case Standby:
		message := orNobody(s.Holder) + " leads"
		if s.Problem != "" {
			message = "nothing is written without the lease: " + s.Problem
		}
		r.setCondition(Led, False, "Standby", message)
	}
}
