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

type databaseFlag struct {
	DatabaseURL string `env:"DATABASE_URL" name:"database-url" help:"Where history and state are kept: sqlite:PATH or postgres://… [$DATABASE_URL]"`
}

// open connects and migrates; a database that does not answer is waited for.
func (f databaseFlag) open(ctx context.Context, logger *slog.Logger) (store.Store, error) {
	if f.DatabaseURL == "" {
		return nil, cli.Usagef("DATABASE_URL is not set: name the database, for example sqlite:acs.db")
	}
	return backoff.Retry(ctx, func() (store.Store, error) {
		db, err := open.Open(ctx, f.DatabaseURL)
		if err != nil {
			return nil, backoff.Permanent(err)
		}
		bounded, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if _, err := db.Migrate(bounded); err != nil {
			_ = db.Close()
			return nil, err
		}
		return db, nil
	}, backoff.WithMaxElapsedTime(2*time.Minute), backoff.WithNotify(func(err error, wait time.Duration) {
		logger.Warn("database not ready, trying again", "in", wait.Round(time.Second).String(), "error", err)
	}))
}

// openExisting connects to a database that is there already, changing nothing.
func (f databaseFlag) openExisting(ctx context.Context) (store.Store, error) {
	if f.DatabaseURL == "" {
		return nil, fmt.Errorf("DATABASE_URL is not set")
	}
	db, err := open.Open(ctx, f.DatabaseURL)
	if err != nil {
		return nil, err
	}
	if err := db.Ready(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}
