package sqs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"time"
)

// snapshotVersion changes when an older snapshot can't be read any more.
const snapshotVersion = 1

type snapshot struct {
	Version int
	Queues  []queueSnapshot
}

type queueSnapshot struct {
	Name              string
	Created, Modified time.Time
	Attributes        map[string]string
	Tags              map[string]string `json:",omitempty"`
	Order             uint64
	Messages          []*message
}

// Save writes every queue and message as JSON, all of one moment. Messages in
// flight and delayed keep their times, so that receipt handles still hold
// after Load. What was saved has message bodies in it.
func (s *Service) Save(w io.Writer) error {
	encoded, err := s.encode()
	if err != nil {
		return fmt.Errorf("encode queues: %w", err)
	}
	if _, err := io.Copy(w, bytes.NewReader(encoded)); err != nil {
		return fmt.Errorf("write queues: %w", err)
	}
	return nil
}

func (s *Service) encode() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := snapshot{Version: snapshotVersion}
	for _, name := range s.names(func(*queue) bool { return true }) {
		q := s.queues[name]
		now := q.lock()
		defer q.unlock(now) // after encoding: messages are shared with it
		all.Queues = append(all.Queues, q.snapshot())
	}
	return json.Marshal(all)
}

func (q *queue) snapshot() queueSnapshot {
	shot := queueSnapshot{
		Name: q.name, Created: q.created, Modified: q.modified,
		Attributes: q.attributes, Tags: q.tags, Order: q.order,
	}
	for _, m := range q.messages {
		shot.Messages = append(shot.Messages, m)
	}
	return shot
}

// Load replaces all queues by those of a snapshot. On error nothing changes.
func (s *Service) Load(r io.Reader) error {
	var all snapshot
	if err := json.NewDecoder(r).Decode(&all); err != nil {
		return fmt.Errorf("read queues: %w", err)
	}
	if all.Version != snapshotVersion {
		return fmt.Errorf("read queues: snapshot version %d, want %d", all.Version, snapshotVersion)
	}
	queues := make(map[string]*queue, len(all.Queues))
	for _, shot := range all.Queues {
		queues[shot.Name] = shot.queue()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range s.queues {
		old.retire()
	}
	s.queues, s.deleted = queues, map[string]time.Time{}
	return nil
}

func (shot queueSnapshot) queue() *queue {
	q := newQueue(shot.Name, shot.Created)
	q.apply(shot.Attributes, shot.Modified)
	maps.Copy(q.tags, shot.Tags)
	q.order = shot.Order
	for _, m := range shot.Messages {
		q.restore(m)
	}
	return q
}
