package cloud

import (
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/novaura/acs-operator/config"
	sandboxecs "github.com/novaura/acs-operator/internal/sandbox/ecs"
	"github.com/novaura/acs-operator/internal/scaling"
)

// stoppedAt is a task of ECS that stopped by itself, with what is given.
func stoppedAt(at time.Time, more map[string]any) map[string]any {
	task := map[string]any{
		"taskArn": fmt.Sprintf("arn:aws:ecs:us-east-1:123456789012:task/c/%d", at.UnixNano()), "lastStatus": "STOPPED",
		"taskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/worker:41",
		"stopCode":          "EssentialContainerExited", "stoppedReason": "Essential container in task exited",
		"startedAt": at.Add(-time.Minute).Unix(), "executionStoppedAt": at.Unix(), "stoppedAt": at.Add(20 * time.Second).Unix(),
		"containers": []any{map[string]any{"name": "log-router", "exitCode": 0}, map[string]any{"name": "worker", "exitCode": 137}},
	}
	maps.Copy(task, more)
	return task
}

// describeS describes service s as a loop does.
func describeS(t *testing.T, s *Services) scaling.Service {
	t.Helper()
	found, err := s.Describe(context.WithoutCancel(t.Context()), ref)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestATaskThatStoppedByItselfSaysWhy(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	none := []any{map[string]any{"name": "worker"}}
	for name, tc := range map[string]struct {
		task   map[string]any
		reason string // empty: it is no stop of its own
		exit   string
	}{
		"a worker that a message killed": {nil, "Essential container in task exited", "137"},
		"an image that cannot be pulled": {map[string]any{
			"stopCode": "TaskFailedToStart", "stoppedReason": "CannotPullContainerError: manifest for worker:9 not found", "containers": none,
		}, "CannotPullContainerError: manifest for worker:9 not found", "none"},
		"a container that cannot be started gives its own reason": {map[string]any{
			"stopCode": "TaskFailedToStart", "stoppedReason": "Task failed to start",
			"containers": []any{map[string]any{"name": "worker", "reason": "CannotStartContainerError: no such file: /worker"}},
		}, "CannotStartContainerError: no such file: /worker", "none"},
		"a worker out of memory": {map[string]any{
			"containers": []any{map[string]any{"name": "worker", "exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"}},
		}, "OutOfMemoryError: Container killed due to memory usage", "137"},
		"a worker that fails its health check": {map[string]any{
			"stopCode": "ServiceSchedulerInitiated", "stoppedReason": "Task failed container health checks", "containers": []any{map[string]any{"exitCode": 143}},
		}, "Task failed container health checks", "143"},
		"a scale-down is no stop of its own": {map[string]any{
			"stopCode": "ServiceSchedulerInitiated", "stoppedReason": "Scaling activity initiated by (deployment ecs-svc/1)",
		}, "", ""},
		"nor is one without a code":           {map[string]any{"stopCode": "", "stoppedReason": "Scaling activity initiated by deployment ecs-svc/1"}, "", ""},
		"nor is a task that a person stopped": {map[string]any{"stopCode": "UserInitiated", "stoppedReason": "Task stopped by user"}, "", ""},
		"nor is a Spot task taken back":       {map[string]any{"stopCode": "SpotInterruption", "stoppedReason": "Your Spot Task was interrupted."}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := with(map[string]any{"runningCount": 2})
			c.stopped = []map[string]any{stoppedAt(at, tc.task)}
			found := describeS(t, c.open())
			if tc.reason == "" {
				if found.LastStop != nil || found.Stops == nil || *found.Stops != 0 {
					t.Errorf("got stop %+v", found.LastStop)
				}
				return
			}
			if found.LastStop == nil || *found.Stops != 1 {
				t.Fatalf("no stop is known: %s", found.StopsUnknown)
			}
			exit := "none"
			if found.LastStop.ExitCode != nil {
				exit = fmt.Sprint(*found.LastStop.ExitCode)
			}
			if got := found.LastStop; got.Reason != tc.reason || exit != tc.exit || got.TaskDefinition != "worker:41" || !got.Time.Equal(at) {
				t.Errorf("got %+v with exit code %s, want %q with %s", got, exit, tc.reason, tc.exit)
			}
		})
	}
}

func TestOnlyAServiceThatMissesTasksIsAskedWhichOnesStopped(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		service map[string]any
		want    int // questions in two minutes of ticks every 5 s
	}{
		"all tasks run":     {nil, 0},
		"a task is missing": {map[string]any{"runningCount": 2}, 8},
		"tasks failed to start, and all run again": {map[string]any{
			"deployments": []any{map[string]any{"status": "PRIMARY", "failedTasks": 1}},
		}, 8},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := with(tc.service)
				s := c.open()
				for range 24 {
					describeS(t, s)
					time.Sleep(5*time.Second - gatherFor)
				}
				asked := len(slices.DeleteFunc(c.calls, func(call string) bool { return call != "ListTasks" }))
				if asked != tc.want {
					t.Errorf("asked %d times, want %d", asked, tc.want)
				}
			})
		})
	}
}

func TestATaskThatECSReplacedBetweenTwoReadsIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := with(nil)
		s := c.open()
		describeS(t, s)
		c.stopped = []map[string]any{stoppedAt(time.Now(), nil)}
		c.services["s"]["events"] = []any{map[string]any{"createdAt": time.Now().Add(time.Second).Unix(), "message": "(service s) has started 1 tasks: (task 1)."}}
		time.Sleep(5 * time.Second)
		if found := describeS(t, s); *found.Stops != 1 {
			t.Errorf("%d stops are known, want the one that was replaced", *found.Stops)
		}
		time.Sleep(time.Minute)
		describeS(t, s)
		if asked := len(slices.DeleteFunc(c.calls, func(call string) bool { return call != "ListTasks" })); asked != 1 {
			t.Errorf("asked %d times, want once", asked)
		}
	})
}

func TestStopsAreCountedForFiveMinutesAndDescribedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := with(map[string]any{"runningCount": 2})
		s := c.open()
		want := func(stops int) {
			t.Helper()
			found := describeS(t, s)
			if *found.Stops != stops || found.LastStop == nil {
				t.Errorf("%d stops, the last is %+v, want %d", *found.Stops, found.LastStop, stops)
			}
		}
		c.stopped = append(c.stopped, stoppedAt(time.Now(), nil))
		want(1)
		time.Sleep(stopsEvery)
		c.stopped = append(c.stopped, stoppedAt(time.Now(), nil))
		want(2)
		time.Sleep(stopsEvery)
		want(2)
		if described := len(slices.DeleteFunc(slices.Clone(c.calls), func(call string) bool { return call != "DescribeTasks" })); described != 2 {
			t.Errorf("described %d times, want each task once", described)
		}
		time.Sleep(scaling.StopsWithin)
		want(0)
	})
}

func TestAMissingPermissionIsNamedAndTheCountsAreStillRead(t *testing.T) {
	t.Parallel()
	c := with(map[string]any{"runningCount": 2})
	c.denied = "ListTasks"
	found := describeS(t, c.open())
	if found.Running != 2 || found.Stops != nil || !strings.Contains(found.StopsUnknown, "ecs:ListTasks") {
		t.Errorf("got %+v, want the counts, and the permission that is missing", found)
	}
}

func TestTheNewestDeploymentNamesItsTaskDefinitionAndWhenItBegan(t *testing.T) {
	t.Parallel()
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	for state, want := range map[string]time.Time{"IN_PROGRESS": began, "COMPLETED": {}} {
		found := describeS(t, with(map[string]any{"deployments": []any{
			map[string]any{"status": "PRIMARY", "rolloutState": state, "createdAt": began.Unix(), "taskDefinition": "arn:aws:ecs:us-east-1:1:task-definition/worker:42"},
			map[string]any{"status": "ACTIVE", "taskDefinition": "arn:aws:ecs:us-east-1:1:task-definition/worker:41"},
		}}).open())
		if found.TaskDefinition != "worker:42" || !found.RolloutSince.Equal(want) {
			t.Errorf("%s: got %s since %s, want worker:42 since %s", state, found.TaskDefinition, found.RolloutSince, want)
		}
	}
}

// crashing starts containers that end at once.
type crashing struct{ code int }

func (c crashing) Launch(string, sandboxecs.Container) (sandboxecs.Process, error) { return c, nil }
func (crashing) Signal()                                                           {}
func (crashing) Kill()                                                             {}
func (c crashing) Wait() int                                                       { return c.code }

func TestTheStandInsCrashingWorkerIsSeen(t *testing.T) {
	t.Parallel()
	server := sandboxecs.New(sandboxecs.Options{Account: "123456789012", Region: "us-east-1", Launcher: crashing{code: 2}})
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	client := ecs.New(ecs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(listening.URL), HTTPClient: listening.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	provision(t, client)
	s, target := NewServices(client, 8*time.Second), config.ServiceRef{Cluster: "c", Service: "w"}
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		found, err := s.Describe(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		if stop := found.LastStop; stop != nil {
			if stop.ExitCode == nil || *stop.ExitCode != 2 || stop.TaskDefinition != "worker:1" || found.TaskDefinition != "worker:1" {
				t.Errorf("got %+v of %s", stop, found.TaskDefinition)
			}
			return
		}
		s.mu.Lock()
		s.stops[target].next = time.Time{} // no need to wait for the next question
		s.mu.Unlock()
	}
	t.Error("no stop is seen")
}

// provision creates a cluster with a service of one task.
func provision(t *testing.T, client *ecs.Client) {
	t.Helper()
	_, err := client.CreateCluster(t.Context(), &ecs.CreateClusterInput{ClusterName: aws.String("c")})
	if err == nil {
		_, err = client.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
			Family: aws.String("worker"), ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("worker"), Image: aws.String("worker")}},
		})
	}
	if err == nil {
		_, err = client.CreateService(t.Context(), &ecs.CreateServiceInput{
			Cluster: aws.String("c"), ServiceName: aws.String("w"), TaskDefinition: aws.String("worker"), DesiredCount: aws.Int32(1),
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}
