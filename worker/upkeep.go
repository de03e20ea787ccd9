package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	mathrand "math/rand/v2"
	"time"

	"github.com/novaura/acs-operator/internal/store"
)

// upkeep prunes the history now and then. Many workers may: whoever comes first
// in a period does it for all of them.
type upkeep struct {
	historyFlags

	every     time.Duration // 0: never
	retention func() time.Duration
	db        upkeepStore
	owner     string
	logger    *slog.Logger
}

type upkeepStore interface {
	store.Upkeep
	AcquireLeadership(ctx context.Context, name, holder string, ttl time.Duration) (store.Leadership, error)
}

const (
	pruneLease = "worker: prune the history"
	pruneBatch = 500 // rows in one statement
	prunePause = 200 * time.Millisecond
	pruneBound = time.Hour // of one pass; the next goes on where there is most to do: at the oldest
	pruneLooks = 24        // looks a period at whether it is due
)

// run prunes until ctx ends; the batch under way ends with it.
func (u *upkeep) run(ctx context.Context) {
	if u.every <= 0 {
		return
	}
	for {
		wait := u.every / pruneLooks
		timer := time.NewTimer(wait/2 + mathrand.N(wait)) //nolint:gosec // jitter
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		u.once(ctx)
	}
}

// once prunes, unless a worker has in this period. The lease is never given back:
// it is what the period is counted by.
func (u *upkeep) once(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pruneBound)
	defer cancel()
	holder := u.owner + "/" + rand.Text()[:6] // our own lease of this period is another's too
	lease, err := u.db.AcquireLeadership(ctx, pruneLease, holder, u.every)
	switch {
	case err != nil:
		u.logger.WarnContext(ctx, "cannot tell whether the history is to be pruned", "error", err)
		return
	case lease.Holder != holder:
		return
	}
	kept := u.historyFlags
	if kept.Retention == 0 {
		kept.Retention = u.retention()
	}
	erased, deleted, err := prune(ctx, u.db, kept, pruneBatch, prunePause)
	if err != nil {
		u.logger.WarnContext(ctx, "the history is not pruned to its end; it is tried again in the next period", "error", err)
		return
	}
	u.logger.InfoContext(ctx, "history pruned", "addresses_erased", erased, "events_deleted", deleted)
}
