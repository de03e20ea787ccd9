package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/deadletter"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// resolveEventCommand lets a person decide what no machine can.
type resolveEventCommand struct {
	open.Flags
	deadLetterFlags
	ID          string `arg:"" help:"The event's id."`
	Sent        bool   `xor:"word" required:"" help:"The provider has it."`
	NotSent     bool   `xor:"word" required:"" help:"The provider does not have it: send it."`
	ProviderID  string `name:"provider-id" help:"With --sent: the provider's id of it, so that delivery reports find it."`
	Reason      string `default:"by a person's word" help:"How that is known; it stands in the history."`
	WithoutCopy bool   `help:"With --not-sent, where there is no dead letter: let the id be sent again, by whoever still has the message."`
}

// Run applies the word, if the event is in doubt now.
func (c resolveEventCommand) Run(ctx context.Context, streams cli.Streams) error {
	db, err := c.OpenExisting(ctx)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	defer func() { _ = db.Close() }()
	event, err := findEvent(ctx, db, c.ID)
	if err != nil {
		return err
	}
	if event.Status != store.InDoubt {
		return fmt.Errorf("resolve %s: it is %s, not in doubt: there is nothing to decide", c.ID, event.Status)
	}
	c.Channel = event.Channel
	switch {
	case c.Sent, c.WithoutCopy:
		err = db.Resolve(ctx, store.Resolution{
			ID: c.ID, From: store.InDoubt, Sent: c.Sent, Provider: event.Provider, ProviderID: c.ProviderID, By: c.author(), Reason: c.Reason,
		})
	default:
		err = c.sendAgain(ctx, db)
	}
	if errors.Is(err, store.ErrLost) {
		return fmt.Errorf("resolve %s: it has changed meanwhile: see worker events show %s", c.ID, c.ID)
	}
	if err != nil {
		return fmt.Errorf("resolve %s: %w", c.ID, err)
	}
	_, err = fmt.Fprintf(streams.Out, "%s is %s\n", c.ID, map[bool]string{true: "sent", false: "to be sent again"}[c.Sent])
	return err
}

// sendAgain puts the event's dead letter back on its queue.
func (c resolveEventCommand) sendAgain(ctx context.Context, db store.Store) error {
	reader, err := c.reader(ctx, db)
	if err != nil {
		return err
	}
	_, hidden, unknown := reader.Count(ctx) // before this look hides them itself
	reader.First, reader.Match = true, func(letter deadletter.Letter) bool { return letter.ID == c.ID }
	r := deadletter.Redriver{Reader: reader, By: c.author(), Resolves: true}
	var found *deadletter.Verdict
	err = r.Run(ctx, func(v deadletter.Verdict) {
		if v.ID == c.ID {
			found = &v
		}
	})
	switch {
	case err != nil:
		return err
	case found == nil && unknown != nil:
		return unknown
	case found == nil && hidden > 0:
		return fmt.Errorf("its message is not among the dead letters that can be seen; %d cannot, for somebody else looks through them, or did and was stopped: try again in five minutes", hidden)
	case found == nil:
		var looked []string
		for _, source := range r.Sources {
			looked = append(looked, source.DeadLetters)
		}
		return fmt.Errorf("its message is neither in its row nor on a dead-letter queue (%s), and bodies are nowhere else: have its producer send it again with the same id, after `worker events resolve %s --not-sent --without-copy`",
			cmp.Or(strings.Join(looked, ", "), "there is none"), c.ID)
	case !found.Redriven:
		return errors.New(found.Why)
	}
	return nil
}
