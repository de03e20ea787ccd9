package cloud

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

const (
	// stuckAfter is how long more tasks run than are desired before their
	// protection is asked for: a stop takes its time anyway.
	stuckAfter = 90 * time.Second
	// protectionEvery is how often it is asked for while that lasts, and
	// protectionPages bounds the tasks that are asked about: 100 a page.
	protectionEvery = time.Minute
	protectionPages = 10
)

// stuck is a scale-in that does not end.
type stuck struct {
	since     time.Time
	asked     time.Time
	protected *int
}

// addProtected tells how many tasks are under scale-in protection, which is
// asked for only while a scale-in is stuck: protected tasks are then the
// likely reason. What cannot be read stays unknown.
func (s *Services) addProtected(ctx context.Context, ref config.ServiceRef, found *scaling.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found.Running <= found.Desired || found.Rollout != nil && *found.Rollout {
		delete(s.stuck, ref)
		return
	}
	one := s.stuck[ref]
	now := time.Now()
	if one == nil {
		one = &stuck{since: now}
		s.stuck[ref] = one
	}
	if now.Sub(one.since) >= stuckAfter && now.Sub(one.asked) >= protectionEvery {
		one.asked = now
		s.mu.Unlock() // one policy's slow call never delays another's
		protected := s.protected(ctx, ref)
		s.mu.Lock()
		one.protected = protected
	}
	found.Protected = one.protected
}

func (s *Services) protected(ctx context.Context, ref config.ServiceRef) *int {
	count := 0
	tasks := ecs.NewListTasksPaginator(s.client, &ecs.ListTasksInput{
		Cluster: &ref.Cluster, ServiceName: aws.String(lastPart(ref.Service)), DesiredStatus: types.DesiredStatusRunning, MaxResults: aws.Int32(100),
	})
	for range protectionPages {
		if !tasks.HasMorePages() {
			break
		}
		page, err := tasks.NextPage(ctx)
		if err != nil {
			return nil
		}
		if len(page.TaskArns) == 0 {
			continue
		}
		out, err := s.client.GetTaskProtection(ctx, &ecs.GetTaskProtectionInput{Cluster: &ref.Cluster, Tasks: page.TaskArns})
		if err != nil {
			return nil
		}
		for _, t := range out.ProtectedTasks {
			if t.ProtectionEnabled {
				count++
			}
		}
	}
	return &count
}
