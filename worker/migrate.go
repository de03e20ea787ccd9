package main

import (
	"context"
	"fmt"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/store/open"
)

type migrateCommand struct{ open.Flags }

func (c migrateCommand) Run(ctx context.Context, streams cli.Streams) error {
	db, err := c.Open(ctx)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	defer func() { _ = db.Close() }()
	version, err := db.Migrate(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	_, err = fmt.Fprintf(streams.Out, "the schema is at version %d\n", version)
	return err
}
