package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// openStore connects and migrates; a database that does not answer is waited
// for.
func openStore(ctx context.Context, flags open.Flags, logger *slog.Logger) (store.Store, error) {
	db, err := flags.Open(ctx)
	if err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	_, err = backoff.Retry(ctx, func() (int64, error) {
		bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return db.Migrate(bounded)
	}, backoff.WithMaxElapsedTime(2*time.Minute), backoff.WithNotify(func(err error, wait time.Duration) {
		logger.Warn("database not ready, trying again", "in", wait.Round(time.Second).String(), "error", err)
	}))
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("prepare the database: %w", err)
	}
	return db, nil
}

// openExisting connects to a database that is there already, changing nothing.
func openExisting(ctx context.Context, flags open.Flags) (store.Store, error) {
	db, err := flags.Open(ctx)
	if err != nil {
		return nil, err
	}
	if err := db.Ready(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}
