package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func (c *clients) queueARN(name string) string {
	return "arn:aws:sqs:" + c.region + ":" + c.account + ":" + name
}

// queue makes a queue, of attributes in pairs.
func (c *clients) queue(ctx context.Context, name string, pairs ...string) (*string, error) {
	attributes := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		attributes[pairs[i]] = pairs[i+1]
	}
	out, err := c.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		return nil, err
	}
	return out.QueueUrl, nil
}

// withDLQ makes a queue whose messages go to another after so many receives.
func (c *clients) withDLQ(ctx context.Context, receives int, pairs ...string) (queue, dlq *string, dlqARN string, err error) {
	name := unique("source")
	dlq, err = c.queue(ctx, name+"-dlq")
	if err != nil {
		return nil, nil, "", err
	}
	dlqARN = c.queueARN(name + "-dlq")
	queue, err = c.queue(ctx, name, append(pairs, "RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"%d"}`, dlqARN, receives))...)
	return queue, dlq, dlqARN, err
}

func (c *clients) send(ctx context.Context, queue *string, body string) (*sqs.SendMessageOutput, error) {
	return c.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: &body})
}

// receive takes at most ten messages, with all that is to be known of them.
func (c *clients) receive(ctx context.Context, queue *string, wait int32) ([]types.Message, error) {
	out, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: queue, MaxNumberOfMessages: 10, WaitTimeSeconds: wait, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

// one receives the one message that is to come.
func (c *clients) one(ctx context.Context, queue *string, wait int32) (types.Message, error) {
	messages, err := c.receive(ctx, queue, wait)
	if err == nil && len(messages) != 1 {
		err = fmt.Errorf("received %d messages, want 1", len(messages))
	}
	if err != nil {
		return types.Message{}, err
	}
	return messages[0], nil
}

// story is a behaviour around one queue.
func story(name string, pairs []string, run func(ctx context.Context, c *clients, queue *string) error) behaviour {
	return behaviour{"sqs", name, func(ctx context.Context, c *clients) error {
		queue, err := c.queue(ctx, unique("q"), pairs...)
		if err != nil {
			return err
		}
		return run(ctx, c, queue)
	}}
}

// refusal is a behaviour that is an error.
func refusal(name string, codes []string, run func(ctx context.Context, c *clients, queue *string) error) behaviour {
	return story(name, nil, func(ctx context.Context, c *clients, queue *string) error {
		return wantCode(run(ctx, c, queue), codes...)
	})
}

func batchOf(bodies ...string) []types.SendMessageBatchRequestEntry {
	entries := make([]types.SendMessageBatchRequestEntry, 0, len(bodies))
	for i, body := range bodies {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(body)})
	}
	return entries
}

func sendBatch(entries []types.SendMessageBatchRequestEntry) func(context.Context, *clients, *string) error {
	return func(ctx context.Context, c *clients, queue *string) error {
		_, err := c.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: queue, Entries: entries})
		return err
	}
}

func queues() []behaviour {
	sameID := batchOf("a", "b")
	sameID[1].Id = sameID[0].Id
	return []behaviour{
		story("a message comes with its attributes", nil, func(ctx context.Context, c *clients, queue *string) error {
			sent, err := c.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("héllo"), MessageAttributes: map[string]types.MessageAttributeValue{
				"text": {DataType: aws.String("String"), StringValue: aws.String("ü")}, "blob": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1}},
				"count": {DataType: aws.String("Number"), StringValue: aws.String("7")},
			}})
			if err != nil {
				return err
			}
			m, err := c.one(ctx, queue, 1) // the SDK checks the MD5 of the body
			if err != nil {
				return err
			}
			return errors.Join(want("body", *m.Body, "héllo"), want("id", *m.MessageId, *sent.MessageId), want("attributes", len(m.MessageAttributes), 3),
				want("attributes' MD5", aws.ToString(m.MD5OfMessageAttributes), aws.ToString(sent.MD5OfMessageAttributes)),
				want("binary", m.MessageAttributes["blob"].BinaryValue, []byte{0, 1}))
		}),
		story("a receive chooses attributes by prefix", nil, func(ctx context.Context, c *clients, queue *string) error {
			value := types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("v")}
			_, err := c.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("a"), MessageAttributes: map[string]types.MessageAttributeValue{
				"order.id": value, "order.sum": value, "other": value}})
			if err != nil {
				return err
			}
			out, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue, MessageAttributeNames: []string{"order.*"}})
			if err != nil || len(out.Messages) != 1 {
				return fmt.Errorf("receive: %d messages: %w", len(out.Messages), orNone(err))
			}
			return want("attributes", len(out.Messages[0].MessageAttributes), 2)
		}),
		story("what isn't deleted comes again, and is counted", []string{"VisibilityTimeout", "1"}, func(ctx context.Context, c *clients, queue *string) error {
			if _, err := c.send(ctx, queue, "a"); err != nil {
				return err
			}
			first, err := c.one(ctx, queue, 0)
			if err != nil {
				return err
			}
			again, err := c.one(ctx, queue, 5)
			if err != nil {
				return err
			}
			return errors.Join(want("count at first", first.Attributes["ApproximateReceiveCount"], 1), want("count", again.Attributes["ApproximateReceiveCount"], 2),
				want("first receive", again.Attributes["ApproximateFirstReceiveTimestamp"], first.Attributes["ApproximateFirstReceiveTimestamp"]),
				want("sent", len(again.Attributes["SentTimestamp"]), 13))
		}),
		story("an old receipt handle deletes nothing, and is no error", []string{"VisibilityTimeout", "1"}, func(ctx context.Context, c *clients, queue *string) error {
			if _, err := c.send(ctx, queue, "a"); err != nil {
				return err
			}
			first, err := c.one(ctx, queue, 0)
			if err != nil {
				return err
			}
			if _, err := c.one(ctx, queue, 5); err != nil {
				return err
			}
			if _, err := c.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: first.ReceiptHandle}); err != nil {
				return err
			}
			_, err = c.one(ctx, queue, 5)
			return err
		}),
		story("a visibility of zero gives a message back at once", nil, func(ctx context.Context, c *clients, queue *string) error {
			if _, err := c.send(ctx, queue, "a"); err != nil {
				return err
			}
			m, err := c.one(ctx, queue, 0)
			if err != nil {
				return err
			}
			if _, err := c.sqs.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return err
			}
			_, err = c.one(ctx, queue, 1)
			return err
		}),
		story("a long poll ends when a message comes", nil, func(ctx context.Context, c *clients, queue *string) error {
			sent := make(chan error, 1)
			timer := time.AfterFunc(500*time.Millisecond, func() { _, err := c.send(ctx, queue, "a"); sent <- err })
			defer timer.Stop()
			began := time.Now()
			_, err := c.one(ctx, queue, 15)
			if took := time.Since(began); err == nil && took > 10*time.Second {
				err = fmt.Errorf("took %s", took)
			}
			return errors.Join(err, <-sent)
		}),
		story("a delayed message is counted apart, and comes when it is due", nil, func(ctx context.Context, c *clients, queue *string) error {
			if _, err := c.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("a"), DelaySeconds: 2}); err != nil {
				return err
			}
			depth, err := c.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: []types.QueueAttributeName{"All"}})
			if err != nil {
				return err
			}
			early, err := c.receive(ctx, queue, 0)
			if err != nil {
				return err
			}
			_, late := c.one(ctx, queue, 10)
			return errors.Join(want("early", len(early), 0), late, want("delayed", depth.Attributes["ApproximateNumberOfMessagesDelayed"], 1))
		}),
		story("depths are counted by state", nil, func(ctx context.Context, c *clients, queue *string) error {
			if err := sendBatch(batchOf("a", "b", "c"))(ctx, c, queue); err != nil {
				return err
			}
			if _, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue}); err != nil {
				return err
			}
			depth, err := c.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"}})
			if err != nil {
				return err
			}
			return errors.Join(want("visible", depth.Attributes["ApproximateNumberOfMessages"], 2), want("in flight", depth.Attributes["ApproximateNumberOfMessagesNotVisible"], 1), want("attributes", len(depth.Attributes), 2))
		}),
		story("a batch fails entry by entry", nil, func(ctx context.Context, c *clients, queue *string) error {
			out, err := c.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: queue, Entries: batchOf("good", "\x01")})
			if err != nil {
				return err
			}
			if len(out.Failed) != 1 {
				return fmt.Errorf("%d failed, want 1", len(out.Failed))
			}
			return errors.Join(want("code", *out.Failed[0].Code, "InvalidMessageContents"), want("sender's fault", out.Failed[0].SenderFault, true))
		}),
		story("a message of 1 MiB is taken", nil, func(ctx context.Context, c *clients, queue *string) error {
			_, err := c.send(ctx, queue, strings.Repeat("x", 1<<20))
			return err
		}),
		refusal("a message above 1 MiB is refused", []string{"InvalidParameterValue"}, func(ctx context.Context, c *clients, queue *string) error {
			_, err := c.send(ctx, queue, strings.Repeat("x", 1<<20+1))
			return err
		}),
		refusal("an empty batch", []string{"AWS.SimpleQueueService.EmptyBatchRequest", "EmptyBatchRequest"}, sendBatch([]types.SendMessageBatchRequestEntry{})),
		refusal("a batch of eleven", []string{"AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "TooManyEntriesInBatchRequest"}, sendBatch(batchOf(strings.Split("abcdefghijk", "")...))),
		refusal("an id twice in a batch", []string{"AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "BatchEntryIdsNotDistinct"}, sendBatch(sameID)),
		refusal("a batch above 1 MiB", []string{"AWS.SimpleQueueService.BatchRequestTooLong", "BatchRequestTooLong"}, sendBatch(batchOf(strings.Repeat("x", 600_000), strings.Repeat("x", 600_000)))),
		refusal("a receive of eleven", []string{"InvalidParameterValue", "ReadCountOutOfRange"}, func(ctx context.Context, c *clients, queue *string) error {
			_, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue, MaxNumberOfMessages: 11})
			return err
		}),
		refusal("a wait of 21 s", []string{"InvalidParameterValue"}, func(ctx context.Context, c *clients, queue *string) error {
			_, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue, WaitTimeSeconds: 21})
			return err
		}),
		refusal("a handle of nothing", []string{"ReceiptHandleIsInvalid"}, func(ctx context.Context, c *clients, queue *string) error {
			_, err := c.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue, ReceiptHandle: aws.String("nothing")})
			return err
		}),
		refusal("a queue that isn't there", []string{"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}, func(ctx context.Context, c *clients, queue *string) error {
			_, err := c.send(ctx, aws.String(*queue+"-not"), "a")
			return err
		}),
		refusal("an attribute that isn't there", []string{"InvalidAttributeName"}, func(ctx context.Context, c *clients, _ *string) error {
			_, err := c.queue(ctx, unique("q"), "Colour", "red")
			return err
		}),
		refusal("an attribute out of bounds", []string{"InvalidAttributeValue"}, func(ctx context.Context, c *clients, _ *string) error {
			_, err := c.queue(ctx, unique("q"), "DelaySeconds", "901")
			return err
		}),
		refusal("a purge within a minute of one", []string{"AWS.SimpleQueueService.PurgeQueueInProgress", "PurgeQueueInProgress"}, func(ctx context.Context, c *clients, queue *string) error {
			if _, err := c.sqs.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: queue}); err != nil {
				return err
			}
			_, err := c.sqs.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: queue})
			return err
		}),
		{"sqs", "the same queue again is the same", func(ctx context.Context, c *clients) error {
			name := unique("q")
			first, err := c.queue(ctx, name, "VisibilityTimeout", "45")
			if err != nil {
				return err
			}
			again, err := c.queue(ctx, name, "VisibilityTimeout", "45")
			if err != nil {
				return err
			}
			_, other := c.queue(ctx, name, "VisibilityTimeout", "46")
			return errors.Join(want("URL", *again, *first), wantCode(other, "QueueAlreadyExists", "QueueNameExists"))
		}},
		{"sqs", "a name just deleted rests for a minute", func(ctx context.Context, c *clients) error {
			name := unique("q")
			queue, err := c.queue(ctx, name)
			if err != nil {
				return err
			}
			if _, err := c.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: queue}); err != nil {
				return err
			}
			_, err = c.queue(ctx, name)
			return wantCode(err, "AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently")
		}},
		story("tags are kept", nil, func(ctx context.Context, c *clients, queue *string) error {
			_, err := c.sqs.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: queue, Tags: map[string]string{"a": "1", "b": "2"}})
			if err != nil {
				return err
			}
			if _, err := c.sqs.UntagQueue(ctx, &sqs.UntagQueueInput{QueueUrl: queue, TagKeys: []string{"a"}}); err != nil {
				return err
			}
			out, err := c.sqs.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: queue})
			if err != nil {
				return err
			}
			return want("tags", out.Tags, map[string]string{"b": "2"})
		}),
		{"sqs", "queues are found by name and by prefix", func(ctx context.Context, c *clients) error {
			name := unique("found")
			queue, err := c.queue(ctx, name)
			if err != nil {
				return err
			}
			byName, err := c.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
			if err != nil {
				return err
			}
			byPrefix, err := c.sqs.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: &name})
			if err != nil {
				return err
			}
			return errors.Join(want("by name", *byName.QueueUrl, *queue), want("by prefix", byPrefix.QueueUrls, []string{*queue}))
		}},
	}
}
