package consumer

import (
	"context"
	"time"
)

// Queue is one SQS queue that a consumer reads.
type Queue struct {
	Name    string // the last part of its URL
	URL     string
	Channel string // sms, email or push
}

// Received is one message as SQS handed it out.
type Received struct {
	Queue         Queue
	MessageID     string // SQS's own id
	ReceiptHandle string
	Body          string
	// Key is the message attribute acs_id, which a copy (dead letter,
	// snooze, redrive) carries; empty: none.
	Key          string
	ReceiveCount int       // from 1
	SentAt       time.Time // SentTimestamp
	GroupID      string    // MessageGroupId: the tenant, for fair queues
}

// Action is what becomes of a message on its queue.
type Action int

// The actions.
const (
	Delete     Action = iota // it is settled
	Retry                    // it comes again after Outcome.After
	DeadLetter               // a copy with acs_id goes to the dead-letter queue, then it is deleted; without such a queue it is deleted, for its row holds the reason
	HandBack                 // it becomes visible at once, unspent: another worker may take it
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
	// Reason is why, in one line without personal data; it goes with a dead
	// letter as the message attribute acs_reason.
	Reason string
	// Pause stops the queue's receiving for so long, when no message of it
	// can be worked on now (a database that does not answer, credentials
	// that are refused). 0: no pause.
	Pause time.Duration
}

// Job does the work of one message. Its context ends when the message's lease
// is lost or the drain's deadline comes; it must return soon after.
type Job func(ctx context.Context) Outcome

// Handler turns received messages into jobs.
type Handler interface {
	// Prepare sees a received batch (1 to 10 messages of one queue) before
	// any of it is worked on, so that a store can claim it in one statement.
	// It returns one job a message, in order; each is run exactly once, on a
	// goroutine of its own.
	Prepare(ctx context.Context, batch []Received) []Job
}
