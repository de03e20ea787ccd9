package processor

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store/sqlite"
)

// queues are SQS without a wire, in the bubble's time: bodies by URL, each with
// when it may be received.
type queues struct {
	mu       sync.Mutex
	messages map[string][]*queued
	serial   int
}

type queued struct {
	handle, body string
	visible      time.Time
	receives     int
}

func (q *queues) put(url, body string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.serial++
	q.messages[url] = append(q.messages[url], &queued{handle: strconv.Itoa(q.serial), body: body, visible: time.Now()})
}

func (q *queues) receive(in *sqs.ReceiveMessageInput) (found []types.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, m := range q.messages[*in.QueueUrl] {
		if m.visible.After(now) || len(found) == int(in.MaxNumberOfMessages) {
			continue
		}
		m.visible, m.receives = now.Add(time.Duration(in.VisibilityTimeout)*time.Second), m.receives+1
		found = append(found, types.Message{MessageId: &m.handle, ReceiptHandle: &m.handle, Body: &m.body, Attributes: map[string]string{
			"ApproximateReceiveCount": strconv.Itoa(m.receives), "SentTimestamp": strconv.FormatInt(now.UnixMilli(), 10),
		}})
	}
	return found
}

func (q *queues) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	for deadline := time.Now().Add(time.Duration(in.WaitTimeSeconds) * time.Second); ; {
		found := q.receive(in)
		if len(found) > 0 || !time.Now().Before(deadline) {
			return &sqs.ReceiveMessageOutput{Messages: found}, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (q *queues) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, entry := range in.Entries {
		q.messages[*in.QueueUrl] = slices.DeleteFunc(q.messages[*in.QueueUrl], func(m *queued) bool { return m.handle == *entry.ReceiptHandle })
	}
	return &sqs.DeleteMessageBatchOutput{}, nil
}

func (q *queues) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, entry := range in.Entries {
		for _, m := range q.messages[*in.QueueUrl] {
			if m.handle == *entry.ReceiptHandle {
				m.visible = time.Now().Add(time.Duration(entry.VisibilityTimeout) * time.Second)
			}
		}
	}
	return &sqs.ChangeMessageVisibilityBatchOutput{}, nil
}

func (q *queues) SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return nil, errDown
}

func (q *queues) GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return &sqs.GetQueueAttributesOutput{}, nil
}

func (q *queues) GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error) {
	return &sqs.GetQueueUrlOutput{QueueUrl: aws.String("dead")}, nil
}

// sentLog is a provider that remembers when it took what.
type sentLog struct {
	mu   sync.Mutex
	sent map[string]time.Time
}

func (*sentLog) Name() string { return "fake" }

func (s *sentLog) Send(_ context.Context, m *message.Message) (provider.Receipt, error) {
	time.Sleep(20 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[m.ID] = time.Now()
	return provider.Receipt{ID: "SM-" + m.ID}, nil
}

func (*sentLog) Find(context.Context, *message.Message, time.Time) ([]provider.Receipt, error) {
	return nil, nil
}

// within counts what was sent in a time, of those whose ids begin so.
func (s *sentLog) within(from, to time.Time, prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range s.sent {
		if strings.HasPrefix(id, prefix) && !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// Two workers have 5,000 marketing texts on their second queue, at ten a second.
// What comes on the first is sent within a second or so; and when a hundred come
// there, the campaign still has every fifth turn.
func TestACampaignsDumpDoesNotHoldUpTheQueueThatIsNamedBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), filepath.Join(dir, "acs.db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if _, err := db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		fake, provided := &queues{messages: map[string][]*queued{}}, &sentLog{sent: map[string]time.Time{}}
		put := func(url, id string) {
			fake.put(url, fmt.Sprintf(`{"id":%q,"type":"message_send","to":%q,"body":"Hello"}`, id, person))
		}
		for i := range 5000 {
			put("marketing", fmt.Sprintf("m-%d", i))
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for worker := range 2 {
			handler := New(Options{
				Store: db, Senders: map[message.Channel]provider.Sender{message.SMS: provided}, Owner: fmt.Sprintf("worker-%d", worker),
				Logger: slog.New(slog.DiscardHandler),
				Rules: func(message.Channel) config.ChannelSpec {
					spec := config.DefaultDeliveryPolicy().Spec.Channels.SMS
					spec.RateLimit = 10
					return spec
				},
			})
			for rank, url := range []string{"urgent", "marketing"} {
				one := consumer.New(consumer.Options{
					SQS: fake, Handler: handler, Queue: consumer.Queue{Name: url, URL: url, Channel: "sms", Rank: rank}, Logger: slog.New(slog.DiscardHandler),
				})
				running.Go(func() { _ = one.Run(ctx) })
			}
		}
		time.Sleep(20 * time.Second) // the dump has all slots that it can get
		for i := range 5 {
			put("urgent", fmt.Sprintf("u-%d", i))
			came := time.Now()
			time.Sleep(5 * time.Second)
			if provided.within(came, came.Add(1500*time.Millisecond), fmt.Sprintf("u-%d", i)) != 1 {
				t.Errorf("the %d. was sent at %v, want it within 1.5 s", i, provided.sent[fmt.Sprintf("u-%d", i)].Sub(came))
			}
		}
		for i := range 100 {
			put("urgent", fmt.Sprintf("v-%d", i))
		}
		came := time.Now()
		time.Sleep(10 * time.Second)
		// Of the two workers one runs out of urgent ones before the other does.
		if urgent, marketing := provided.within(came, came.Add(10*time.Second), "v-"), provided.within(came, came.Add(10*time.Second), "m-"); urgent < 50 || marketing < 15 {
			t.Errorf("in ten seconds %d urgent and %d of the campaign were sent", urgent, marketing)
		}
		began := came.Add(-45 * time.Second)
		if all := provided.within(began, came, ""); all < 410 || all > 460 {
			t.Errorf("%d were sent in 45 s at 10/s", all)
		}
		stop()
		running.Wait()
		time.Sleep(time.Minute) // until nobody takes turns any more
	})
}
