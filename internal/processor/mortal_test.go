package processor

import (
	"context"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// mortal is what a worker has of the world until it dies: after so many uses of
// store and provider nothing that it does has an effect any more.
type mortal struct {
	store.Messages

	sender *fakeSender
	left   int  // uses until it dies
	heard  bool // the last use has its effect, and the worker dies before the answer
	dead   bool
}

func (m *mortal) use(do func() error) error {
	if m.dead {
		return store.ErrLost // which nobody repeats
	}
	if m.left--; m.left >= 0 {
		return do()
	}
	m.dead = true
	if m.heard {
		_ = do()
	}
	return store.ErrLost
}

func used[T any](m *mortal, do func() (T, error)) (result T, err error) {
	err = m.use(func() error {
		result, err = do()
		return err
	})
	return result, err
}

func (m *mortal) Name() string { return m.sender.Name() }

func (m *mortal) Send(ctx context.Context, msg *message.Message) (provider.Receipt, error) {
	receipt, err := used(m, func() (provider.Receipt, error) { return m.sender.Send(ctx, msg) })
	if m.dead {
		err = &provider.Error{Provider: "fake", Class: provider.InDoubt}
	}
	return receipt, err
}

func (m *mortal) Find(ctx context.Context, msg *message.Message, since time.Time) ([]provider.Receipt, error) {
	return used(m, func() ([]provider.Receipt, error) { return m.sender.Find(ctx, msg, since) })
}

func (m *mortal) Claim(ctx context.Context, owner string, lease time.Duration, claims []store.Claim) ([]store.ClaimResult, error) {
	return used(m, func() ([]store.ClaimResult, error) { return m.Messages.Claim(ctx, owner, lease, claims) })
}

func (m *mortal) Settle(ctx context.Context, settlements []store.Settlement) ([]error, error) {
	return used(m, func() ([]error, error) { return m.Messages.Settle(ctx, settlements) })
}

func (m *mortal) Extend(ctx context.Context, owner string, lease time.Duration, leases []store.Lease) ([]store.Lease, error) {
	return used(m, func() ([]store.Lease, error) { return m.Messages.Extend(ctx, owner, lease, leases) })
}

func (m *mortal) Tokens(ctx context.Context, id string) ([]store.Token, error) {
	return used(m, func() ([]store.Token, error) { return m.Messages.Tokens(ctx, id) })
}

func (m *mortal) ClaimTokens(ctx context.Context, claim store.TokenClaim, hashes []string) error {
	return m.use(func() error { return m.Messages.ClaimTokens(ctx, claim, hashes) })
}

func (m *mortal) SettleTokens(ctx context.Context, id string, tokens []store.Token) error {
	return m.use(func() error { return m.Messages.SettleTokens(ctx, id, tokens) })
}

func (m *mortal) Suppress(ctx context.Context, channel string, to redact.Personal, reason string) error {
	return m.use(func() error { return m.Messages.Suppress(ctx, channel, to, reason) })
}

func (m *mortal) Park(ctx context.Context, id, hash string, p store.Parked) error {
	return m.use(func() error { return m.Messages.Park(ctx, id, hash, p) })
}

func (m *mortal) UpdateStatus(ctx context.Context, u store.StatusUpdate) error {
	return m.use(func() error { return m.Messages.UpdateStatus(ctx, u) })
}
