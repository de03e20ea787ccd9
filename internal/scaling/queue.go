package scaling

import (
	"math"
	"slices"
	"time"
)

const (
	// liveWithin is how old a depth may be and still be called live.
	liveWithin = 30 * time.Second
	// countError is how far SQS's approximate counts are off, as a part.
	countError = 0.02
	// fewMessages is a depth that says nothing: SQS shows one or two
	// messages on empty queues.
	fewMessages = 10
)

// depth is how many messages a queue held, and when.
type depth struct {
	At       stamp   `json:"at"`
	Visible  float64 `json:"visible"`
	InFlight float64 `json:"inFlight"`
}

// span is a time through which something was so.
type span struct {
	From stamp `json:"from"`
	To   stamp `json:"to"`
}

// queueMemory is what is remembered of one queue.
type queueMemory struct {
	Depth   depth       `json:"depth"`           // the newest one told; its time 0: none yet
	Before  depth       `json:"before"`          // the one before it
	Busy    []span      `json:"busy,omitempty"`  // when every task had work waiting
	Calm    stamp       `json:"calm,omitempty"`  // since when none had; 0: they have
	Zeros   int         `json:"zeros,omitempty"` // depths in a row that were all zero
	Arrival arrivalRate `json:"arrival"`
	Service serviceRate `json:"service"`
	Pushed  stamp       `json:"pushed,omitempty"` // when the age last asked for more tasks
}

func (q queueMemory) clone() queueMemory {
	q.Busy = slices.Clone(q.Busy)
	q.Arrival.Dumps = slices.Clone(q.Arrival.Dumps)
	return q
}

func (q *queueMemory) forgetAfter(now stamp) {
	if q.Depth.At > now {
		*q = queueMemory{Service: serviceRate{PerTask: q.Service.PerTask, Minutes: q.Service.Minutes, Bound: q.Service.Bound}}
	}
	q.Busy = slices.DeleteFunc(q.Busy, func(s span) bool { return s.To > now })
	q.Arrival.Minute = min(q.Arrival.Minute, now)
	q.Arrival.At = min(q.Arrival.At, now)
	q.Service.Minute = min(q.Service.Minute, now)
	q.Pushed = min(q.Pushed, now)
	q.Calm = min(q.Calm, now)
}

// lookAt takes in the depth, when it is a newer one.
func (q *queueMemory) lookAt(o Queue, running int) (newer bool) {
	if o.Visible == nil || stampOf(o.Visible.Time) <= q.Depth.At {
		return false
	}
	seen := depth{At: stampOf(o.Visible.Time), Visible: o.Visible.Value, InFlight: valueOf(o.InFlight)}
	q.Before, q.Depth = q.Depth, seen
	q.countZeros(o)
	q.noticeBusy(running)
	return true
}

// countZeros counts the depths in a row that show nothing at all. A phantom
// message, or an unknown part, starts the count anew.
func (q *queueMemory) countZeros(o Queue) {
	zero := func(s *Sample) bool { return s != nil && s.Value == 0 }
	q.Zeros++
	if !zero(o.Visible) || !zero(o.InFlight) || !zero(o.Delayed) || valueOf(o.Parked) > 0 {
		q.Zeros = 0
	}
	q.Zeros = min(q.Zeros, 1000)
}

// noticeBusy remembers when the tasks had work waiting: more messages waited
// than were being worked on.
func (q *queueMemory) noticeBusy(running int) {
	seen := q.Depth
	switch {
	case seen.Visible <= max(fewMessages, float64(running)/2):
		if q.Calm == 0 {
			q.Calm = seen.At
		}
		return
	case seen.Visible <= max(fewMessages, min(seen.InFlight, 10*float64(running))) || running == 0:
		q.Calm = 0
		return
	}
	q.Calm = 0
	if last := len(q.Busy) - 1; last >= 0 && q.Busy[last].To == q.Before.At && seen.At.sub(q.Before.At) <= maxGap.Seconds() {
		q.Busy[last].To = seen.At
		return
	}
	q.Busy = append(q.Busy, span{From: seen.At, To: seen.At})
	q.Busy = q.Busy[max(0, len(q.Busy)-8):]
}

// busyThrough says that the queue was never near empty from..to.
func (q *queueMemory) busyThrough(from, to stamp) bool {
	return slices.ContainsFunc(q.Busy, func(s span) bool { return s.From <= from && to <= s.To })
}

// depthNoise is the variance of the difference of two depths, in messages².
func depthNoise(before, after depth) float64 {
	a, b := countError*before.Visible, countError*after.Visible
	return a*a + b*b + 4
}

// backlogAt carries the newest depth on to now, with what arrived since and
// what the tasks that really ran took away. Of a live depth it changes next
// to nothing; of CloudWatch's, minutes.
func (q *queueMemory) backlogAt(now stamp, tasks *taskMemory, arrival, perTask float64) float64 {
	waiting := q.Depth.Visible
	late := now.sub(q.Depth.At)
	if late <= liveWithin.Seconds() || perTask == 0 {
		return waiting
	}
	const step = 15.0 // seconds
	for at := 0.0; at < min(late, 900); at += step {
		length := min(step, late-at)
		from := q.Depth.At + stamp(at*1000)
		served, _, known := tasks.seconds(from, from+stamp(length*1000))
		if !known {
			served = 0
		}
		waiting = max(0, waiting+arrival*length-served*perTask)
	}
	return math.Max(waiting, 0)
}
