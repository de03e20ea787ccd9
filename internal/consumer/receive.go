package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/cenkalti/backoff/v5"

	"github.com/novaura/acs-operator/internal/attribute"
)

const (
	batchSize   = 10 // the most that SQS takes or gives in one call
	mostPollers = 8
	shortPoll   = time.Second // still asks all of SQS's servers, as 0 s does not
	callTimeout = 10 * time.Second
)

// pollers is how many receives may be parked at once: one for ten slots.
func (o Options) pollers() int {
	return min((cmp.Or(o.Slots, mostSlots)+batchSize-1)/batchSize, mostPollers)
}

// poll receives until receiving ends. The first poller always polls, the
// others from a full batch until an empty one: an idle queue costs one poll.
func (c *Consumer) poll(first bool, finish func()) {
	retry := newPollBackoff()
	for {
		if !first && !c.awaitDemand() {
			return
		}
		for more := true; more; {
			asked := c.reserve()
			if asked == 0 {
				return
			}
			started := time.Now()
			messages, err := c.receive(asked, c.waitTime(first))
			c.accept(messages, asked)
			switch {
			case err != nil && c.UntilEmpty && hopeless(err):
				c.giveUp(err)
				finish()
			case err != nil:
				c.afterPollError(err, retry)
			case len(messages) == 0 && first:
				c.afterEmpty(time.Since(started), finish)
			}
			if err == nil {
				retry.Reset()
			}
			more = len(messages) > 0
		}
	}
}

func (c *Consumer) awaitDemand() bool {
	select {
	case <-c.demand:
		return true
	case <-c.phases.receiving.Done():
		return false
	}
}

func (c *Consumer) waitTime(first bool) time.Duration {
	if c.UntilEmpty || !first {
		return shortPoll
	}
	return c.WaitTime
}

// reserve waits out pauses, then for a free slot, and takes up to ten; 0 when
// receiving ended. With few slots free it gives others a moment to become so:
// one receive of ten costs as much as one of one.
func (c *Consumer) reserve() int {
	select {
	case c.reserving <- struct{}{}:
		defer func() { <-c.reserving }()
	case <-c.phases.receiving.Done():
		return 0
	}
	for c.phases.receiving.Err() == nil {
		if !c.awaitSlots() {
			return 0
		}
		if n, pause := c.take(); pause > 0 {
			sleep(c.phases.receiving, pause)
		} else if n == 0 {
			c.askReady()
		} else {
			return n
		}
	}
	return 0
}

func (c *Consumer) awaitSlots() bool {
	if !c.await(c.phases.receiving, func() bool {
		c.slots.starved = c.slots.starved || c.free() <= 0
		return c.free() > 0
	}) {
		return false
	}
	enough, cancel := context.WithTimeout(c.phases.receiving, 3*linger) // all slots are taken: nothing waits that could start
	defer cancel()
	c.await(enough, func() bool { return c.free() >= min(batchSize, c.slots.now) })
	return c.phases.receiving.Err() == nil
}

func (c *Consumer) take() (slots int, pause time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offering = false
	if pause := time.Until(c.pausedUntil); pause > 0 {
		return 0, pause
	}
	if c.gated {
		return 0, 0
	}
	n := max(min(batchSize, c.free()), 0)
	if n > 0 && c.Admit != nil {
		if n, pause = c.Admit(n); n == 0 {
			return 0, max(pause, shortestPause)
		}
	}
	c.busy += n
	c.offering = true
	return n, 0
}

// shortestPause keeps an Admit that names no pause from being asked in a loop.
const shortestPause = 50 * time.Millisecond

// askReady opens the gate when messages can be worked on again, and otherwise
// pauses for a while: a receive that can lead to nothing counts towards the
// dead-letter queue all the same.
func (c *Consumer) askReady() {
	const again = 3 * time.Second
	c.mu.Lock()
	gated := c.gated
	c.mu.Unlock()
	if !gated {
		return // the slots were taken by another poller
	}
	ctx, cancel := context.WithTimeout(c.phases.receiving, callTimeout)
	defer cancel()
	err := c.Ready(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gated = err != nil
	if err != nil {
		c.pausedUntil = time.Now().Add(again/2 + rand.N(again)) //nolint:gosec // jitter
	}
}

// free is how many more jobs can start. Settlements that SQS is slow to take,
// and stuck jobs, may pile up to twice the slots. Call it with mu held.
func (c *Consumer) free() int {
	if c.slots.heldSize > mostHeld {
		return 0
	}
	return min(c.slots.now-c.busy, 3*c.slots.now-len(c.held))
}

// receive asks for up to n messages. Its context outlives receiving, for an
// aborted poll can leave messages with nobody (aws-sdk-go-v2 issue 2068).
func (c *Consumer) receive(n int, wait time.Duration) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(c.phases.polls, wait+callTimeout)
	defer cancel()
	out, err := c.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:            &c.Queue.URL,
		MaxNumberOfMessages: int32(n), //nolint:gosec // 1 to 10
		WaitTimeSeconds:     wholeSeconds(wait),
		VisibilityTimeout:   wholeSeconds(c.VisibilityTimeout),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameApproximateReceiveCount,
			types.MessageSystemAttributeNameSentTimestamp,
			types.MessageSystemAttributeNameMessageGroupId,
		},
		MessageAttributeNames: attributeNames,
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

// accept holds what a receive for asked slots brought, frees the slots that
// it left over, and sends the batch to work, or back when receiving ended.
func (c *Consumer) accept(messages []types.Message, asked int) {
	now := time.Now()
	c.mu.Lock()
	c.stats.Received += len(messages)
	batch := make([]*held, 0, len(messages))
	for _, m := range messages {
		if h := c.hold(m, now); h != nil {
			batch = append(batch, h)
		}
	}
	c.busy -= asked - len(batch)
	c.announce()
	c.mu.Unlock()

	switch {
	case len(batch) == 0:
	case c.phases.receiving.Err() != nil:
		for _, h := range batch {
			c.crew.run(func() { c.conclude(h, Outcome{Action: HandBack}) })
		}
	default:
		c.crew.run(func() { c.work(batch) })
	}
	if len(messages) >= asked {
		select {
		case c.demand <- struct{}{}:
		default: // every poller has its token
		}
	}
}

// afterEmpty guards against a server that does not park polls, and ends an
// UntilEmpty run.
func (c *Consumer) afterEmpty(took time.Duration, finish func()) {
	if took < c.waitTime(true)/2 {
		sleep(c.phases.receiving, shortPoll)
	}
	if c.UntilEmpty && c.empty() {
		finish()
	}
}

// empty says whether nothing is held or being received here, and the queue
// counts nothing, twice a second apart: its counts are approximate.
func (c *Consumer) empty() bool {
	for try := range 2 {
		if try > 0 && !sleep(c.phases.receiving, time.Second) {
			return false
		}
		c.mu.Lock()
		idle := c.busy == 0 && len(c.held) == 0
		c.mu.Unlock()
		if !idle || c.counted() != 0 {
			return false
		}
	}
	return true
}

// counted is how many messages the queue says it has: visible, in flight and
// delayed. What cannot be read is not nothing: -1.
func (c *Consumer) counted() int {
	names := []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	ctx, cancel := context.WithTimeout(c.phases.jobs, callTimeout)
	defer cancel()
	out, err := c.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &c.Queue.URL, AttributeNames: names})
	if err != nil {
		c.Logger.Warn("cannot read whether the queue is empty", "error", err)
		return -1
	}
	total := 0
	for _, name := range names {
		n, err := strconv.Atoi(out.Attributes[string(name)])
		if err != nil {
			return -1
		}
		total += n
	}
	return total
}

func newPollBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = time.Second, 10*time.Second, 2, 0
	return b
}

// afterPollError logs a failed receive and waits: full jitter below 1, 2, 4 …
// 10 s, and 10 s where only a person can help. It never gives up: one queue's
// failure must not end the process that serves the others.
func (c *Consumer) afterPollError(err error, retry *backoff.ExponentialBackOff) {
	if c.phases.receiving.Err() != nil {
		return
	}
	const shortest, repair = 100 * time.Millisecond, 10 * time.Second
	wait := shortest + rand.N(retry.NextBackOff()-shortest) //nolint:gosec // jitter
	message := "cannot receive"
	switch code := errorCode(err); {
	case slices.Contains(missingCodes, code):
		message, wait = "the queue does not exist", repair
	case slices.Contains(refusedCodes, code):
		message, wait = "receiving is not allowed", repair
	}
	c.Logger.Error(message, "url", c.Queue.URL, "retry_in", wait.String(), "error", err)
	sleep(c.phases.receiving, wait)
}

// hopeless says that no receive will ever succeed unless a person helps.
func hopeless(err error) bool {
	code := errorCode(err)
	return slices.Contains(missingCodes, code) || slices.Contains(refusedCodes, code)
}

// giveUp keeps the error that Run returns.
func (c *Consumer) giveUp(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = fmt.Errorf("empty the queue %s: %w", c.Queue.URL, err)
}

var (
	missingCodes = []string{"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"}
	refusedCodes = []string{
		"AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId",
		"InvalidClientTokenId", "InvalidSecurity", "KmsAccessDenied", "KMS.AccessDeniedException",
		"SignatureDoesNotMatch", "UnrecognizedClientException",
	}
)

// errorCode is the code that AWS gave an error, or nothing.
func errorCode(err error) string {
	if typed := smithy.APIError(nil); errors.As(err, &typed) {
		return typed.ErrorCode()
	}
	return ""
}

// wholeSeconds rounds up, so that a window is never shorter than was meant.
func wholeSeconds(d time.Duration) int32 {
	return int32((max(d, 0) + time.Second - 1) / time.Second) //nolint:gosec // bounded by SQS's 12 h
}

// received reads a message as SQS delivers it.
func received(q Queue, m types.Message, maxReceives int) Received {
	count, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	r := Received{
		Queue: q, MessageID: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
		Key:          attribute.Set(m.MessageAttributes).Text(attribute.Key),
		Attributes:   m.MessageAttributes,
		FirstSentAt:  attribute.Set(m.MessageAttributes).SentAt(),
		Webhook:      webhookOf(m.MessageAttributes),
		ReceiveCount: count,
		Uncounted:    err != nil,
		MaxReceives:  maxReceives,
		GroupID:      m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)],
	}
	if sent, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
		r.SentAt = time.UnixMilli(sent)
	}
	return r
}

// receives counts, by message id, what a server does not: some look-alikes give
// no ApproximateReceiveCount. It knows the last thousands.
type receives struct{ now, before map[string]int }

// mostCounted is after how many messages those that did not come again since are
// forgotten.
const mostCounted = 10_000

// one counts one more, and returns how many there were.
func (r *receives) one(id string) int {
	if r.now == nil || len(r.now) >= mostCounted {
		r.before, r.now = r.now, map[string]int{}
	}
	r.now[id] = max(r.now[id], r.before[id]) + 1
	return r.now[id]
}
