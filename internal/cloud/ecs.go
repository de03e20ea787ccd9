package cloud

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/scaling"
)

const (
	servicesPerAsk = 10 // DescribeServices' limit
	// settlesWithin is how long ECS may go on to show the count from before a
	// write: its answers are eventually consistent.
	settlesWithin = 10 * time.Second
)

// Services reads and sets the task counts of ECS services. It is safe for
// concurrent use.
type Services struct {
	client  *ecs.Client
	timeout time.Duration
	reads   *gather[config.ServiceRef, described]

	mu     sync.Mutex
	counts map[config.ServiceRef]*count
	stuck  map[config.ServiceRef]*stuck // scale-downs that do not end
	stops  map[config.ServiceRef]*stops
}

// described is what DescribeServices says of one service: the service, or why
// there is none.
type described struct {
	service *types.Service
	failure *types.Failure
}

// count is a desired count as it was read last, and the one written since.
type count struct {
	read, wrote int
	at          time.Time // of the write; zero: none, or it shows
}

// NewServices returns Services whose calls, retries included, each end within
// timeout.
func NewServices(client *ecs.Client, timeout time.Duration) *Services {
	s := &Services{
		client: client, timeout: timeout, counts: map[config.ServiceRef]*count{},
		stuck: map[config.ServiceRef]*stuck{}, stops: map[config.ServiceRef]*stops{},
	}
	s.reads = newGather(servicesPerAsk, timeout, func(ref config.ServiceRef) string { return ref.Cluster },
		func(ref config.ServiceRef) string { return ref.Cluster + "/" + ref.Service }, s.describe)
	return s
}

// Describe returns the counts of tasks as ECS has them now, and the tasks that
// stopped by themselves. Services of one cluster that are described at about the
// same time share a call.
func (s *Services) Describe(ctx context.Context, ref config.ServiceRef) (scaling.Service, error) {
	service, err := s.one(ctx, ref)
	if err == nil {
		err = steerable(service)
	}
	if err != nil {
		return scaling.Service{}, fmt.Errorf("describe service %q in cluster %q: %w", ref.Service, ref.Cluster, err)
	}
	found := counts(service)
	s.settle(ref, &found)
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	s.addProtected(ctx, ref, &found)
	s.addStops(ctx, ref, service, &found)
	return found, nil
}

func (s *Services) one(ctx context.Context, ref config.ServiceRef) (*types.Service, error) {
	found, err := s.reads.get(ctx, ref)
	switch known := found[ref]; {
	case err != nil:
		return nil, awsclient.Explain(err, "ecs:DescribeServices")
	case known.service != nil:
		return known.service, nil
	case known.failure != nil && aws.ToString(known.failure.Reason) == "MISSING":
		return nil, errors.New("it does not exist (check spec.target.service, or remove the policy)")
	case known.failure != nil:
		return nil, fmt.Errorf("ecs:DescribeServices answers %s: %s", aws.ToString(known.failure.Reason), aws.ToString(known.failure.Detail))
	}
	return nil, errors.New("the answer of ecs:DescribeServices has neither the service nor a reason (the controller asks again)")
}

// describe reads services of one cluster in one call.
func (s *Services) describe(ctx context.Context, refs []config.ServiceRef) (map[config.ServiceRef]described, error) {
	in := &ecs.DescribeServicesInput{Cluster: &refs[0].Cluster}
	for _, ref := range refs {
		in.Services = append(in.Services, ref.Service)
	}
	out, err := s.client.DescribeServices(ctx, in)
	if err != nil {
		return nil, err
	}
	found := make(map[config.ServiceRef]described, len(refs))
	for _, ref := range refs {
		for i := range out.Failures {
			if lastPart(aws.ToString(out.Failures[i].Arn)) == lastPart(ref.Service) || len(refs) == 1 {
				found[ref] = described{failure: &out.Failures[i]}
			}
		}
		for i := range out.Services {
			if aws.ToString(out.Services[i].ServiceName) == lastPart(ref.Service) || len(refs) == 1 {
				found[ref] = described{service: &out.Services[i]}
			}
		}
	}
	return found, nil
}

// steerable says why a service has no count that anybody can set.
func steerable(service *types.Service) error {
	switch status := aws.ToString(service.Status); {
	case status == "INACTIVE":
		return errors.New("it was deleted (status INACTIVE): create it again, or remove the policy")
	case status == "DRAINING":
		return errors.New("it is being deleted (status DRAINING), and its count cannot be changed: create it again, or remove the policy")
	case service.SchedulingStrategy == types.SchedulingStrategyDaemon:
		return errors.New("its scheduling strategy is DAEMON: one task on each instance, and no desired count. Name a REPLICA service, or remove the policy")
	}
	return nil
}

// settle replaces a count from before our write, which ECS may still show for a
// few seconds, by the count that we wrote: nobody else changed it.
func (s *Services) settle(ref config.ServiceRef, found *scaling.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.counts[ref]
	if known != nil && !known.at.IsZero() && found.Desired == known.read && time.Since(known.at) < settlesWithin {
		found.Desired = known.wrote
		return
	}
	s.counts[ref] = &count{read: found.Desired}
}

// SetDesired asks for tasks. It does not read first: the count that already
// holds changes nothing in ECS, and the loop has just described the service.
func (s *Services) SetDesired(ctx context.Context, ref config.ServiceRef, tasks int) error {
	if tasks < 0 || tasks > math.MaxInt32 {
		return fmt.Errorf("set desired count of service %q: %d tasks is out of range", ref.Service, tasks)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	out, err := s.client.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &ref.Cluster, Service: &ref.Service, DesiredCount: aws.Int32(int32(tasks))})
	err = awsclient.Explain(err, "ecs:UpdateService")
	if err == nil && out.Service != nil && out.Service.ServiceName != nil && int(out.Service.DesiredCount) != tasks {
		err = fmt.Errorf("ecs:UpdateService succeeded, but the count is still %d: something else sets it (see the service's events, and UpdateService in CloudTrail)", out.Service.DesiredCount)
	}
	if err != nil {
		return fmt.Errorf("set desired count of service %q in cluster %q to %d: %w", ref.Service, ref.Cluster, tasks, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.counts[ref]; known != nil {
		known.wrote, known.at = tasks, time.Now()
	}
	return nil
}

// counts translates a service. ECS sets a rolloutState of IN_PROGRESS for
// deployments only, never for a change of the desired count; a service behind
// a Classic Load Balancer has none, and one whose deployments are CodeDeploy's
// or others' has task sets: there, two at a time are a rollout.
func counts(service *types.Service) scaling.Service {
	found := scaling.Service{Desired: int(service.DesiredCount), Running: int(service.RunningCount), Pending: int(service.PendingCount)}
	if len(service.TaskSets) > 0 {
		found.Rollout = aws.Bool(len(service.TaskSets) > 1)
	}
	for i := range service.Deployments {
		if d := &service.Deployments[i]; aws.ToString(d.Status) == "PRIMARY" {
			rollout, failed := d.RolloutState == types.DeploymentRolloutStateInProgress, int(d.FailedTasks)
			if d.RolloutState == "" {
				rollout = len(service.Deployments) > 1
			}
			found.Rollout, found.FailedStarts = &rollout, &failed
			found.TaskDefinition = lastPart(aws.ToString(d.TaskDefinition))
			if rollout {
				running := int(d.RunningCount)
				found.RolloutSince, found.RolloutRunning = aws.ToTime(d.CreatedAt), &running
			}
		}
	}
	return found
}
