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
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// What ECS does not have; callers match them with errors.Is.
var (
	ErrServiceMissing = errors.New("service does not exist")
	ErrClusterMissing = errors.New("cluster does not exist")
)

// AccessDeniedError is a call that IAM refused.
type AccessDeniedError struct {
	Action string // the IAM action to allow, e.g. ecs:UpdateService
	Err    error
}

func (e *AccessDeniedError) Error() string { return "allow " + e.Action + ": " + e.Err.Error() }
func (e *AccessDeniedError) Unwrap() error { return e.Err }

// Services reads and sets the task counts of ECS services. It is safe for
// concurrent use.
type Services struct {
	client  *ecs.Client
	timeout time.Duration

	mu    sync.Mutex
	stuck map[config.ServiceRef]*stuck // scale-ins that do not end
}

// NewServices returns Services whose calls, retries included, each end within
// timeout.
func NewServices(client *ecs.Client, timeout time.Duration) *Services {
	return &Services{client: client, timeout: timeout, stuck: map[config.ServiceRef]*stuck{}}
}

// Describe returns the counts of tasks as ECS has them now.
func (s *Services) Describe(ctx context.Context, ref config.ServiceRef) (scaling.Service, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	out, err := s.client.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &ref.Cluster, Services: []string{ref.Service}})
	if err == nil && (len(out.Services) == 0 || aws.ToString(out.Services[0].Status) == "INACTIVE") {
		err = missing(out.Failures)
	}
	if err != nil {
		return scaling.Service{}, fmt.Errorf("describe service %q in cluster %q: %w", ref.Service, ref.Cluster, typed("ecs:DescribeServices", err))
	}
	found := counts(&out.Services[0])
	s.addProtected(ctx, ref, &found)
	return found, nil
}

// SetDesired asks for tasks. It does not read first: the count that already
// holds changes nothing in ECS, and the loop has just described the service.
func (s *Services) SetDesired(ctx context.Context, ref config.ServiceRef, tasks int) error {
	if tasks < 0 || tasks > math.MaxInt32 {
		return fmt.Errorf("set desired count of service %q: %d tasks is out of range", ref.Service, tasks)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	_, err := s.client.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &ref.Cluster, Service: &ref.Service, DesiredCount: aws.Int32(int32(tasks))})
	if err != nil {
		return fmt.Errorf("set desired count of service %q in cluster %q to %d: %w", ref.Service, ref.Cluster, tasks, typed("ecs:UpdateService", err))
	}
	return nil
}

// counts translates a service. ECS sets a rolloutState of IN_PROGRESS for
// deployments only, never for a change of the desired count.
func counts(service *types.Service) scaling.Service {
	found := scaling.Service{Desired: int(service.DesiredCount), Running: int(service.RunningCount), Pending: int(service.PendingCount)}
	for i := range service.Deployments {
		if d := &service.Deployments[i]; aws.ToString(d.Status) == "PRIMARY" {
			rollout, failed := d.RolloutState == types.DeploymentRolloutStateInProgress, int(d.FailedTasks)
			found.Rollout, found.FailedStarts = &rollout, &failed
		}
	}
	return found
}

// missing tells why DescribeServices left the service out.
func missing(failures []types.Failure) error {
	for _, f := range failures {
		if reason := aws.ToString(f.Reason); reason != "MISSING" {
			return fmt.Errorf("ecs answers %s: %s", reason, aws.ToString(f.Detail))
		}
	}
	return ErrServiceMissing
}

// typed gives err the type that callers decide by.
func typed(action string, err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode() {
	case "ClusterNotFoundException":
		return fmt.Errorf("%w: %w", ErrClusterMissing, err)
	case "ServiceNotFoundException", "ServiceNotActiveException":
		return fmt.Errorf("%w: %w", ErrServiceMissing, err)
	case "AccessDeniedException":
		return &AccessDeniedError{Action: action, Err: err}
	}
	return err
}
