package consumer

import (
	"context"
	"time"
)

// The bounds of adaptive slots, in jobs.
const (
	leastSlots = 16
	firstSlots = 64 // fewer share too few statements and calls with each other
	mostSlots  = 256
	// mostHeld bounds what held bodies take, in bytes: SQS allows 1 MiB each.
	mostHeld = 24 << 20
)

// The pace of adaptation.
const (
	adaptEvery = 500 * time.Millisecond
	firstRest  = 4    // ticks without a further try after one that did not pay,
	restTicks  = 40   // up to so many after several: one may have met a busy moment
	leastGain  = 1.10 // of throughput, from twice the slots
)

// slots is how many jobs may run at once. Fixed, or found by trying: a queue
// that had to wait for a slot gets twice as many, and keeps them when its
// throughput rose by a tenth at least. So a provider that takes 150 ms gets
// hundreds of calls at once, and a rate limit, a busy database or a busy
// processor, which more slots do not help, get no more than they can use. A
// queue that was told to pause (a provider that throttles) falls back by a
// quarter, but not below leastSlots.
//
// Consumer.mu guards it.
type slots struct {
	now   int
	fixed bool

	ended    int  // jobs, since the last tick
	starved  bool // a receive waited for a slot
	paused   bool // an outcome asked for a pause
	before   int  // slots before the try under way; 0: none is
	rate     int  // jobs a tick before the try
	resting  int  // ticks until the next try
	rest     int  // ticks of the next rest
	heldSize int  // bytes of the bodies held
}

func newSlots(given int) slots {
	if given > 0 {
		return slots{now: given, fixed: true}
	}
	return slots{now: firstSlots, rest: firstRest}
}

// adapt ticks until ctx ends. What is offered is counted here, to half a second,
// and not at each receive.
func (c *Consumer) adapt(ctx context.Context) {
	ticker := time.NewTicker(adaptEvery)
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		c.mu.Lock()
		if c.offering && c.phases.receiving.Err() == nil {
			c.stats.SlotSeconds += float64(c.slots.now) * now.Sub(last).Seconds()
		}
		last = now
		if was := c.slots.now; c.slots.tick() > was {
			c.announce()
		}
		c.mu.Unlock()
	}
}

// tick closes one period and returns the slots of the next.
func (s *slots) tick() int {
	ended, starved, paused := s.ended, s.starved, s.paused
	s.ended, s.starved, s.paused = 0, false, false
	switch {
	case s.fixed:
	case paused:
		s.now, s.before, s.resting = max(s.now*3/4, leastSlots), 0, restTicks
	case s.before > 0: // a try has been under way for one period
		if float64(ended) < leastGain*float64(s.rate) {
			s.now, s.resting, s.rest = s.before, s.rest, min(2*s.rest, restTicks)
		} else {
			s.rest = firstRest
		}
		s.before = 0
	case s.resting > 0:
		s.resting--
	case starved && s.now < mostSlots:
		s.before, s.rate = s.now, ended
		s.now = min(2*s.now, mostSlots)
	}
	return s.now
}
