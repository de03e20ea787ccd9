package ecs

import (
	"slices"
	"strings"
	"time"
)

// The states of a rollout.
const (
	rolloutInProgress = "IN_PROGRESS"
	rolloutCompleted  = "COMPLETED"
	rolloutFailed     = "FAILED"
)

// A deployment is one definition's turn on a service. The first of a service
// is PRIMARY, the others are ACTIVE until their last task is gone:
//
//	IN_PROGRESS ──as many as desired run, no older ones──▶ COMPLETED
//	     └── the circuit breaker ──▶ FAILED ──rollback──▶ the last completed one, IN_PROGRESS
type deployment struct {
	id               string
	definition       *definition
	created, updated time.Time
	rollout, reason  string
	failedTasks      int
	failuresInARow   int
	retryAt          time.Time // no start before: what keeps failing is throttled
}

// deploymentConfiguration is a service's, with ECS's defaults.
type deploymentConfiguration struct {
	MinimumHealthyPercent *int            `json:"minimumHealthyPercent,omitempty"`
	MaximumPercent        *int            `json:"maximumPercent,omitempty"`
	CircuitBreaker        *circuitBreaker `json:"deploymentCircuitBreaker,omitempty"`
}

type circuitBreaker struct {
	Enable   bool `json:"enable"`
	Rollback bool `json:"rollback"`
}

func (c deploymentConfiguration) orDefaults() deploymentConfiguration {
	least, most := 100, 200
	if c.MinimumHealthyPercent == nil {
		c.MinimumHealthyPercent = &least
	}
	if c.MaximumPercent == nil {
		c.MaximumPercent = &most
	}
	if c.CircuitBreaker == nil {
		c.CircuitBreaker = &circuitBreaker{}
	}
	return c
}

// bounds are how many tasks must run at the least, and may exist at the most.
func (v *service) bounds() (least, most int) {
	c := v.configuration
	return (v.desired**c.MinimumHealthyPercent + 99) / 100, v.desired * *c.MaximumPercent / 100
}

func (v *service) primary() *deployment { return v.deployments[0] }

// deploy begins a deployment of d.
func (v *service) deploy(d *definition, now time.Time) {
	v.settled = false
	v.deployments = slices.Insert(v.deployments, 0, &deployment{
		id: "ecs-svc/" + newDigits(), definition: d, created: now, updated: now, rollout: rolloutInProgress,
	})
	v.primary().reason = "ECS deployment " + v.primary().id + " in progress."
}

// roster is who works for a service: tasks that were not asked to stop.
type roster struct {
	current, outdated   []*task // of the primary deployment, of older ones
	running, oldRunning int     // of them, that run
	steady              int     // of the current ones: run long enough to be trusted
}

func (s *Server) rosterOf(v *service, now time.Time) roster {
	var r roster
	for _, t := range s.tasks {
		if t.service != v || t.desired == statusStopped {
			continue
		}
		running := t.status == statusRunning
		if t.deployment != v.primary() {
			r.outdated = append(r.outdated, t)
			if running {
				r.oldRunning++
			}
			continue
		}
		r.current = append(r.current, t)
		if running {
			r.running++
			if now.Sub(t.started) >= s.options.SettleAfter {
				r.steady++
			}
		}
	}
	return r
}

// convergeService takes a service one step towards its desired count and its
// primary deployment, within the bounds of its deployment configuration.
func (s *Server) convergeService(v *service, now time.Time) {
	s.breakCircuit(v, now)
	r := s.rosterOf(v, now)
	least, most := v.bounds()
	primary := v.primary()
	if surplus := len(r.current) - v.desired; surplus > 0 {
		s.stopTasks(v, chosen(r.current, surplus, now), now)
	}
	room := most - len(r.current) - len(r.outdated)
	if len(r.outdated) == 0 {
		room = v.desired // nothing is replaced: no bound but the desired count
	}
	missing := min(v.desired-len(r.current), room)
	if missing > 0 && !now.Before(primary.retryAt) && primary.rollout != rolloutFailed {
		s.startTasks(v, missing, now)
	}
	s.retireOutdated(v, r, least, now)
	if v.desired > len(r.current) && missing <= 0 && len(r.outdated) > 0 && least >= r.running+r.oldRunning && !v.stuck {
		v.stuck = true
		v.sayf(now, "was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.")
	}
	s.settle(v, r, now)
}

// retireOutdated stops tasks of older deployments as far as enough others
// run, and have for a while: what does not run yet at once.
func (s *Server) retireOutdated(v *service, r roster, least int, now time.Time) {
	spare := r.steady + r.oldRunning - least
	if r.steady >= v.desired {
		spare = r.oldRunning
	}
	count := min(max(spare, 0), r.oldRunning) + len(r.outdated) - r.oldRunning
	if v.primary().rollout == rolloutFailed { // nobody takes their place
		count = min(r.steady+len(r.outdated)-v.desired, len(r.outdated))
	}
	if count > 0 {
		s.stopTasks(v, chosen(r.outdated, count, now), now)
	}
}

// settle announces the steady state, once, and completes the deployment.
func (s *Server) settle(v *service, r roster, now time.Time) {
	steady := r.steady == v.desired && len(r.current) == v.desired && len(r.outdated) == 0
	if steady == v.settled {
		return
	}
	v.settled = steady
	if !steady {
		return
	}
	primary := v.primary()
	v.deployments, v.stuck = v.deployments[:1], false
	primary.failedTasks, primary.failuresInARow = 0, 0
	if primary.rollout == rolloutInProgress {
		primary.rollout, primary.updated = rolloutCompleted, now
		primary.reason = "ECS deployment " + primary.id + " completed."
		v.completed = primary
		v.sayf(now, "(deployment %s) deployment completed.", primary.id)
	}
	v.sayf(now, "has reached a steady state.")
}

// threshold is after how many failed tasks the circuit breaker trips, see
// "How the Amazon ECS deployment circuit breaker detects failures".
func threshold(desired int) int { return min(max((desired+1)/2, 3), 200) }

// breakCircuit fails a deployment whose tasks keep failing, and goes back to
// the last that completed if the service wants that.
func (s *Server) breakCircuit(v *service, now time.Time) {
	primary, breaker := v.primary(), v.configuration.CircuitBreaker
	if !breaker.Enable || primary.rollout != rolloutInProgress || primary.failedTasks < threshold(v.desired) {
		return
	}
	primary.rollout, primary.updated = rolloutFailed, now
	primary.reason = "ECS deployment circuit breaker: tasks failed to start."
	v.sayf(now, "(deployment %s) deployment failed: tasks failed to start.", primary.id)
	back := v.completed
	if !breaker.Rollback || back == nil || back == primary {
		return
	}
	v.sayf(now, "rolling back to deployment %s.", back.id)
	v.deployments = slices.DeleteFunc(v.deployments, func(d *deployment) bool { return d == back })
	v.deployments = slices.Insert(v.deployments, 0, back)
	back.rollout, back.updated = rolloutInProgress, now
	back.reason = "ECS deployment circuit breaker: rolling back to deploymentId " + back.id + "."
	v.settled = false
}

// chosen are up to count tasks in the order that a scale-in takes them: what
// does not run yet, newest first, then what runs longest; never what is
// protected.
func chosen(tasks []*task, count int, now time.Time) []*task {
	sorted := slices.DeleteFunc(slices.Clone(tasks), func(t *task) bool { return t.protectedUntil.After(now) })
	slices.SortStableFunc(sorted, func(a, b *task) int {
		pendingA, pendingB := a.status == statusPending, b.status == statusPending
		switch {
		case pendingA && !pendingB:
			return -1
		case pendingB && !pendingA:
			return 1
		case pendingA:
			return b.created.Compare(a.created)
		default:
			return a.created.Compare(b.created)
		}
	})
	return sorted[:min(count, len(sorted))]
}

func (s *Server) startTasks(v *service, count int, now time.Time) {
	names := make([]string, 0, count)
	for range count {
		t := s.newTask(v.cluster, v.primary().definition, now)
		t.service, t.group, t.deployment, t.startedBy = v, "service:"+v.name, v.primary(), v.primary().id
		names = append(names, "(task "+t.id+")")
	}
	v.sayf(now, "has started %d tasks: %s.", count, strings.Join(names, " "))
}

func (s *Server) stopTasks(v *service, tasks []*task, now time.Time) {
	if len(tasks) == 0 {
		return
	}
	names := make([]string, 0, len(tasks))
	for _, t := range tasks {
		s.stop(t, "ServiceSchedulerInitiated", "Scaling activity initiated by (deployment "+v.primary().id+")", now)
		names = append(names, "(task "+t.id+")")
	}
	v.sayf(now, "has stopped %d running tasks: %s.", len(tasks), strings.Join(names, " "))
}

// failed counts a task that did not start, and holds back the next ones ever
// longer, as the service scheduler's throttling does.
func (s *Server) failed(t *task, now time.Time) {
	d := t.deployment
	if d == nil {
		return
	}
	d.failedTasks++
	d.failuresInARow++
	if d.failuresInARow < 3 {
		return
	}
	breaker := t.service.configuration.CircuitBreaker
	if breaker.Enable && d.rollout == rolloutInProgress {
		return // the breaker comes before the throttle
	}
	d.retryAt = now.Add(min(time.Second<<min(d.failuresInARow, 10), longestBackoff))
	t.service.sayf(now, "is unable to consistently start tasks successfully. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.")
}
