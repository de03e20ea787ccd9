package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/redact"
)

// ErrEncoding says that the database cannot hold all that messages may say.
var ErrEncoding = errors.New("the database's encoding does not hold every character")

// ErrForeignTable says that the database has a communication_events that this
// project did not make. Migrate leaves such a database as it is.
var ErrForeignTable = errors.New("communication_events is another application's table")

// Settled reports whether a status ends a message: nobody is granted it again.
func (s Status) Settled() bool {
	switch s {
	case Sent, Delivered, Undelivered, Failed, Suppressed, Expired, InDoubt, Received:
		return true
	case New, Scheduled, Processing:
		return false
	}
	return false
}

// Left reports whether a status says that the provider took the message.
func (s Status) Left() bool { return s == Sent || s == Delivered || s == Undelivered }

// Validate refuses a settlement that would not end or hand back its claim.
func (s Settlement) Validate() error {
	if s.Status.Settled() && s.Park == nil || s.Status == Scheduled || s.Status == Processing {
		return nil
	}
	return fmt.Errorf("settle %q: status %q does not end, release or doubt a claim", s.ID, s.Status)
}

// Outcome is what an attempt's row says of the settlement.
func (s Settlement) Outcome() string {
	switch {
	case s.Status == Processing:
		return Unresolved
	case s.Status == Scheduled && s.Park != nil:
		return ParkedOutcome
	case s.Status == Scheduled:
		return Released
	}
	return string(s.Status)
}

// Replaces lists the statuses that the report may replace: those of a lower
// rank. An event in doubt that the provider reports on is in doubt no more, nor
// is one whose owner died.
func (u StatusUpdate) Replaces() ([]Status, error) {
	switch u.Status { //nolint:exhaustive // the others are no delivery reports
	case Sent:
		return []Status{Processing, InDoubt}, nil
	case Delivered, Undelivered, Failed:
		lower := []Status{Processing, InDoubt, Sent}
		if u.CameBack && u.Status == Undelivered {
			lower = append(lower, Delivered)
		}
		return lower, nil
	}
	return nil, fmt.Errorf("update status: %q is no delivery report", u.Status)
}

// Reportable lists the statuses of events that delivery reports are about: a
// row that only records an inbound message or a report is none of them, though
// it may carry the same provider id.
func Reportable() []Status { return []Status{InDoubt, Sent, Delivered, Undelivered, Failed} }

// AddressHash is the SHA-256, in hex, of an address as the suppression list
// keys it: trimmed and in lower case, so that a mail address is found however
// it is written.
func AddressHash(address redact.Personal) string {
	sum := sha256.Sum256([]byte(strings.ToLower(strings.TrimSpace(address.Reveal()))))
	return hex.EncodeToString(sum[:])
}

// FoldsInto reports whether d is one more tick of the decision that last
// stands for: equal, unchanged, and within the same minute.
func (d Decision) FoldsInto(last Decision) bool {
	return !d.Changed && !last.Changed &&
		d.Desired == last.Desired && d.Current == last.Current && d.LimitedBy == last.LimitedBy &&
		d.Time.Truncate(time.Minute).Equal(last.Time.Truncate(time.Minute))
}

// WithDefaults fills what a single tick need not say: it counts once, and its
// first time is its last.
func (d Decision) WithDefaults(now time.Time) Decision {
	d.Time = orTime(d.Time, now)
	d.LastTime = orTime(d.LastTime, d.Time)
	d.Count = max(d.Count, 1)
	return d
}

// NoticeWindow is how long after its last repetition an equal notice still
// counts on the same row.
const NoticeWindow = time.Hour

// WithDefaults fills what a single notice need not say.
func (n Notice) WithDefaults(now time.Time) Notice {
	n.LastTime = orTime(n.LastTime, orTime(n.FirstTime, now))
	n.FirstTime = orTime(n.FirstTime, n.LastTime)
	n.Count = max(n.Count, 1)
	return n
}

// WithDefaults fills what an event that is only recorded need not say.
func (e Event) WithDefaults(now time.Time) Event {
	e.CreatedAt = orTime(e.CreatedAt, now)
	e.UpdatedAt = orTime(e.UpdatedAt, e.CreatedAt)
	e.LeaseUntil = orTime(e.LeaseUntil, e.CreatedAt)
	return e
}

func orTime(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}

// Rows is the filter's limit, with its default.
func (f Filter) Rows() int {
	if f.Limit <= 0 {
		return 100
	}
	return f.Limit
}

// Outcome is what a resolution makes of the row, and of the attempt that tells
// of it.
func (r Resolution) Outcome() (status Status, attempt string) {
	if r.Sent {
		return Sent, Resolved
	}
	return New, Reopened
}
