package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/time/rate"

	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/message"
)

// sendCommand puts messages on a queue.
type sendCommand struct {
	channelFlags
	letterFlags
	Tenant string  `placeholder:"NAME" help:"The message group: with several on a queue, SQS sees that none holds up the others (fair queues)."`
	Count  int     `default:"1" help:"How many."`
	Rate   float64 `placeholder:"N" help:"At most so many a second; 0: as fast as it goes."`
	DryRun bool    `help:"Print the messages, and send nothing."`
}

// What SQS takes in one batch.
const (
	sendBatch      = 10
	sendBatchBytes = 1 << 20
)

func (c sendCommand) Run(ctx context.Context, streams cli.Streams) error {
	if _, _, err := c.wanted(); err != nil {
		return err
	}
	channel, err := c.channel(c.WorkerType)
	if err != nil {
		return err
	}
	queue, err := c.check(channel)
	if err != nil {
		return err
	}
	if unused := c.unused(channel); len(unused) > 0 {
		_, _ = fmt.Fprintf(streams.Err, "not used, for this is of channel %s: %s\n", channel, strings.Join(unused, ", "))
	}
	size, err := c.batchSize(channel)
	if err != nil {
		return err
	}
	var client *sqs.Client
	if !c.DryRun {
		config, err := awsclient.Load(ctx)
		if err != nil {
			return usage(err)
		}
		client = sqs.NewFromConfig(config)
	}
	began := time.Now()
	if err := c.sendAll(ctx, client, channel, queue, size, streams); err != nil {
		return err
	}
	if !c.DryRun {
		_, _ = fmt.Fprintf(streams.Out, "sent %d message(s) in %s\n", c.Count, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// check returns the queue to send to: a comma list's first.
func (c sendCommand) check(channel message.Channel) (queue string, err error) {
	if err := c.addressed(channel); err != nil {
		return "", err
	}
	queues, err := queuesOf(channel, c.urls(channel))
	switch {
	case err != nil:
		return "", err
	case c.Count < 1:
		return "", cli.Usagef("--count is %d; send at least 1", c.Count)
	case c.Rate < 0:
		return "", cli.Usagef("--rate is %g; it is a number of messages a second", c.Rate)
	case c.ID != "" && c.Count > 1:
		return "", cli.Usagef("--id names one message, and --count is %d: leave --id out, and each gets its own", c.Count)
	case len(queues) == 0 && c.DryRun:
		return "", nil
	case len(queues) == 0:
		return "", cli.Usagef("%s is not set: name the queue with it or with --%s-queue-url", queueVariable(channel), channel)
	}
	return queues[0].URL, nil
}

// batchSize is how many of these messages SQS takes at once. It also holds the
// first message to what the worker takes, before anything is sent.
func (c sendCommand) batchSize(channel message.Channel) (int, error) {
	const numbers = 64 // more digits than the {n} of the last can need
	first, err := c.bodies(channel, 0, 1)
	if err != nil {
		return 0, err
	}
	return max(1, min(sendBatch, sendBatchBytes/(len(first[0])+numbers))), nil
}

func (c sendCommand) sendAll(ctx context.Context, client *sqs.Client, channel message.Channel, queue string, batch int, streams cli.Streams) error {
	limiter := rate.NewLimiter(rate.Inf, batch)
	if c.Rate > 0 {
		limiter.SetLimit(rate.Limit(c.Rate))
	}
	for sent := 0; sent < c.Count; {
		size := min(batch, c.Count-sent)
		if err := limiter.WaitN(ctx, size); err != nil {
			return fmt.Errorf("send, %d of %d sent: %w", sent, c.Count, err)
		}
		bodies, err := c.bodies(channel, sent, size)
		if err != nil {
			return err
		}
		if err := c.deliver(ctx, client, queue, bodies, streams); err != nil {
			return fmt.Errorf("send to %s, %d of %d sent: %w", queue, sent, c.Count, err)
		}
		sent += size
	}
	return nil
}

// bodies are the messages from number first on, checked as the worker will.
func (c sendCommand) bodies(channel message.Channel, first, size int) ([]string, error) {
	bodies := make([]string, size)
	for i := range bodies {
		body, err := message.Encode(c.message(channel, first+i+1))
		if err != nil {
			return nil, err
		}
		if _, err := message.Parse(body, "", "unsent", channel); err != nil {
			return nil, cli.Usagef("the worker would refuse this message: %w", err)
		}
		bodies[i] = string(body)
	}
	return bodies, nil
}

func (c sendCommand) deliver(ctx context.Context, client *sqs.Client, queue string, bodies []string, streams cli.Streams) error {
	if c.DryRun {
		for _, body := range bodies {
			_, _ = fmt.Fprintln(streams.Out, body)
		}
		return nil
	}
	entries := make([]types.SendMessageBatchRequestEntry, len(bodies))
	for i, body := range bodies {
		entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body)}
		if c.Tenant != "" {
			entries[i].MessageGroupId = aws.String(c.Tenant)
		}
	}
	answer, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &queue, Entries: entries})
	if err != nil {
		return err
	}
	if len(answer.Failed) > 0 {
		return fmt.Errorf("%d of a batch were refused: %s", len(answer.Failed), aws.ToString(answer.Failed[0].Message))
	}
	return nil
}

// schemaCommand prints what producers may put on the queues.
type schemaCommand struct{}

// Run prints the JSON Schema.
func (schemaCommand) Run(streams cli.Streams) error {
	_, err := fmt.Fprintln(streams.Out, string(message.Schema()))
	return err
}
