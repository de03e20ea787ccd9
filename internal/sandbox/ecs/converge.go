package ecs

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The statuses of a task.
const (
	statusPending      = "PENDING"
	statusRunning      = "RUNNING"
	statusDeactivating = "DEACTIVATING"
	statusStopped      = "STOPPED"
)

const (
	defaultStopTimeout = 30 * time.Second // the ECS agent's default
	convergeEvery      = time.Second
	quickDeath         = 30 * time.Second // a task that dies sooner counts as one that failed to start
	longestBackoff     = 2 * time.Minute
)

// converge takes every service one step towards its desired count, and says
// when to look again.
func (s *Server) converge(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.services {
		s.convergeService(v, now)
	}
	for _, t := range s.tasks {
		if t.status == statusPending && t.desired == statusRunning && !t.startAt.After(now) {
			s.launch(t, now)
		}
	}
	s.forget()
	return s.next(now)
}

// convergeService starts what is missing and stops what is too much. Tasks of
// an older revision are replaced once newer ones run.
func (s *Server) convergeService(v *service, now time.Time) {
	var current, outdated []*task
	running := 0
	for _, t := range s.tasks {
		if t.service != v || t.desired == statusStopped {
			continue
		}
		if t.definition == v.definition {
			current = append(current, t)
			if t.status == statusRunning {
				running++
			}
		} else {
			outdated = append(outdated, t)
		}
	}
	if missing := v.desired - len(current); missing > 0 && !now.Before(v.retryAt) {
		s.startTasks(v, missing, now)
	}
	if surplus := len(current) - v.desired; surplus > 0 {
		s.stopTasks(v, oldestPendingFirst(current)[:surplus], now)
	}
	if keep := v.desired - running; len(outdated) > max(keep, 0) {
		s.stopTasks(v, outdated[:len(outdated)-max(keep, 0)], now)
	}
	if steady := running == v.desired && len(current) == v.desired && len(outdated) == 0; steady != v.settled {
		v.settled = steady
		if steady {
			v.failedTasks = 0
			v.sayf(now, "has reached a steady state.")
		}
	}
}

// oldestPendingFirst orders tasks as a scale-in takes them: what does not run
// yet, newest first, then what runs longest.
func oldestPendingFirst(tasks []*task) []*task {
	sorted := slices.Clone(tasks)
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
	return sorted
}

func (s *Server) startTasks(v *service, count int, now time.Time) {
	names := make([]string, 0, count)
	for range count {
		t := s.newTask(v.cluster, v.definition, now)
		t.service, t.group = v, "service:"+v.name
		names = append(names, "(task "+t.id+")")
	}
	v.sayf(now, "has started %d tasks: %s.", count, strings.Join(names, " "))
}

// newTask adds a pending task; the caller holds the lock.
func (s *Server) newTask(cluster string, d *definition, now time.Time) *task {
	id := newID()
	t := &task{
		id: id, arn: s.arn("task", cluster+"/"+id), cluster: cluster, definition: d, group: "family:" + d.Family,
		desired: statusRunning, status: statusPending, created: now, startAt: now.Add(s.lag()),
	}
	s.tasks = append(s.tasks, t)
	return t
}

func (s *Server) stopTasks(v *service, tasks []*task, now time.Time) {
	names := make([]string, 0, len(tasks))
	for _, t := range tasks {
		s.stop(t, "ServiceSchedulerInitiated", "Scaling activity initiated by (deployment "+v.deploymentID+")", now)
		names = append(names, "(task "+t.id+")")
	}
	v.sayf(now, "has stopped %d running tasks: %s.", len(tasks), strings.Join(names, " "))
}

// stop asks a task to end; what never ran is stopped at once.
func (s *Server) stop(t *task, code, reason string, now time.Time) {
	if t.desired == statusStopped {
		return
	}
	t.desired, t.stopCode, t.stoppedReason = statusStopped, code, reason
	if t.process == nil {
		t.status, t.stopped = statusStopped, now
		return
	}
	t.status, t.killAt = statusDeactivating, now.Add(stopTimeout(t.definition))
	t.process.Signal()
}

func stopTimeout(d *definition) time.Duration {
	if seconds := d.Input.ContainerDefinitions[0].StopTimeout; seconds != nil {
		return time.Duration(*seconds) * time.Second
	}
	return defaultStopTimeout
}

// launch starts a task's process, and a goroutine that waits for its end.
func (s *Server) launch(t *task, now time.Time) {
	process, err := s.options.Launcher.Launch(t.id, t.definition.container())
	if err != nil {
		t.desired, t.status, t.stopped = statusStopped, statusStopped, now
		t.stopCode, t.stoppedReason = "TaskFailedToStart", "CannotPullContainerError: "+err.Error()
		s.failed(t, now)
		return
	}
	t.process, t.status, t.started = process, statusRunning, now
	s.waiting.Go(func() { s.ended(t, process.Wait()) })
}

// ended records a task whose process is gone. One that nobody asked to stop
// is missed by its service, which starts another.
func (s *Server) ended(t *task, exitCode int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	unasked := t.desired == statusRunning
	t.desired, t.status, t.stopped, t.exitCode = statusStopped, statusStopped, now, &exitCode
	if unasked {
		t.stopCode, t.stoppedReason = "EssentialContainerExited", "Essential container in task exited"
		if now.Sub(t.started) < quickDeath {
			s.failed(t, now)
		} else if t.service != nil {
			t.service.failuresInARow = 0
		}
	}
	s.poke()
}

// failed counts a task that did not start, and holds back the next ones ever
// longer, as the service scheduler's throttling does.
func (s *Server) failed(t *task, now time.Time) {
	v := t.service
	if v == nil {
		return
	}
	v.failedTasks++
	v.failuresInARow++
	if v.failuresInARow < 3 {
		return
	}
	wait := min(time.Second<<min(v.failuresInARow, 10), longestBackoff)
	v.retryAt = now.Add(wait)
	v.sayf(now, "is unable to consistently start tasks successfully. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.")
}

// next is how long nothing happens by itself.
func (s *Server) next(now time.Time) time.Duration {
	wait := convergeEvery
	for _, t := range s.tasks {
		if t.status == statusPending && t.desired == statusRunning {
			wait = min(wait, t.startAt.Sub(now))
		}
	}
	wait = min(wait, s.killLocked(now))
	return max(wait, 10*time.Millisecond)
}

func (s *Server) killOverdue(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.killLocked(now)
}

// killLocked ends what did not stop in time, and says when to look again.
func (s *Server) killLocked(now time.Time) time.Duration {
	wait := convergeEvery
	for _, t := range s.tasks {
		if t.status != statusDeactivating || t.killed {
			continue
		}
		if left := t.killAt.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		t.killed = true
		t.process.Kill()
	}
	return wait
}

func (s *Server) stopAll(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.services {
		v.desired = 0
	}
	for _, t := range s.tasks {
		s.stop(t, "UserInitiated", "the local system stops", now)
	}
}

// forget drops the oldest stopped tasks beyond what is kept.
func (s *Server) forget() {
	stopped := 0
	for _, t := range s.tasks {
		if t.status == statusStopped {
			stopped++
		}
	}
	s.tasks = slices.DeleteFunc(s.tasks, func(t *task) bool {
		if t.status != statusStopped || stopped <= keepStopped {
			return false
		}
		stopped--
		return true
	})
}

func (d *definition) container() Container {
	first := d.Input.ContainerDefinitions[0]
	environment := make([]string, 0, len(first.Environment))
	for _, pair := range first.Environment {
		environment = append(environment, fmt.Sprintf("%s=%s", pair.Name, pair.Value))
	}
	return Container{Image: first.Image, Command: first.Command, Environment: environment}
}
