package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/check/harness"
)

// An act brings an incident about, or ends it.
type act = func(context.Context, *Stage) error

// inOrder does one after the other, until one fails.
func inOrder(acts ...act) act {
	return func(ctx context.Context, s *Stage) error {
		for _, one := range acts {
			if err := one(ctx, s); err != nil {
				return err
			}
		}
		return nil
	}
}

// nothing is the end of what ends by itself.
func nothing(context.Context, *Stage) error { return nil }

// standIn changes how a stand-in behaves: a provider, aws, ecs or database.
func standIn(name, behavior string) act {
	return func(ctx context.Context, s *Stage) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPut, s.endpoint+"/_sandbox/"+name, strings.NewReader(behavior))
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode/100 != 2 {
			words, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
			return fmt.Errorf("set %s to %s: %s: %s", name, behavior, response.Status, words)
		}
		return nil
	}
}

// setCount has somebody set the service's count by hand.
func setCount(tasks int32) act {
	return func(ctx context.Context, s *Stage) error {
		return s.update(ctx, &ecs.UpdateServiceInput{DesiredCount: &tasks})
	}
}

// redeploy starts the tasks anew, as a deployment of the same revision does.
func redeploy(ctx context.Context, s *Stage) error {
	return s.update(ctx, &ecs.UpdateServiceInput{ForceNewDeployment: true})
}

func (s *Stage) update(ctx context.Context, in *ecs.UpdateServiceInput) error {
	in.Cluster, in.Service = aws.String(harness.Cluster), aws.String(harness.WorkerService)
	_, err := s.ecs.UpdateService(ctx, in)
	return err
}

// family is the workers' task definition.
const family = "novaura-acs-processor"

// deployWith rolls out a revision of the first task definition whose environment
// is changed; an empty value leaves the variable out.
func deployWith(changes map[string]string) act {
	return func(ctx context.Context, s *Stage) error {
		first, err := s.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(family + ":1")})
		if err != nil {
			return err
		}
		definition := first.TaskDefinition
		container := definition.ContainerDefinitions[0]
		container.Environment = slices.DeleteFunc(slices.Clone(container.Environment), func(pair ecstypes.KeyValuePair) bool {
			_, changed := changes[aws.ToString(pair.Name)]
			return changed
		})
		for _, name := range slices.Sorted(maps.Keys(changes)) {
			if changes[name] != "" {
				container.Environment = append(container.Environment, ecstypes.KeyValuePair{Name: &name, Value: aws.String(changes[name])})
			}
		}
		next, err := s.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
			Family: definition.Family, RequiresCompatibilities: definition.RequiresCompatibilities, NetworkMode: definition.NetworkMode,
			Cpu: definition.Cpu, Memory: definition.Memory, ContainerDefinitions: []ecstypes.ContainerDefinition{container},
		})
		if err != nil {
			return err
		}
		return s.update(ctx, &ecs.UpdateServiceInput{TaskDefinition: next.TaskDefinition.TaskDefinitionArn})
	}
}

// stopRunning ends the tasks that run, so that only what was deployed last is left: busy
// tasks protect themselves, and would go on.
func stopRunning(ctx context.Context, s *Stage) error {
	tasks, err := s.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: aws.String(harness.Cluster), ServiceName: aws.String(harness.WorkerService)})
	if err != nil {
		return err
	}
	var errs []error
	for _, arn := range tasks.TaskArns {
		_, err := s.ecs.StopTask(ctx, &ecs.StopTaskInput{Cluster: aws.String(harness.Cluster), Task: &arn})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// deployFirst rolls back to the first revision.
func deployFirst(ctx context.Context, s *Stage) error {
	return s.update(ctx, &ecs.UpdateServiceInput{TaskDefinition: aws.String(family + ":1")})
}

// put sends messages to a queue, in batches.
func put(queue string, bodies ...string) act {
	return func(ctx context.Context, s *Stage) error {
		for batch := range slices.Chunk(bodies, 10) {
			in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(s.queueURL(queue))}
			for i, body := range batch {
				in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body)})
			}
			answer, err := s.sqs.SendMessageBatch(ctx, in)
			if err != nil {
				return fmt.Errorf("put messages on %s: %w", queue, err)
			}
			if len(answer.Failed) > 0 {
				return fmt.Errorf("put messages on %s: %d of a batch were rejected", queue, len(answer.Failed))
			}
		}
		return nil
	}
}

// bodies makes n messages.
func bodies(n int, body func(i int) map[string]any) []string {
	all := make([]string, n)
	for i := range all {
		encoded, err := json.Marshal(body(i))
		if err != nil {
			panic(err) // plain values encode
		}
		all[i] = string(encoded)
	}
	return all
}

// purge empties a queue.
func purge(queue string) act {
	return func(ctx context.Context, s *Stage) error {
		_, err := s.sqs.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: aws.String(s.queueURL(queue))})
		return err
	}
}

// deleteQueue deletes a queue, and createQueue makes it anew.
func deleteQueue(queue string) act {
	return func(ctx context.Context, s *Stage) error {
		s.markDeleted(queue, true)
		_, err := s.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: aws.String(s.queueURL(queue))})
		return err
	}
}

func createQueue(queue string) act {
	return func(ctx context.Context, s *Stage) error {
		_, err := s.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &queue, Attributes: map[string]string{"VisibilityTimeout": "60"}})
		if err == nil {
			s.markDeleted(queue, false)
		}
		return err
	}
}

func (s *Stage) markDeleted(queue string, deleted bool) {
	s.shared.Lock()
	defer s.shared.Unlock()
	s.deleted[queue] = deleted
}

// edit replaces words of a policy file, which must stand in it.
func edit(file func(*Stage) string, old, replacement string) act {
	return func(_ context.Context, s *Stage) error {
		text, err := keepCopy(file(s))
		if err != nil {
			return err
		}
		if !bytes.Contains(text, []byte(old)) {
			return fmt.Errorf("edit %s: %q does not stand in it", file(s), old)
		}
		return os.WriteFile(file(s), bytes.Replace(text, []byte(old), []byte(replacement), 1), 0o600)
	}
}

// editSpec changes the spec of each policy in a file.
func editSpec(file func(*Stage) string, change func(spec map[string]any)) act {
	return func(_ context.Context, s *Stage) error {
		if _, err := keepCopy(file(s)); err != nil {
			return err
		}
		return rewrite(file(s), file(s), change)
	}
}

// restore brings back a file as it was before it was edited.
func restore(file func(*Stage) string) act {
	return func(_ context.Context, s *Stage) error {
		text, err := os.ReadFile(file(s) + ".before")
		if err != nil {
			return err
		}
		return os.WriteFile(file(s), text, 0o600) //nolint:gosec // a file of the stage
	}
}

// keepCopy reads a file, and keeps a copy for restore.
func keepCopy(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return text, os.WriteFile(path+".before", text, 0o600) //nolint:gosec // the same
}

// waitFor waits until something holds, two minutes at most.
func waitFor(holds func(*Stage) bool) act {
	return func(ctx context.Context, s *Stage) error {
		if !s.wait(ctx, 2*time.Minute, func() bool { return holds(s) }) {
			return errors.New("what was sent was not worked on within 2 min")
		}
		return nil
	}
}

// settled tells whether nothing waits but what passes through anyway, by a look
// that is younger than the cause.
func settled(s *Stage) bool {
	f := s.soFar()
	n := len(f.Depths)
	return n > 0 && f.Depths[n-1].Settled && time.Since(f.Cause) > 2*depthEvery
}

// kill ends the processes of the stage that run a program, at once.
func kill(program string) act {
	return func(_ context.Context, s *Stage) error {
		pids, err := s.pids(program)
		if err == nil && len(pids) == 0 {
			err = fmt.Errorf("kill the %s: none runs", program)
		}
		for _, pid := range pids {
			err = errors.Join(err, syscall.Kill(pid, syscall.SIGKILL))
		}
		return err
	}
}

// pids are local's child processes that run a program, by proc_pid_stat(5).
func (s *Stage) pids(program string) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		head, tail, _ := strings.Cut(string(text), ") ")
		id, name, _ := strings.Cut(head, " (")
		fields := strings.Fields(tail) // state, parent, …
		if name != program || len(fields) < 2 || fields[1] != strconv.Itoa(s.local.PID()) {
			continue
		}
		if pid, err := strconv.Atoi(id); err == nil {
			found = append(found, pid)
		}
	}
	return found, nil
}
