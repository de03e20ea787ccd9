package cloud

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/awsclient"
)

// rivalEvery is how long an answer of Application Auto Scaling is believed.
const rivalEvery = 5 * time.Minute

// rivalRetry is how soon it is asked again when it gave none.
const rivalRetry = time.Minute

// scalableTargets is what Rivals needs of Application Auto Scaling.
type scalableTargets interface {
	DescribeScalableTargets(ctx context.Context, in *applicationautoscaling.DescribeScalableTargetsInput, o ...func(*applicationautoscaling.Options)) (*applicationautoscaling.DescribeScalableTargetsOutput, error)
}

// Rivals knows which services Application Auto Scaling steers. It is safe for
// concurrent use.
type Rivals struct {
	client scalableTargets

	mu    sync.Mutex
	cache map[config.ServiceRef]rivalry
}

type rivalry struct {
	registered bool
	err        error
	asked      time.Time
}

// NewRivals asks through client, once in five minutes for each service, and a
// minute after it got no answer.
func NewRivals(client scalableTargets) *Rivals {
	return &Rivals{client: client, cache: map[config.ServiceRef]rivalry{}}
}

// Registered reports whether the service's count is a scalable target that is
// not suspended altogether. An error means that it is not known now: access is
// denied, or the endpoint does not know Application Auto Scaling; the answer is
// then the last that was known.
func (r *Rivals) Registered(ctx context.Context, ref config.ServiceRef) (bool, error) {
	r.mu.Lock()
	known, cached := r.cache[ref]
	r.mu.Unlock()
	believed := rivalEvery
	if known.err != nil {
		believed = rivalRetry
	}
	if cached && time.Since(known.asked) < believed {
		return known.registered, known.err
	}
	now := rivalry{asked: time.Now()}
	now.registered, now.err = r.ask(ctx, ref)
	if now.err != nil { // what was known holds until the answer is another
		now.registered = known.registered
	}
	if ctx.Err() == nil {
		r.mu.Lock()
		r.cache[ref] = now
		r.mu.Unlock()
	}
	return now.registered, now.err
}

func (r *Rivals) ask(ctx context.Context, ref config.ServiceRef) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	id := "service/" + lastPart(ref.Cluster) + "/" + lastPart(ref.Service)
	out, err := r.client.DescribeScalableTargets(ctx, &applicationautoscaling.DescribeScalableTargetsInput{
		ServiceNamespace: types.ServiceNamespaceEcs, ResourceIds: []string{id},
		ScalableDimension: types.ScalableDimensionECSServiceDesiredCount,
	})
	if err != nil {
		return false, fmt.Errorf("read whether Application Auto Scaling controls %s: %w", id, awsclient.Explain(err, "application-autoscaling:DescribeScalableTargets"))
	}
	for _, target := range out.ScalableTargets {
		if aws.ToString(target.ResourceId) == id && !suspended(target.SuspendedState) {
			return true, nil
		}
	}
	return false, nil
}

// suspended says that every kind of scaling is: then the target is only a
// name.
func suspended(s *types.SuspendedState) bool {
	return s != nil && aws.ToBool(s.DynamicScalingInSuspended) && aws.ToBool(s.DynamicScalingOutSuspended) && aws.ToBool(s.ScheduledScalingSuspended)
}

// lastPart is the name in an ARN, or the name itself.
func lastPart(name string) string { return name[strings.LastIndex(name, "/")+1:] }
