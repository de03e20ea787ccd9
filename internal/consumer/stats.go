package consumer

import (
	"context"
	"fmt"
	"time"
)

// Stats counts what a Consumer did since it was made, in messages, and says
// how it stands.
type Stats struct {
	Received      int // every delivery, a second one of a held message too
	Processed     int // jobs that ended in Delete or DeadLetter, or failed
	Failed        int // of these, the failed ones
	Deleted       int
	DeletesFailed int // settled, but SQS did not take the delete
	DeadLettered  int // copies accepted
	Retried       int
	HandedBack    int
	Parked        int // kept in their rows for later
	LeasesLost    int
	Stuck         int // jobs that ignored the end of their context

	Limited int // outcomes that have Limited
	Refused int // outcomes that have Refused

	BusySeconds float64 // how long slots were taken by messages, from receipt to the job's end: slot-seconds
	SlotSeconds float64 // how long there were slots that messages could be received into: slot-seconds

	InFlight      int           // held now
	Slots         int           // jobs that may run at once now
	StuckNow      int           // of the stuck jobs, those that still run
	OldestWaiting time.Duration // since the oldest of the messages held was sent; 0: none is held
}

// Stats returns the counts. It may be called at any time, by anyone.
func (c *Consumer) Stats() Stats {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.InFlight, s.Slots = len(c.held), c.slots.now
	for _, h := range c.held {
		if h.stuck && !h.ended {
			s.StuckNow++
		}
		if !h.slotFree {
			s.BusySeconds += now.Sub(h.since).Seconds()
		}
		if !h.SentAt.IsZero() {
			s.OldestWaiting = max(s.OldestWaiting, now.Sub(h.SentAt))
		}
	}
	return s
}

// summarise logs at most one line a second, and what is left when ctx ends.
func (c *Consumer) summarise(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			c.logSummary()
			return
		case <-ticker.C:
			c.logSummary()
		}
	}
}

// logSummary logs what was done since the last summary, if anything. Alarms
// in production filter on its message.
func (c *Consumer) logSummary() {
	c.mu.Lock()
	now, last := c.stats, c.summarised
	c.summarised = now
	c.mu.Unlock()
	processed, failed, deleted := now.Processed-last.Processed, now.Failed-last.Failed, now.Deleted-last.Deleted
	if processed+failed+deleted > 0 {
		c.Logger.Info(fmt.Sprintf("Processed %d, Failed %d, Deleted %d", processed, failed, deleted))
	}
}
