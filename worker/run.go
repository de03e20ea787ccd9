package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/processor"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
	"github.com/novaura/acs-operator/internal/version"
)

// runCommand processes the queues.
type runCommand struct {
	open.Flags
	channelFlags
	senderFlags
	workerPolicyFlag
	serviceFlags
	Concurrency int           `env:"WORKER_CONCURRENCY" default:"0" help:"Messages of one queue worked on at once; 0: as many as pay, found by trying."`
	StopTimeout time.Duration `env:"WORKER_STOP_TIMEOUT" default:"30s" help:"From SIGTERM to SIGKILL: the task definition's stopTimeout."`
	UntilEmpty  bool          `help:"Stop when the queues are empty."`
	timing
	historyFlags
	PruneEvery time.Duration `env:"WORKER_PRUNE_EVERY" default:"24h" help:"How often one of all workers erases addresses and deletes rows that are too old; 0: never."`
	KeepBodies bool          `env:"HISTORY_BODIES" name:"history-bodies" help:"Keep the bodies of what is sent in the history; otherwise only their hashes are kept."`
}

// timing bounds one send: a provider call is shorter than half a lease, so
// that a lapsed lease means a dead owner.
type timing struct {
	Lease           time.Duration `env:"WORKER_LEASE" name:"lease" default:"60s" help:"How long a claim holds; at least twice the provider's times."`
	ProviderTimeout time.Duration `env:"WORKER_PROVIDER_TIMEOUT" name:"provider-timeout" default:"28s" help:"How long one send may take; Twilio may take 26s to give up."`
	ProviderSettles time.Duration `env:"WORKER_PROVIDER_SETTLES" name:"provider-settles" default:"30s" help:"How long a provider may go on with a send that was given up; nobody asks it before."`
	Visibility      time.Duration `env:"WORKER_VISIBILITY_TIMEOUT" name:"visibility-timeout" default:"60s" help:"How long a message of a worker that died stays hidden."`
}

func (c runCommand) Run(ctx context.Context, streams cli.Streams) error {
	logger := cli.NewLogger(streams.Err)
	queues, named, err := c.queues()
	if err != nil {
		return err
	}
	if err := c.checkNamed(named); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	aws, err := awsclient.Load(ctx)
	if err != nil {
		return usage(err)
	}
	on := map[message.Channel]bool{}
	for _, queue := range queues {
		on[message.Channel(queue.Channel)] = true
	}
	senders, err := c.senders(ctx, aws, on, c.ProviderTimeout, logger)
	if err != nil {
		return err
	}
	webhooks, err := c.webhooks(aws)
	if err != nil {
		return err
	}
	policy, err := c.follow(ctx, logger)
	if err != nil {
		return err
	}
	db, err := c.Ready(ctx, logger)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = db.Close() }()
	self := owner()
	handler := processor.New(processor.Options{
		Store: claims(store.Grouped(db)), Senders: senders, Rules: policy.rules, Owner: self, Lease: c.Lease, ProviderTimeout: c.ProviderTimeout, Logger: logger,
		ProviderSettles: c.ProviderSettles, Webhooks: webhooks,
		KeepBodies: c.KeepBodies,
	})
	logger.Info("worker started", "worker_type", c.WorkerType, "queues", len(queues), "concurrency", c.Concurrency, "version", version.String())
	checkStop(logger, c.StopTimeout, c.ProviderTimeout)
	return c.consume(ctx, handler, &services{
		serviceFlags: c.serviceFlags, db: db, handler: handler, problems: func() []string { return slices.Concat(handler.Unclaimable(), handler.Refusals()) }, sqs: sqs.NewFromConfig(aws), queues: queues, out: streams.Out, logger: logger,
		upkeep:   upkeep{historyFlags: c.historyFlags, every: c.PruneEvery, retention: policy.retention, db: db, owner: self, logger: logger},
		reporter: reporter{owner: self, handler: handler, policyHash: policy.hash, db: db, logger: logger},
	})
}

// drainOf is what a drain may take of the time until SIGKILL: a sixth is left
// for what comes after it.
func drainOf(stopTimeout time.Duration) time.Duration { return stopTimeout * 5 / 6 }

// consume runs one consumer a queue and returns when all have drained.
func (c runCommand) consume(ctx context.Context, handler *processor.Processor, beside *services) error {
	ready := func(ctx context.Context) error {
		if err := beside.db.Ready(ctx); err != nil {
			return err
		}
		if err := beside.db.Writable(ctx); err != nil {
			return err
		}
		return handler.Unclaim(ctx)
	}
	for _, queue := range beside.queues {
		beside.consumers = append(beside.consumers, consumer.New(consumer.Options{
			SQS: beside.sqs, Handler: handler, Queue: queue, Slots: c.Concurrency, StopTimeout: drainOf(c.StopTimeout),
			Keep: beside.keep, UntilEmpty: c.UntilEmpty, Logger: beside.logger,
			Ready: func(ctx context.Context) error {
				err := ready(ctx)
				if err != nil {
					handler.Unwritable(queue.Name, err)
				}
				return err
			},
			VisibilityTimeout: c.Visibility,
			Admit:             func(n int) (int, time.Duration) { return handler.Admit(queue, n) },
		}))
	}
	working, end := context.WithCancel(ctx)
	defer end()
	stop, err := beside.start(working)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	errs := make([]error, len(beside.consumers))
	for i, one := range beside.consumers {
		running.Go(func() { errs[i] = one.Run(working) })
	}
	running.Wait()
	end()
	stop()
	beside.logger.Info("worker stopped")
	return errors.Join(errs...)
}

// usage tells a setting that is wrong from a database that does not answer.
func usage(err error) error {
	if errors.Is(err, open.ErrSetting) || errors.Is(err, awsclient.ErrNoRegion) {
		return &cli.UsageError{Err: err}
	}
	return err
}

// owner names this process in claims: unique, and findable by a person.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), strings.ToLower(rand.Text()[:8]))
}
