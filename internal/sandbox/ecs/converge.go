package ecs

import (
	"fmt"
	"slices"
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
	s.forget(now)
	return s.next(now)
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

// stop asks a task to end; what never ran is stopped at once.
func (s *Server) stop(t *task, code, reason string, now time.Time) {
	if t.desired == statusStopped {
		return
	}
	t.desired, t.stopCode, t.stoppedReason, t.stopping = statusStopped, code, reason, now
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
	process, err := s.options.Launcher.Launch(t.id, t.container(s.agentEnvironment(t.id)))
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
		} else if t.deployment != nil {
			t.deployment.failuresInARow = 0
		}
	}
	s.poke()
}

// next is how long nothing happens by itself.
func (s *Server) next(now time.Time) time.Duration {
	wait := convergeEvery
	for _, t := range s.tasks {
		if t.status == statusPending && t.desired == statusRunning {
			wait = min(wait, t.startAt.Sub(now))
		}
		if settles := t.started.Add(s.options.SettleAfter); t.status == statusRunning && settles.After(now) {
			wait = min(wait, settles.Sub(now))
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

// forget drops the stopped tasks that ECS would no longer describe, and the
// oldest beyond what is kept. The tasks are in the order of their creation.
func (s *Server) forget(now time.Time) {
	stopped := 0
	for _, t := range s.tasks {
		if t.status == statusStopped {
			stopped++
		}
	}
	s.tasks = slices.DeleteFunc(s.tasks, func(t *task) bool {
		if t.status != statusStopped || stopped <= mostStopped && now.Sub(t.stopped) < keepStopped {
			return false
		}
		stopped--
		return true
	})
}

// container is what the task runs, after the overrides of who started it.
func (t *task) container(environment []string) Container {
	first := t.definition.Input.ContainerDefinitions[0]
	command, pairs := first.Command, first.Environment
	if t.override != nil {
		pairs = slices.Concat(pairs, t.override.Environment)
		if t.override.Command != nil {
			command = t.override.Command
		}
	}
	for _, pair := range pairs {
		environment = append(environment, fmt.Sprintf("%s=%s", pair.Name, pair.Value))
	}
	return Container{Image: first.Image, Command: command, Environment: environment}
}
