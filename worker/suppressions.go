package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// suppressionsCommand is about those who are not written to any more.
type suppressionsCommand struct {
	List   listSuppressions `cmd:"" default:"withargs" help:"Show the list: addresses are kept as hashes."`
	Add    addSuppression   `cmd:"" help:"Write to an address no more."`
	Remove endSuppression   `cmd:"" help:"Write to an address again: only where the person has asked for it."`
}

// listSuppressions shows the list.
type listSuppressions struct {
	open.Flags
	cli.Output
	Channel string `enum:",sms,email,push" default:"" help:"Only this channel's: sms, email or push."`
	Limit   int    `default:"100" help:"At most so many, the newest first."`
}

// suppressionRow is one line of the list.
type suppressionRow struct {
	Channel     string    `json:"channel"`
	AddressHash string    `json:"address_hash"`
	Reason      string    `json:"reason"`
	Since       time.Time `json:"since"`
}

// hashPrefix is how much of a hash a table shows: enough to tell lines apart,
// too little to test guesses against the whole.
const hashPrefix = 12

func (c listSuppressions) Run(ctx context.Context, streams cli.Streams) error {
	if c.Limit < 1 {
		return cli.Usagef("--limit is %d; show at least 1", c.Limit)
	}
	db, err := c.OpenExisting(ctx)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = db.Close() }()
	list, err := db.Suppressions(ctx, c.Channel, c.Limit)
	if err != nil {
		return fmt.Errorf("list the suppressions: %w", err)
	}
	rows, table := []suppressionRow{}, [][]string{}
	for _, one := range list {
		row := suppressionRow{one.Channel, one.AddressHash[:min(hashPrefix, len(one.AddressHash))], one.Reason, one.CreatedAt.UTC()}
		rows, table = append(rows, row), append(table, []string{row.Channel, row.AddressHash, row.Reason, row.Since.Format(time.RFC3339)})
	}
	return c.Print(streams.Out, rows, []string{"CHANNEL", "ADDRESS HASH", "REASON", "SINCE"}, table)
}

// suppressed is one address of one channel.
type suppressed struct {
	open.Flags
	Channel string          `enum:"sms,email,push" required:"" help:"The channel: ${enum}."`
	Address redact.Personal `arg:"" help:"A telephone number (E.164), a mail address or a push token."`
}

// change opens the history for a change of the list, and hands on the address
// as the list knows it.
func (s suppressed) change(ctx context.Context, do func(store.Store, redact.Personal) error) error {
	address, err := s.normal()
	if err != nil {
		return err
	}
	db, err := s.OpenExisting(ctx)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = db.Close() }()
	return do(db, address)
}

// normal is the address in the one form that a send has it in: another form
// would have another hash, and suppress nobody.
func (s suppressed) normal() (redact.Personal, error) {
	channel := message.Channel(s.Channel)
	letter := letterFlags{ID: "none", MessageType: string(message.Send), Priority: string(message.Transactional), Body: "none", Subject: "none"}
	switch channel {
	case message.SMS:
		letter.ToNumber = s.Address
	case message.Email:
		letter.ToEmail = s.Address
	case message.Push:
		letter.Token = []redact.Personal{s.Address}
	}
	body, err := message.Encode(letter.message(channel, 1))
	if err != nil {
		return "", err
	}
	parsed, err := message.Parse(body, "", "", channel)
	if err != nil {
		return "", cli.Usagef("this is no address of channel %s: %w", channel, err)
	}
	if channel == message.Push {
		return parsed.Tokens[0], nil
	}
	return message.Bare(parsed.To), nil
}

// addSuppression puts an address on the list.
type addSuppression struct {
	suppressed
	Reason string `default:"by hand" help:"Why, as the list shows it."`
}

func (c addSuppression) Run(ctx context.Context, streams cli.Streams) error {
	return c.change(ctx, func(db store.Store, address redact.Personal) error {
		if err := db.Suppress(ctx, c.Channel, address, c.Reason); err != nil {
			return fmt.Errorf("suppress %s: %w", address, err)
		}
		_, err := fmt.Fprintf(streams.Out, "%s is suppressed for %s\n", address, c.Channel)
		return err
	})
}

// endSuppression takes an address off the list.
type endSuppression struct{ suppressed }

func (c endSuppression) Run(ctx context.Context, streams cli.Streams) error {
	return c.change(ctx, func(db store.Store, address redact.Personal) error {
		reason, err := db.SuppressionReason(ctx, c.Channel, address)
		if err != nil {
			return fmt.Errorf("look %s up: %w", address, err)
		}
		if reason == "" {
			return errors.New(address.String() + " is not suppressed for " + c.Channel)
		}
		if err := db.Unsuppress(ctx, c.Channel, address); err != nil {
			return fmt.Errorf("take %s off the list: %w", address, err)
		}
		_, err = fmt.Fprintf(streams.Out, "%s is no longer suppressed for %s (it was: %s)\n", address, c.Channel, reason)
		return err
	})
}
