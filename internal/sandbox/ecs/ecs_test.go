package ecs

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestMain lets the test binary be the container of the tests that run real
// processes: it says hello, and stops when asked, unless told to be stubborn.
func TestMain(m *testing.M) {
	switch os.Getenv("ECS_TEST_CONTAINER") {
	case "":
		os.Exit(m.Run())
	case "crash":
		os.Exit(3)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	_, _ = os.Stdout.WriteString("hello\n")
	for {
		<-stop
		if os.Getenv("ECS_TEST_CONTAINER") == "polite" {
			os.Exit(0)
		}
	}
}

// house is a server with real processes, its client, and the log.
type house struct {
	*ecs.Client
	server *Server
	mu     sync.Mutex
	lines  []string
}

func open(t *testing.T, startLag time.Duration) *house {
	t.Helper()
	return openSettling(t, startLag, 100*time.Millisecond)
}

// openSettling is open where a task must have run for settle to be well.
func openSettling(t *testing.T, startLag, settle time.Duration) *house {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{}
	programs := NewPrograms(map[string]string{"worker": self}, nil, func(_, line string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lines = append(h.lines, line)
	})
	h.server = New(Options{Account: "123456789012", Region: "us-east-1", Launcher: programs, StartLag: startLag, SettleAfter: settle})
	endpoint := httptest.NewServer(h.server)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		programs.Close()
		endpoint.Close()
	})
	h.Client = ecs.New(ecs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(endpoint.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	if _, err := h.CreateCluster(t.Context(), &ecs.CreateClusterInput{ClusterName: aws.String("c")}); err != nil {
		t.Fatal(err)
	}
	return h
}

// serve creates a service of containers of a kind.
func (h *house) serve(t *testing.T, kind string, tasks int32) {
	t.Helper()
	d := h.define(t, kind)
	_, err := h.CreateService(t.Context(), &ecs.CreateServiceInput{
		Cluster: aws.String("c"), ServiceName: aws.String("s"), TaskDefinition: aws.String(d), DesiredCount: aws.Int32(tasks),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) define(t *testing.T, kind string) string {
	t.Helper()
	d, err := h.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("f"), ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("w"), Image: aws.String("registry/worker:1"), StopTimeout: aws.Int32(1),
			Environment: []types.KeyValuePair{{Name: aws.String("ECS_TEST_CONTAINER"), Value: aws.String(kind)}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return *d.TaskDefinition.TaskDefinitionArn
}

func (h *house) scale(t *testing.T, tasks int32) {
	t.Helper()
	_, err := h.UpdateService(t.Context(), &ecs.UpdateServiceInput{Cluster: aws.String("c"), Service: aws.String("s"), DesiredCount: aws.Int32(tasks)})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) service(t *testing.T) types.Service {
	t.Helper()
	answer, err := h.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: aws.String("c"), Services: []string{"s"}})
	if err != nil || len(answer.Services) != 1 {
		t.Fatal(answer, err)
	}
	return answer.Services[0]
}

// said is how many containers said hello: a process that runs may not have come
// so far yet, least of all on a busy machine.
func (h *house) said() (hellos int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range h.lines {
		if line == "hello" {
			hellos++
		}
	}
	return hellos
}

// eventually waits for what real processes take their time for.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func TestAServiceFollowsItsDesiredCount(t *testing.T) {
	h := open(t, 100*time.Millisecond)
	h.serve(t, "polite", 2)
	eventually(t, "two tasks run", func() bool { return h.service(t).RunningCount == 2 })
	h.scale(t, 3)
	eventually(t, "three tasks run", func() bool { return h.service(t).RunningCount == 3 })
	eventually(t, "each has said hello", func() bool { return h.said() == 3 })
	h.scale(t, 0)
	eventually(t, "no task runs", func() bool { return h.service(t).RunningCount == 0 })
	steady := h.service(t).Events[0]
	eventually(t, "the steady state is announced", func() bool {
		steady = h.service(t).Events[0]
		return strings.Contains(*steady.Message, "has reached a steady state")
	})
}

func TestATaskIsPendingForTheStartLag(t *testing.T) {
	h := open(t, time.Hour)
	h.serve(t, "polite", 1)
	eventually(t, "the task is pending", func() bool { return h.service(t).PendingCount == 1 })
	if got := h.service(t).RunningCount; got != 0 {
		t.Errorf("%d run before their lag", got)
	}
}

func TestWhatDiesIsStartedAgain(t *testing.T) {
	h := open(t, 0)
	h.serve(t, "polite", 1)
	eventually(t, "a task runs", func() bool { return len(h.server.Running()) == 1 })
	killed := h.server.Running()[0]
	h.server.KillTask(killed)
	eventually(t, "another task runs", func() bool { ids := h.server.Running(); return len(ids) == 1 && ids[0] != killed })
	answer, err := h.DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String("c"), Tasks: []string{killed}})
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Tasks[0]; *got.LastStatus != "STOPPED" || *got.Containers[0].ExitCode != 137 || got.StopCode != types.TaskStopCodeEssentialContainerExited {
		t.Errorf("the killed task: %s, exit code %d, %s", *got.LastStatus, *got.Containers[0].ExitCode, got.StopCode)
	}
}

func TestATaskThatIgnoresSIGTERMIsKilledAfterItsStopTimeout(t *testing.T) {
	h := open(t, 0)
	h.serve(t, "stubborn", 1)
	eventually(t, "it runs, and has said hello", func() bool { return h.said() == 1 })
	id := h.server.Running()[0]
	h.scale(t, 0)
	eventually(t, "it is gone", func() bool {
		answer, err := h.DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String("c"), Tasks: []string{id}})
		return err == nil && *answer.Tasks[0].LastStatus == "STOPPED" && *answer.Tasks[0].Containers[0].ExitCode == 137
	})
}

func TestTasksThatKeepDyingAreCountedAndHeldBack(t *testing.T) {
	h := openSettling(t, 0, time.Hour) // however long a crash takes on a busy machine
	h.serve(t, "crash", 1)
	eventually(t, "the service says it cannot start tasks", func() bool {
		for _, e := range h.service(t).Events {
			if strings.Contains(*e.Message, "unable to consistently start tasks") {
				return true
			}
		}
		return false
	})
	if got := h.service(t).Deployments[0].FailedTasks; got < 3 {
		t.Errorf("%d failed tasks, want 3 at least", got)
	}
}

func TestANewTaskDefinitionReplacesTheTasks(t *testing.T) {
	h := open(t, 0)
	h.serve(t, "polite", 2)
	eventually(t, "two tasks run", func() bool { return len(h.server.Running()) == 2 })
	before := h.server.Running()
	_, err := h.UpdateService(t.Context(), &ecs.UpdateServiceInput{Cluster: aws.String("c"), Service: aws.String("s"), TaskDefinition: aws.String(h.define(t, "polite"))})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "two others run", func() bool {
		ids := h.server.Running()
		return len(ids) == 2 && ids[0] != before[0] && ids[1] != before[1] && ids[0] != before[1]
	})
	eventually(t, "the rollout is complete", func() bool {
		all := h.service(t).Deployments
		return len(all) == 1 && all[0].RolloutState == types.DeploymentRolloutStateCompleted
	})
}

func TestAnImageThatIsNotHereRunsTheCommandThatItsTaskDefinitionNames(t *testing.T) {
	t.Parallel()
	h := open(t, 0)
	for family, environment := range map[string][]types.KeyValuePair{
		"foreign": {{Name: aws.String("LOCAL_COMMAND"), Value: aws.String("sh -c 'echo hello; sleep 600'")}},
		"unknown": nil,
	} {
		_, err := h.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
			Family: &family, ContainerDefinitions: []types.ContainerDefinition{{
				Name: aws.String("w"), Image: aws.String("registry/shop:1"), StopTimeout: aws.Int32(1), Environment: environment,
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.RunTask(t.Context(), &ecs.RunTaskInput{Cluster: aws.String("c"), TaskDefinition: &family})
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the command runs", func() bool { return h.said() == 1 })
	stopped, err := h.ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String("c"), DesiredStatus: types.DesiredStatusStopped})
	if err != nil || len(stopped.TaskArns) != 1 {
		t.Fatalf("got %v, %v, want one stopped task", stopped, err)
	}
	answer, err := h.DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String("c"), Tasks: stopped.TaskArns})
	if err != nil {
		t.Fatal(err)
	}
	if reason := aws.ToString(answer.Tasks[0].StoppedReason); !strings.Contains(reason, "LOCAL_COMMAND") {
		t.Errorf("got %q, want what to do", reason)
	}
}

func TestErrorsAreTypedAsAWSTypesThem(t *testing.T) {
	h := open(t, 0)
	_, err := h.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: aws.String("none"), Services: []string{"s"}})
	if missing := (*types.ClusterNotFoundException)(nil); !errors.As(err, &missing) {
		t.Errorf("a missing cluster: %v", err)
	}
	_, err = h.UpdateService(t.Context(), &ecs.UpdateServiceInput{Cluster: aws.String("c"), Service: aws.String("none"), DesiredCount: aws.Int32(1)})
	if missing := (*types.ServiceNotFoundException)(nil); !errors.As(err, &missing) {
		t.Errorf("a missing service: %v", err)
	}
	answer, err := h.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Cluster: aws.String("c"), Services: []string{"none"}})
	if err != nil || len(answer.Failures) != 1 || *answer.Failures[0].Reason != "MISSING" {
		t.Errorf("describing a missing service: %+v, %v", answer, err)
	}
}
