package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/config/source"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/message"
)

// workerPolicyFlag is where the DeliveryPolicy is.
type workerPolicyFlag struct {
	Policy string `env:"WORKER_POLICY" placeholder:"SOURCE" help:"Where the DeliveryPolicy is: a file, a folder, s3://BUCKET/KEY or ssm:///NAME; none: its defaults."`
}

// rules are what the DeliveryPolicy says of a channel now.
type rules func(message.Channel) config.ChannelSpec

// follow reads the DeliveryPolicy, and follows its changes until ctx ends. A
// first version that is wrong is an error; a later one leaves what runs.
func (f workerPolicyFlag) follow(ctx context.Context, logger *slog.Logger) (of rules, retention func() time.Duration, err error) {
	current := &atomic.Pointer[config.DeliveryPolicy]{}
	current.Store(config.DefaultDeliveryPolicy())
	of = func(channel message.Channel) config.ChannelSpec {
		return current.Load().Spec.Channels.Of(string(channel))
	}
	retention = func() time.Duration { return current.Load().Spec.Retention }
	if f.Policy == "" {
		return of, retention, nil
	}
	src, err := source.Open(f.Policy)
	if err != nil {
		return nil, nil, &cli.UsageError{Err: err}
	}
	var first error
	var started atomic.Bool
	report := &acceptance{source: f.Policy, logger: logger}
	source.Follow(ctx, src, func(update source.Update) {
		policy, err := deliveryOf(update)
		if !started.Load() {
			first = err
		}
		switch {
		case err == nil:
			current.Store(policy)
			report.accept(ctx, policy)
		case started.Load():
			report.refuse(ctx, current.Load(), err)
		}
	})
	started.Store(true)
	if first != nil {
		return nil, nil, cli.Usagef("the policy of WORKER_POLICY is not valid:\n%w", first)
	}
	return of, retention, nil
}

// deliveryOf is the one DeliveryPolicy of a source.
func deliveryOf(update source.Update) (*config.DeliveryPolicy, error) {
	if update.Err != nil {
		return nil, update.Err
	}
	if n := len(update.Policies.Delivery); n != 1 {
		return nil, fmt.Errorf("the source holds %d DeliveryPolicies; the worker follows exactly one", n)
	}
	return update.Policies.Delivery[0], nil
}

// retention is how long the DeliveryPolicy has addresses kept.
func (f workerPolicyFlag) retention(ctx context.Context) (time.Duration, error) {
	if f.Policy == "" {
		return config.DefaultDeliveryPolicy().Spec.Retention, nil
	}
	src, err := source.Open(f.Policy)
	if err != nil {
		return 0, &cli.UsageError{Err: err}
	}
	files, err := source.Read(ctx, src)
	if err != nil {
		return 0, err
	}
	policies, err := config.Parse(files...)
	if err != nil {
		return 0, cli.Usagef("the policy of WORKER_POLICY is not valid:\n%w", err)
	}
	policy, err := deliveryOf(source.Update{Policies: policies})
	if err != nil {
		return 0, err
	}
	return policy.Spec.Retention, nil
}
