package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// openStore connects and migrates; a database that does not answer is waited
// for.
func openStore(ctx context.Context, flags open.Flags, logger *slog.Logger) (store.Store, error) {
	db, err := flags.Ready(ctx, logger)
	if errors.Is(err, open.ErrSetting) {
		return nil, &cli.UsageError{Err: err}
	}
	return db, err
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
