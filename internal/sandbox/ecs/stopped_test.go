package ecs

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func TestATaskThatExitsByItselfIsListedWithItsReasonAndExitCode(t *testing.T) {
	h := open(t, 0)
	h.serve(t, "crash", 1)
	var stopped []string
	eventually(t, "a task has stopped", func() bool {
		answer, err := h.ListTasks(t.Context(), &ecs.ListTasksInput{Cluster: aws.String("c"), ServiceName: aws.String("s"), DesiredStatus: types.DesiredStatusStopped})
		if err == nil {
			stopped = answer.TaskArns
		}
		return len(stopped) > 0
	})
	answer, err := h.DescribeTasks(t.Context(), &ecs.DescribeTasksInput{Cluster: aws.String("c"), Tasks: stopped[:1]})
	if err != nil {
		t.Fatal(err)
	}
	got := answer.Tasks[0]
	if *got.Containers[0].ExitCode != 3 || got.StopCode != types.TaskStopCodeEssentialContainerExited || *got.StoppedReason != "Essential container in task exited" {
		t.Errorf("got exit code %d, %s, %q", *got.Containers[0].ExitCode, got.StopCode, *got.StoppedReason)
	}
	if got.StartedAt == nil || got.StoppedAt == nil || got.StoppedAt.Before(*got.StartedAt) {
		t.Errorf("it started at %v and stopped at %v", got.StartedAt, got.StoppedAt)
	}
}

func TestStoppedTasksAreDescribedForAnHour(t *testing.T) {
	now := time.Now()
	s := New(Options{})
	for _, age := range []time.Duration{time.Hour + time.Second, time.Hour - time.Second, time.Minute} {
		s.tasks = append(s.tasks, &task{id: age.String(), status: statusStopped, stopped: now.Add(-age)})
	}
	s.tasks = append(s.tasks, &task{id: "running", status: statusRunning})
	s.forget(now)
	var left []string
	for _, t := range s.tasks {
		left = append(left, t.id)
	}
	if got := fmt.Sprint(left); got != "[59m59s 1m0s running]" {
		t.Errorf("left are %s", got)
	}
}

func TestTasksAreListedInPagesOfAHundred(t *testing.T) {
	h := open(t, time.Hour)
	h.serve(t, "polite", 130)
	eventually(t, "all are pending", func() bool { return h.service(t).PendingCount == 130 })
	pages := ecs.NewListTasksPaginator(h.Client, &ecs.ListTasksInput{Cluster: aws.String("c")})
	var sizes []int
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(page.TaskArns))
	}
	if got := fmt.Sprint(sizes); got != "[100 30]" {
		t.Errorf("pages of %s tasks, want [100 30]", got)
	}
}
