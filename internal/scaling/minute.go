package scaling

import "slices"

// maxMinutes bounds the minutes that are joined; CloudWatch's metrics of one
// minute come one to three minutes late, each on its own.
const maxMinutes = 6

const (
	// filled is so many times a count that a later one of the same minute must be
	// for the minute to have been told too early.
	filled = 1.05
	// fillingFades is how the time that minutes take to fill fades, a minute.
	fillingFades = 0.97
)

// undo is what was known before the newest minute was learned from, kept to
// learn from it anew: CloudWatch shows a minute, and may add to it after, as the
// readings in https://github.com/villasv/aws-airflow-stack/issues/75 do.
type undo[T any] struct {
	End stamp `json:"end,omitempty"` // of that minute; 0: none
	Was T     `json:"was,omitzero"`
}

// minuteCounts is what is known of one minute of a queue. A count below zero
// is not known.
type minuteCounts struct {
	End      stamp   `json:"end"`
	Period   float32 `json:"period"` // seconds
	Sent     float32 `json:"sent"`
	Deleted  float32 `json:"served"`
	Dead     float32 `json:"dead,omitempty"` // dead-lettered: deleted too, but nothing was done for it
	Received float32 `json:"received"`       // messages
	Age      float32 `json:"age"`            // seconds, of the oldest message at its end
	Flight   float32 `json:"flight"`         // sum of the looks at messages in flight
	Looks    int     `json:"looks"`          // their number
	Told     stamp   `json:"told,omitempty"` // when a count of it was told first
	Done     bool    `json:"done,omitempty"` // learned from
}

func (m minuteCounts) begin() stamp { return m.End - stamp(m.Period*1000) }

// served is the messages that were worked off; below zero when that is not known.
func (m minuteCounts) served() float32 {
	if m.Deleted < 0 {
		return m.Deleted
	}
	return max(0, m.Deleted-m.Dead)
}

// minute finds or makes the minute that ends at end; nil when it is too old.
func (q *queueMemory) minute(end stamp, period float64) *minuteCounts {
	for i := range q.Minutes {
		if q.Minutes[i].End == end {
			return &q.Minutes[i]
		}
	}
	at := len(q.Minutes)
	for at > 0 && q.Minutes[at-1].End > end {
		at--
	}
	if len(q.Minutes) == maxMinutes {
		if at == 0 {
			return nil
		}
		q.Minutes = slices.Delete(q.Minutes, 0, 1)
		at--
		if q.Filling *= fillingFades; q.Filling < 5 {
			q.Filling = 0
		}
	}
	q.Minutes = slices.Insert(q.Minutes, at, minuteCounts{End: end, Period: float32(period), Sent: -1, Deleted: -1, Received: -1, Age: -1})
	return &q.Minutes[at]
}

// join puts an observation's counts to their minutes, at now. A minute that was
// learned from and is told otherwise is to be learned from anew.
func (q *queueMemory) join(o Queue, now stamp) {
	for _, counts := range append(slices.Clip(o.Earlier), Counts{Sent: o.Sent, Received: o.Received, Deleted: o.Deleted}) {
		if end, changed := q.put(counts.Sent, sentOf, now); changed {
			q.takeBackSent(end)
		}
		q.put(counts.Received, receivedOf, now)
		if end, changed := q.put(counts.Deleted, deletedOf, now); changed {
			q.takeBackServed(end)
		}
	}
	if dead := o.DeadLettered; dead != nil {
		for i := range q.Minutes { // of a minute that is known otherwise
			if m := &q.Minutes[i]; m.End == stampOf(dead.Time) && m.Dead != float32(dead.Value) {
				m.Dead = float32(dead.Value)
				q.takeBackServed(m.End)
			}
		}
	}
	if age := o.OldestAge; age != nil {
		for i := range q.Minutes {
			if m, at := &q.Minutes[i], stampOf(age.Time); at > m.begin() && at <= m.End {
				m.Age = float32(age.Value)
			}
		}
	}
}

// put puts a count to its minute, and says which one that is and whether another
// count of it was known.
func (q *queueMemory) put(s *Sample, to func(*minuteCounts) *float32, now stamp) (end stamp, changed bool) {
	if s == nil {
		return 0, false
	}
	m := q.minute(stampOf(s.Time), s.Period)
	if m == nil {
		return 0, false
	}
	if m.Told == 0 {
		m.Told = now
	}
	told, count := *to(m), float32(s.Value)
	*to(m) = count
	if told >= 0 && count > filled*told+2 {
		q.Filling = max(q.Filling, min(now.sub(m.Told), settled.Seconds()))
	}
	return m.End, told >= 0 && count != told
}

func sentOf(m *minuteCounts) *float32     { return &m.Sent }
func receivedOf(m *minuteCounts) *float32 { return &m.Received }
func deletedOf(m *minuteCounts) *float32  { return &m.Deleted }

// takeBackSent forgets what was learned from a minute's count of sent messages.
func (q *queueMemory) takeBackSent(end stamp) {
	if q.Arrived.End != end {
		return
	}
	live := q.Arrival.Live
	q.Arrival = q.Arrived.Was
	q.Arrival.Live, q.Arrived = live, undo[arrivalRate]{}
}

// takeBackServed forgets what was learned from a minute's count of served messages.
func (q *queueMemory) takeBackServed(end stamp) {
	if q.Worked.End != end {
		return
	}
	q.Service, q.Worked = q.Worked.Was, undo[serviceRate]{}
	for i := range q.Minutes {
		q.Minutes[i].Done = q.Minutes[i].Done && q.Minutes[i].End != end
	}
}

// fills says that CloudWatch may still add to a minute: it did so of late for as long
// as this one is told.
func (q *queueMemory) fills(m *minuteCounts, now stamp) bool { return now.sub(m.Told) < q.Filling }

// lastsLong says that it does so for longer than a minute: what is learned from this
// one could not be taken back any more, for the next was learned from.
func (q *queueMemory) lastsLong(m *minuteCounts) bool { return q.Filling > float64(m.Period) }

// noteFlight notes a number of messages in flight in its minute; one between two,
// as CloudWatch's are, in both.
func (q *queueMemory) noteFlight(seen depth) {
	const minute = stamp(60000)
	for end := (seen.At + minute - 1) / minute * minute; end <= seen.At+minute; end += minute {
		if m := q.minute(end, 60); m != nil {
			m.Flight += float32(seen.InFlight)
			m.Looks++
		}
	}
}

const (
	// restsAtMost is how long, in seconds, a message that failed is out of sight before
	// it is received again: a visibility timeout, or a worker's back-off.
	restsAtMost = 1200.0
	// comesBack is the part of what is received that must come back for messages to be
	// resting: less may be chance.
	comesBack = 0.01
	// newestReturned is the say of the newest minute in what comes back.
	newestReturned = 0.1
)

// returned is what is received, and what of it is not deleted and comes back.
type returned struct {
	At       stamp   `json:"at,omitempty"`       // end of the newest minute
	Received float64 `json:"received,omitempty"` // messages/s, smoothed
	Back     float64 `json:"back,omitempty"`     // messages/s, smoothed; below zero where what was in flight gets done
}

// learn takes in the minutes of which both counts are known.
func (r *returned) learn(q *queueMemory, now stamp) {
	for i := range q.Minutes {
		m := &q.Minutes[i]
		if m.End <= r.At || m.Received < 0 || m.Deleted < 0 || q.fills(m, now) {
			continue
		}
		r.At = m.End
		r.Received += newestReturned * (float64(m.Received/m.Period) - r.Received)
		r.Back += newestReturned * (float64((m.Received-m.Deleted)/m.Period) - r.Back)
	}
}

// resting is how many of the messages in flight no task has: they failed, and are out
// of sight until they are tried again. Nobody counts them.
func (q *queueMemory) resting() float64 {
	if q.Returned.Back <= comesBack*q.Returned.Received {
		return 0
	}
	return min(q.Depth.InFlight, q.Returned.Back*restsAtMost)
}

// flying is the messages in flight that tasks have.
func (q *queueMemory) flying() float64 { return q.Depth.InFlight - q.resting() }
