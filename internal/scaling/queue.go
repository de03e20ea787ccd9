package scaling

import (
	"math"
	"slices"
	"time"

	"github.com/novaura/acs-operator/config"
)

const (
	// liveWithin is how old a depth may be and still be called live.
	liveWithin = 30 * time.Second
	// countError is how far SQS's approximate counts are off, as a part.
	countError = 0.02
	// onTheWay is how long, in seconds, a message waits for a task that is free.
	onTheWay = 1.0
	// heldEach is how many messages a task must hold beside those it works on
	// to be called busy by that: less may be a rate that was learned too low.
	heldEach = 3.0
	// stopTime is how long, in seconds, a task works on that is told to stop: the
	// default of ECS.
	stopTime = 30.0
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
	Depth    depth             `json:"depth"`          // the newest one told; its time 0: none yet
	Before   depth             `json:"before"`         // the one before it
	Anchor   depth             `json:"anchor"`         // the one that the next live sample counts from
	Busy     []span            `json:"busy,omitempty"` // when every task had work waiting
	Calm     stamp             `json:"calm,omitempty"` // since when none had; 0: they have
	calm     stamp             // as Calm, before the newest depth
	every    time.Duration     // the policy's interval
	Empty    stamp             `json:"empty,omitempty"`  // when none waited last
	Flying   stamp             `json:"flying,omitempty"` // since when, in every look, some are in flight; 0: none are
	Zeros    int               `json:"zeros,omitempty"`  // depths in a row that were all zero
	Flight   float64           `json:"flight,omitempty"` // seconds a message is in flight, with no other waiting; 0: not seen yet
	Stay     float64           `json:"stay,omitempty"`   // as Flight, by CloudWatch's depths
	Minutes  []minuteCounts    `json:"minutes,omitempty"`
	Filling  float64           `json:"filling,omitempty"` // seconds for which minutes were added to of late
	Returned returned          `json:"returned"`
	Arrival  arrivalRate       `json:"arrival"`
	Service  serviceRate       `json:"service"`
	Arrived  undo[arrivalRate] `json:"arrived,omitzero"`
	Worked   undo[serviceRate] `json:"worked,omitzero"`
	Calendar calendar          `json:"calendar"`
	Together together          `json:"together"`
	Outcome  outcome           `json:"outcome"`
	Came     stamp             `json:"came,omitempty"`   // when the newest dump began that was predicted
	Pushed   stamp             `json:"pushed,omitempty"` // when the age last asked for more tasks
	Probed   stamp             `json:"probed,omitempty"` // when one task fewer was last tried
}

func (q queueMemory) clone() *queueMemory {
	q.Busy = copied(q.Busy)
	q.Minutes = copied(q.Minutes)
	q.Arrival.Live = copied(q.Arrival.Live)
	q.Calendar = q.Calendar.clone()
	return &q
}

// forgetAfter drops what lies in the future of a clock that went back.
func (q *queueMemory) forgetAfter(now stamp) {
	q.Busy = slices.DeleteFunc(q.Busy, func(s span) bool { return s.To > now })
	q.Minutes = slices.DeleteFunc(q.Minutes, func(m minuteCounts) bool { return m.End > now })
	q.Arrival.Live = slices.DeleteFunc(q.Arrival.Live, func(s rateSample) bool { return s.To > now })
	q.Calendar.Dumps = slices.DeleteFunc(q.Calendar.Dumps, func(d dump) bool { return d.At > now })
	if q.Depth.At > now {
		q.Depth, q.Before, q.Anchor, q.Zeros = depth{}, depth{}, depth{}, 0
	}
	for i := range q.Minutes {
		q.Minutes[i].Told = min(q.Minutes[i].Told, now)
	}
	q.Arrived, q.Worked = undo[arrivalRate]{}, undo[serviceRate]{}
	for _, at := range []*stamp{&q.Returned.At, &q.Arrival.Minute, &q.Arrival.At, &q.Arrival.Surged, &q.Service.Helped.At, &q.Service.Helped.Until, &q.Pushed, &q.Calm, &q.Empty, &q.Flying, &q.Came, &q.Probed, &q.Together.At, &q.Outcome.At, &q.Outcome.Excused.From, &q.Outcome.Excused.To} {
		*at = min(*at, now)
	}
}

// lookAt takes in the depth, when it is a newer one.
func (q *queueMemory) lookAt(o Queue, running int, perTask float64) (newer bool) {
	if o.Visible == nil || stampOf(o.Visible.Time) <= q.Depth.At {
		return false
	}
	seen := depth{At: stampOf(o.Visible.Time), Visible: o.Visible.Value, InFlight: q.Depth.InFlight}
	if o.InFlight != nil { // not told is not none
		seen.InFlight = o.InFlight.Value
	}
	q.Before, q.Depth = q.Depth, seen
	if seen.Visible <= 2 { // a phantom or two
		q.Empty = seen.At
	}
	switch {
	case seen.InFlight == 0:
		q.Flying = 0
	case q.Flying == 0 || seen.At.sub(q.Before.At) > longestGap(q.every):
		q.Flying = seen.At
	}
	q.countZeros(o)
	q.calm = q.Calm
	q.noticeBusy(running, q.held(perTask, running))
	return true
}

// countZeros counts the depths in a row that show nothing at all. A phantom
// message, or an unknown part, starts the count anew.
func (q *queueMemory) countZeros(o Queue) {
	zero := func(s *Sample) bool {
		return s != nil && s.Value == 0 && q.Depth.At.sub(stampOf(s.Time)) <= settled.Seconds()
	}
	q.Zeros++
	if !zero(o.Visible) || !zero(o.InFlight) || !zero(o.Delayed) || valueOf(o.Parked) > 0 {
		q.Zeros = 0
	}
	q.Zeros = min(q.Zeros, 1000)
}

// noticeBusy remembers when the tasks had work waiting: more messages waited
// than are on their way to tasks that ask for them.
func (q *queueMemory) noticeBusy(running int, held float64) {
	seen := q.Depth
	waiting := seen.Visible
	if held > heldEach*float64(running) {
		waiting += held
	}
	switch {
	case waiting <= max(fewMessages, float64(running)/2):
		if q.Calm == 0 {
			q.Calm = seen.At
		}
		return
	case waiting <= max(fewMessages, q.Arrival.Rate*onTheWay) || running == 0:
		q.Calm = 0
		return
	}
	q.Calm = 0
	if last := len(q.Busy) - 1; last >= 0 && q.Busy[last].To == q.Before.At && seen.At.sub(q.Before.At) <= longestGap(q.every) {
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
	noise := 4.0
	for _, count := range []float64{before.Visible, after.Visible, before.InFlight, after.InFlight} {
		noise += countError * countError * count * count
	}
	return noise
}

// held is how many of the messages in flight wait: in a task that is busy with
// others, what is in flight beyond what a task works on at once; where no task
// runs, all of them, since they come back.
func (q *queueMemory) held(perTask float64, running int) float64 {
	if running == 0 {
		return q.Depth.InFlight
	}
	if q.Flight == 0 || perTask == 0 {
		return 0
	}
	const spread = 1.2 // of what is worked on, by chance
	return max(0, q.flying()-spread*perTask*q.Flight*float64(running))
}

// unfinished is how many of the messages in flight tasks that are told to stop
// may leave unfinished, to be received again: those beyond what is done in the
// time that they get for it. What is done is the newest count of deleted ones that is
// not still added to, and where there is none, as counted says, what arrives; stuck:
// none were, in a minute through which some were in flight.
func (q *queueMemory) unfinished(arriving float64, now stamp) (messages float64, counted, stuck bool) {
	doing, began := arriving, stamp(0)
	for _, m := range q.Minutes { // oldest first
		if done := float64(m.Deleted / m.Period); done >= 0 && !(q.fills(&m, now) && done < clearlyLow*arriving) {
			doing, counted, began = done, true, m.begin()
		}
	}
	stuck = counted && doing == 0 && q.Flying != 0 && q.Flying <= began
	return max(0, q.flying()-doing*max(stopTime, 1.5*max(q.Flight, q.Stay))), counted, stuck
}

// perTask is the rate a task: told, learned, or the best lower bound.
func (q *queueMemory) perTask(spec *config.QueueSpec) float64 {
	if spec.ThroughputPerTask > 0 {
		return spec.ThroughputPerTask
	}
	perTask, _ := q.Service.rate()
	return perTask
}

// shrinking says that the backlog goes down fast enough as it is.
func (q *queueMemory) shrinking(within float64) bool {
	passed := q.Depth.At.sub(q.Before.At)
	if q.Before.At == 0 || passed <= 0 {
		return false
	}
	gone := q.Before.Visible - q.Depth.Visible
	return gone > 0 && gone/passed*within >= math.Max(0, q.Depth.Visible)
}
