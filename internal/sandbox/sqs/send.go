package sqs

import (
	"context"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

type sendEntry struct {
	ID                      string `json:"Id"`
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]Attribute
	MessageSystemAttributes map[string]Attribute
	MessageGroupID          string `json:"MessageGroupId"`
}

type sendInput struct {
	QueueURL string `json:"QueueUrl"`
	sendEntry
}

type sendResult struct {
	ID            string `json:"Id,omitempty"`
	MessageID     string `json:"MessageId"`
	BodyMD5       string `json:"MD5OfMessageBody"`
	AttributesMD5 string `json:"MD5OfMessageAttributes,omitempty"`
	SystemMD5     string `json:"MD5OfMessageSystemAttributes,omitempty"`
}

type sendBatchInput struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []sendEntry
}

func (s *Service) sendMessage(_ context.Context, in *sendInput) (out *sendResult, err error) {
	err = s.onQueue(in.QueueURL, func(q *queue, now time.Time) error {
		out, err = q.send(in.sendEntry, now)
		return err
	})
	return out, err
}

func (s *Service) sendMessageBatch(_ context.Context, in *sendBatchInput) (out *batchOutput[*sendResult], err error) {
	id := func(e sendEntry) string { return e.ID }
	err = s.onQueue(in.QueueURL, func(q *queue, now time.Time) error {
		if err := checkBatch("SendMessageBatchRequestEntry", in.Entries, id); err != nil {
			return err
		}
		total := 0
		for _, e := range in.Entries {
			total += e.size()
		}
		if total > MaxMessageSize {
			return ofBatch("BatchRequestTooLong", fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have sent %d bytes.", MaxMessageSize, total))
		}
		out = each(in.Entries, id, func(e sendEntry) (*sendResult, error) { return q.send(e, now) })
		return nil
	})
	return out, err
}

// size is what SQS counts of a message: its body and its attributes' names,
// types and values.
func (e sendEntry) size() int {
	size := len(e.MessageBody)
	for name, a := range e.MessageAttributes {
		size += a.size(name)
	}
	return size
}

func (e sendEntry) check(most int) error {
	if e.MessageBody == "" {
		return missing("MessageBody")
	}
	if !legible(e.MessageBody) {
		return badContents()
	}
	if e.DelaySeconds != nil && (*e.DelaySeconds < 0 || *e.DelaySeconds > numeric["DelaySeconds"].most) {
		return invalidValue(*e.DelaySeconds, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
	}
	if len(e.MessageGroupID) > 128 {
		return invalidValue(e.MessageGroupID, "MessageGroupId", "MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
	}
	if err := checkMessageAttributes(e.MessageAttributes); err != nil {
		return err
	}
	for name, a := range e.MessageSystemAttributes {
		if name != "AWSTraceHeader" || a.DataType != "String" {
			return invalid("Message system attribute name '%s' is invalid: only AWSTraceHeader of type String is taken.", name)
		}
	}
	if e.size() > most {
		return invalid("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", most)
	}
	return nil
}

func (q *queue) send(e sendEntry, now time.Time) (*sendResult, error) {
	if err := e.check(q.number("MaximumMessageSize")); err != nil {
		return nil, err
	}
	delay := q.seconds("DelaySeconds")
	if e.DelaySeconds != nil {
		delay = time.Duration(*e.DelaySeconds) * time.Second
	}
	m := &message{
		ID: awswire.UUID(), Body: e.MessageBody, BodyMD5: textMD5(e.MessageBody),
		Attributes: e.MessageAttributes, System: e.MessageSystemAttributes, GroupID: e.MessageGroupID, Sent: now,
	}
	q.add(m, now, now.Add(delay))
	q.counted.sent++
	q.counted.sentBytes += int64(e.size())
	return &sendResult{
		ID: e.ID, MessageID: m.ID, BodyMD5: m.BodyMD5,
		AttributesMD5: attributesMD5(e.MessageAttributes), SystemMD5: attributesMD5(e.MessageSystemAttributes),
	}, nil
}

// Deliver sends a message to the queue of an ARN, as another AWS service does.
func (s *Service) Deliver(arn, body string, attributes map[string]Attribute) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	q := s.queues[nameOfARN(arn)]
	if q == nil || s.arn(q.name) != arn {
		return errNoQueue
	}
	now := q.lock()
	defer q.unlock(now)
	_, err := q.send(sendEntry{MessageBody: body, MessageAttributes: attributes}, now)
	return err
}
