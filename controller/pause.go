package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// longestPause is what a person may order: whatever lasts longer belongs in
// the policy (paused: true), where it is reviewed.
const longestPause = 7 * 24 * time.Hour

type pauseCommand struct {
	open.Flags

	Name      string        `arg:"" optional:"" help:"The ScalingPolicy; needed where there are several, unless --all."`
	All       bool          `help:"Pause every policy."`
	For       time.Duration `default:"2h" help:"How long; it ends by itself, at the latest after 168h."`
	Direction string        `enum:"in,out,both" default:"both" help:"What is forbidden: scaling in, scaling out, or both."`
	Author    string        `env:"CONTROLLER_AUTHOR" help:"Who orders it; default: the user."`
	Reason    string        `help:"Why; whoever finds it at night will ask."`
}

// Run leaves the order in the store, which the controller reads at each tick.
func (c pauseCommand) Run(ctx context.Context, streams cli.Streams) error {
	if c.For <= 0 || c.For > longestPause {
		return cli.Usagef("--for %s: a pause lasts more than 0s and at most %s; for longer, set paused: true in the policy", c.For, longestPause)
	}
	if c.Reason == "" {
		return cli.Usagef("--reason is missing: say why, for whoever finds the pause at night")
	}
	return within(ctx, c.Flags, func(ctx context.Context, db store.Store) error { return c.order(ctx, streams, db) })
}

func (c pauseCommand) order(ctx context.Context, streams cli.Streams, db store.Store) error {
	name, err := whichPolicies(ctx, db, c.Name, c.All)
	if err != nil {
		return err
	}
	author := authorOr(c.Author)
	p, err := db.SavePause(ctx, store.Pause{Policy: name, Direction: c.Direction, Author: author, Reason: c.Reason}, c.For)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(streams.Out, "%s paused (%s) until %s, by %s: %s\nThe controller follows at its next tick; `controller resume%s` ends it earlier.\n",
		policyText(name), c.Direction, p.Until.Format(time.RFC3339), author, c.Reason, resumeArgument(name))
	return tellOrder(ctx, db, name, "PauseRequested", fmt.Sprintf("%s pauses (%s) for %s: %s", author, c.Direction, c.For, c.Reason))
}

type resumeCommand struct {
	open.Flags

	Name   string `arg:"" optional:"" help:"The ScalingPolicy; needed where there are several, unless --all."`
	All    bool   `help:"End the pause of every policy."`
	Author string `env:"CONTROLLER_AUTHOR" help:"Who ends it; default: the user."`
}

func (c resumeCommand) Run(ctx context.Context, streams cli.Streams) error {
	return within(ctx, c.Flags, func(ctx context.Context, db store.Store) error { return c.order(ctx, streams, db) })
}

func (c resumeCommand) order(ctx context.Context, streams cli.Streams, db store.Store) error {
	name, err := whichPolicies(ctx, db, c.Name, c.All)
	if err != nil {
		return err
	}
	ended, err := db.EndPause(ctx, name)
	if err != nil {
		return err
	}
	if !ended {
		_, _ = fmt.Fprintf(streams.Out, "%s is not paused by anyone\n", policyText(name))
		return nil
	}
	_, _ = fmt.Fprintf(streams.Out, "%s goes on at the controller's next tick\n", policyText(name))
	return tellOrder(ctx, db, name, "ResumeRequested", authorOr(c.Author)+" ends the pause")
}

// whichPolicies is what an order is about: one policy, or all.
func whichPolicies(ctx context.Context, db store.Store, name string, all bool) (string, error) {
	switch {
	case all && name != "":
		return "", cli.Usagef("name a policy or say --all, not both")
	case all:
		return store.EveryPolicy, nil
	}
	which, err := whichPolicy(ctx, db, name)
	if errors.Is(err, errSeveral) {
		return "", cli.Usagef("%w, or say --all", err)
	}
	return which, err
}

var errSeveral = errors.New("there are several policies")

// whichPolicy is the policy that a verb is about: the one that is named and
// known, or the only one.
func whichPolicy(ctx context.Context, db store.Store, name string) (string, error) {
	statuses, err := db.Statuses(ctx)
	if err != nil {
		return "", err
	}
	known := make([]string, 0, len(statuses))
	for _, one := range statuses {
		known = append(known, one.Policy)
	}
	switch {
	case slices.Contains(known, name):
		return name, nil
	case name == "" && len(known) == 1:
		return known[0], nil
	case len(known) == 0:
		return "", errors.New("no controller has followed a policy with this database yet")
	case name == "":
		return "", cli.Usagef("%w: name one of %s", errSeveral, strings.Join(known, ", "))
	}
	return "", cli.Usagef("there is no policy %q, only %s", name, strings.Join(known, ", "))
}

func tellOrder(ctx context.Context, db store.Store, policy, reason, message string) error {
	return db.SaveNotice(ctx, store.Notice{Policy: policy, Type: "Normal", Reason: reason, Message: message})
}

func policyText(name string) string {
	if name == store.EveryPolicy {
		return "every policy"
	}
	return name
}

func resumeArgument(name string) string {
	if name == store.EveryPolicy {
		return " --all"
	}
	return " " + name
}

// authorOr is who gives an order: as told, or the user of this process.
func authorOr(told string) string {
	if told != "" {
		return told
	}
	if who, err := user.Current(); err == nil && who.Username != "" {
		return who.Username
	}
	if name := os.Getenv("USER"); name != "" {
		return name
	}
	return "unknown"
}
