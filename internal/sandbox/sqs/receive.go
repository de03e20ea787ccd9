package sqs

import (
	"context"
	"slices"
	"strconv"
	"time"
)

type receiveInput struct {
	QueueURL                    string `json:"QueueUrl"`
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
}

type receiveOutput struct {
	Messages []received `json:",omitempty"`
}

// received is a message as a receiver gets it.
type received struct {
	MessageID            string `json:"MessageId"`
	ReceiptHandle        string
	BodyMD5              string `json:"MD5OfBody"`
	Body                 string
	Attributes           map[string]string    `json:",omitempty"`
	MessageAttributesMD5 string               `json:"MD5OfMessageAttributes,omitempty"`
	MessageAttributes    map[string]Attribute `json:",omitempty"`
}

// systemAttributes are the names that a receive may ask for; those of FIFO
// queues are taken and never there.
var systemAttributes = []string{
	"All", "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SequenceNumber",
	"MessageDeduplicationId", "MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn",
}

// queueOnly are names that the legacy AttributeNames takes without effect.
var queueOnly = slices.Concat(settable, computed)

func (in *receiveInput) check() error {
	outside := func(n *int, least, most int) bool { return n != nil && (*n < least || *n > most) }
	switch {
	case outside(in.MaxNumberOfMessages, 1, 10):
		return invalidValue(*in.MaxNumberOfMessages, "MaxNumberOfMessages", "Must be between 1 and 10, if provided.")
	case outside(in.WaitTimeSeconds, 0, 20):
		return invalidValue(*in.WaitTimeSeconds, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.")
	case outside(in.VisibilityTimeout, 0, maxVisibility):
		return invalidValue(*in.VisibilityTimeout, "VisibilityTimeout", "Must be between 0 and 43200, if provided.")
	}
	for _, name := range in.MessageSystemAttributeNames {
		if !slices.Contains(systemAttributes, name) {
			return unknownAttribute(name)
		}
	}
	for _, name := range in.AttributeNames {
		if !slices.Contains(systemAttributes, name) && !slices.Contains(queueOnly, name) {
			return unknownAttribute(name)
		}
	}
	return nil
}

// receiveMessage polls until a message is there, the wait is over, or the
// caller hangs up.
func (s *Service) receiveMessage(ctx context.Context, in *receiveInput) (*receiveOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	over := make(<-chan time.Time)
	for first := true; ; first = false {
		p, err := s.poll(in)
		if err != nil || p.woken == nil {
			return &receiveOutput{Messages: p.messages}, err
		}
		if first {
			timer := time.NewTimer(p.wait)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-p.woken:
		case <-over:
			p.giveUp(true)
			return &receiveOutput{}, nil
		case <-ctx.Done():
			p.giveUp(false)
			return nil, ctx.Err()
		}
	}
}

// A polled is one look at a queue: messages, or a channel that closes when it
// is worth looking again, for wait at the most.
type polled struct {
	queue    *queue
	messages []received
	woken    chan struct{}
	wait     time.Duration
}

// giveUp leaves the waiting list; a wake-up that came meanwhile goes on to
// the next receiver with the unlock.
func (p polled) giveUp(empty bool) {
	now := p.queue.lock()
	defer p.queue.unlock(now)
	p.queue.forget(p.woken)
	if empty {
		p.queue.counted.emptyReceives++
	}
}

// poll takes what is visible, or gets in line. Messages that spent their
// receives move to the dead-letter queue while s.mu keeps snapshots out.
func (s *Service) poll(in *receiveInput) (polled, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	q, err := s.lookup(in.QueueURL)
	if err != nil {
		return polled{}, err
	}
	p, spent, target, err := s.pollQueue(q, in)
	if len(spent) > 0 {
		now := target.lock()
		defer target.unlock(now)
		for _, m := range spent {
			m.Source, m.Phase, m.Due = s.arn(q.name), visible, time.Time{}
			target.add(m, now, now)
		}
	}
	return p, err
}

func (s *Service) pollQueue(q *queue, in *receiveInput) (p polled, spent []*message, target *queue, err error) {
	now := q.lock()
	defer q.unlock(now)
	if q.redrive != nil {
		target = s.queues[q.redrive.target] // without its target, a message stays
	}
	visibility := valueOr(in.VisibilityTimeout, q.number("VisibilityTimeout"))
	taken, spent := q.take(valueOr(in.MaxNumberOfMessages, 1), s.options.InFlightLimit, target != nil,
		now, now.Add(time.Duration(visibility)*time.Second))
	p = polled{queue: q, wait: time.Duration(valueOr(in.WaitTimeSeconds, q.number("ReceiveMessageWaitTimeSeconds"))) * time.Second}
	for _, m := range taken {
		p.messages = append(p.messages, s.present(q, m, in))
		if s.faults.duplicates() {
			q.place(m, inFlight, now) // visible again at once, to someone else too
		}
	}
	q.counted.received += int64(len(taken))
	switch {
	case len(taken) > 0:
	case p.wait > 0:
		p.woken = make(chan struct{})
		q.waiting = append(q.waiting, p.woken)
	case q.count[visible] > 0: // AWS says so to short polls only
		err = errOverLimit
	default:
		q.counted.emptyReceives++
	}
	return p, spent, target, err
}

func valueOr(given *int, otherwise int) int {
	if given != nil {
		return *given
	}
	return otherwise
}

func (s *Service) present(q *queue, m *message, in *receiveInput) received {
	chosen := choose(m.Attributes, in.MessageAttributeNames)
	return received{
		MessageID: m.ID, ReceiptHandle: q.handle(m), Body: m.Body, BodyMD5: m.BodyMD5,
		Attributes:        s.system(m, slices.Concat(in.MessageSystemAttributeNames, in.AttributeNames)),
		MessageAttributes: chosen, MessageAttributesMD5: attributesMD5(chosen),
	}
}

// system returns the system attributes that names ask for.
func (s *Service) system(m *message, names []string) map[string]string {
	if len(names) == 0 {
		return nil
	}
	all := map[string]string{
		"SenderId":                         s.options.Account,
		"SentTimestamp":                    strconv.FormatInt(m.Sent.UnixMilli(), 10),
		"ApproximateReceiveCount":          strconv.Itoa(m.Receives),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.FirstReceived.UnixMilli(), 10),
		"MessageGroupId":                   m.GroupID,
		"AWSTraceHeader":                   m.System["AWSTraceHeader"].text(),
		"DeadLetterQueueSourceArn":         m.Source,
	}
	for name, value := range all {
		if value == "" || !slices.Contains(names, name) && !slices.Contains(names, "All") {
			delete(all, name)
		}
	}
	return all
}
