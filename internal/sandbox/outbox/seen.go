package outbox

import "hash/maphash"

// Seen remembers the newest hashes of what came before. It is not safe for
// concurrent use: its owner's lock guards it.
type Seen struct {
	keep  int
	seed  maphash.Seed
	known map[uint64]struct{}
	ring  []uint64 // in the order of arrival; once full, next is the oldest
	next  int
}

// NewSeen remembers so many.
func NewSeen(keep int) *Seen {
	return &Seen{keep: keep, seed: maphash.MakeSeed(), known: map[uint64]struct{}{}}
}

// Len is how many are remembered.
func (s *Seen) Len() int { return len(s.known) }

// Add tells whether the parts came before together, and remembers them.
func (s *Seen) Add(parts ...string) (known bool) {
	var hash maphash.Hash
	hash.SetSeed(s.seed)
	for _, part := range parts {
		_, _ = hash.WriteString(part)
		_ = hash.WriteByte(0)
	}
	sum := hash.Sum64()
	if _, known := s.known[sum]; known {
		return true
	}
	s.known[sum] = struct{}{}
	if len(s.ring) < s.keep {
		s.ring = append(s.ring, sum)
		return false
	}
	delete(s.known, s.ring[s.next])
	s.ring[s.next] = sum
	s.next = (s.next + 1) % s.keep
	return false
}
