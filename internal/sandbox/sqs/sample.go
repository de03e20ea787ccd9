package sqs

import "time"

// counters count since the queue was made, or loaded.
type counters struct {
	sent, received, deleted, emptyReceives, sentBytes int64
}

// A QueueSample is what CloudWatch is told of one queue at one moment: counts
// of messages, and totals since the queue was made or loaded.
type QueueSample struct {
	Name                         string
	Visible, NotVisible, Delayed int

	// OldestAge is the time since the oldest message arrived here, without
	// those that were received three times or more; HasAge is false when
	// there is none.
	OldestAge time.Duration
	HasAge    bool

	Sent, Received, Deleted int64 // messages; redrive to a dead-letter queue is no send, as in AWS
	EmptyReceives           int64 // receives that answered no message
	SentBytes               int64 // bodies and attributes
}

// Sample returns every queue as it is now, sorted by name.
func (s *Service) Sample() []QueueSample {
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := s.names(func(*queue) bool { return true })
	samples := make([]QueueSample, 0, len(names))
	for _, name := range names {
		samples = append(samples, s.queues[name].sample())
	}
	return samples
}

func (q *queue) sample() QueueSample {
	now := q.lock()
	defer q.unlock(now)
	sample := QueueSample{
		Name: q.name, Visible: q.count[visible], NotVisible: q.count[inFlight], Delayed: q.count[delayed],
		Sent: q.counted.sent, Received: q.counted.received, Deleted: q.counted.deleted,
		EmptyReceives: q.counted.emptyReceives, SentBytes: q.counted.sentBytes,
	}
	if oldest := q.ages.top(); oldest != nil {
		sample.OldestAge, sample.HasAge = now.Sub(oldest.Arrived), true
	}
	return sample
}

// A Message is what a queue holds of one message.
type Message struct {
	ID, Body   string
	Attributes map[string]Attribute
}

// Messages returns what the queue holds in no order: visible, in flight and
// delayed messages. found is false when there is no such queue.
func (s *Service) Messages(name string) (held []Message, found bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	q := s.queues[name]
	if q == nil {
		return nil, false
	}
	now := q.lock()
	defer q.unlock(now)
	for _, m := range q.messages {
		held = append(held, Message{ID: m.ID, Body: m.Body, Attributes: m.Attributes})
	}
	return held, true
}
