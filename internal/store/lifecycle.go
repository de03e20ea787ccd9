package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/internal/redact"
)

// ErrTaken says that an exclusive settlement came second: another event is
// settled with that provider id. The row was not changed.
var ErrTaken = errors.New("the provider's message belongs to another event")

// The outcomes of attempts that are no statuses.
const (
	Released      = "released"   // handed back; nothing was sent
	ParkedOutcome = "parked"     // the same, and the row keeps the message until it is due
	Unresolved    = "unresolved" // only a lookup: the doubt stays
	Reopened      = "reopened"   // a person had it tried again
	Resolved      = "resolved"   // a person said that it was sent
	Discarded     = "discarded"  // a person gave it up
)

// SearchRows bounds the rows that a search without an index reads.
const SearchRows = 100_000

// The codes of attempts whose message waits on purpose.
const (
	NotBefore  = "not_before"  // for the time that the message names
	QuietHours = "quiet_hours" // for the end of the recipient's night
)

// RejectedAs is the SettledReason of a message that was rejected under its SQS
// id, and names itself by an id of its own.
func RejectedAs(ownID string) string { return fmt.Sprintf("the message's own id is %q", ownID) }

// Reported is the SettledReason of a delivery report.
func Reported(status string) string { return "reported " + status }

// Parked is a message that its row keeps while no queue has it.
type Parked struct {
	Body redact.Personal // as it stood on the queue
	// Attributes are its message attributes, as attribute.Set encodes them;
	// empty: it had none.
	Attributes redact.Personal
	GroupID    string        // the tenant, for fair queues; may be empty
	After      time.Duration // from now, by the database's clock, until it is due
}

// Due is a parked message that its leaser puts back on its queue.
type Due struct {
	ID         string // the idempotency key that the copy carries
	Queue      string // the queue's name
	Body       redact.Personal
	Attributes redact.Personal
	GroupID    string
	Until      time.Time // the lease's end, which fences Unpark
	// Points says, for Unpark, that what is on the queue only points to the row,
	// which keeps the message on.
	Points bool
}

// Parking keeps messages that must wait for longer than a queue should hide
// them, or that a queue would take for poison.
type Parking interface {
	// Park gives the row of a message that is not settled, whoever owns it, a
	// copy of the message: one too many has the same key and does no harm.
	// ErrLost: there is no such row, or it is settled.
	Park(ctx context.Context, id, payloadHash string, p Parked) error
	// LeaseDue takes at most limit messages of the named queues that are due,
	// the longest due first, away from other leasers until lease from now. A
	// message whose claim holds is left alone.
	LeaseDue(ctx context.Context, queues []string, lease time.Duration, limit int) ([]Due, error)
	// Unpark forgets the copies of messages that are back on their queues,
	// where their leases still hold.
	Unpark(ctx context.Context, due []Due) error
	// Kept is the message that a row keeps, for whatever reason; After means
	// nothing. ErrNotFound: it keeps none.
	Kept(ctx context.Context, id string) (Parked, error)
	// CountDue counts, by queue name, the parked messages that are due within
	// so long from now.
	CountDue(ctx context.Context, within time.Duration) (map[string]int, error)
}

// Rivalry asks whether what a provider has may be another event's.
type Rivalry struct {
	EventID string // whose rivals are asked for
	Channel string
	To      redact.Personal
	Before  time.Time // only claims that began before
}

// Resolution is a person's word about a settled event.
type Resolution struct {
	ID string
	// From is the status that the person saw, InDoubt or Failed: the write is
	// fenced by it.
	From Status
	// Sent settles the event as sent, under Provider and ProviderID if they
	// are known; otherwise it is New again, and may be claimed.
	Sent                 bool
	Provider, ProviderID string
	By, Reason           string // become an attempt of the history
}

// Discarding is a person's word that a message is given up.
type Discarding struct {
	ID         string
	By, Reason string // become an attempt of the history
}

// Cursor is a place in the history, oldest first.
type Cursor struct {
	CreatedAt time.Time
	ID        string
}

// Pruning says what of the history is too old.
type Pruning struct {
	Addresses time.Time // addresses and bodies of settled rows untouched since go
	Rows      time.Time // settled rows untouched since go; those in doubt stay
	From      Cursor    // where the batch before ended; zero: the start
	Limit     int       // rows looked at
}

// Pruned is what a batch came to.
type Pruned struct {
	Erased, Deleted int // rows
	Next            Cursor
	Done            bool // there is nothing older left
}

// Upkeep is what people do to the history.
type Upkeep interface {
	// Resolve applies a person's word. ErrLost: the row is not, or no longer,
	// as the person saw it, or the provider has had it: nothing changed. What is
	// New again, and kept in its row, is due at once.
	Resolve(ctx context.Context, r Resolution) error
	// Discard ends the row of a message that a person gives up, and forgets what
	// the row keeps of it. ErrLost: the row is missing, a worker holds it, it is in
	// doubt or has ended in another way than by a failure before anything was sent.
	Discard(ctx context.Context, d Discarding) error
	// Keep gives the row of a message that failed or is in doubt the message
	// itself, where no dead-letter queue takes it; After means nothing. ErrLost:
	// there is no such row.
	Keep(ctx context.Context, id string, p Parked) error
	// Prune works on one batch of the history.
	Prune(ctx context.Context, p Pruning) (Pruned, error)
	// Forget erases an address, and bodies with it, from every row, ends what
	// is parked for it, and counts the rows. The rows and their keys stay.
	Forget(ctx context.Context, address redact.Personal) (rows int, err error)
	// CountStatus counts the rows of a status, by queue name.
	CountStatus(ctx context.Context, status Status) (map[string]int, error)
}
