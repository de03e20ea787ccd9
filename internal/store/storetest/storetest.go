// Package storetest is the one suite that every engine of the store passes:
// it is the contract of internal/store, written as tests.
//
// Start with Run.
package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// Open opens an empty, migrated store, a Peeker, whose clock is now; nil: the
// engine's own clock. It closes the store when t ends.
type Open func(t *testing.T, now func() time.Time) store.Store

// Peeker is an engine that shows its suite what a row keeps of its message: body
// and attributes, one after the other.
type Peeker interface {
	Peek(ctx context.Context, id string) (kept string, err error)
}

// Run holds an engine to the contract.
func Run(t *testing.T, open Open) {
	t.Helper()
	t.Run("claims", func(t *testing.T) { claims(t, open) })
	t.Run("lost answers", func(t *testing.T) { lostAnswers(t, open) })
	t.Run("settlements", func(t *testing.T) { settlements(t, open) })
	t.Run("concurrency", func(t *testing.T) { concurrency(t, open) })
	t.Run("interleavings", func(t *testing.T) { interleavings(t, open) })
	t.Run("events", func(t *testing.T) { events(t, open) })
	t.Run("delivery reports", func(t *testing.T) { deliveryReports(t, open) })
	t.Run("suppressions", func(t *testing.T) { suppressions(t, open) })
	t.Run("forgetting", func(t *testing.T) { forgetting(t, open) })
	t.Run("parking", func(t *testing.T) { parking(t, open) })
	t.Run("doubts", func(t *testing.T) { doubts(t, open) })
	t.Run("tokens", func(t *testing.T) { tokens(t, open) })
	t.Run("turns", func(t *testing.T) { turns(t, open) })
	t.Run("bounces", func(t *testing.T) { bounces(t, open) })
	t.Run("watching", func(t *testing.T) { watching(t, open) })
	t.Run("searching", func(t *testing.T) { searching(t, open) })
	t.Run("discarding", func(t *testing.T) { discarding(t, open) })
	t.Run("upkeep", func(t *testing.T) { upkeep(t, open) })
	t.Run("controller", func(t *testing.T) { controller(t, open) })
	t.Run("steering", func(t *testing.T) { steering(t, open) })
	t.Run("silences", func(t *testing.T) { silences(t, open) })
	t.Run("reports", func(t *testing.T) { reports(t, open) })
}

// start is when every test's clock starts.
var start = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

// lease is how long the tests' claims last.
const lease = time.Minute

// clock turns by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// room is one test's store with its clock; its methods fail the test on errors
// that the test does not ask for.
type room struct {
	store.Store
	*clock

	t *testing.T
}

func enter(t *testing.T, open Open) room {
	t.Helper()
	c := &clock{now: start}
	return room{Store: open(t, c.Now), clock: c, t: t}
}

// message is a claim for id with content of its own.
func message(id string) store.Claim {
	return store.Claim{
		ID: id, Channel: "sms", Type: "message_send", From: "+14155550100", To: "+14155550123",
		Queue: "novaura-acs-sms-events", SQSMessageID: "sqs-" + id, PayloadHash: "hash-" + id, BodyHash: "body-" + id,
		Segments: 1, Template: "welcome", Priority: "transactional", EnqueuedAt: start.Add(-3 * time.Second),
	}
}

// claim claims one message and returns what came of it.
func (r room) claim(owner string, c store.Claim) store.ClaimResult {
	r.t.Helper()
	results, err := r.Claim(context.Background(), owner, lease, []store.Claim{c})
	if err != nil || len(results) != 1 {
		r.t.Fatalf("claim %s for %s: got %d results and error %v, want 1 and none", c.ID, owner, len(results), err)
	}
	return results[0]
}

// want claims id for owner and checks the outcome.
func (r room) want(owner, id string, outcome store.Outcome) store.Event {
	r.t.Helper()
	got := r.claim(owner, message(id))
	if got.Outcome != outcome {
		r.t.Fatalf("claim %s for %s: got outcome %d, want %d; row %+v", id, owner, got.Outcome, outcome, got.Event)
	}
	return got.Event
}

// settle settles one claim and returns the answer.
func (r room) settle(one store.Settlement) error {
	r.t.Helper()
	answers, err := r.Settle(context.Background(), []store.Settlement{one})
	if err != nil || len(answers) != 1 {
		r.t.Fatalf("settle %s: got %d answers and error %v, want 1 and none", one.ID, len(answers), err)
	}
	return answers[0]
}

// finish settles the claim that e stands for as sent, under a provider id.
func (r room) finish(e store.Event, providerID string) {
	r.t.Helper()
	err := r.settle(store.Settlement{
		ID: e.ID, Attempt: e.Attempts, Owner: e.Owner, Status: store.Sent, Provider: "twilio", ProviderID: providerID,
	})
	if err != nil {
		r.t.Fatalf("settle %s as sent: %v", e.ID, err)
	}
}

// row is the row of id as it stands.
func (r room) row(id string) store.Event {
	r.t.Helper()
	found, err := r.Events(context.Background(), store.Filter{ID: id})
	if err != nil || len(found) != 1 {
		r.t.Fatalf("events of %s: got %d and error %v, want 1 and none", id, len(found), err)
	}
	return found[0]
}

// record inserts a row.
func (r room) record(e store.Event) {
	r.t.Helper()
	inserted, err := r.Record(context.Background(), e)
	if err != nil || !inserted {
		r.t.Fatalf("record %s: got inserted %v and error %v, want true and none", e.ID, inserted, err)
	}
}

// must fails the test on an error.
func (r room) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// someone is an address for suppressions.
const someone redact.Personal = "Ann@Example.com"

// attempts are the tries of one event, first to last.
func (r room) attempts(id string) []store.Attempt {
	r.t.Helper()
	found, err := r.Attempts(context.Background(), id)
	r.must(err)
	return found
}
