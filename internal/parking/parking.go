// Package parking puts parked messages back on their queues when they are due,
// so that what is ready to be worked on is on a queue, where the controller
// counts it and any worker finds it.
//
// A copy carries the key of its message, so that a carrier that dies between
// the queue and the store leaves one copy too many and no effect too many.
//
// It imports the SQS client and store. Start with Carrier.Run.
package parking

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/internal/store"
)

// Key is the message attribute that carries a copy's idempotency key.
const Key = "acs_id"

// sender is what a Carrier needs of SQS.
type sender interface {
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// Carrier carries what is due. Many may share a store: each message goes to
// one of them at a time.
type Carrier struct {
	Store  store.Parking
	SQS    sender
	Queues map[string]string // URLs by name
	Logger *slog.Logger
	// Every is the time between two looks at what is due; 0: 5 s, jittered.
	Every time.Duration
}

const (
	lease     = time.Minute // to put a batch back and say so
	batchSize = 10          // entries of one call
	batchMost = 256 << 10   // bytes of one call
	callBound = 15 * time.Second
)

// Run carries until ctx ends, and then finishes the batch in hand.
func (c *Carrier) Run(ctx context.Context) {
	every := c.Every
	if every <= 0 {
		every = 5 * time.Second
	}
	for {
		carried, err := c.Carry(context.WithoutCancel(ctx))
		wait := every/2 + rand.N(every) //nolint:gosec // jitter
		switch {
		case err != nil && ctx.Err() == nil:
			c.Logger.WarnContext(ctx, "cannot put parked messages back on their queues yet", "error", err)
			wait += every
		case carried == batchSize:
			wait = 0 // there may be more
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// Carry puts up to ten due messages back, and returns how many.
func (c *Carrier) Carry(ctx context.Context) (carried int, err error) {
	ctx, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	names := make([]string, 0, len(c.Queues))
	for name := range c.Queues {
		names = append(names, name)
	}
	due, err := c.Store.LeaseDue(ctx, names, lease, batchSize)
	if err != nil {
		return 0, err
	}
	var failed error // of one queue or message, which is in no other's way
	for _, batch := range batches(due) {
		accepted, err := c.send(ctx, batch, true)
		if err != nil && len(batch) == 1 && tooLong(err) && named(batch[0]) {
			accepted, err = c.send(ctx, batch, false)
		}
		if len(accepted) > 0 {
			if err := c.Store.Unpark(ctx, accepted); err != nil {
				return carried, errors.Join(failed, err)
			}
		}
		failed = errors.Join(failed, err)
		carried += len(accepted)
	}
	return carried, failed
}

// tooLong says that the queue refused a copy for its size: a body that filled its
// message to the limit has no room for the key.
func tooLong(err error) bool {
	refused := smithy.APIError(nil)
	return errors.As(err, &refused) && (strings.HasSuffix(refused.ErrorCode(), "BatchRequestTooLong") ||
		strings.HasPrefix(refused.ErrorCode(), "InvalidParameterValue"))
}

// named says that the body itself has the key.
func named(d store.Due) bool {
	var body struct {
		ID string `json:"id"`
	}
	return json.Unmarshal([]byte(d.Body.Reveal()), &body) == nil && body.ID == d.ID
}

// batches splits what is due by queue and by the size of a call.
func batches(due []store.Due) (all [][]store.Due) {
	open := map[string]int{} // queue → index of the batch that takes more
	size := map[string]int{}
	for _, d := range due {
		i, ok := open[d.Queue]
		if bytes := len(d.Body.Reveal()); !ok || size[d.Queue]+bytes > batchMost {
			i, size[d.Queue] = len(all), 0
			open[d.Queue], all = i, append(all, nil)
		}
		all[i] = append(all[i], d)
		size[d.Queue] += len(d.Body.Reveal())
	}
	return all
}

// send sends copies, with their keys or without, and returns those that the queue
// took.
func (c *Carrier) send(ctx context.Context, batch []store.Due, keyed bool) (accepted []store.Due, err error) {
	in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(c.Queues[batch[0].Queue])}
	for i, d := range batch {
		entry := types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(d.Body.Reveal()),
		}
		if keyed {
			entry.MessageAttributes = map[string]types.MessageAttributeValue{Key: {DataType: aws.String("String"), StringValue: aws.String(d.ID)}}
		}
		if d.GroupID != "" {
			entry.MessageGroupId = aws.String(d.GroupID)
		}
		in.Entries = append(in.Entries, entry)
	}
	out, err := c.SQS.SendMessageBatch(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("send to %s: %w", batch[0].Queue, err)
	}
	for _, ok := range out.Successful {
		if i, err := strconv.Atoi(aws.ToString(ok.Id)); err == nil && i >= 0 && i < len(batch) {
			accepted = append(accepted, batch[i])
		}
	}
	if len(out.Failed) > 0 {
		err = fmt.Errorf("send to %s: %d refused: %s", batch[0].Queue, len(out.Failed), aws.ToString(out.Failed[0].Code))
	}
	return accepted, err
}
