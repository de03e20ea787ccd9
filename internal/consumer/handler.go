package consumer

import (
	"context"
	"time"

	"github.com/novaura/acs-operator/internal/attribute"
)

// Queue is one SQS queue that a consumer reads.
type Queue struct {
	Name    string // the last part of its URL
	URL     string
	Channel string // sms, email or push
	// Rank is its place among the channel's queues, from 0: where a rate holds
	// sends back, those of a lower rank go first.
	Rank int
}

// Received is one message as SQS handed it out.
type Received struct {
	Queue         Queue
	MessageID     string // SQS's own id
	ReceiptHandle string
	Body          string
	// Key is the message attribute acs_id, which a copy (dead letter,
	// snooze, redrive) carries; empty: none.
	Key string
	// Attributes are all that it came with.
	Attributes attribute.Set
	// Pointed says that Body and Attributes are those that the message's row keeps,
	// and what the queue has is attribute.Pointer. The Handler finds out.
	Pointed bool
	// Webhook says that anyone may have posted it; nil: its sender may send to
	// the queue.
	Webhook      *Webhook
	ReceiveCount int       // from 1
	Uncounted    bool      // its server does not say how often it was received: ReceiveCount is how often this consumer has, and others may have too
	MaxReceives  int       // the queue's maxReceiveCount: the receive after this many goes to the dead-letter queue; 0: none, or not known
	SentAt       time.Time // SentTimestamp
	FirstSentAt  time.Time // of the first of its copies, where this is one that says so; else zero
	GroupID      string    // MessageGroupId: the tenant, for fair queues
}

// Action is what becomes of a message on its queue.
type Action int

// The actions.
const (
	Delete     Action = iota // it is settled
	Retry                    // it comes again after Outcome.After
	DeadLetter               // a copy with acs_id goes to the dead-letter queue, then it is deleted; without such a queue Options.Keep has it
	HandBack                 // it becomes visible at once, unspent: another worker may take it
	Park                     // its row keeps it until it is due: it is deleted, and counts as no success
)

// Outcome is how a job ended.
type Outcome struct {
	Action Action
	After  time.Duration // for Retry
	// Failed counts the message as failed in the log line and the metrics.
	Failed bool
	// Key is the idempotency key that a dead letter carries as acs_id; empty:
	// Received.Key, or else the SQS message id.
	Key string
	// Row is the key of the row that tells of a dead letter; empty: Key, or what
	// stands for it.
	Row string
	// Reason is why, in one line without personal data; it goes with a dead
	// letter as the message attribute acs_reason.
	Reason string
	// Pause stops the queue's receiving for so long, when no message of it
	// can be worked on now (a database that does not answer, credentials
	// that are refused). 0: no pause.
	Pause time.Duration
	// Limited says that the provider, or the rate that is allowed to it, is why
	// the message waits.
	Limited bool
	// Refused says that the provider refuses our credentials, and that the message
	// waits until they are mended.
	Refused bool
	// Gate keeps receiving stopped after the pause until Options.Ready says
	// that messages can be worked on: each receive counts towards the
	// dead-letter queue.
	Gate bool
}

// LastReceives reports whether a message that goes back to its queue now could
// be taken for poison: one more receive is kept for a worker that dies.
func (r Received) LastReceives() bool {
	return r.MaxReceives > 0 && r.ReceiveCount >= max(r.MaxReceives-1, 1)
}

// Job does the work of one message. Its context ends when the message's lease
// is lost or the drain's deadline comes; it must return soon after.
type Job func(ctx context.Context) Outcome

// Handler turns received messages into jobs.
type Handler interface {
	// Prepare sees a received batch (1 to 10 messages of one queue) before
	// any of it is worked on, so that a store can claim it in one statement.
	// It returns one job a message, in order; each is run exactly once, at
	// the same time as the others.
	Prepare(ctx context.Context, batch []Received) []Job
}
