package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/check/harness"
)

// How often each is looked at. A look at the status starts a program.
const (
	countEvery  = time.Second
	depthEvery  = 2 * time.Second
	statusEvery = 4 * time.Second
	lookBound   = 10 * time.Second
)

// recorder collects facts from several goroutines.
type recorder struct {
	mu    sync.Mutex
	facts Facts
}

func (r *recorder) record(change func(*Facts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.facts)
}

func (r *recorder) troublef(format string, args ...any) {
	r.record(func(f *Facts) { f.Troubles = append(f.Troubles, fmt.Sprintf(format, args...)) })
}

// so far returns a copy that others do not change.
func (r *recorder) soFar() Facts {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.facts
	f.Counts, f.Looks, f.Depths = slices.Clone(f.Counts), slices.Clone(f.Looks), slices.Clone(f.Depths)
	f.Notices, f.Troubles = slices.Clone(f.Notices), slices.Clone(f.Troubles)
	return f
}

// watch looks at the service, the queues and the status until ctx ends.
func (s *Stage) watch(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { every(ctx, countEvery, s.lookAtCount) })
	watching.Go(func() { every(ctx, depthEvery, s.lookAtDepth) })
	watching.Go(func() { every(ctx, statusEvery, s.lookAtStatus) })
}

func every(ctx context.Context, interval time.Duration, look func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, lookBound)
		look(bounded)
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// lookAtCount asks ECS itself. What it does not answer is no fact.
func (s *Stage) lookAtCount(ctx context.Context) {
	answer, err := s.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String(harness.Cluster), Services: []string{harness.WorkerService}})
	if err != nil || len(answer.Services) == 0 {
		return
	}
	service := answer.Services[0]
	s.record(func(f *Facts) {
		f.Counts = append(f.Counts, Count{time.Now(), int(service.DesiredCount), int(service.RunningCount)})
	})
}

// lookAtDepth adds up what the queues hold, and once the cause has ended what
// is parked in the database too.
func (s *Stage) lookAtDepth(ctx context.Context) {
	total := 0
	for _, url := range s.liveQueues() {
		answer, err := s.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: depthNames})
		if err != nil {
			return
		}
		for _, text := range answer.Attributes {
			n, err := strconv.Atoi(text)
			if err != nil {
				return
			}
			total += n
		}
	}
	if !s.soFar().End.IsZero() {
		parked, err := s.parked(ctx)
		if err != nil {
			return
		}
		total += parked
	}
	s.record(func(f *Facts) {
		f.Depths = append(f.Depths, Depth{time.Now(), total, float64(total) <= s.passing()})
	})
}

var depthNames = []types.QueueAttributeName{
	types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
}

// passing is how many messages are on their way at any time when all is well:
// three seconds of the load, each with its delivery report.
func (s *Stage) passing() float64 { return 6*s.setup.Rate + 10 }

// lookAtStatus asks the shipped program, as a person would.
func (s *Stage) lookAtStatus(ctx context.Context) {
	status, err := s.status(ctx)
	if ctx.Err() != nil && err == nil {
		return
	}
	if err != nil {
		status = "get fails: " + port.ReplaceAllString(err.Error(), "$1")
	}
	s.record(func(f *Facts) { f.Looks = append(f.Looks, Look{time.Now(), status}) })
}

// port follows an address; it differs from look to look.
var port = regexp.MustCompile(`(127\.0\.0\.1):\d+`)

// status is the STATUS column of `controller get`. A failing exit code is no
// error where there is a table: it says that the status is not OK.
func (s *Stage) status(ctx context.Context) (string, error) {
	command := exec.CommandContext(ctx, s.programs.controller, "get")
	command.Env = s.environment("DATABASE_URL=" + s.database)
	var out, complaint bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaint
	err := command.Run()
	if status, found := column(out.String(), "STATUS"); found {
		return status, nil
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("no answer within %s", lookBound)
	}
	if words := strings.TrimSpace(complaint.String()); words != "" {
		return "", errors.New(words)
	}
	return "", fmt.Errorf("no table (%w)", err)
}

var gap = regexp.MustCompile(` {2,}`)

// column returns a cell of the first row below the header of a table.
func column(table, name string) (cell string, found bool) {
	lines := strings.Split(table, "\n")
	for i, line := range lines[:max(0, len(lines)-1)] {
		if at := slices.Index(gap.Split(strings.TrimSpace(line), -1), name); at >= 0 {
			cells := gap.Split(strings.TrimSpace(lines[i+1]), -1)
			if at < len(cells) {
				return cells[at], true
			}
		}
	}
	return "", false
}
