package cloud

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/scaling"
)

const (
	// stopsEvery is how often ECS is asked which tasks stopped, while a service
	// looks as if some did; stopsRetry is the wait after an error.
	stopsEvery = 15 * time.Second
	stopsRetry = time.Minute
	// stopsTimeout bounds one such question: the counts do not wait longer for it.
	stopsTimeout = 3 * time.Second
	// stopsPages bounds the stopped tasks that are read, tasksPerPage each.
	stopsPages   = 5
	tasksPerPage = 100
	// stopsKept is for about how long ECS shows a task after it stopped.
	stopsKept = time.Hour
	// reasonLimit bounds the text of one stop, in bytes.
	reasonLimit = 300
)

// stops is what is known of the stopped tasks of one service.
type stops struct {
	asked, next time.Time
	tasks       map[string]stoppedTask // by ARN; replaced, never changed
	err         error                  // of the newest question
}

// stoppedTask is one task. Its stop is nil when somebody asked for it.
type stoppedTask struct {
	stop  *scaling.TaskStop
	final bool // it is described completely, and need not be read again
}

// addStops adds the tasks that stopped by themselves. It asks ECS only while
// the service looks as if there were some; a healthy service costs no call.
func (s *Services) addStops(ctx context.Context, ref config.ServiceRef, service *types.Service, found *scaling.Service) {
	now := time.Now()
	s.mu.Lock()
	known := s.stops[ref]
	if known == nil {
		known = &stops{}
		s.stops[ref] = known
	}
	ask := !now.Before(known.next) && known.suspects(service, found, now)
	if ask {
		known.next = now.Add(stopsEvery)
	}
	before := known.tasks
	s.mu.Unlock()
	if !ask {
		s.mu.Lock()
		defer s.mu.Unlock()
		known.addTo(found, now)
		return
	}
	bounded, cancel := context.WithTimeout(ctx, stopsTimeout)
	defer cancel()
	tasks, err := s.stoppedTasks(bounded, ref, before)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		known.tasks, known.err, known.asked = tasks, nil, now
	case ctx.Err() == nil: // a caller who left says nothing about ECS
		known.err, known.next = err, now.Add(stopsRetry)
	}
	known.addTo(found, now)
}

// suspects reports whether tasks may have stopped by themselves since the last
// question: some are missing, some failed to start, or ECS started new ones.
func (k *stops) suspects(service *types.Service, found *scaling.Service, now time.Time) bool {
	if found.Running < found.Desired || found.FailedStarts != nil && *found.FailedStarts > 0 {
		return true
	}
	since := now.Add(-scaling.StopsWithin)
	if k.asked.After(since) {
		since = k.asked
	}
	return slices.ContainsFunc(service.Events, func(e types.ServiceEvent) bool {
		return aws.ToTime(e.CreatedAt).After(since) && strings.Contains(aws.ToString(e.Message), "has started ")
	})
}

// addTo adds what is known at now. After an error the number of stops is
// unknown, and the newest stop that was seen stays.
func (k *stops) addTo(found *scaling.Service, now time.Time) {
	count := 0
	for _, task := range k.tasks {
		if task.stop == nil || now.Sub(task.stop.Time) > stopsKept {
			continue
		}
		if now.Sub(task.stop.Time) <= scaling.StopsWithin {
			count++
		}
		if found.LastStop == nil || task.stop.Time.After(found.LastStop.Time) {
			found.LastStop = task.stop
		}
	}
	if k.err != nil {
		found.StopsUnknown = k.err.Error()
		return
	}
	found.Stops = &count
}

// stoppedTasks lists the stopped tasks of a service, and describes those that
// before does not know completely.
func (s *Services) stoppedTasks(ctx context.Context, ref config.ServiceRef, before map[string]stoppedTask) (map[string]stoppedTask, error) {
	tasks := map[string]stoppedTask{}
	pages := ecs.NewListTasksPaginator(s.client, &ecs.ListTasksInput{
		Cluster: &ref.Cluster, ServiceName: aws.String(lastPart(ref.Service)),
		DesiredStatus: types.DesiredStatusStopped, MaxResults: aws.Int32(tasksPerPage),
	})
	for page := 0; page < stopsPages && pages.HasMorePages(); page++ {
		listed, err := pages.NextPage(ctx)
		if err != nil {
			return nil, awsclient.Explain(err, "ecs:ListTasks")
		}
		var unknown []string
		for _, arn := range listed.TaskArns {
			if tasks[arn] = before[arn]; !before[arn].final {
				unknown = append(unknown, arn)
			}
		}
		if len(unknown) == 0 {
			continue
		}
		out, err := s.client.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &ref.Cluster, Tasks: unknown})
		if err != nil {
			return nil, awsclient.Explain(err, "ecs:DescribeTasks")
		}
		for i := range out.Tasks {
			t := &out.Tasks[i]
			tasks[aws.ToString(t.TaskArn)] = stoppedTask{stop: stopOf(t), final: aws.ToString(t.LastStatus) == "STOPPED"}
		}
	}
	return tasks, nil
}

// stopOf describes the stop of a task, nil when somebody asked for it.
func stopOf(t *types.Task) *scaling.TaskStop {
	if askedFor(t) {
		return nil
	}
	stop := &scaling.TaskStop{
		Time:           aws.ToTime(cmp.Or(t.ExecutionStoppedAt, t.StoppingAt, t.StoppedAt, t.CreatedAt)),
		TaskDefinition: lastPart(aws.ToString(t.TaskDefinitionArn)),
		Reason:         aws.ToString(t.StoppedReason),
		StartedAt:      aws.ToTime(t.StartedAt),
	}
	c := failedContainer(t.Containers)
	if reason := aws.ToString(c.Reason); reason != "" && t.StopCode != types.TaskStopCodeServiceSchedulerInitiated {
		stop.Reason = reason
	}
	if len(stop.Reason) > reasonLimit {
		stop.Reason = strings.ToValidUTF8(stop.Reason[:reasonLimit], "") + "…"
	}
	if c.ExitCode != nil {
		code := int(*c.ExitCode)
		stop.ExitCode = &code
	}
	return stop
}

// askedFor reports whether somebody stopped the task: a person, ECS to scale
// down or to deploy, or AWS to take back the machine. ECS also stops a task
// that fails its health check: that is the task's own doing. The codes:
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
func askedFor(t *types.Task) bool {
	reason := aws.ToString(t.StoppedReason)
	switch t.StopCode {
	case types.TaskStopCodeUserInitiated, types.TaskStopCodeSpotInterruption, types.TaskStopCodeTerminationNotice, types.TaskStopCodeInfrastructureHealth:
		return true
	case types.TaskStopCodeServiceSchedulerInitiated:
		return !strings.Contains(reason, "health check")
	case types.TaskStopCodeTaskFailedToStart, types.TaskStopCodeEssentialContainerExited:
		return false
	}
	return strings.HasPrefix(reason, "Scaling activity initiated by")
}

// failedContainer is the container that ended the task: the first that failed,
// or else the first that has a reason. ECS does not say which ones are essential.
func failedContainer(containers []types.Container) types.Container {
	for _, c := range containers {
		if aws.ToInt32(c.ExitCode) != 0 {
			return c
		}
	}
	for _, c := range containers {
		if aws.ToString(c.Reason) != "" {
			return c
		}
	}
	if len(containers) > 0 {
		return containers[0]
	}
	return types.Container{}
}
