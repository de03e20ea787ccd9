package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/sqlite"
)

const (
	person = "+14155550123"
	ours   = "+14155550100"
)

// clock turns by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fakeSender has the memory of a provider: what it accepted, it finds.
type fakeSender struct {
	mu       sync.Mutex
	clock    *clock
	accepted []acceptance
	// next answers the calls to come, one each; nil accepts.
	next []func(f *fakeSender, m *message.Message) error
	// always answers every call beside these while it is set.
	always *provider.Error
	name   string // empty: fake
	// findError answers every lookup while it is set.
	findError error
	sends     int
	lookups   int
	since     time.Time // of the last lookup
	status    string    // of what is found
	before    func()    // runs while a send is under way
	asked     func()    // runs while a lookup is
	accepting func(*message.Message)
	after     func() // runs when it was accepted, before the answer arrives
}

type acceptance struct {
	sid, key, to, body string
	at                 time.Time
}

func (f *fakeSender) Name() string { return cmp.Or(f.name, "fake") }

func (f *fakeSender) Send(_ context.Context, m *message.Message) (provider.Receipt, error) {
	if f.before != nil {
		f.before()
	}
	receipt, err := f.send(m)
	if err == nil && f.after != nil {
		f.after()
	}
	return receipt, err
}

func (f *fakeSender) send(m *message.Message) (provider.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sends++
	if len(f.next) > 0 {
		answer := f.next[0]
		f.next = f.next[1:]
		if err := answer(f, m); err != nil {
			return provider.Receipt{}, err
		}
	} else if f.always != nil {
		return provider.Receipt{}, f.always
	}
	return f.accept(m), nil
}

func (f *fakeSender) accept(m *message.Message) provider.Receipt {
	if f.accepting != nil {
		f.accepting(m)
	}
	sid, to := fmt.Sprintf("SM%d", len(f.accepted)+1), m.To.Reveal()
	if len(m.Tokens) > 0 {
		to = m.Tokens[0].Reveal()
	}
	f.accepted = append(f.accepted, acceptance{sid: sid, key: m.ID, to: to, body: m.Body.Reveal(), at: f.clock.now()})
	return provider.Receipt{ID: sid, Status: "queued"}
}

func (f *fakeSender) Find(_ context.Context, m *message.Message, since time.Time) (found []provider.Receipt, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lookups, f.since = f.lookups+1, since
	if f.asked != nil {
		f.asked()
	}
	if f.findError != nil {
		return nil, f.findError
	}
	for _, a := range slices.Backward(f.accepted) {
		if a.to == m.To.Reveal() && a.body == m.Body.Reveal() && !a.at.Before(since) {
			found = append(found, provider.Receipt{ID: a.sid, Status: f.status, Created: a.at})
		}
	}
	return found, nil
}

// refuses is an answer of a class; accepts says that the provider has the
// message none the less.
func refuses(class provider.Class, code string, accepts bool) func(*fakeSender, *message.Message) error {
	return func(f *fakeSender, m *message.Message) error {
		if accepts {
			f.accept(m)
		}
		return &provider.Error{Provider: "fake", Class: class, Code: code, Message: "no"}
	}
}

var errDown = errors.New("connection refused")

// shaky is a store that can be down, by method.
type shaky struct {
	store.Messages

	mu   sync.Mutex
	down map[string]int // calls to come that fail; negative: all
	deaf bool           // the answer of the next claim is lost
	lose map[string]int // by method: answers to come that are lost
	done func()         // runs when an answer is lost
}

// hears loses an answer where it is told to.
func (s *shaky) hears(method string, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lose[method] == 0 {
		return err
	}
	if s.lose[method]--; s.done != nil {
		s.done()
	}
	return errDown
}

func (s *shaky) ClaimTokens(ctx context.Context, claim store.TokenClaim, hashes []string) error {
	return s.hears("ClaimTokens", s.Messages.ClaimTokens(ctx, claim, hashes))
}

func (s *shaky) fails(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down[method] == 0 {
		return nil
	}
	s.down[method]--
	return errDown
}

func (s *shaky) set(method string, calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[method] = calls
}

func (s *shaky) Claim(ctx context.Context, owner string, lease time.Duration, claims []store.Claim) ([]store.ClaimResult, error) {
	if err := s.fails("Claim"); err != nil {
		return nil, err
	}
	if s.deaf {
		s.deaf = false
		_, _ = s.Messages.Claim(context.WithoutCancel(ctx), owner, lease, claims)
		return nil, errDown
	}
	return s.Messages.Claim(ctx, owner, lease, claims)
}

func (s *shaky) Settle(ctx context.Context, settlements []store.Settlement) ([]error, error) {
	if err := s.fails("Settle"); err != nil {
		return nil, err
	}
	answers, err := s.Messages.Settle(ctx, settlements)
	return answers, s.hears("Settle", err)
}

func (s *shaky) Kept(ctx context.Context, id string) (store.Parked, error) {
	if err := s.fails("Kept"); err != nil {
		return store.Parked{}, err
	}
	return s.Messages.Kept(ctx, id)
}

func (s *shaky) Record(ctx context.Context, e store.Event) (bool, error) {
	if err := s.fails("Record"); err != nil {
		return false, err
	}
	return s.Messages.Record(ctx, e)
}

func (s *shaky) Attempts(ctx context.Context, id string) ([]store.Attempt, error) {
	if err := s.fails("Attempts"); err != nil {
		return nil, err
	}
	return s.Messages.Attempts(ctx, id)
}

func (s *shaky) SettleTokens(ctx context.Context, id string, tokens []store.Token) error {
	if err := s.fails("SettleTokens"); err != nil {
		return err
	}
	return s.Messages.SettleTokens(ctx, id, tokens)
}

func (s *shaky) Suppress(ctx context.Context, channel string, to redact.Personal, reason string) error {
	if err := s.fails("Suppress"); err != nil {
		return err
	}
	return s.Messages.Suppress(ctx, channel, to, reason)
}

func (s *shaky) SuppressedAmong(ctx context.Context, channel string, all []redact.Personal) (map[redact.Personal]string, error) {
	if err := s.fails("SuppressedAmong"); err != nil {
		return nil, err
	}
	return s.Messages.SuppressedAmong(ctx, channel, all)
}

func (s *shaky) SuppressionReason(ctx context.Context, channel string, of redact.Personal) (string, error) {
	if err := s.fails("SuppressionReason"); err != nil {
		return "", err
	}
	return s.Messages.SuppressionReason(ctx, channel, of)
}

// bench is a processor with its store, its provider and its clock.
type bench struct {
	*Processor

	t      *testing.T
	clock  *clock
	sender *fakeSender
	store  *shaky
	logs   *strings.Builder
}

func newBench(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, clock: newClock(), logs: &strings.Builder{}}
	b.sender = &fakeSender{clock: b.clock}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "acs.db"), sqlite.Options{Now: b.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.store = &shaky{Messages: db, down: map[string]int{}}
	b.Processor = b.worker("worker-1", change...)
	return b
}

// worker is another processor on the same store and provider.
func (b *bench) worker(owner string, change ...func(*Options)) *Processor {
	o := Options{
		Store: b.store, Senders: map[message.Channel]provider.Sender{message.SMS: b.sender}, Owner: owner,
		Now: b.clock.now, Random: func() float64 { return 0.5 }, StoreTimeout: 10 * time.Second,
		Logger: slog.New(slog.NewTextHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	return New(o)
}

func received(body string) consumer.Received {
	return consumer.Received{
		Queue: consumer.Queue{Name: "sms-events", Channel: "sms"}, MessageID: "sqs-1", Body: body, ReceiveCount: 1,
		SentAt: time.Date(2026, 1, 5, 7, 59, 0, 0, time.UTC),
	}
}

// text is a send with id "a"; more are further fields.
func text(more string) consumer.Received {
	return received(`{"id":"a","type":"message_send","to":"` + person + `","body":"Hello"` + more + `}`)
}

// handle prepares and runs one message, as its consumer would.
func (b *bench) handle(r consumer.Received) consumer.Outcome {
	b.t.Helper()
	return b.Prepare(b.t.Context(), []consumer.Received{r})[0](b.t.Context())
}

// abandon claims a message and never runs its job: a worker that dies.
func (b *bench) abandon(r consumer.Received) {
	b.t.Helper()
	b.Prepare(b.t.Context(), []consumer.Received{r})
}

func (b *bench) event(id string) store.Event {
	b.t.Helper()
	events, err := b.store.Events(context.WithoutCancel(b.t.Context()), store.Filter{ID: id})
	if err != nil {
		b.t.Fatal(err)
	}
	if len(events) == 0 {
		return store.Event{}
	}
	return events[0]
}

// want holds an outcome, the row of "a" and the sends to what a rule says.
func (b *bench) want(got consumer.Outcome, action consumer.Action, status store.Status, sends int) {
	b.t.Helper()
	if event := b.event("a"); got.Action != action || event.Status != status || b.sender.sends != sends {
		b.t.Errorf("got %+v, row %s (%s: %s), %d sends; want action %d, row %s, %d sends",
			got, event.Status, event.ErrorCode, event.Error, b.sender.sends, action, status, sends)
	}
	for _, secret := range []string{"4155550123", "Hello"} {
		if strings.Contains(b.logs.String(), secret) {
			b.t.Errorf("the log tells %q:\n%s", secret, b.logs)
		}
	}
}
