package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/processor"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/twilio"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
	"github.com/novaura/acs-operator/internal/version"
)

// runCommand processes the queues.
type runCommand struct {
	open.Flags
	twilioFlags
	serviceFlags
	WorkerType  string        `env:"WORKER_TYPE" default:"all" help:"Which channels: all, or a comma list of sms, email, push."`
	SMSQueueURL string        `env:"SMS_QUEUE_URL" name:"sms-queue-url" help:"The queue of texts."`
	Concurrency int           `env:"WORKER_CONCURRENCY" default:"0" help:"Messages of one queue worked on at once; 0: as many as pay, found by trying."`
	StopTimeout time.Duration `env:"WORKER_STOP_TIMEOUT" default:"30s" help:"From SIGTERM to SIGKILL: the task definition's stopTimeout."`
	UntilEmpty  bool          `help:"Stop when the queues are empty."`
	timing
	KeepBodies bool `env:"HISTORY_BODIES" name:"history-bodies" help:"Keep the bodies of what is sent in the history; otherwise only their hashes are kept."`
}

// twilioFlags are the settings of texts.
type twilioFlags struct {
	AccountSID          string        `env:"TWILIO_ACCOUNT_SID" name:"twilio-account-sid" help:"Twilio's account."`
	AuthToken           redact.Secret `env:"TWILIO_AUTH_TOKEN" name:"twilio-auth-token" help:"Its token."`
	FromNumber          string        `env:"TWILIO_FROM_NUMBER" name:"twilio-from-number" help:"The sender of messages that name none."`
	MessagingServiceSID string        `env:"TWILIO_MESSAGING_SERVICE_SID" name:"twilio-messaging-service-sid" help:"Or a messaging service, which picks the sender."`
	BaseURL             string        `env:"TWILIO_BASE_URL" name:"twilio-base-url" default:"https://api.twilio.com" help:"Where Twilio's API is."`
	StatusCallbackURL   string        `env:"TWILIO_STATUS_CALLBACK_URL" name:"twilio-status-callback-url" help:"Where Twilio reports deliveries; our own id goes in its query as acs_id, which settles what is in doubt."`
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
	queues, err := c.queues()
	if err != nil {
		return err
	}
	senders, err := c.senders(logger)
	if err != nil {
		return err
	}
	aws, err := awsclient.Load(ctx)
	if err != nil {
		return usage(err)
	}
	db, err := c.Ready(ctx, logger)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = db.Close() }()
	handler := processor.New(processor.Options{
		Store: claims(store.Grouped(db)), Senders: senders, Owner: owner(), Lease: c.Lease, ProviderTimeout: c.ProviderTimeout, Logger: logger,
		ProviderSettles: c.ProviderSettles,
		KeepBodies:      c.KeepBodies,
	})
	logger.Info("worker started", "worker_type", c.WorkerType, "queues", len(queues), "concurrency", c.Concurrency, "version", version.String())
	checkStop(logger, c.StopTimeout, c.ProviderTimeout)
	return c.consume(ctx, handler, &services{
		serviceFlags: c.serviceFlags, db: db, sqs: sqs.NewFromConfig(aws), queues: queues, out: streams.Out, logger: logger,
	})
}

// drainOf is what a drain may take of the time until SIGKILL: a sixth is left
// for what comes after it.
func drainOf(stopTimeout time.Duration) time.Duration { return stopTimeout * 5 / 6 }

// consume runs one consumer a queue and returns when all have drained.
func (c runCommand) consume(ctx context.Context, handler consumer.Handler, beside *services) error {
	for _, queue := range beside.queues {
		beside.consumers = append(beside.consumers, consumer.New(consumer.Options{
			SQS: beside.sqs, Handler: handler, Queue: queue, Slots: c.Concurrency, StopTimeout: drainOf(c.StopTimeout),
			UntilEmpty: c.UntilEmpty, Logger: beside.logger, Ready: beside.db.Ready, VisibilityTimeout: c.Visibility,
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

// queues are those of the channels that are on: a queue URL is set, and
// WORKER_TYPE names the channel.
func (c runCommand) queues() ([]consumer.Queue, error) {
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(c.WorkerType, ",") {
		name = strings.TrimSpace(name)
		switch name {
		case "all", string(message.SMS):
			wanted[name] = true
		case string(message.Email), string(message.Push):
			return nil, cli.Usagef("WORKER_TYPE names %s, which this version does not send yet; it sends sms", name)
		default:
			return nil, cli.Usagef("WORKER_TYPE is %q; write all, or a comma list of sms, email and push", c.WorkerType)
		}
	}
	if c.SMSQueueURL == "" {
		return nil, cli.Usagef("SMS_QUEUE_URL is not set: name the queue to process")
	}
	if strings.HasSuffix(c.SMSQueueURL, ".fifo") {
		return nil, cli.Usagef("SMS_QUEUE_URL names a FIFO queue: use a standard one, since a failed message of a FIFO queue holds back its whole group")
	}
	name := c.SMSQueueURL[strings.LastIndexByte(c.SMSQueueURL, '/')+1:]
	return []consumer.Queue{{Name: name, URL: c.SMSQueueURL, Channel: string(message.SMS)}}, nil
}

// senders are those that are configured. A channel without one still records
// what comes in; only one that WORKER_TYPE names must have it.
func (c runCommand) senders(logger *slog.Logger) (map[message.Channel]provider.Sender, error) {
	senders := map[message.Channel]provider.Sender{}
	missing := c.missing()
	if missing == "" {
		client, err := twilio.New(twilio.Config{
			AccountSID: c.AccountSID, AuthToken: c.AuthToken, From: c.FromNumber,
			MessagingServiceSID: c.MessagingServiceSID, BaseURL: c.BaseURL, Timeout: c.ProviderTimeout,
			StatusCallbackURL: c.StatusCallbackURL,
		})
		if err != nil {
			return nil, &cli.UsageError{Err: err}
		}
		senders[message.SMS] = client
		return senders, nil
	}
	if strings.Contains(c.WorkerType, string(message.SMS)) {
		return nil, cli.Usagef("%s is not set, and WORKER_TYPE names sms: texts cannot be sent without it", missing)
	}
	logger.Warn("texts are not sent, only recorded", "channel", message.SMS, "condition", "SenderConfigured=False", "variable", missing)
	return senders, nil
}

// missing names the first variable that sending needs and that is not set.
func (f twilioFlags) missing() string {
	switch {
	case f.AccountSID == "":
		return "TWILIO_ACCOUNT_SID"
	case f.AuthToken == "":
		return "TWILIO_AUTH_TOKEN"
	case f.FromNumber == "" && f.MessagingServiceSID == "":
		return "TWILIO_FROM_NUMBER or TWILIO_MESSAGING_SERVICE_SID"
	default:
		return ""
	}
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
