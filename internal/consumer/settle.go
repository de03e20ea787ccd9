package consumer

import "time"

// settle does on the queue what o asks, under one receipt handle, and returns
// what to do should the message have come again under another.
func (c *Consumer) settle(h *held, handle string, o Outcome) Outcome {
	switch o.Action {
	case Delete:
		c.delete(h, handle)
	case DeadLetter:
		return c.deadLetter(h, handle, o)
	case HandBack:
		c.setVisibility(h, handle, 0, &c.stats.HandedBack)
	case Park:
		c.count(&c.stats.Parked)
		c.delete(h, handle)
	case Retry:
		c.setVisibility(h, handle, o.After, &c.stats.Retried)
	default:
		c.Logger.Error("a job ended in an action that there is not; its message comes again", "message_id", h.MessageID, "action", int(o.Action))
		c.setVisibility(h, handle, retryLater(h).After, &c.stats.Retried)
	}
	return o
}

// delete takes the message off the queue. It is tried even when the lease is
// lost: what was settled must not be worked on again, and a handle that no
// longer counts does no harm.
func (c *Consumer) delete(h *held, handle string) {
	c.mu.Lock()
	h.deleting = true
	c.mu.Unlock()
	if err := c.deletes.add(c.phases.settling, &entry{handle: handle}); err != nil {
		c.Logger.Warn("cannot delete a settled message; it comes again", "message_id", h.MessageID, "error", err)
		c.count(&c.stats.DeletesFailed)
		return
	}
	c.count(&c.stats.Deleted)
}

// setVisibility lets the message come again after d. A lost one is let be: it
// is another's now.
func (c *Consumer) setVisibility(h *held, handle string, d time.Duration, counter *int) {
	if !c.leave(h) {
		return
	}
	const longest = 12*time.Hour - time.Second // from the receipt; SQS refuses more
	d = min(d, longest-time.Since(h.handleAt))
	if err := c.visibility.add(c.phases.settling, &entry{handle: handle, visibility: d}); err != nil {
		c.Logger.Warn("cannot set a message's visibility; it comes again when its window ends", "message_id", h.MessageID, "error", err)
		return
	}
	c.count(counter)
}

// leave stops a message's heartbeat and waits for the one under way, which
// would overwrite the visibility that is set next; false when the lease is
// lost.
func (c *Consumer) leave(h *held) bool {
	c.mu.Lock()
	h.leaving = true
	renewing := h.renewing
	c.mu.Unlock()
	if renewing != nil {
		<-renewing // a call, and so bounded
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !h.lost
}

func (c *Consumer) count(counter *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*counter++
}
