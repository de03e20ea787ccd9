package cloud

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"

	"github.com/novaura/acs-operator/config"
)

// targets is an account's scalable targets.
type targets struct {
	found []types.ScalableTarget
	err   error
	asked []string
}

func (a *targets) DescribeScalableTargets(_ context.Context, in *applicationautoscaling.DescribeScalableTargetsInput, _ ...func(*applicationautoscaling.Options)) (*applicationautoscaling.DescribeScalableTargetsOutput, error) {
	a.asked = append(a.asked, in.ResourceIds...)
	return &applicationautoscaling.DescribeScalableTargetsOutput{ScalableTargets: a.found}, a.err
}

func TestAServiceIsARivalsWhileItsTargetScales(t *testing.T) {
	t.Parallel()
	ref := config.ServiceRef{Cluster: "arn:aws:ecs:us-east-1:123456789012:cluster/c", Service: "s"}
	target := func(state *types.SuspendedState) []types.ScalableTarget {
		return []types.ScalableTarget{{ResourceId: aws.String("service/c/s"), SuspendedState: state}}
	}
	yes := aws.Bool(true)
	for name, tc := range map[string]struct {
		found []types.ScalableTarget
		want  bool
	}{
		"nothing is registered": {nil, false},
		"it is registered":      {target(nil), true},
		"some of it is suspended": {
			target(&types.SuspendedState{DynamicScalingInSuspended: yes}), true,
		},
		"all of it is suspended": {
			target(&types.SuspendedState{DynamicScalingInSuspended: yes, DynamicScalingOutSuspended: yes, ScheduledScalingSuspended: yes}), false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			account := &targets{found: tc.found}
			got, err := NewRivals(account).Registered(t.Context(), ref)
			if err != nil || got != tc.want || account.asked[0] != "service/c/s" {
				t.Errorf("got %v and error %v, want %v; asked for %v", got, err, tc.want, account.asked)
			}
		})
	}
}

func TestARivalIsAskedForOnceInFiveMinutesAndOnceAMinuteWithoutAnAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want int // calls in eleven minutes
	}{
		"an answer": {nil, 3},
		"none":      {errors.New("unknown operation"), 11},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				account := &targets{err: tc.err}
				rivals := NewRivals(account)
				for range 11 {
					if _, err := rivals.Registered(t.Context(), config.ServiceRef{Cluster: "c", Service: "s"}); (err == nil) != (tc.err == nil) {
						t.Errorf("error %v, want %v", err, tc.err)
					}
					time.Sleep(time.Minute)
				}
				if len(account.asked) != tc.want {
					t.Errorf("asked %d times in eleven minutes, want %d", len(account.asked), tc.want)
				}
			})
		})
	}
}

func TestAKnownRivalStaysOneWhileNothingIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account := &targets{found: []types.ScalableTarget{{ResourceId: aws.String("service/c/s")}}}
		rivals, ref := NewRivals(account), config.ServiceRef{Cluster: "c", Service: "s"}
		if registered, err := rivals.Registered(t.Context(), ref); !registered || err != nil {
			t.Fatalf("registered %v, %v", registered, err)
		}
		account.found, account.err = nil, errors.New("throttled")
		for range 3 {
			time.Sleep(rivalEvery)
			if registered, err := rivals.Registered(t.Context(), ref); !registered || err == nil {
				t.Errorf("registered %v and error %v, want the last answer and the error", registered, err)
			}
		}
		account.err = nil
		time.Sleep(rivalEvery)
		if registered, err := rivals.Registered(t.Context(), ref); registered || err != nil {
			t.Errorf("registered %v, %v after it was deregistered", registered, err)
		}
	})
}
