// Package store is the contract of history and state: what is remembered of
// every message, and what the controller must know again after a restart.
// postgres/ and sqlite/ keep it; storetest/ holds both to it.
//
// It imports redact and the standard library. Start with Store.
//
// # The life of a row
//
//	            Claim                Settle
//	(no row) ──────────▶ processing ────────▶ sent · failed · suppressed · expired · in_doubt
//	    new ──────────▶      │  ▲
//	scheduled ────────▶      │  │ Claim, the lease still running: Busy, nothing changes
//	    ▲       Release      │  │ Claim, the lease lapsed: Doubtful, the claimer must ask
//	    └────────────────────┘  └─ the provider before it sends
//
// Every step is one conditional write, fenced by owner and attempt: who lost
// the claim changes nothing. docs/lifecycle.md has the whole table.
//
// There is no status "sending". A claim whose owner died is Doubtful whether
// or not the call had begun: a row that says "claimed, not sending" after the
// owner's death could be trusted only if it were written before each call,
// which is one more statement for every message so that one in many thousands
// is spared one lookup. A claim whose answer was lost on its way is no death: by
// its Token its claimer asks again, or gives it back (Unclaim).
package store

import (
	"context"
	"errors"
	"time"

	"github.com/novaura/acs-operator/internal/redact"
)

// Status is where a message stands.
type Status string

// The statuses of a row. New and Scheduled may be claimed; Processing is
// owned; the others are the end, except that delivery reports move Sent to
// Delivered or Undelivered.
const (
	New         Status = "new"
	Scheduled   Status = "scheduled"
	Processing  Status = "processing"
	Sent        Status = "sent"
	Delivered   Status = "delivered"
	Undelivered Status = "undelivered"
	Failed      Status = "failed"
	Suppressed  Status = "suppressed"
	Expired     Status = "expired"
	InDoubt     Status = "in_doubt"
	Received    Status = "received"
)

// OptedOut is the reason of a suppression by a person's own STOP.
const OptedOut = "STOP"

// ErrNotFound says that there is no such row.
var ErrNotFound = errors.New("not found")

// ErrDamaged says that the database's file is damaged: restore a backup.
var ErrDamaged = errors.New("the database is damaged")

// ErrLost says that a write was fenced off: the claim it speaks for is no
// longer its owner's. The row was not changed.
var ErrLost = errors.New("the claim is lost to another owner")

// Event is one row of communication_events: one message.
type Event struct {
	ID            string
	Channel       string
	Type          string
	Status        Status
	From, To      redact.Personal
	Provider      string
	ProviderID    string
	Attempts      int
	ErrorCode     string
	Error         string
	Queue         string // the queue's name
	SQSMessageID  string
	PayloadHash   string // SHA-256 in hex of the content the ID stands for
	BodyHash      string // SHA-256 in hex of the body; bodies are not kept
	Segments      int    // SMS segments; 0: not an SMS
	Template      string
	Priority      string
	Owner         string
	LeaseUntil    time.Time // never zero
	CreatedAt     time.Time
	UpdatedAt     time.Time
	SentAt        time.Time // zero: not sent
	EnqueuedAt    time.Time // SQS's SentTimestamp; zero: unknown
	SettledReason string    // why a terminal status was chosen, for people; may be empty
	// DueAt is when a parked message goes back to its queue; zero: it is not
	// parked.
	DueAt time.Time
	// Body is what was sent; empty unless bodies are kept (HISTORY_BODIES).
	Body redact.Personal
}

// Attempt is one row of communication_attempts: one try at a provider.
type Attempt struct {
	EventID    string
	Number     int // from 1
	Owner      string
	StartedAt  time.Time
	FinishedAt time.Time // zero: still running, or its owner died
	// Outcome is a Status, or released, parked, unresolved (the doubt stays),
	// reopened, resolved or discarded (a person's word); empty while running.
	Outcome    string
	Provider   string
	ProviderID string
	ErrorCode  string
	Error      string
}

// Claim asks for the right to process one message. The fields describe the
// row to insert when there is none.
type Claim struct {
	ID           string
	Channel      string
	Type         string
	From, To     redact.Personal
	Queue        string
	SQSMessageID string
	PayloadHash  string
	BodyHash     string
	Segments     int
	Template     string
	Priority     string
	EnqueuedAt   time.Time
	Body         redact.Personal // kept in the row; empty: only its hash is
	// Token is of this claim alone, of all that ever were. Whoever got no answer
	// may claim again with it: what the first did is answered once more, and
	// nothing is done twice. Empty: the store makes one up.
	Token string
}

// Event is the row that a claim makes where there is none, but for what the
// database chooses: owner and times.
func (c Claim) Event() Event {
	return Event{
		ID: c.ID, Channel: c.Channel, Type: c.Type, Status: Processing, From: c.From, To: c.To, Queue: c.Queue,
		SQSMessageID: c.SQSMessageID, PayloadHash: c.PayloadHash, BodyHash: c.BodyHash, Segments: c.Segments,
		Template: c.Template, Priority: c.Priority, EnqueuedAt: c.EnqueuedAt, Body: c.Body,
	}
}

// Outcome says what a claim came to.
type Outcome int

// The outcomes of a claim.
const (
	Granted  Outcome = iota // the claimer owns the row; nothing was sent before
	Doubtful                // the claimer owns the row, and an earlier owner's lease lapsed: ask the provider first
	Busy                    // another owner works on it until LeaseUntil; nothing changed
	Done                    // the row is settled; nothing changed
	Conflict                // the ID stands for other content; nothing changed
)

// ClaimResult is the answer to one Claim.
type ClaimResult struct {
	Outcome Outcome
	Event   Event // the row as it stands after the claim
	// Suppressed is the reason for which the recipient is on the
	// suppression list of this channel; empty: it is not.
	Suppressed string
}

// Settlement ends, or hands back, a claim.
type Settlement struct {
	ID      string
	Attempt int    // Event.Attempts as the claim gave it
	Owner   string // the claimer
	// Status is the terminal status; or Scheduled to release the claim: the
	// message will come again and nothing was sent; or Processing to keep the
	// doubt: the lease ends at once, and the next claim is Doubtful.
	Status     Status
	Provider   string
	ProviderID string
	ErrorCode  string
	Error      string
	Reason     string // becomes Event.SettledReason
	// Park keeps the message in the row until it is due, with Scheduled or
	// Processing. nil: whoever settles has the message on its queue.
	Park *Parked
	// Keep has the row of what failed, or is in doubt, keep the message on that it
	// has: the dead letter only points to it.
	Keep bool
	// Exclusive refuses with ErrTaken where another event is settled with the
	// same provider id: of two that say the same to one person, one alone has
	// that effect.
	Exclusive bool
}

// Lease names one claim that is still worked on.
type Lease struct {
	ID      string
	Attempt int
}

// Filter selects events, newest first. Empty fields select everything.
type Filter struct {
	ID         string
	Channel    string
	Type       string
	Status     Status
	ProviderID string
	Queue      string    // the queue's name; with it, or with ErrorCode, only the newest SearchRows rows are read
	ErrorCode  string    // the row's, or while the event has not ended, that of one of its last two attempts
	Since      time.Time // created at or after
	Kept       bool      // only those that failed or are in doubt, and whose row keeps the message (Upkeep.Keep)
	Limit      int       // at most so many rows; 0: 100
}

// StatusUpdate is a delivery report for an event that was sent.
type StatusUpdate struct {
	ProviderID string
	Status     Status // Sent, Delivered, Undelivered or Failed
	ErrorCode  string
	// EventID is our own id, where the report names it. It settles an event
	// that is in doubt, or whose owner died, and that no provider id is known
	// of.
	EventID  string
	Provider string // with EventID: who reports
	// CameBack lets Undelivered replace Delivered: a server took the mail, and
	// returned it later.
	CameBack bool
}

// Messages is the worker's side. Every method may be called from many
// goroutines and many processes at once; an error means that nothing may be
// assumed: the caller neither sends nor deletes.
type Messages interface {
	// Claim claims a batch in one statement, for owner, until lease from now
	// by the database's clock. Results come in the order of claims. Two
	// claims with one ID in one batch: the first wins, the second is Busy.
	Claim(ctx context.Context, owner string, lease time.Duration, claims []Claim) ([]ClaimResult, error)
	// Unclaim gives back claims whose answers were lost, and under which nothing
	// was sent, by ID and Token: what was Granted is Scheduled, what was Doubtful
	// is so at once for the next claim. Those that did not come to be, or are
	// another's by now, are left alone.
	Unclaim(ctx context.Context, owner string, claims []Claim) error
	// Extend renews leases that owner still holds, and returns those that it
	// does not.
	Extend(ctx context.Context, owner string, lease time.Duration, leases []Lease) (lost []Lease, err error)
	// Settle ends claims; the answer at i is nil or ErrLost for the
	// settlement at i. One that had come about already, and whose answer was
	// lost, is answered with nil: nothing is changed.
	Settle(ctx context.Context, settlements []Settlement) ([]error, error)
	// Explain records why nobody knows how an attempt ended: its Provider, ErrorCode
	// and Error, the last two in the event's row too. It stays without an end, and the
	// doubt as it is. One that has ended is left alone.
	Explain(ctx context.Context, a Attempt) error
	// Record inserts a row that needs no provider (inbound, a status,
	// something that cannot be understood) and reports whether it is new. A
	// row that exists already is left as it is.
	Record(ctx context.Context, e Event) (inserted bool, err error)
	// UpdateStatus applies a delivery report by rank (sent < delivered,
	// undelivered, failed): it never goes back. ErrNotFound: no event has
	// that provider id (yet).
	UpdateStatus(ctx context.Context, u StatusUpdate) error

	// OptOut and OptIn are a person's own STOP and START, at the time at which
	// they were said: queues deliver in any order, and a START does not undo a STOP
	// that was said after it. Whatever else suppressed the address, OptIn ends it.
	OptOut(ctx context.Context, channel string, address redact.Personal, at time.Time) error
	OptIn(ctx context.Context, channel string, address redact.Personal, at time.Time) error
	// Suppress puts an address on a channel's suppression list, and
	// Unsuppress takes it off; both may be repeated.
	Suppress(ctx context.Context, channel string, address redact.Personal, reason string) error
	Unsuppress(ctx context.Context, channel string, address redact.Personal) error
	// SuppressionReason is why an address is on the list; empty: it is not.
	SuppressionReason(ctx context.Context, channel string, address redact.Personal) (string, error)

	// Events lists events; Attempts lists the tries of one, first to last.
	Events(ctx context.Context, f Filter) ([]Event, error)
	Attempts(ctx context.Context, eventID string) ([]Attempt, error)
	// LastErrors returns, by event id, the newest attempt that recorded an error
	// code. Events without such an attempt are left out.
	LastErrors(ctx context.Context, eventIDs []string) (map[string]Attempt, error)
	// Search finds events that id leads to although it is not their own: the SQS
	// message id, or the id that a rejected message names itself by. It reads the
	// newest SearchRows rows, and as many rejected ones, and returns the newest
	// events first, at most ten.
	Search(ctx context.Context, id string) ([]Event, error)
	// Rival reports whether the recipient is written to just now, in the same
	// channel, by another event whose claim holds and began before a time.
	Rival(ctx context.Context, r Rivalry) (bool, error)
	// SettledProviderIDs returns which of the given provider ids are already
	// settled to an event other than eventID.
	SettledProviderIDs(ctx context.Context, provider string, ids []string, eventID string) (map[string]bool, error)

	Parking
	Upkeep
	Tokens
	Turns
	Bounces
}

// Decision is one row of controller_decisions. Equal decisions in a row fold
// to one row a minute, whose Count says how many ticks it stands for.
type Decision struct {
	Policy    string
	Time      time.Time // of the first tick folded into the row
	LastTime  time.Time // of the last
	Count     int
	Desired   int
	Current   int
	LimitedBy string
	Reason    string
	Changed   bool   // the count was written to the service
	Record    []byte // JSON: observation, decision, hash of the state
	// Tick is what is kept of this tick if it folds into a row (one line of
	// JSON), and Folded the ticks that folded into one, a line each. Folded
	// is read by Trail alone.
	Tick, Folded []byte
}

// DecisionFilter picks decisions of one policy: those since a time (zero: all),
// those that changed a count where Changed is set, at most Limit.
type DecisionFilter struct {
	Policy  string
	Since   time.Time
	Changed bool
	Limit   int
}

// Notice is one row of controller_events: something that happened, with a
// reason in CamelCase, counted while it repeats.
type Notice struct {
	Policy    string
	Type      string // Normal or Warning
	Reason    string
	Message   string
	Count     int
	FirstTime time.Time
	LastTime  time.Time
}

// Controller is the controller's side.
type Controller interface {
	SaveDecision(ctx context.Context, d Decision) error
	// Decisions lists a policy's decisions, newest first.
	Decisions(ctx context.Context, f DecisionFilter) ([]Decision, error)
	// SaveState keeps a policy's scaling state, a small JSON value;
	// LoadState returns it, or ErrNotFound.
	SaveState(ctx context.Context, policy string, state []byte) error
	LoadState(ctx context.Context, policy string) ([]byte, error)
	// SaveNotice counts one more of an equal notice (policy, reason,
	// message) of the last hour, or inserts it.
	SaveNotice(ctx context.Context, n Notice) error
	// Notices lists the newest notices first, at most limit.
	Notices(ctx context.Context, limit int) ([]Notice, error)
}

// Store is the whole contract.
type Store interface {
	Messages
	Controller
	Steering
	Silencing
	Watching
	Reporting
	// Migrate brings the schema up to date and reports the version it has
	// now. It refuses a communication_events that is not ours.
	Migrate(ctx context.Context) (version int64, err error)
	// Ready reports nil when the database answers and its schema is one this
	// code can work with.
	Ready(ctx context.Context) error
	// Writable reports nil when a write of some size is committed, and leaves
	// nothing behind. It finds what Ready cannot: a full disk, a file that only
	// reads, a lock that another process does not give up.
	Writable(ctx context.Context) error
	// Verify looks for damage (ErrDamaged), as far as the engine does not by
	// itself: it reads all of a SQLite file.
	Verify(ctx context.Context) error
	Close() error
}
