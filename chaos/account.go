package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/time/rate"

	"github.com/novaura/acs-operator/internal/store"
)

// sent is what was put on the queue: by what its recipient shall see, which
// events say it. Some events say the same to one person.
type sent struct {
	mu     sync.Mutex
	events map[text]map[string]bool
	repeat int // copies by a producer that retries
}

// load puts the messages on the queue, evenly over the time. One in twenty is
// put there twice, as by a producer that retries, one in twenty says what
// another says to the same person, one in twenty comes without an id, and one
// in ten is for a few seconds later.
func (w *world) load(ctx context.Context) error {
	random := rand.New(rand.NewPCG(w.Seed, 5)) //nolint:gosec // chance, no secret
	limiter := rate.NewLimiter(rate.Limit(float64(w.Messages)/w.For.Seconds()), 10)
	for n := 0; n < w.Messages; {
		size := min(10, w.Messages-n)
		if err := limiter.WaitN(ctx, size); err != nil {
			return err
		}
		var bodies []string
		for ; size > 0; n, size = n+1, size-1 {
			bodies = append(bodies, w.message(random, n)...)
		}
		for batch := range slices.Chunk(bodies, 10) {
			if err := w.put(ctx, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) message(random *rand.Rand, n int) []string {
	what := text{fmt.Sprintf("+1415555%04d", random.IntN(500)), "Message " + strconv.Itoa(n)}
	id := "m-" + strconv.Itoa(n)
	if random.IntN(20) == 0 {
		what = text{"+14155550999", "Your code"}
	}
	m := map[string]any{"id": id, "type": "message_send", "to": what.to, "body": what.body}
	if random.IntN(10) == 0 {
		m["not_before"] = time.Now().Add(time.Duration(random.IntN(3000)) * time.Millisecond).UTC().Format(time.RFC3339)
	}
	copies := 1
	switch random.IntN(20) {
	case 0:
		copies = 2
	case 1:
		delete(m, "id")
	}
	w.sent.mu.Lock()
	defer w.sent.mu.Unlock()
	if w.sent.events[what] == nil {
		w.sent.events[what] = map[string]bool{}
	}
	w.sent.events[what][id] = true
	w.sent.repeat += copies - 1
	body, err := json.Marshal(m)
	if err != nil {
		panic(err) // plain values encode
	}
	return slices.Repeat([]string{string(body)}, copies)
}

// put sends a batch until all of it is there. An answer that is lost puts some
// there twice under different SQS ids, so those without an id go once: the
// stand-in fails before it acts.
func (w *world) put(ctx context.Context, bodies []string) error {
	in := &awssqs.SendMessageBatchInput{QueueUrl: &w.queue}
	for i, body := range bodies {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body)})
	}
	out, err := w.client.SendMessageBatch(ctx, in)
	if err == nil && len(out.Failed) > 0 {
		err = fmt.Errorf("%d of a batch were refused", len(out.Failed))
	}
	return err
}

// open counts what is not settled: on the queue, worked on, or parked.
func (w *world) open(ctx context.Context) (int, error) {
	answer, err := w.client.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: &w.queue, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		return 0, err
	}
	total := 0
	for name, value := range answer.Attributes {
		if strings.HasPrefix(name, "ApproximateNumberOfMessages") {
			n, err := strconv.Atoi(value)
			if err != nil {
				return 0, err
			}
			total += n
		}
	}
	const everAfter = 10 * 365 * 24 * time.Hour
	parked, err := w.db.CountDue(ctx, everAfter)
	if err != nil {
		return 0, err
	}
	return total + parked[queueName], nil
}

// result is what became of the messages.
type result struct {
	messages, texts              int
	lost, doubled, inDoubt, open int
	dead                         map[string]int // by reason
	statuses                     map[string]int
	faults                       map[string]int
	killed, repeats              int
	examples                     []string
}

// result holds what was accepted against what was sent. What has a dead letter
// or is held in doubt is not lost: a person finds it.
func (w *world) result(ctx context.Context) (r result, err error) {
	r = result{messages: w.Messages, dead: map[string]int{}, statuses: map[string]int{}, killed: w.killed, repeats: w.sent.repeat}
	if r.open, err = w.open(ctx); err != nil {
		return r, err
	}
	kept, err := w.deadLetters(ctx, r.dead)
	if err != nil {
		return r, err
	}
	for _, status := range []store.Status{store.New, store.Scheduled, store.Processing, store.Sent, store.Delivered,
		store.Undelivered, store.Failed, store.InDoubt, store.Suppressed, store.Expired} {
		counts, err := w.db.CountStatus(ctx, status)
		if err != nil {
			return r, err
		}
		if n := counts[queueName]; n > 0 {
			r.statuses[string(status)] = n
		}
	}
	r.inDoubt = r.statuses[string(store.InDoubt)]
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	r.faults = w.provider.faults
	for what, events := range w.sent.events {
		accepted := w.provider.accepted[what]
		r.texts += accepted
		switch missing := len(events) - accepted; {
		case missing < 0:
			r.doubled -= missing
			r.examples = append(r.examples, example(what, accepted, events))
		case missing > kept[what]:
			r.lost += missing - kept[what]
			r.examples = append(r.examples, example(what, accepted, events))
		}
	}
	r.lost = max(0, r.lost-r.open) // what still waits is late, not lost
	return r, nil
}

// example tells of a text that was accepted more or less often than it was sent.
func example(what text, accepted int, events map[string]bool) string {
	const some = 10
	ids := slices.Sorted(maps.Keys(events))
	return fmt.Sprintf("%q was accepted %d times for %d events: %v", what.body, accepted, len(ids), ids[:min(some, len(ids))])
}

// deadLetters reads the dead-letter queue: how many say what, and why they are
// there.
func (w *world) deadLetters(ctx context.Context, reasons map[string]int) (map[text]int, error) {
	kept := map[text]int{}
	for {
		out, err := w.client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
			QueueUrl: &w.dead, MaxNumberOfMessages: 10, VisibilityTimeout: 600, MessageAttributeNames: []string{"All"},
		})
		if err != nil || len(out.Messages) == 0 {
			return kept, err
		}
		for _, m := range out.Messages {
			var body struct{ ID, To, Body string }
			if err := json.Unmarshal([]byte(aws.ToString(m.Body)), &body); err != nil {
				return kept, err
			}
			kept[text{body.To, body.Body}]++
			reason := aws.ToString(m.MessageAttributes["acs_reason"].StringValue)
			if reason == "" {
				if reason, err = w.tooOften(ctx, cmp.Or(body.ID, aws.ToString(m.MessageId))); err != nil {
					return kept, err
				}
			}
			reasons[reason]++
		}
	}
}

// tooOften is why SQS gave up on a message: how many of its receives ended in a
// claim whose end nobody recorded, since the worker died or the provider did not
// say. The others found the store down, or another's claim.
func (w *world) tooOften(ctx context.Context, id string) (string, error) {
	attempts, err := w.db.Attempts(ctx, id)
	if err != nil {
		return "", err
	}
	broken := 0
	for _, attempt := range attempts {
		if attempt.FinishedAt.IsZero() {
			broken++
		}
	}
	return fmt.Sprintf("received too often (by SQS), %d of %d claims broken off", broken, len(attempts)), nil
}

func (r result) print(out io.Writer, took time.Duration) {
	_, _ = fmt.Fprintf(out, "%d messages and %d repeats in %s; %d workers killed; provider faults: %s\n",
		r.messages, r.repeats, took.Round(time.Second), r.killed, tally(r.faults))
	_, _ = fmt.Fprintf(out, "texts accepted %d; history: %s; not settled %d\n", r.texts, tally(r.statuses), r.open)
	_, _ = fmt.Fprintf(out, "dead-lettered: %s\n", tally(r.dead))
	_, _ = fmt.Fprintf(out, "lost %d, doubled %d, in doubt %d\n", r.lost, r.doubled, r.inDoubt)
	for _, example := range r.examples[:min(len(r.examples), 10)] {
		_, _ = fmt.Fprintln(out, "  "+example)
	}
}

func tally(counts map[string]int) string {
	if len(counts) == 0 {
		return "none"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}
