package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// leastRows is how long a row must stay, for it is what keeps its message from
// having a second effect: a queue may hold a message for 14 days, and its dead
// letter 14 more.
const leastRows = 28 * 24 * time.Hour

// historyFlags say how long the history is kept.
type historyFlags struct {
	Retention time.Duration `env:"HISTORY_RETENTION" name:"retention" help:"How long addresses and bodies of settled events are kept; the DeliveryPolicy's retention when absent (2160h)."`
	Rows      time.Duration `env:"HISTORY_ROWS" name:"rows" default:"2880h" help:"How long the rows themselves are kept: 672h or more, since a queue may still deliver until then."`
}

func (f historyFlags) check() error {
	switch {
	case f.Rows < leastRows:
		return cli.Usagef("HISTORY_ROWS (--rows) is %s; a row must stay for %s: until then its message may come again, and the row is what keeps it from being sent twice", f.Rows, leastRows)
	case f.Retention < 0:
		return cli.Usagef("HISTORY_RETENTION (--retention) is %s; it is above 0", f.Retention)
	}
	return nil
}

// pruneCommand lets the history forget.
type pruneCommand struct {
	open.Flags
	workerPolicyFlag
	historyFlags
	Batch int           `default:"500" help:"Rows in one statement."`
	Pause time.Duration `default:"100ms" help:"Between two statements."`
}

// Run works through the history once, in small batches.
func (c pruneCommand) Run(ctx context.Context, streams cli.Streams) error {
	if err := c.check(); err != nil {
		return err
	}
	switch {
	case c.Batch < 1:
		return cli.Usagef("--batch is above 0")
	case c.Retention == 0:
		var err error
		if c.Retention, err = c.retention(ctx); err != nil {
			return err
		}
	}
	db, err := c.OpenExisting(ctx)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	defer func() { _ = db.Close() }()
	erased, deleted, err := prune(ctx, db, c.historyFlags, c.Batch, c.Pause)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(streams.Out, "addresses of %d events erased, %d events deleted\n", erased, deleted)
	return err
}

// prune works through the history once, so many rows in one statement.
func prune(ctx context.Context, db store.Upkeep, f historyFlags, batch int, pause time.Duration) (erased, deleted int, err error) {
	now := time.Now()
	p := store.Pruning{Addresses: now.Add(-f.Retention), Rows: now.Add(-f.Rows), Limit: batch}
	for {
		done, err := db.Prune(ctx, p)
		if err != nil {
			return erased, deleted, fmt.Errorf("prune, %d erased and %d deleted so far: %w", erased, deleted, err)
		}
		erased, deleted, p.From = erased+done.Erased, deleted+done.Deleted, done.Next
		if done.Done {
			return erased, deleted, nil
		}
		select {
		case <-ctx.Done():
			return erased, deleted, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// forgetCommand erases a person.
type forgetCommand struct {
	open.Flags
	Address redact.Personal `arg:"" help:"A telephone number (E.164), a mail address or a push token."`
	Channel string          `enum:",sms,email,push" default:"" help:"Whose list they go on; told from a telephone number (+…) or a mail address when absent."`
}

// Run puts the address on the suppression list, as a hash, and then erases it
// from the history: in this order, for nobody must be written to in between.
func (c forgetCommand) Run(ctx context.Context, streams cli.Streams) error {
	person := suppressed{Flags: c.Flags, Channel: c.Channel, Address: c.Address}
	switch address := c.Address.Reveal(); {
	case c.Channel != "":
	case strings.Contains(address, "@"):
		person.Channel = "email"
	case strings.HasPrefix(address, "+"):
		person.Channel = "sms"
	default: // taken for a token, a number without its + would be forgotten by nobody
		return cli.Usagef("forget %s: it is no telephone number with its country code (+…) and no mail address; say --channel push if it is a push token", c.Address)
	}
	return person.change(ctx, func(db store.Store, address redact.Personal) error {
		if err := db.Suppress(ctx, person.Channel, address, "forgotten"); err != nil {
			return fmt.Errorf("forget: %w", err)
		}
		rows, err := db.Forget(ctx, address)
		if err != nil {
			return fmt.Errorf("forget, suppressed already: %w", err)
		}
		_, err = fmt.Fprintf(streams.Out, "erased from %d events, and suppressed for %s\n", rows, person.Channel)
		return err
	})
}
