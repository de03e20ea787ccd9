package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

type silenceCommand struct {
	Add    silenceAddCommand    `cmd:"" help:"Tell nobody of the alerts that all matchers match, for a while."`
	List   silenceListCommand   `cmd:"" default:"withargs" help:"List the silences that hold, are to come, or ended today."`
	Expire silenceExpireCommand `cmd:"" help:"End a silence now."`
}

type silenceAddCommand struct {
	open.Flags
	Matchers []string      `arg:"" help:"alertname=…, severity=…, policy=… or queue=…; != and the regular =~ and !~ too. A word alone is an alert's name."`
	For      time.Duration `required:"" placeholder:"DURATION" help:"How long, such as 2h; at most 30 days."`
	Author   string        `env:"CONTROLLER_AUTHOR" help:"Who silences; default: the user."`
	Comment  string        `required:"" help:"Why, for whoever finds it."`
}

func (c silenceAddCommand) Run(ctx context.Context, streams cli.Streams) error {
	const longest = 30 * 24 * time.Hour
	if c.For <= 0 || c.For > longest {
		return cli.Usagef("a silence of %s: write one from 1s to %s", c.For, longest)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	s := alerting.Silence{ID: strings.ToLower(rand.Text()[:8]), StartsAt: now, EndsAt: now.Add(c.For), CreatedBy: authorOr(c.Author), Comment: c.Comment}
	for _, text := range c.Matchers {
		m, err := alerting.ParseMatcher(text)
		if err != nil {
			return &cli.UsageError{Err: err}
		}
		s.Matchers = append(s.Matchers, m)
	}
	if err := s.Check(); err != nil {
		return &cli.UsageError{Err: err}
	}
	return within(ctx, c.Flags, func(ctx context.Context, db store.Store) error {
		matchers, err := json.Marshal(s.Matchers)
		if err != nil {
			return err
		}
		err = db.SaveSilence(ctx, store.Silence{ID: s.ID, Matchers: matchers, StartsAt: s.StartsAt, EndsAt: s.EndsAt, Author: s.CreatedBy, Comment: s.Comment})
		if err == nil {
			_, err = fmt.Fprintf(streams.Out, "silence %s holds until %s: %s\n", s.ID, s.EndsAt.Format(time.RFC3339), words(s.Matchers))
		}
		return err
	})
}

type silenceListCommand struct {
	open.Flags
	cli.Output
}

func (c silenceListCommand) Run(ctx context.Context, streams cli.Streams) error {
	return within(ctx, c.Flags, func(ctx context.Context, db store.Store) error {
		now := time.Now()
		found, err := db.Silences(ctx, now.Add(-24*time.Hour))
		if err != nil {
			return err
		}
		silences := reconcile.SilencesOf(found)
		rows := make([][]string, 0, len(silences))
		for _, s := range silences {
			state := "active"
			if !s.Active(now) {
				state = "ended"
			}
			rows = append(rows, []string{s.ID, state, words(s.Matchers), s.EndsAt.Format(time.RFC3339), s.CreatedBy, s.Comment})
		}
		return c.Print(streams.Out, silences, []string{"ID", "STATE", "MATCHERS", "UNTIL", "AUTHOR", "COMMENT"}, rows)
	})
}

type silenceExpireCommand struct {
	open.Flags
	ID string `arg:"" help:"The silence's id, as add and list print it."`
}

func (c silenceExpireCommand) Run(ctx context.Context, streams cli.Streams) error {
	return within(ctx, c.Flags, func(ctx context.Context, db store.Store) error {
		ended, err := db.EndSilence(ctx, c.ID, time.Now().UTC().Truncate(time.Millisecond))
		switch {
		case err != nil:
			return err
		case !ended:
			return cli.Usagef("there is no silence %q that holds; see controller silence list", c.ID)
		}
		_, err = fmt.Fprintf(streams.Out, "silence %s is over\n", c.ID)
		return err
	})
}

func words(matchers []alerting.Matcher) string {
	parts := make([]string, 0, len(matchers))
	for _, m := range matchers {
		parts = append(parts, m.String())
	}
	return strings.Join(parts, " ")
}
