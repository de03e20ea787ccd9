package store

import (
	"context"
	"time"
)

// Report is what one worker says about one of its queues. Each worker replaces
// its own report every few seconds, so that the controller sees a provider or a
// database that fails long before CloudWatch shows it.
//
// Counts are totals over Window, which ends at Time.
type Report struct {
	Worker  string        `json:"worker"` // the owner in this worker's claims
	Queue   string        `json:"queue"`
	Channel string        `json:"channel"`
	Time    time.Time     `json:"time"`   // by the database's clock; the store sets it
	Window  time.Duration `json:"window"` // at most ReportWindow

	Received  int `json:"received"`  // messages
	Processed int `json:"processed"` // messages whose work ended
	Failed    int `json:"failed"`    // messages, of those processed
	Retried   int `json:"retried"`   // messages given back for another try

	BusySeconds float64 `json:"busySeconds"` // slot-seconds spent on messages
	SlotSeconds float64 `json:"slotSeconds"` // slot-seconds that the worker offered

	OldestInWork time.Duration    `json:"oldestInWork"` // age of the oldest message that the worker holds; 0: it holds none
	Providers    []ProviderReport `json:"providers,omitempty"`
	Claims       ClaimReport      `json:"claims"`
	// PolicyHash identifies the DeliveryPolicy that the worker follows; empty: the
	// built-in defaults.
	PolicyHash string `json:"policyHash,omitempty"`
}

// ReportWindow is how far back a report counts, and ReportRetention how long a
// report is kept that its worker does not replace any more.
const (
	ReportWindow    = time.Minute
	ReportRetention = time.Hour
)

// ProviderReport says how one provider answered one worker.
type ProviderReport struct {
	Provider string        `json:"provider"`
	Calls    int           `json:"calls"`
	Failed   int           `json:"failed"`    // calls that failed by the provider's fault: 5xx, time-out, connection, throttling excluded
	Mean     time.Duration `json:"mean"`      // mean time of a call
	OpenedAt time.Time     `json:"openedAt"`  // when the circuit breaker opened; zero: it is closed
	Failures []Failure     `json:"failures"`  // most frequent first, at most MostFailures
	FailedAt time.Time     `json:"failingAt"` // when the failures began that have not ended yet; zero: the provider works
	// RejectedAt is when the provider began to reject our credentials or our set-up,
	// without having accepted anything since; zero: it does not.
	RejectedAt time.Time `json:"rejectedAt"`
}

// MostFailures is how many kinds of failure a ProviderReport lists.
const MostFailures = 5

// Failure counts the calls that failed in one way.
type Failure struct {
	Class      string `json:"class"` // provider.Class as text: transient, throttled, config, permanent, suppress, in doubt
	Code       string `json:"code"`  // the provider's own code; empty: none
	HTTPStatus int    `json:"httpStatus,omitempty"`
	Count      int    `json:"count"`
	Message    string `json:"message,omitempty"` // the provider's words, without personal data
	// Credentials says that the provider rejected our credentials.
	Credentials bool `json:"credentials,omitempty"`
	// ProviderFault says that the provider failed, and not the message or our set-up.
	ProviderFault bool `json:"providerFault,omitempty"`
}

// ClaimReport says how the database answered one worker's claims.
type ClaimReport struct {
	Calls    int           `json:"calls"`
	Failed   int           `json:"failed"`
	Mean     time.Duration `json:"mean"`            // mean time of a claim
	Error    string        `json:"error,omitempty"` // of the newest that failed
	FailedAt time.Time     `json:"failingAt"`       // when they began to fail; zero: the newest one worked
}

// Reporting carries reports from workers to controllers and to people.
type Reporting interface {
	// SaveReports replaces the reports of the workers and queues that it names,
	// in one statement, and drops those older than ReportRetention. No worker and
	// queue may be named twice in one call.
	SaveReports(ctx context.Context, reports []Report) error
	// Reports lists the reports made within so long, by queue and worker.
	Reports(ctx context.Context, within time.Duration) ([]Report, error)
}

// Unsettled describes the messages of one queue that have a row and no end yet.
type Unsettled struct {
	Messages int       // of those that were looked at, see UnsettledRows
	Oldest   time.Time // when the oldest was put on its queue, or became due
}

// Feedback counts what became of the messages of one sender or campaign.
type Feedback struct {
	Channel    string
	Sender     string // the from address, which is ours
	Template   string // the campaign; empty: none
	Sent       int
	Bounced    int // mails, for good
	Complained int // mails
	OptedOut   int // texts answered with STOP
}

// Watching is what the controller reads about messages to tell people how they fare.
type Watching interface {
	// OldestUnsettled describes, by queue name, the messages that workers claimed
	// and that have no end yet. Messages that wait on purpose (not_before,
	// quiet_hours) do not count; once they are due, their age counts from then,
	// and that of a message that a person had tried again from that moment.
	// It looks at the oldest and the newest UnsettledRows rows of each status.
	OldestUnsettled(ctx context.Context) (map[string]Unsettled, error)
	// Feedback counts by sender and template what happened since a time, over at
	// most the newest FeedbackRows rows.
	Feedback(ctx context.Context, since time.Time) ([]Feedback, error)
}

// UnsettledRows bounds what one call of OldestUnsettled reads.
const UnsettledRows = 2_000

// FeedbackRows bounds what one call of Feedback reads.
const FeedbackRows = 50_000
