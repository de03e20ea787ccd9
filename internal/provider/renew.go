package provider

import (
	"context"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/message"
)

// renewAfter is how long credentials are believed that were just read.
const renewAfter = 10 * time.Second

// Renewing is a Sender whose credentials may change while it runs: when they
// are refused (Config), it is built anew for the sends that follow. The refused
// one is not repeated: it is handed back and comes again. Safe for concurrent
// use.
type Renewing struct {
	build func(context.Context) (Sender, error)
	now   func() time.Time

	mu      sync.Mutex
	current Sender
	builtAt time.Time
}

var _ Sender = (*Renewing)(nil)

// Renew builds the first Sender. build reads the credentials.
func Renew(ctx context.Context, build func(context.Context) (Sender, error)) (*Renewing, error) {
	first, err := build(ctx)
	if err != nil {
		return nil, err
	}
	return &Renewing{build: build, now: time.Now, current: first, builtAt: time.Now()}, nil
}

// Name implements Sender.
func (r *Renewing) Name() string { return r.sender().Name() }

// Send implements Sender.
func (r *Renewing) Send(ctx context.Context, m *message.Message) (Receipt, error) {
	receipt, err := r.sender().Send(ctx, m)
	r.judge(ctx, err)
	return receipt, err
}

// Find implements Sender.
func (r *Renewing) Find(ctx context.Context, m *message.Message, since time.Time) ([]Receipt, error) {
	receipts, err := r.sender().Find(ctx, m, since)
	r.judge(ctx, err)
	return receipts, err
}

func (r *Renewing) sender() Sender {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// judge builds the Sender anew where its set-up was refused, and not only one
// recipient's: what it has learned would be lost for nothing. One that cannot be
// built leaves the old, whose refusal says enough.
func (r *Renewing) judge(ctx context.Context, err error) {
	if err == nil || AsError(err).Class != Config || AsError(err).Alone {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now().Sub(r.builtAt) < renewAfter {
		return
	}
	r.builtAt = r.now()
	if next, err := r.build(ctx); err == nil {
		r.current = next
	}
}

// Check implements Checker.
func (r *Renewing) Check(ctx context.Context) error { return Check(ctx, r.sender()) }
