package consumer

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	sandbox "github.com/novaura/acs-operator/internal/sandbox/sqs"
)

func testLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// queueOn makes a queue with a dead-letter queue on a sandbox.
func queueOn(t *testing.T) (client *sqs.Client, queue, dead string) {
	t.Helper()
	server := httptest.NewServer(sandbox.New(sandbox.Options{}))
	t.Cleanup(server.Close)
	client = sqs.New(sqs.Options{
		BaseEndpoint: &server.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""),
	})
	create := func(name string, attributes map[string]string) string {
		out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		return *out.QueueUrl
	}
	dead = create("events-dlq", nil)
	out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &dead, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
	if err != nil {
		t.Fatal(err)
	}
	policy := `{"deadLetterTargetArn":"` + out.Attributes["QueueArn"] + `","maxReceiveCount":"5"}`
	return client, create("events", map[string]string{"RedrivePolicy": policy}), dead
}

// The SDK, the wire and the sandbox's rules agree with what the fake pretends.
func TestOverTheWireEveryMessageEndsWhereItsOutcomeSays(t *testing.T) {
	client, queue, dead := queueOn(t)
	const messages = 120
	for i := range messages {
		in := &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: aws.String(strconv.Itoa(i))}
		if i == 7 {
			in.MessageAttributes = map[string]types.MessageAttributeValue{"acs_id": {DataType: aws.String("String"), StringValue: aws.String("key of seven")}}
		}
		if _, err := client.SendMessage(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	runs := map[string]int{}
	var log lockedBuffer
	c := New(Options{SQS: client, Queue: Queue{Name: "events", URL: queue}, Slots: 20, UntilEmpty: true, Logger: testLogger(&log),
		Handler: each(func(_ context.Context, r Received) Outcome {
			mu.Lock()
			defer mu.Unlock()
			runs[r.Body]++
			switch {
			case r.Body == "7":
				return Outcome{Action: DeadLetter, Failed: true, Reason: "seven"}
			case r.Body == "9" && r.ReceiveCount == 1:
				return Outcome{Action: HandBack}
			}
			return Outcome{}
		})})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Run(ctx); err != nil || ctx.Err() != nil {
		t.Fatalf("run: %v, %v\n%s", err, ctx.Err(), &log)
	}
	if s := c.Stats(); len(runs) != messages || runs["9"] != 2 || s.Deleted != messages || s.DeadLettered != 1 || s.HandedBack != 1 || s.Processed != messages {
		t.Errorf("ran %d messages, message 9 %d times, got %+v\n%s", len(runs), runs["9"], s, &log)
	}
	out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &dead, MessageAttributeNames: []string{"All"}})
	if err != nil || len(out.Messages) != 1 {
		t.Fatalf("dead letters: %+v, %v", out, err)
	}
	letter := out.Messages[0].MessageAttributes
	if *letter["acs_id"].StringValue != "key of seven" || *letter["acs_reason"].StringValue != "seven" {
		t.Errorf("dead letter %+v", letter)
	}
}

// A message that is retried, kept invisible by heartbeats, and dead-lettered at
// last, comes out as it went in: body byte by byte, tenant, and each attribute of
// its producer's.
func TestPitfall13AttributesAndHandlesComeThroughWhole(t *testing.T) {
	client, queue, dead := queueOn(t)
	body := "{\"body\":\"Grüße 👋 \\u00e9\"}\r\n\t "
	given := map[string]types.MessageAttributeValue{
		"traceparent": {DataType: aws.String("String"), StringValue: aws.String("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")},
		"raw":         {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255, 10}},
		"n":           {DataType: aws.String("Number"), StringValue: aws.String("42")},
		"acs_id":      {DataType: aws.String("String"), StringValue: aws.String("key")},
	}
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &body, MessageGroupId: aws.String("tenant-1"), MessageAttributes: given}); err != nil {
		t.Fatal(err)
	}
	var log lockedBuffer
	c := New(Options{SQS: client, Queue: Queue{Name: "events", URL: queue}, UntilEmpty: true, Logger: testLogger(&log), VisibilityTimeout: time.Second,
		Handler: each(func(ctx context.Context, r Received) Outcome {
			switch {
			case r.Body != body || r.Key != "key" || r.GroupID != "tenant-1":
				t.Errorf("received %+v", r)
			case r.ReceiveCount == 1:
				return Outcome{Action: Retry}
			}
			sleep(ctx, 1500*time.Millisecond) // longer than a window: heartbeats must keep the newest handle good
			return Outcome{Action: DeadLetter, Failed: true, Reason: "refused"}
		})})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Run(ctx); err != nil || ctx.Err() != nil || c.Stats().LeasesLost > 0 {
		t.Fatalf("run: %v, %v\n%s", err, ctx.Err(), &log)
	}
	out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &dead, MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"MessageGroupId"},
	})
	if err != nil || len(out.Messages) != 1 {
		t.Fatalf("dead letters: %+v, %v", out, err)
	}
	given["acs_reason"] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("refused")}
	letter := out.Messages[0]
	if diff := cmp.Diff(given, letter.MessageAttributes, cmpopts.IgnoreUnexported(types.MessageAttributeValue{}), cmpopts.EquateEmpty()); diff != "" || *letter.Body != body || letter.Attributes["MessageGroupId"] != "tenant-1" {
		t.Errorf("the dead letter is %q of %q (-want +got):\n%s", *letter.Body, letter.Attributes["MessageGroupId"], diff)
	}
}

func TestUntilEmptyEndsWithAnErrorWhereNoReceiveCanSucceed(t *testing.T) {
	client, queue, _ := queueOn(t)
	c := New(Options{SQS: client, Queue: Queue{Name: "none", URL: queue + "-none"}, UntilEmpty: true, Logger: testLogger(io.Discard)})
	if err := c.Run(t.Context()); err == nil || errorCode(err) == "" {
		t.Errorf("got %v, want the error of AWS", err)
	}
}
