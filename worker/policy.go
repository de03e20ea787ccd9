package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

// deliveryPolicy is the DeliveryPolicy that holds now.
type deliveryPolicy struct {
	current atomic.Pointer[config.DeliveryPolicy]
	source  string // empty: nobody wrote one
}

// rules are what it says of a channel.
func (d *deliveryPolicy) rules(channel message.Channel) config.ChannelSpec {
	return d.current.Load().Spec.Channels.Of(string(channel))
}

func (d *deliveryPolicy) retention() time.Duration { return d.current.Load().Spec.Retention }

// hash identifies it among all that workers follow; empty: the defaults.
func (d *deliveryPolicy) hash() string {
	if d.source == "" {
		return ""
	}
	spec, err := json.Marshal(d.current.Load().Spec)
	if err != nil { // plain data
		return "unknown"
	}
	sum := sha256.Sum256(spec)
	return hex.EncodeToString(sum[:8])
}

// follow reads the DeliveryPolicy, and follows its changes until ctx ends. A
// first version that is wrong is an error; a later one leaves what runs.
func (f workerPolicyFlag) follow(ctx context.Context, logger *slog.Logger) (*deliveryPolicy, error) {
	followed := &deliveryPolicy{source: f.Policy}
	followed.current.Store(config.DefaultDeliveryPolicy())
	if f.Policy == "" {
		return followed, nil
	}
	src, err := source.Open(f.Policy)
	if err != nil {
		return nil, &cli.UsageError{Err: err}
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
			followed.current.Store(policy)
			report.accept(ctx, policy)
		case started.Load():
			report.refuse(ctx, followed.current.Load(), err)
		}
	})
	started.Store(true)
	if first != nil {
		return nil, cli.Usagef("the policy of WORKER_POLICY is not valid:\n%w", first)
	}
	return followed, nil
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
