package scaling

import (
	"math"
	"time"
)

const (
	// remembers is the time, in seconds, over which the part that was late is
	// reckoned: a day, older ones fading.
	remembers = 24 * 3600.0
	// lateAllowed is the part of the messages that may be late.
	lateAllowed = 0.01
	// headRoomGain is how much head room, in messages/s, a message/s that was late
	// all day would have brought.
	headRoomGain = 80.0
	// mostLate bounds what one minute tells: no more than so many times the usual
	// messages. One surge, however large, is one.
	mostLate = 2.0
	// mostHeadRoom bounds the head room: so many times what usually arrives.
	mostHeadRoom = 2.0
	// dumpLasts is how long after a dump what is late is the dump's.
	dumpLasts = 10 * time.Minute
)

// outcome is what came of the decisions, for one queue: how many messages were
// late, and the head room that is kept because of it.
//
// It is adaptive conformal inference (Gibbs & Candès, 2021) on the head room: each
// late message adds to it, each one in time gives back a hundredth of that, so that it
// comes to rest where a hundredth is late, whatever the arrivals are like.
type outcome struct {
	At      stamp   `json:"at,omitempty"`      // end of the newest minute judged
	Age     float64 `json:"age,omitempty"`     // seconds, of the oldest message then
	Seconds float64 `json:"seconds,omitempty"` // judged, fading, as the next two
	Moved   float64 `json:"moved,omitempty"`   // messages
	Late    float64 `json:"late,omitempty"`    // of those, older than the objective
	More    float64 `json:"more,omitempty"`    // messages/s of head room
	Excused span    `json:"excused"`           // when more tasks would not have come, or not have helped
}

// judge takes in the minutes of which all is told that will be.
func (q *queueMemory) judge(objective float64, now stamp) {
	for i := range q.Minutes {
		m := &q.Minutes[i]
		untold := m.served() < 0 || m.Age < 0 || q.fills(m, now)
		if m.End <= q.Outcome.At || m.End > now || untold && m.End.within(settled, now) {
			continue
		}
		moved, age := float64(max(m.served(), m.Received, 0)), float64(max(m.Age, 0))
		before := age
		if q.Outcome.At == m.begin() {
			before = q.Outcome.Age
		}
		q.Outcome.At, q.Outcome.Age = m.End, age
		late := moved * partAbove(before+q.Flight, age+q.Flight, objective)
		q.Outcome.take(moved, late, float64(m.Period), q.blameless(m))
	}
}

// blameless says that what was late in a minute says nothing of the head room: nobody
// could have more tasks, or they would not have helped, or a dump came.
func (q *queueMemory) blameless(m *minuteCounts) bool {
	if q.Service.PerTask == 0 || q.Outcome.Excused.From < m.End && q.Outcome.Excused.To >= m.begin() {
		return true
	}
	last := q.Came
	for _, d := range q.Calendar.Dumps {
		if d.At < m.End {
			last = max(last, d.At)
		}
	}
	return last < m.End && last.within(dumpLasts, m.begin())
}

// take takes one minute in.
func (o *outcome) take(moved, late, period float64, blameless bool) {
	fades := math.Exp(-period / remembers)
	o.Seconds, o.Moved, o.Late = o.Seconds*fades+period, o.Moved*fades+moved, o.Late*fades+late
	usual := o.Moved / o.Seconds
	wrong := min(late, mostLate*usual*period)
	if blameless {
		wrong = 0
	}
	o.More += headRoomGain / remembers * (wrong - lateAllowed*moved)
	o.More = min(max(0, o.More), mostHeadRoom*usual)
}

// part is the part of the messages that was late, over about a day.
func (o outcome) part() float64 { return o.Late / max(o.Moved, 1) }

// partAbove is the part of a line from a to b that lies above a limit.
func partAbove(a, b, limit float64) float64 {
	low, high := min(a, b), max(a, b)
	switch {
	case low > limit:
		return 1
	case high <= limit:
		return 0
	}
	return (high - limit) / (high - low)
}

// excuse notes that more tasks would not have come, or not have helped: what is
// late from then on, until the backlog is gone, asks for no head room.
func (d *deciding) excuse() {
	_, failing := d.state.Tasks.failing(d.at, *d.obs.Service)
	bound := failing || d.out.Need > d.tasks || d.tasks >= d.bounds.Max
	for i := range d.queues {
		q := &d.queues[i]
		excused := &q.Outcome.Excused
		limited := q.told.ProviderLimited != nil && *q.told.ProviderLimited
		already := excused.To.within(maxGap, d.at)
		if !bound && !limited && q.Service.Idle == 0 && (!already || q.Calm != 0) {
			continue
		}
		if !already {
			excused.From = d.at
		}
		excused.To = d.at
	}
}
