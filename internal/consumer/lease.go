package consumer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// The causes that end a job's context (context.Cause).
var (
	errStopping  = errors.New("the worker is stopping")
	errLeaseLost = errors.New("the message's lease is lost")
	errHeldLong  = errors.New("the message was held for too long")
)

// held is a message from its receipt until it is settled. Consumer.mu guards
// what changes.
type held struct {
	Received

	key    string          // in Consumer.held
	since  time.Time       // receipt of the first handle
	ctx    context.Context //nolint:containedctx // the job's: it lives as long as the message is held
	cancel context.CancelCauseFunc

	handle    string        // the newest
	handleAt  time.Time     // its receipt: SQS counts its 12 h from there
	renewedAt time.Time     // start of the window that is surely ours
	leaseEnd  time.Time     // and its end
	renewing  chan struct{} // closed when the heartbeat under way was answered; nil: none
	leaving   bool          // its visibility is being settled: it may come again as a message to be worked on
	deleting  bool          // as it says; neither has heartbeats
	lost      bool
	ended     bool      // the job has returned
	slotFree  bool      // its slot was given back
	cancelled time.Time // when its context was first seen to have ended
	stuck     bool      // reported
}

// hold registers a message; nil when it is held already: then the held one
// goes on under the newer handle, for the older can no longer delete it. One
// that was sent back and comes again before SQS's answer is not held any more:
// it is worked on anew. Call it with mu held.
func (c *Consumer) hold(m types.Message, now time.Time) *held {
	r := received(c.Queue, m, c.maxReceives)
	if r.Uncounted {
		r.ReceiveCount = c.receives.one(r.MessageID)
	}
	h, again := c.held[r.MessageID]
	if again && h.leaving {
		h.key, again = h.handle, false // out of the way, but waited for
		c.held[h.key] = h
	}
	if !again {
		h = &held{Received: r, key: r.MessageID, since: now}
		ctx, cancel := context.WithCancelCause(c.phases.jobs)
		deadline := time.AfterFunc(c.MaxHold*9/10, func() { cancel(errHeldLong) })
		h.ctx, h.cancel = ctx, func(cause error) { deadline.Stop(); cancel(cause) }
		c.held[r.MessageID] = h
		c.slots.heldSize += len(h.Body)
	}
	h.handle, h.handleAt, h.renewedAt, h.leaseEnd = r.ReceiptHandle, now, now, now.Add(c.VisibilityTimeout)
	h.lost = false
	if again {
		return nil
	}
	return h
}

// heartbeat renews what is held until ctx ends: each message a third of the
// visibility timeout after its last renewal; a failed one is tried again each
// twelfth, so some seven times before it expires.
func (c *Consumer) heartbeat(ctx context.Context) {
	ticker := time.NewTicker(c.VisibilityTimeout / 12)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.renewAll(ctx)
			c.reportStuck(stuckAfter)
		}
	}
}

// renewal is one heartbeat of one message.
type renewal struct {
	*held

	handle string
	window time.Duration
}

func (c *Consumer) renewAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.VisibilityTimeout/6) // a call that hangs must leave time for the next
	defer cancel()
	var calls sync.WaitGroup
	for batch := range slices.Chunk(c.due(time.Now()), batchSize) {
		calls.Go(func() { c.renew(ctx, batch) })
	}
	calls.Wait()
}

// due lists what is to be renewed, and gives up what has expired.
func (c *Consumer) due(now time.Time) []renewal {
	c.mu.Lock()
	defer c.mu.Unlock()
	var due []renewal
	for _, h := range c.held {
		end := now.Add(c.VisibilityTimeout)
		if last := h.since.Add(c.MaxHold); end.After(last) {
			end = last
		}
		switch {
		case h.lost || h.leaving || h.deleting:
		case !now.Before(h.leaseEnd):
			c.lose(h, "expired")
		case now.Sub(h.renewedAt) >= c.VisibilityTimeout/3 && end.After(h.leaseEnd):
			h.renewing = make(chan struct{})
			due = append(due, renewal{held: h, handle: h.handle, window: end.Sub(now)})
		}
	}
	return due
}

func (c *Consumer) renew(ctx context.Context, batch []renewal) {
	entries := make([]*entry, len(batch))
	for i, r := range batch {
		entries[i] = &entry{handle: r.handle, visibility: r.window}
	}
	asked := time.Now() // not when it was answered: the window may have begun long before
	failed := c.changeVisibilityBatch(ctx, entries)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range batch {
		close(r.renewing)
		r.renewing = nil
		switch err := failed[i]; {
		case r.held.handle != r.handle: // a newer one has its own window
		case err == nil:
			r.renewedAt, r.leaseEnd = asked, asked.Add(r.window)
		case err.lost():
			c.lose(r.held, err.code)
		case !r.ended:
			c.Logger.Warn("cannot extend a message's visibility yet", "message_id", r.MessageID, "error", err)
		}
	}
}

// lose ends the job of a message that others may hold now; of one whose job
// has ended it is no news, for a delete may have overtaken the heartbeat. Call
// it with mu held.
func (c *Consumer) lose(h *held, why string) {
	h.lost = true
	if !h.ended {
		c.stats.LeasesLost++
		c.Logger.Warn("lost a message's lease", "message_id", h.MessageID, "why", why)
	}
	h.cancel(errLeaseLost)
}

// lost says whether a failed entry means that the message is no longer ours.
func (e *entryError) lost() bool {
	code := e.code[strings.LastIndexByte(e.code, '.')+1:]
	return slices.Contains([]string{"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue", "InvalidParameterValueException"}, code)
}

const stuckAfter = 10 * time.Second

// reportStuck logs each job that goes on for longer than after its context's
// end, once, and gives its slot to another.
func (c *Consumer) reportStuck(after time.Duration) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for h := range maps.Values(c.held) {
		if h.ended || h.stuck || h.ctx.Err() == nil {
			continue
		}
		if h.cancelled.IsZero() {
			h.cancelled = now
		}
		if now.Sub(h.cancelled) < after {
			continue
		}
		h.stuck = true
		c.stats.Stuck++
		c.freeSlot(h)
		c.Logger.Error("a job ignores that its context ended", "message_id", h.MessageID,
			"cause", context.Cause(h.ctx), "held_for", now.Sub(h.since).String())
	}
}

// freeSlot gives a message's slot back, once. Call it with mu held.
func (c *Consumer) freeSlot(h *held) {
	if !h.slotFree {
		h.slotFree = true
		c.stats.BusySeconds += time.Since(h.since).Seconds()
		c.busy--
		c.announce()
	}
}
