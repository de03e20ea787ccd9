package consumer

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// fakeSQS is one queue, and a dead-letter queue that remembers what it got.
type fakeSQS struct {
	latency time.Duration // of a receive that brings something
	policy  string        // RedrivePolicy

	mu       sync.Mutex
	arrived  chan struct{}
	messages []*fakeMessage
	dead     []*sqs.SendMessageInput
	calls    []fakeCall
	fail     map[string][]error                                   // the next calls of an operation
	failPart map[string][]types.BatchResultErrorEntry             // for the first entries of the next call; Id is ignored
	refuse   func(op, handle string) *types.BatchResultErrorEntry // each entry
	handles  int
	sent     int
	mute     bool // it does not say how often a message was received
}

type fakeMessage struct {
	id, body   string
	handle     string // the newest
	attributes map[string]types.MessageAttributeValue
	sent       time.Time
	visibleAt  time.Time
	received   int
}

type fakeCall struct {
	op      string
	at      time.Duration // since the bubble's start
	handles []string
	seconds []int32 // of changes of visibility
	asked   int32
	wait    int32
	window  int32
	got     int
}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // where synctest's clock starts

func newFake(bodies ...string) *fakeSQS {
	f := &fakeSQS{arrived: make(chan struct{}), fail: map[string][]error{}, failPart: map[string][]types.BatchResultErrorEntry{}}
	for _, body := range bodies {
		f.put(body)
	}
	return f
}

// put sends a message; ids are id-1, id-2 …
func (f *fakeSQS) put(body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages = append(f.messages, &fakeMessage{id: f.nextID(), body: body, sent: time.Now(), visibleAt: time.Now()})
	close(f.arrived)
	f.arrived = make(chan struct{})
}

// nextID counts what was sent. Call it with mu held.
func (f *fakeSQS) nextID() string {
	f.sent++
	return "id-" + strconv.Itoa(f.sent)
}

// note records a call and says whether it is to fail. Call it with mu held.
func (f *fakeSQS) note(call fakeCall) error {
	call.at = time.Since(epoch)
	f.calls = append(f.calls, call)
	if next := f.fail[call.op]; len(next) > 0 {
		f.fail[call.op] = next[1:]
		return next[0]
	}
	return nil
}

func (f *fakeSQS) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	f.mu.Lock()
	err := f.note(fakeCall{op: "receive", asked: in.MaxNumberOfMessages, wait: in.WaitTimeSeconds, window: in.VisibilityTimeout})
	index := len(f.calls) - 1
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(time.Duration(in.WaitTimeSeconds) * time.Second)
	for {
		f.mu.Lock()
		out, next := f.takeVisible(in), f.nextVisible(end)
		f.calls[index].got = len(out)
		arrived := f.arrived
		f.mu.Unlock()
		if len(out) > 0 || !time.Now().Before(end) {
			time.Sleep(f.latency)
			return &sqs.ReceiveMessageOutput{Messages: out}, nil
		}
		select {
		case <-arrived:
		case <-time.After(time.Until(next)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *fakeSQS) takeVisible(in *sqs.ReceiveMessageInput) []types.Message {
	var out []types.Message
	for _, m := range f.messages {
		if len(out) == int(in.MaxNumberOfMessages) || m.visibleAt.After(time.Now()) {
			continue
		}
		f.handles++
		m.received++
		m.handle = m.id + "/" + strconv.Itoa(f.handles)
		m.visibleAt = time.Now().Add(time.Duration(in.VisibilityTimeout) * time.Second)
		system := map[string]string{"SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10)}
		if !f.mute {
			system["ApproximateReceiveCount"] = strconv.Itoa(m.received)
		}
		out = append(out, types.Message{
			MessageId: aws.String(m.id), ReceiptHandle: aws.String(m.handle), Body: aws.String(m.body), MessageAttributes: m.attributes,
			Attributes: system,
		})
	}
	return out
}

func (f *fakeSQS) nextVisible(end time.Time) time.Time {
	for _, m := range f.messages {
		if m.visibleAt.After(time.Now()) && m.visibleAt.Before(end) {
			end = m.visibleAt
		}
	}
	return end
}

// part says how an entry is to fail, if it is. Call it with mu held.
func (f *fakeSQS) part(op, id, handle string) *types.BatchResultErrorEntry {
	var e *types.BatchResultErrorEntry
	if next := f.failPart[op]; len(next) > 0 {
		e = &next[0]
		f.failPart[op] = next[1:]
	} else if f.refuse != nil {
		e = f.refuse(op, handle)
	}
	if e == nil || e.Code == nil {
		return nil
	}
	failed := *e
	failed.Id = &id
	return &failed
}

func (f *fakeSQS) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	call, out := fakeCall{op: "delete"}, &sqs.DeleteMessageBatchOutput{}
	for _, e := range in.Entries {
		call.handles = append(call.handles, *e.ReceiptHandle)
	}
	if err := f.note(call); err != nil {
		return nil, err
	}
	for _, e := range in.Entries {
		if failed := f.part("delete", *e.Id, *e.ReceiptHandle); failed != nil {
			out.Failed = append(out.Failed, *failed)
			continue
		}
		// A handle that is not the newest succeeds and deletes nothing.
		f.messages = slices.DeleteFunc(f.messages, func(m *fakeMessage) bool { return m.handle == *e.ReceiptHandle })
	}
	return out, nil
}

func (f *fakeSQS) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	call, out := fakeCall{op: "visibility"}, &sqs.ChangeMessageVisibilityBatchOutput{}
	for _, e := range in.Entries {
		call.handles, call.seconds = append(call.handles, *e.ReceiptHandle), append(call.seconds, e.VisibilityTimeout)
	}
	if err := f.note(call); err != nil {
		return nil, err
	}
	for _, e := range in.Entries {
		failed := f.part("visibility", *e.Id, *e.ReceiptHandle)
		at := slices.IndexFunc(f.messages, func(m *fakeMessage) bool { return m.handle == *e.ReceiptHandle && m.visibleAt.After(time.Now()) })
		switch {
		case failed != nil:
			out.Failed = append(out.Failed, *failed)
		case at < 0:
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("MessageNotInflight"), SenderFault: true})
		default:
			f.messages[at].visibleAt = time.Now().Add(time.Duration(e.VisibilityTimeout) * time.Second)
		}
	}
	close(f.arrived)
	f.arrived = make(chan struct{})
	return out, nil
}

func (f *fakeSQS) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.note(fakeCall{op: "send"}); err != nil {
		return nil, err
	}
	f.dead = append(f.dead, in)
	return &sqs.SendMessageOutput{}, nil
}

func (f *fakeSQS) GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.note(fakeCall{op: "attributes"}); err != nil {
		return nil, err
	}
	hidden := 0
	for _, m := range f.messages {
		if m.visibleAt.After(time.Now()) {
			hidden++
		}
	}
	all := map[string]string{
		"ApproximateNumberOfMessages":           strconv.Itoa(len(f.messages) - hidden),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(hidden),
		"ApproximateNumberOfMessagesDelayed":    "0",
	}
	if f.policy != "" {
		all["RedrivePolicy"] = f.policy
	}
	return &sqs.GetQueueAttributesOutput{Attributes: all}, nil
}

func (f *fakeSQS) GetQueueUrl(_ context.Context, in *sqs.GetQueueUrlInput, _ ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error) {
	return &sqs.GetQueueUrlOutput{QueueUrl: aws.String("https://queue/" + aws.ToString(in.QueueOwnerAWSAccountId) + "/" + *in.QueueName)}, nil
}

// of lists the calls of an operation so far.
func (f *fakeSQS) of(op string) []fakeCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	var calls []fakeCall
	for _, c := range f.calls {
		if c.op == op {
			calls = append(calls, c)
		}
	}
	return calls
}

// left lists the bodies on the queue, visible or not.
func (f *fakeSQS) left() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var bodies []string
	for _, m := range f.messages {
		bodies = append(bodies, m.body)
	}
	return bodies
}

// visibleIn is how long a message stays invisible.
func (f *fakeSQS) visibleIn(body string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.messages {
		if m.body == body {
			return time.Until(m.visibleAt)
		}
	}
	return -1
}

func apiError(code string) error { return &smithy.GenericAPIError{Code: code, Message: "told to fail"} }

func bodies(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("m%02d", i))
	}
	return list
}

// each is a Handler that runs one function a message.
type each func(ctx context.Context, r Received) Outcome

func (e each) Prepare(_ context.Context, batch []Received) []Job {
	var jobs []Job
	for _, r := range batch {
		jobs = append(jobs, func(ctx context.Context) Outcome { return e(ctx, r) })
	}
	return jobs
}

// prepare is a Handler that is all Prepare.
type prepare func(ctx context.Context, batch []Received) []Job

func (p prepare) Prepare(ctx context.Context, batch []Received) []Job { return p(ctx, batch) }

func takes(d time.Duration, o Outcome) each {
	return func(context.Context, Received) Outcome { time.Sleep(d); return o }
}

// running is a Consumer that runs in a bubble.
type running struct {
	*Consumer

	log  *lockedBuffer
	stop func() // and wait for the drain
	end  context.CancelFunc
	done chan struct{}
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs a consumer of f until the test or stop ends it.
func start(t *testing.T, f *fakeSQS, o Options) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{log: &lockedBuffer{}, end: cancel, done: make(chan struct{})}
	o.SQS, o.Queue = f, Queue{Name: "events", URL: "https://queue/events"}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.NewTextHandler(r.log, nil)))
	r.Consumer = New(o)
	go func() {
		defer close(r.done)
		if err := r.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	r.stop = func() { cancel(); <-r.done }
	t.Cleanup(func() { r.stop(); time.Sleep(time.Hour) }) // jobs that obey nothing end too
	return r
}

// inBubble runs a test where time turns by itself.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// pass lets time go by, and then all that it started.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
