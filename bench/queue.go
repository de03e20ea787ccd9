package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// fill makes a queue and puts n texts on it.
func (s *stage) fill(ctx context.Context, name string, n int) (string, error) {
	made, err := s.queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		return "", err
	}
	for first := 0; first < n; first += batchSize {
		in := &sqs.SendMessageBatchInput{QueueUrl: made.QueueUrl}
		for i := first; i < min(n, first+batchSize); i++ {
			body := fmt.Sprintf(`{"id":"%s-%08d","channel":"sms","type":"message_send","from":"+15005550006","to":"+1415555%04d","body":"Your code is %06d. It is good for ten minutes."}`, name, i, i%10000, i)
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i - first)), MessageBody: &body})
		}
		out, err := s.queues.SendMessageBatch(ctx, in)
		if err != nil {
			return "", err
		}
		if len(out.Failed) > 0 {
			return "", fmt.Errorf("%d entries refused: %s", len(out.Failed), aws.ToString(out.Failed[0].Message))
		}
	}
	return *made.QueueUrl, nil
}

type counts struct{ visible, inFlight int }

// depth reads what a queue holds.
func depth(ctx context.Context, client *sqs.Client, queue string) (c counts, err error) {
	visible, hidden := types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{visible, hidden}})
	if err != nil {
		return c, err
	}
	if c.visible, err = strconv.Atoi(out.Attributes[string(visible)]); err != nil {
		return c, err
	}
	c.inFlight, err = strconv.Atoi(out.Attributes[string(hidden)])
	return c, err
}
