package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// deadLetter makes a message that was received too often.
func (c *clients) deadLetter(ctx context.Context) (queue, dlq *string, dlqARN string, m types.Message, err error) {
	queue, dlq, dlqARN, err = c.withDLQ(ctx, 1, "VisibilityTimeout", "0")
	if err == nil {
		_, err = c.send(ctx, queue, "a")
	}
	if err == nil {
		_, err = c.one(ctx, queue, 1)
	}
	if err != nil {
		return nil, nil, "", types.Message{}, err
	}
	err = until(ctx, func() error {
		left, err := c.receive(ctx, queue, 0)
		if err == nil && len(left) > 0 {
			err = errors.New("it is still on its queue")
		}
		if err != nil {
			return err
		}
		out, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: dlq, VisibilityTimeout: 1, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}})
		if err != nil || len(out.Messages) != 1 {
			return fmt.Errorf("it is not among the dead letters: %w", orNone(err))
		}
		m = out.Messages[0]
		return nil
	})
	if err == nil {
		_, err = c.sqs.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: dlq, ReceiptHandle: m.ReceiptHandle})
	}
	return queue, dlq, dlqARN, m, err
}

func moves() []behaviour {
	return []behaviour{
		{"sqs", "a message received too often becomes a dead letter, with its source", func(ctx context.Context, c *clients) error {
			queue, dlq, _, m, err := c.deadLetter(ctx)
			if err != nil {
				return err
			}
			sources, err := c.sqs.ListDeadLetterSourceQueues(ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dlq})
			if err != nil {
				return err
			}
			return errors.Join(want("sources", sources.QueueUrls, []string{*queue}),
				want("the source's ARN given", m.Attributes["DeadLetterQueueSourceArn"] != "", true))
		}},
		{"sqs", "a move task brings dead letters back, as new messages", func(ctx context.Context, c *clients) error {
			queue, _, arn, dead, err := c.deadLetter(ctx)
			if err != nil {
				return err
			}
			if _, err := c.sqs.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: &arn}); err != nil {
				return err
			}
			back, err := c.one(ctx, queue, 10)
			if err != nil {
				return err
			}
			if *back.MessageId == *dead.MessageId {
				return errors.New("it has its old id")
			}
			return until(ctx, func() error {
				out, err := c.sqs.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: &arn})
				if err != nil || len(out.Results) != 1 {
					return fmt.Errorf("list: %w", orNone(err))
				}
				return errors.Join(want("status", *out.Results[0].Status, "COMPLETED"), want("moved", out.Results[0].ApproximateNumberOfMessagesMoved, 1))
			})
		}},
		{"sqs", "one move task at a time, which can be cancelled", func(ctx context.Context, c *clients) error {
			queue, dlq, arn, err := c.withDLQ(ctx, 3)
			if err != nil {
				return err
			}
			if err := sendBatch(batchOf("a", "b", "c", "d", "e"))(ctx, c, dlq); err != nil {
				return err
			}
			name := (*queue)[strings.LastIndexByte(*queue, '/')+1:]
			start := &sqs.StartMessageMoveTaskInput{SourceArn: &arn, DestinationArn: aws.String(c.queueARN(name)), MaxNumberOfMessagesPerSecond: aws.Int32(1)}
			task, err := c.sqs.StartMessageMoveTask(ctx, start)
			if err != nil {
				return err
			}
			_, second := c.sqs.StartMessageMoveTask(ctx, start)
			_, cancel := c.sqs.CancelMessageMoveTask(ctx, &sqs.CancelMessageMoveTaskInput{TaskHandle: task.TaskHandle})
			return errors.Join(wantCode(second, "InvalidParameterValue"), cancel)
		}},
		refusal("a move task from what is no dead-letter queue", []string{"InvalidParameterValue"}, func(ctx context.Context, c *clients, _ *string) error {
			name := unique("plain")
			if _, err := c.queue(ctx, name); err != nil {
				return err
			}
			_, err := c.sqs.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(c.queueARN(name))})
			return err
		}),
		refusal("a move task from a queue that isn't there", []string{"ResourceNotFoundException"}, func(ctx context.Context, c *clients, _ *string) error {
			_, err := c.sqs.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(c.queueARN(unique("none")))})
			return err
		}),
	}
}
