package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"time"
)

// work prepares a batch and starts its jobs, each on a goroutine. What is held
// owns these goroutines: drain waits until nothing is.
func (c *Consumer) work(batch []*held) {
	jobs, err := c.prepare(batch)
	if err != nil {
		c.Logger.Error("cannot prepare a batch", "messages", len(batch), "error", err)
	}
	for i, h := range batch {
		if err != nil {
			c.crew.run(func() { c.conclude(h, retryLater(h)) })
			continue
		}
		c.crew.run(func() { c.conclude(h, c.run(h, jobs[i])) })
	}
}

func (c *Consumer) prepare(batch []*held) (jobs []Job, err error) {
	messages := make([]Received, len(batch))
	for i, h := range batch {
		messages[i] = h.Received
	}
	defer func() {
		if p := recover(); p != nil {
			err = c.panicked("Prepare", p)
		}
	}()
	jobs = c.Handler.Prepare(c.phases.jobs, messages)
	if len(jobs) != len(batch) {
		return nil, fmt.Errorf("handler returned %d jobs for %d messages", len(jobs), len(batch))
	}
	return jobs, nil
}

func (c *Consumer) run(h *held, job Job) (o Outcome) {
	defer func() {
		if p := recover(); p != nil {
			_ = c.panicked("a job", p, "message_id", h.MessageID)
			o = retryLater(h)
		}
	}()
	return job(h.ctx)
}

// panicked logs a recovered panic. Its value may hold a body or an address:
// only the runtime's own are printed, of others just the type.
func (c *Consumer) panicked(where string, value any, attrs ...any) error {
	err := fmt.Errorf("panic of type %T", value)
	if known := runtime.Error(nil); asRuntimeError(value, &known) {
		err = fmt.Errorf("panic: %w", known)
	}
	c.Logger.With(attrs...).Error("recovered from a panic in "+where, "stack", string(debug.Stack()), "error", err)
	return err
}

func asRuntimeError(value any, target *runtime.Error) bool {
	known, is := value.(runtime.Error)
	*target = known
	return is
}

// retryLater is the outcome of what ended in no order: 2 s, 4 s … 15 min by
// receive count, the upper half of it jittered.
func retryLater(h *held) Outcome {
	const base, longest, doublings = 2 * time.Second, 15 * time.Minute, 9
	d := min(base<<min(max(h.ReceiveCount-1, 0), doublings), longest)
	return Outcome{Action: Retry, After: d/2 + rand.N(d/2), Failed: true} //nolint:gosec // jitter
}

// conclude ends a message's job and settles the message.
func (c *Consumer) conclude(h *held, o Outcome) {
	c.mu.Lock()
	h.ended = true
	c.slots.ended++
	c.slots.paused = c.slots.paused || o.Pause > 0
	c.freeSlot(h)
	if o.Failed {
		c.stats.Failed++
	}
	if o.Limited {
		c.stats.Limited++
	}
	if o.Refused {
		c.stats.Refused++
	}
	if o.Failed || o.Action == Delete || o.Action == DeadLetter {
		c.stats.Processed++
	}
	if until := time.Now().Add(o.Pause); o.Pause > 0 && until.After(c.pausedUntil) {
		c.pausedUntil = until
	}
	c.gated = c.gated || o.Gate && c.Ready != nil
	c.announce()
	c.mu.Unlock()
	h.cancel(context.Canceled)

	for {
		c.mu.Lock()
		handle := h.handle
		c.mu.Unlock()
		o = c.settle(h, handle, o)
		if c.forget(h, handle) {
			return
		}
	}
}

// forget drops a settled message; false when it came again meanwhile, under a
// newer handle that is to be settled too.
func (c *Consumer) forget(h *held, handle string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.handle != handle {
		h.leaving, h.deleting = false, false
		return false
	}
	delete(c.held, h.key)
	c.slots.heldSize -= len(h.Body)
	c.announce()
	return true
}
