package main

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// prepare waits for the database, however long, and brings its schema up to
// date. Nothing is written to ECS meanwhile, since no lease is held; the page,
// the metrics and the health tell what is waited for. Only what no wait mends
// is an error.
func (p *controllerParts) prepare(ctx context.Context) error {
	const oneTry, longest = 30 * time.Second, 15 * time.Second
	pause := backoff.NewExponentialBackOff()
	pause.MaxInterval = longest
	_, err := backoff.Retry(ctx, func() (int64, error) {
		bounded, cancel := context.WithTimeout(ctx, oneTry)
		defer cancel()
		version, err := p.db.Migrate(bounded)
		if errors.Is(err, store.ErrForeignTable) || errors.Is(err, store.ErrEncoding) {
			err = backoff.Permanent(err)
		}
		return version, err
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		p.leader.Await(err)
		p.logger.Warn("database not ready, nothing is scaled until it is; trying again", "in", wait.Round(time.Second).String(), "error", err)
	}))
	if ctx.Err() == nil {
		return err
	}
	return nil // stopped while it waited: nothing is wrong
}

// openExisting connects to a database that is there already, changing nothing.
func openExisting(ctx context.Context, flags open.Flags) (store.Store, error) {
	db, err := flags.OpenExisting(ctx)
	if errors.Is(err, open.ErrSetting) {
		return nil, &cli.UsageError{Err: err}
	}
	if err != nil {
		return nil, err
	}
	if err := db.Ready(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// verbBound is how long a verb may ask the database.
const verbBound = 30 * time.Second

// within opens the database that is there, for a verb that ends soon.
func within(ctx context.Context, flags open.Flags, do func(context.Context, store.Store) error) error {
	ctx, cancel := context.WithTimeout(ctx, verbBound)
	defer cancel()
	db, err := openExisting(ctx, flags)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return do(ctx, db)
}
