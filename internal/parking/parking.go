// Package parking puts parked messages back on their queues when they are due,
// so that what is ready to be worked on is on a queue, where the controller
// counts it and any worker finds it.
//
// A copy carries the key of its message, so that a carrier that dies between
// the queue and the store leaves one copy too many and no effect too many.
//
// A message that has no room for its key stays in its row, and what goes to the
// queue points there (attribute.Pointer).
//
// It imports the SQS client, attribute and store. Start with Carrier.Run.
package parking

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/store"
)

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
	var looked time.Time
	for {
		if time.Since(looked) > lookEvery {
			looked = time.Now()
			c.warn(ctx)
		}
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

// lookEvery is the time between two looks for what nobody carries.
const lookEvery = 10 * time.Minute

// warn tells of messages that no worker carries back.
func (c *Carrier) warn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	strays, err := Strays(ctx, c.Store, c.Queues)
	if err != nil {
		return // Carry says so
	}
	for queue, n := range strays {
		c.Logger.WarnContext(ctx, "messages have been due for over an hour, and no worker carries them back to their queue", "queue", queue, "messages", n)
	}
}

// Strays counts, by queue, the messages that have been due for over an hour on other
// queues than these: no worker names those any more, or none of theirs runs.
func Strays(ctx context.Context, db store.Parking, queues map[string]string) (map[string]int, error) {
	const overdue = time.Hour
	strays, err := db.CountDue(ctx, -overdue)
	for name := range queues {
		delete(strays, name)
	}
	return strays, err
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
	copies, failed := copiesOf(due) // one that fails is in no other's way
	for _, batch := range batches(copies) {
		accepted, err := c.put(ctx, batch)
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

// letter is a copy on its way.
type letter struct {
	store.Due

	kept       attribute.Set // what its message came with
	attributes attribute.Set // what it carries
	body       string
}

// smaller is the letter for a queue that has no room for it: as its message came,
// where that names its key itself, and else a pointer to its row.
func (l letter) smaller() letter {
	same, named := l.kept.AsItCame(l.ID, l.body)
	if _, keyed := l.attributes[attribute.Key]; named && keyed && !l.Points {
		l.attributes = same
		return l
	}
	l.attributes, l.body, l.Points = attribute.Set{attribute.Key: attribute.Text(l.ID)}, attribute.Pointer, true
	return l
}

func copiesOf(due []store.Due) (copies []letter, failed error) {
	for _, d := range due {
		kept, err := attribute.Decode(d.Attributes)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("carry %q: %w", d.ID, err))
			continue
		}
		keyed, fits := kept.Keyed(d.ID)
		one := letter{d, kept, keyed, d.Body.Reveal()}
		if !fits {
			one = one.smaller()
		}
		copies = append(copies, one)
	}
	return copies, failed
}

// batches splits copies by queue and by the size of a call.
func batches(copies []letter) (all [][]letter) {
	open := map[string]int{} // queue → index of the batch that takes more
	size := map[string]int{}
	for _, one := range copies {
		bytes := len(one.body) + one.attributes.Bytes()
		i, ok := open[one.Queue]
		if !ok || size[one.Queue]+bytes > batchMost {
			i, size[one.Queue] = len(all), 0
			open[one.Queue], all = i, append(all, nil)
		}
		all[i] = append(all[i], one)
		size[one.Queue] += bytes
	}
	return all
}

// put sends copies, those that are too large once more as less, and returns those
// that the queue took.
func (c *Carrier) put(ctx context.Context, batch []letter) (accepted []store.Due, err error) {
	const forms = 3 // with the key, as it came, a pointer
	for range forms {
		taken, large, failed := c.send(ctx, batch)
		accepted, err = append(accepted, taken...), errors.Join(err, failed)
		if batch = large; len(large) == 0 {
			return accepted, err
		}
		for i, one := range large {
			large[i] = one.smaller()
		}
	}
	return accepted, errors.Join(err, fmt.Errorf("send to %s: %d are refused for their size, and so is what points to them", batch[0].Queue, len(batch)))
}

// send sends copies. It returns those that the queue took, and those that are too
// large for it; the error is about others.
func (c *Carrier) send(ctx context.Context, batch []letter) (accepted []store.Due, large []letter, err error) {
	in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(c.Queues[batch[0].Queue])}
	sent := map[string]letter{}
	for i, one := range batch {
		sent[strconv.Itoa(i)] = one
		entry := types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(one.body), MessageAttributes: one.attributes,
		}
		if one.GroupID != "" {
			entry.MessageGroupId = aws.String(one.GroupID)
		}
		in.Entries = append(in.Entries, entry)
	}
	out, err := c.SQS.SendMessageBatch(ctx, in)
	refused := smithy.APIError(nil)
	switch {
	case len(batch) == 1 && errors.As(err, &refused) && attribute.TooLarge(refused.ErrorCode()):
		return nil, batch, nil
	case err != nil:
		return nil, nil, fmt.Errorf("send to %s: %w", batch[0].Queue, err)
	}
	for _, taken := range out.Successful {
		if one, ours := sent[aws.ToString(taken.Id)]; ours {
			accepted = append(accepted, one.Due)
		}
	}
	for _, refused := range out.Failed {
		code := aws.ToString(refused.Code)
		if one, ours := sent[aws.ToString(refused.Id)]; ours && attribute.TooLarge(code) {
			large = append(large, one)
		} else {
			err = errors.Join(err, fmt.Errorf("send to %s: refused: %s", batch[0].Queue, code))
		}
	}
	return accepted, large, err
}
