package twilio

import (
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/outbox"
)

// memory is every message that is kept, the newest of those accepted, found by
// sid, recipient and sender. A create costs the same however many there are.
type memory struct {
	now  func() time.Time
	keep int // messages

	mu                sync.Mutex
	all               []*message // oldest first, as are the indexes
	byTo, byFrom      map[string][]*message
	bySID             map[string]*message
	seen              *outbox.Seen
	accepted, doubled int64
}

func newMemory(keep, keepHashes int, now func() time.Time) *memory {
	return &memory{
		now: now, keep: keep,
		byTo: map[string][]*message{}, byFrom: map[string][]*message{}, bySID: map[string]*message{},
		seen: outbox.NewSeen(keepHashes),
	}
}

// accept takes m and returns when it did. From here on m does not change.
func (s *memory) accept(m *message) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted++
	m.seq, m.created = uint64(s.accepted), s.now() //nolint:gosec // a count is not negative
	if m.key != "" {
		m.doubled = s.seen.Add("key", m.key, m.to)
	} else {
		m.doubled = s.seen.Add("words", m.to, m.body)
	}
	if m.doubled {
		s.doubled++
	}
	s.all = append(s.all, m)
	s.byTo[m.to] = append(s.byTo[m.to], m)
	s.byFrom[m.from] = append(s.byFrom[m.from], m)
	s.bySID[m.sid] = m
	if len(s.all) > s.keep {
		s.forgetOldest()
	}
	return m.created
}

// forgetOldest drops the first of all, which is the first of its recipient and
// of its sender too. append moves what is left once the room in front is used
// up, so that dropped ones are freed.
func (s *memory) forgetOldest() {
	oldest := s.all[0]
	s.all[0], s.all = nil, s.all[1:]
	dropFirst(s.byTo, oldest.to)
	dropFirst(s.byFrom, oldest.from)
	delete(s.bySID, oldest.sid)
}

func dropFirst(index map[string][]*message, key string) {
	if rest := index[key]; len(rest) > 1 {
		rest[0] = nil
		index[key] = rest[1:]
		return
	}
	delete(index, key)
}

func (s *memory) totals() (accepted, doubled int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted, s.doubled
}

func (s *memory) find(account, sid string) (*message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.bySID[sid]
	return m, ok && m.account == account
}

// A query asks for messages, newest first. Zero values ask for all.
type query struct {
	account, to, from string
	sentFrom, sentTo  time.Time // date_sent at or after, and before
	olderThan         string    // the sid of the last one seen
	skip, limit       int
}

// list returns what q asks for, and whether there is more.
func (s *memory) list(q query) (found []*message, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, m := range slices.Backward(s.window(q, now)) {
		switch {
		case q.account != "" && m.account != q.account, q.from != "" && !m.isFrom(q.from, now):
		case q.skip > 0:
			q.skip--
		case len(found) == q.limit:
			return found, true
		default:
			found = append(found, m)
		}
	}
	return found, false
}

func (m *message) isFrom(from string, now time.Time) bool {
	return m.from == from && (m.service == "" || m.sent(now))
}

// window cuts the shortest index that fits q to the span of time that q
// names: messages lie in the order of their times, so the ends are searched
// for, not walked to.
func (s *memory) window(q query, now time.Time) []*message {
	messages := s.all
	switch {
	case q.to != "":
		messages = s.byTo[q.to]
	case q.from != "":
		messages = s.byFrom[q.from]
	}
	if q.olderThan != "" {
		last, ok := s.bySID[q.olderThan]
		if !ok { // forgotten, and so is all that is older
			return nil
		}
		messages = before(messages, func(m *message) bool { return m.seq >= last.seq })
	}
	if q.sentFrom.IsZero() && q.sentTo.IsZero() {
		return messages
	}
	messages = before(messages, func(m *message) bool { return !m.sent(now) }) // no date_sent yet
	if !q.sentTo.IsZero() {
		messages = before(messages, func(m *message) bool { return !m.sentAt().Before(q.sentTo) })
	}
	early := before(messages, func(m *message) bool { return !m.sentAt().Before(q.sentFrom) })
	return messages[len(early):]
}

// before returns the messages ahead of the first one that is late; all after
// it are late too.
func before(messages []*message, late func(*message) bool) []*message {
	return messages[:sort.Search(len(messages), func(i int) bool { return late(messages[i]) })]
}
