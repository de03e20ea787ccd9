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
	"github.com/oklog/ulid/v2"
	"golang.org/x/time/rate"

	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
)

// sendCommand puts messages on a queue.
type sendCommand struct {
	SMSQueueURL string            `env:"SMS_QUEUE_URL" name:"sms-queue-url" help:"The queue of texts."`
	Channel     string            `enum:"sms" default:"sms" help:"The channel."`
	MessageType string            `enum:"message_send,message_received" default:"message_send" help:"The type: ${enum}."`
	ID          string            `help:"The idempotency key; made up when absent."`
	FromNumber  redact.Personal   `help:"The sender, E.164; the worker's own when absent."`
	ToNumber    redact.Personal   `required:"" help:"The recipient, E.164."`
	Body        redact.Personal   `required:"" help:"The text; {n} becomes the number of the message."`
	Priority    string            `enum:"transactional,marketing" default:"transactional" help:"The priority: ${enum}."`
	Metadata    map[string]string `placeholder:"KEY=VALUE" help:"Kept with the message."`
	Count       int               `default:"1" help:"How many."`
	Rate        float64           `placeholder:"N" help:"At most so many a second; 0: as fast as it goes."`
	DryRun      bool              `help:"Print the messages, and send nothing."`
}

const sendBatch = 10

func (c sendCommand) Run(ctx context.Context, streams cli.Streams) error {
	if err := c.check(); err != nil {
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
	limiter := rate.NewLimiter(rate.Inf, sendBatch)
	if c.Rate > 0 {
		limiter.SetLimit(rate.Limit(c.Rate))
	}
	for sent := 0; sent < c.Count; {
		size := min(sendBatch, c.Count-sent)
		if err := limiter.WaitN(ctx, size); err != nil {
			return fmt.Errorf("send, %d of %d sent: %w", sent, c.Count, err)
		}
		bodies, err := c.bodies(sent, size)
		if err != nil {
			return err
		}
		if err := c.deliver(ctx, client, bodies, streams); err != nil {
			return fmt.Errorf("send, %d of %d sent: %w", sent, c.Count, err)
		}
		sent += size
	}
	if !c.DryRun {
		_, _ = fmt.Fprintf(streams.Out, "sent %d message(s) in %s\n", c.Count, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

func (c sendCommand) check() error {
	switch {
	case c.Count < 1:
		return cli.Usagef("--count is %d; send at least 1", c.Count)
	case c.Rate < 0:
		return cli.Usagef("--rate is %g; it is a number of messages a second", c.Rate)
	case c.ID != "" && c.Count > 1:
		return cli.Usagef("--id names one message, and --count is %d: leave --id out, and each gets its own", c.Count)
	case c.SMSQueueURL == "" && !c.DryRun:
		return cli.Usagef("SMS_QUEUE_URL is not set: name the queue with it or with --sms-queue-url")
	default:
		return nil
	}
}

// bodies are the messages from number first on, checked as the worker will.
func (c sendCommand) bodies(first, size int) ([]string, error) {
	bodies := make([]string, size)
	for i := range bodies {
		body, err := message.Encode(c.message(first + i + 1))
		if err != nil {
			return nil, err
		}
		if _, err := message.Parse(body, "", "unsent", message.Channel(c.Channel)); err != nil {
			return nil, cli.Usagef("the worker would refuse this message: %w", err)
		}
		bodies[i] = string(body)
	}
	return bodies, nil
}

func (c sendCommand) message(number int) *message.Message {
	id := c.ID
	if id == "" {
		id = ulid.Make().String()
	}
	return &message.Message{
		ID: id, Channel: message.Channel(c.Channel), Type: message.Type(c.MessageType), From: c.FromNumber, To: c.ToNumber,
		Body: numbered(c.Body, number), Priority: message.Priority(c.Priority), Metadata: c.Metadata,
	}
}

func (c sendCommand) deliver(ctx context.Context, client *sqs.Client, bodies []string, streams cli.Streams) error {
	if c.DryRun {
		for _, body := range bodies {
			_, _ = fmt.Fprintln(streams.Out, body)
		}
		return nil
	}
	entries := make([]types.SendMessageBatchRequestEntry, len(bodies))
	for i, body := range bodies {
		entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body)}
	}
	answer, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &c.SMSQueueURL, Entries: entries})
	if err != nil {
		return err
	}
	if len(answer.Failed) > 0 {
		return fmt.Errorf("%d of a batch were refused: %s", len(answer.Failed), aws.ToString(answer.Failed[0].Message))
	}
	return nil
}

// numbered puts the message's number where the body says {n}.
func numbered(body redact.Personal, number int) redact.Personal {
	return redact.Personal(strings.ReplaceAll(body.Reveal(), "{n}", strconv.Itoa(number)))
}

// schemaCommand prints what producers may put on the queues.
type schemaCommand struct{}

// Run prints the JSON Schema.
func (schemaCommand) Run(streams cli.Streams) error {
	_, err := fmt.Fprintln(streams.Out, string(message.Schema()))
	return err
}
