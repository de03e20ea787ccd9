package scaling

import "slices"

// maxMinutes bounds the minutes that are joined; CloudWatch's metrics of one
// minute come one to three minutes late, each on its own.
const maxMinutes = 6

// minuteCounts is what is known of one minute of a queue. A count below zero
// is not known.
type minuteCounts struct {
	End      stamp   `json:"end"`
	Period   float32 `json:"period"` // seconds
	Sent     float32 `json:"sent"`
	Served   float32 `json:"served"`   // deleted, what was dead-lettered left out
	Received float32 `json:"received"` // messages
	Failed   float32 `json:"failed"`
	Age      float32 `json:"age"`            // seconds, of the oldest message at its end
	Flight   float32 `json:"flight"`         // sum of the looks at messages in flight
	Looks    int     `json:"looks"`          // their number
	Done     bool    `json:"done,omitempty"` // learned from
}

func (m minuteCounts) begin() stamp { return m.End - stamp(m.Period*1000) }

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
	}
	q.Minutes = slices.Insert(q.Minutes, at, minuteCounts{End: end, Period: float32(period), Sent: -1, Served: -1, Received: -1, Failed: -1, Age: -1})
	return &q.Minutes[at]
}

// join puts an observation's counts to their minutes.
func (q *queueMemory) join(o Queue) {
	put := func(s *Sample, to func(*minuteCounts) *float32) {
		if s == nil {
			return
		}
		if m := q.minute(stampOf(s.Time), s.Period); m != nil {
			*to(m) = float32(s.Value)
		}
	}
	put(o.Sent, func(m *minuteCounts) *float32 { return &m.Sent })
	put(o.Received, func(m *minuteCounts) *float32 { return &m.Received })
	if age := o.OldestAge; age != nil {
		for i := range q.Minutes {
			if m, at := &q.Minutes[i], stampOf(age.Time); at > m.begin() && at <= m.End {
				m.Age = float32(age.Value)
			}
		}
	}
	put(o.Failed, func(m *minuteCounts) *float32 { return &m.Failed })
	served := o.Deleted
	if served != nil && o.DeadLettered != nil && o.DeadLettered.Time.Equal(served.Time) {
		// A dead letter is deleted too, but nothing was done for it.
		less := *served
		less.Value = max(0, less.Value-o.DeadLettered.Value)
		served = &less
	}
	put(served, func(m *minuteCounts) *float32 { return &m.Served })
}

// look notes a live number of messages in flight in the minute that runs.
func (q *queueMemory) noteFlight(seen depth) {
	const minute = stamp(60000)
	end := (seen.At + minute - 1) / minute * minute
	if m := q.minute(end, 60); m != nil {
		m.Flight += float32(seen.InFlight)
		m.Looks++
	}
}
