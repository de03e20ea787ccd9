package sqs_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/internal/sandbox/sqs"
)

func as[E error](err error) bool { _, is := errors.AsType[E](err); return is }

func coded(code string) func(error) bool {
	return func(err error) bool {
		api, is := errors.AsType[smithy.APIError](err)
		return is && api.ErrorCode() == code
	}
}

func entries(ids ...string) []types.SendMessageBatchRequestEntry {
	all := make([]types.SendMessageBatchRequestEntry, 0, len(ids))
	for _, id := range ids {
		all = append(all, types.SendMessageBatchRequestEntry{Id: aws.String(id), MessageBody: aws.String("x")})
	}
	return all
}

func TestRefusalsAreTheTypesThatTheSDKKnows(t *testing.T) {
	type call func(w world, url *string) error
	batch := func(entries []types.SendMessageBatchRequestEntry) call {
		return func(w world, url *string) error {
			_, err := w.SendMessageBatch(w.t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: url, Entries: entries})
			return err
		}
	}
	create := func(name string, attributes map[string]string) call {
		return func(w world, _ *string) error {
			_, err := w.CreateQueue(w.t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
			return err
		}
	}
	large := entries("a", "b")
	large[0].MessageBody, large[1].MessageBody = aws.String(strings.Repeat("x", 600_000)), aws.String(strings.Repeat("x", 600_000))
	for name, tc := range map[string]struct {
		do   call
		want func(error) bool
	}{
		"no such queue": {func(w world, url *string) error {
			_, err := w.DeleteQueue(w.t.Context(), &awssqs.DeleteQueueInput{QueueUrl: aws.String(*url + "x")})
			return err
		}, as[*types.QueueDoesNotExist]},
		"a URL of no queue": {func(w world, _ *string) error {
			_, err := w.PurgeQueue(w.t.Context(), &awssqs.PurgeQueueInput{QueueUrl: aws.String("http://sandbox/")})
			return err
		}, as[*types.InvalidAddress]},
		"other attributes":         {create("q", map[string]string{"DelaySeconds": "5"}), as[*types.QueueNameExists]},
		"an unknown attribute":     {create("q2", map[string]string{"Colour": "red"}), as[*types.InvalidAttributeName]},
		"a value out of range":     {create("q2", map[string]string{"DelaySeconds": "901"}), as[*types.InvalidAttributeValue]},
		"a FIFO queue":             {create("q.fifo", nil), coded("InvalidParameterValue")},
		"a missing redrive target": {create("q2", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:no","maxReceiveCount":1}`}), coded("InvalidParameterValue")},
		"a handle of nothing": {func(w world, url *string) error {
			_, err := w.DeleteMessage(w.t.Context(), &awssqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: aws.String("nothing")})
			return err
		}, as[*types.ReceiptHandleIsInvalid]},
		"a message that is not in flight": {func(w world, url *string) error {
			w.send(url, "a", 0)
			m := w.receive(url, 0)[0]
			time.Sleep(30 * time.Second)
			_, err := w.ChangeMessageVisibility(w.t.Context(), &awssqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 5})
			return err
		}, as[*types.MessageNotInflight]},
		"visibility beyond twelve hours": {func(w world, url *string) error {
			w.send(url, "a", 0)
			m := w.receive(url, 0)[0]
			time.Sleep(time.Second)
			_, err := w.ChangeMessageVisibility(w.t.Context(), &awssqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 43_200})
			return err
		}, coded("InvalidParameterValue")},
		"illegible characters": {func(w world, url *string) error {
			_, err := w.SendMessage(w.t.Context(), &awssqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("\x00")})
			return err
		}, as[*types.InvalidMessageContents]},
		"a second purge": {func(w world, url *string) error {
			_, _ = w.PurgeQueue(w.t.Context(), &awssqs.PurgeQueueInput{QueueUrl: url})
			_, err := w.PurgeQueue(w.t.Context(), &awssqs.PurgeQueueInput{QueueUrl: url})
			return err
		}, as[*types.PurgeQueueInProgress]},
		"a name just deleted": {func(w world, url *string) error {
			_, _ = w.DeleteQueue(w.t.Context(), &awssqs.DeleteQueueInput{QueueUrl: url})
			return create("q", nil)(w, url)
		}, as[*types.QueueDeletedRecently]},
		"too much in flight": {func(w world, url *string) error {
			w.send(url, "a", 0)
			w.send(url, "b", 0)
			w.receive(url, 0)
			_, err := w.ReceiveMessage(w.t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: url})
			return err
		}, as[*types.OverLimit]},
		"an empty batch":     {batch(entries()), as[*types.EmptyBatchRequest]},
		"eleven entries":     {batch(entries("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k")), as[*types.TooManyEntriesInBatchRequest]},
		"an id twice":        {batch(entries("a", "a")), as[*types.BatchEntryIdsNotDistinct]},
		"an id with a space": {batch(entries("a b")), as[*types.InvalidBatchEntryId]},
		"a batch of 1.2 MB":  {batch(large), as[*types.BatchRequestTooLong]},
	} {
		t.Run(name, func(t *testing.T) {
			inside(t, sqs.Options{InFlightLimit: 1}, func(w world) {
				url := w.queue("q", nil)
				if err := tc.do(w, url); !tc.want(err) {
					t.Errorf("got %T %v", errors.Unwrap(err), err)
				}
			})
		})
	}
}

func TestABatchFailsEntryByEntry(t *testing.T) {
	inside(t, sqs.Options{}, func(w world) {
		url := w.queue("q", nil)
		batch := entries("good", "bad")
		batch[1].MessageBody = aws.String("\x01")
		sent, err := w.SendMessageBatch(w.t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: url, Entries: batch})
		if err != nil || len(sent.Successful) != 1 || len(sent.Failed) != 1 || *sent.Failed[0].Code != "InvalidMessageContents" {
			t.Fatalf("send: %+v, %v", sent, err)
		}
		m := w.receive(url, 0)[0]
		gone, err := w.DeleteMessageBatch(w.t.Context(), &awssqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: aws.String("good"), ReceiptHandle: m.ReceiptHandle}, {Id: aws.String("bad"), ReceiptHandle: aws.String("?")},
		}})
		if err != nil || len(gone.Successful) != 1 || len(gone.Failed) != 1 || !gone.Failed[0].SenderFault {
			t.Fatalf("delete: %+v, %v", gone, err)
		}
	})
}
