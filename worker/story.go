package main

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/deadletter"
	"github.com/novaura/acs-operator/internal/store"
)

// story tells in sentences what became of an event.
type story struct {
	store.Event

	now        time.Time
	lastError  store.Attempt     // the newest attempt with an error; the zero Attempt: none
	last       store.Attempt     // the newest attempt, where all are known
	suppressed store.Suppression // of the recipient, now; the zero Suppression: none, or not known
}

// sentence says where the event stands and why.
func (s story) sentence() string {
	if s.last.Outcome == store.Discarded {
		return fmt.Sprintf("discarded by %s at %s: %s (%s)", s.last.Owner, s.at(s.last.StartedAt), s.last.Error, s.ErrorCode)
	}
	switch s.Status {
	case store.New:
		return "waits for its next attempt"
	case store.Scheduled:
		return s.waits()
	case store.Processing:
		return s.underway()
	case store.Sent:
		return "sent at " + s.at(s.SentAt) + ", no delivery report yet"
	case store.Delivered:
		return "delivered at " + s.at(s.UpdatedAt)
	case store.Undelivered:
		return "sent, but reported as not delivered at " + s.at(s.UpdatedAt) + inBrackets(s.ErrorCode)
	case store.Failed:
		return s.failed()
	case store.Suppressed:
		return s.suppression()
	case store.Expired:
		return s.expiry()
	case store.InDoubt:
		return fmt.Sprintf("held since %s: nobody knows whether it was sent. Find out at the provider, then decide: worker events resolve %s --sent or --not-sent. The cause: %s", s.at(s.UpdatedAt), s.ID, s.Error)
	case store.Received:
		return s.recorded()
	}
	return string(s.Status)
}

// waits is the sentence of a message that was given back.
func (s story) waits() string {
	switch s.ErrorCode {
	case store.NotBefore, store.QuietHours:
		if s.DueAt.IsZero() {
			return "waits a moment until it is due (" + s.ErrorCode + ")"
		}
		return "waits until " + s.at(s.DueAt) + " (" + s.ErrorCode + ")"
	}
	if text, ours := givenBack[s.ErrorCode]; ours {
		return text + " (" + s.ErrorCode + "), " + s.retry()
	}
	return "failed: " + failure(s.ErrorCode, s.Error) + ", " + s.retry()
}

// givenBack are the codes of attempts that ended before a provider was called.
var givenBack = map[string]string{
	"rate_limit":      "waits for its turn",
	"drained":         "given back by a worker that stopped",
	"store":           "given back, since the database did not answer",
	"lease_too_short": "given back, since too little of its claim was left",
	"":                "given back",
}

// retry is when a message that was given back comes again.
func (s story) retry() string {
	const hiddenAtMost = time.Minute // what waits longer is parked, see processor.Options.ParkAfter
	switch next := s.nextTry(); {
	case !next.IsZero():
		return "will retry at " + s.at(next)
	case s.now.Before(s.UpdatedAt.Add(2 * hiddenAtMost)):
		return "will retry within a minute"
	}
	return "will retry when a worker receives it again"
}

// nextTry is when the message is tried again; zero: not known, or never.
func (s story) nextTry() time.Time {
	switch s.Status { //nolint:exhaustive // the others wait for nothing
	case store.New, store.Scheduled:
		return s.DueAt
	case store.Processing:
		if s.asks() || s.LeaseUntil.Before(s.now) {
			return s.LeaseUntil
		}
	}
	return time.Time{}
}

// asks says that the newest attempt got no clear answer: the next one begins
// with a question to the provider, once the claim has ended.
func (s story) asks() bool {
	return s.lastError.Number == s.Attempts && s.lastError.ErrorCode != "" &&
		(s.lastError.FinishedAt.IsZero() || s.lastError.Outcome == store.Unresolved)
}

func (s story) underway() string {
	const first = ", after asking the provider whether it was sent"
	switch {
	case s.asks():
		return "failed: " + failure(s.lastError.ErrorCode, s.lastError.Error) + ", will retry at " + s.at(s.nextTry()) + first
	case !s.LeaseUntil.After(s.now):
		return "its worker died, or could not record the outcome; the next worker tries it again" + first
	case s.lastError.ErrorCode != "":
		return fmt.Sprintf("attempt %d is under way; attempt %d failed: %s", s.Attempts, s.lastError.Number, failure(s.lastError.ErrorCode, s.lastError.Error))
	}
	return fmt.Sprintf("attempt %d is under way", s.Attempts)
}

func (s story) failed() string {
	switch {
	case s.ErrorCode == deadletter.MaxReceives:
		return "given up: SQS moved it to the dead-letter queue, since it was received too often"
	case !s.SentAt.IsZero():
		return cmp.Or(s.Provider, "the provider") + " accepted it, and reported at " + s.at(s.UpdatedAt) + " that it failed" + inBrackets(s.ErrorCode)
	case s.Provider == "":
		return strings.TrimSuffix("rejected: "+s.ErrorCode+": "+s.Error, ": ")
	}
	return "failed for good at " + s.at(s.UpdatedAt) + ": " + failure(s.ErrorCode, s.Error)
}

func (s story) suppression() string {
	reason := strings.TrimPrefix(s.SettledReason, "the recipient is suppressed: ")
	since := ""
	if t := s.suppressed.CreatedAt; !t.IsZero() && !t.After(s.UpdatedAt) {
		since = t.UTC().Format(time.DateOnly)
	}
	switch {
	case s.ErrorCode == "forgotten":
		return "suppressed: the recipient was erased from the history on request"
	case s.Provider != "":
		return "suppressed: " + s.Provider + " does not send to this recipient: " + failure(s.ErrorCode, s.Error)
	case reason == store.OptedOut && since != "":
		return "suppressed: the recipient sent STOP on " + since
	case reason == store.OptedOut:
		return "suppressed: the recipient had sent STOP"
	case since != "":
		return "suppressed: the recipient is on the suppression list since " + since + " (" + reason + ")"
	}
	return "suppressed: the recipient was on the suppression list (" + reason + ")"
}

func (s story) expiry() string {
	expired, err := time.Parse(time.RFC3339, strings.TrimPrefix(s.SettledReason, "expired at "))
	if err != nil {
		return "expired before it was sent"
	}
	came := orTime(s.EnqueuedAt, s.CreatedAt)
	if came.After(expired) {
		return "expired at " + s.at(expired) + ", " + span(came.Sub(expired)) + " before it came"
	}
	return "expired at " + s.at(expired) + ", " + span(expired.Sub(came)) + " after it came"
}

func orTime(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t
}

func (s story) recorded() string {
	if reported, ok := strings.CutPrefix(s.SettledReason, store.Reported("")); ok {
		return "recorded: the provider reported " + reported + inBrackets(s.ErrorCode)
	}
	switch s.SettledReason {
	case store.OptedOut:
		return "recorded: the sender opted out (STOP)"
	case "":
		return "recorded"
	}
	return "recorded: " + s.SettledReason
}

// attempt says what one of the event's attempts came to.
func (s story) attempt(a store.Attempt) string {
	newest := a.Number == s.Attempts
	switch a.Outcome {
	case "":
		return s.unfinished(a, newest)
	case store.Released, store.ParkedOutcome:
		if newest && s.Status == store.Scheduled {
			return s.waits()
		}
		switch text, ours := givenBack[a.ErrorCode]; {
		case a.ErrorCode == store.NotBefore || a.ErrorCode == store.QuietHours:
			return "came too early (" + a.ErrorCode + ")"
		case ours:
			return text + inBrackets(a.ErrorCode)
		}
		return "failed: " + failure(a.ErrorCode, a.Error)
	case store.Unresolved:
		return "could not find out whether it was sent: " + failure(a.ErrorCode, a.Error)
	case store.Reopened, store.Resolved, store.Discarded:
		return a.Outcome + " by " + a.Owner + ": " + a.Error
	case string(store.Failed):
		return "failed for good: " + failure(a.ErrorCode, a.Error)
	case string(store.InDoubt):
		return "held: nobody knows whether it was sent: " + failure("", a.Error)
	case string(store.Suppressed):
		return s.suppression()
	case string(store.Expired):
		return s.expiry()
	}
	return a.Outcome
}

func (s story) unfinished(a store.Attempt, newest bool) string {
	switch {
	case newest && s.Status == store.Processing:
		return s.underway()
	case a.ErrorCode != "":
		return "failed: " + failure(a.ErrorCode, a.Error) + "; whether it was sent was not known"
	}
	return "its worker died, or could not record the outcome"
}

// problem is the story in a table's column: the error's code and what it is
// about.
func (s story) problem() string {
	switch {
	case s.Status == store.Scheduled && (s.ErrorCode == store.NotBefore || s.ErrorCode == store.QuietHours):
		return s.waits()
	case s.Status == store.Suppressed:
		return "suppressed: " + cmp.Or(strings.TrimPrefix(s.SettledReason, "the recipient is suppressed: "), s.ErrorCode)
	case s.Status == store.Processing && s.lastError.ErrorCode == "":
		return ""
	case s.Status == store.Processing:
		return brief(s.lastError.ErrorCode, s.lastError.Error)
	}
	return brief(s.ErrorCode, s.Error)
}

var (
	httpStatus = regexp.MustCompile(`HTTP \d{3}`)
	// fieldName is how the detail of a rejected message begins.
	fieldName = regexp.MustCompile(`^([a-z_]+(?:, [a-z_]+)*): `)
	// preamble is what provider.Error writes before the provider's own words.
	preamble = regexp.MustCompile(`^[\w-]+: (?:in doubt|permanent|suppress|config|throttled|transient|credentials refused)(?:, HTTP \d{3})?(?:, code [^:]+)?(?:: |$)`)
)

// brief is an error in a few words: its code, and the field or status it is about.
func brief(code, text string) string {
	const longest = 60 // characters
	about := httpStatus.FindString(text)
	if field := fieldName.FindStringSubmatch(text); about == "" && !preamble.MatchString(text) && field != nil {
		about = field[1]
	}
	if about == "" {
		about = preamble.ReplaceAllString(text, "")
	}
	if runes := []rune(about); len(runes) > longest {
		about = string(runes[:longest-1]) + "…"
	}
	return strings.Trim(code+": "+about, ": ")
}

// failure is an error for a sentence: the status that the provider answered with,
// or else what went wrong in words, and the code.
func failure(code, text string) string {
	about := cmp.Or(httpStatus.FindString(text), preamble.ReplaceAllString(text, ""))
	if about == "" {
		return cmp.Or(code, "no error was recorded")
	}
	return about + inBrackets(code)
}

func inBrackets(code string) string {
	if code == "" {
		return ""
	}
	return " (" + code + ")"
}

// at is a time for a sentence: of today without its date.
func (s story) at(t time.Time) string {
	t = t.Round(time.Second)
	if t.UTC().Format(time.DateOnly) == s.now.UTC().Format(time.DateOnly) {
		return t.UTC().Format("15:04:05Z")
	}
	return clock(t)
}

// errorText is the event's error in full: the one that its row has, or while it has
// not ended its newest attempt's.
func (s story) errorText() string { return cmp.Or(s.Error, s.lastError.Error) }

// clock is a time for a table; empty: it is not known.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Round(time.Second).UTC().Format(time.RFC3339)
}

// span is a duration in words of a length that a reader takes in.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 2*day:
		return strings.TrimSuffix(fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60), " 0 min")
	}
	return fmt.Sprintf("%d days", int(d/day))
}
