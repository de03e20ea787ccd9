package main

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/api"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

type historyCommand struct {
	open.Flags
	cli.Output

	Name    string        `arg:"" optional:"" help:"The ScalingPolicy; needed where there are several."`
	Since   time.Duration `default:"24h" help:"How far back."`
	Changes bool          `help:"Only decisions that changed the count."`
	Limit   int           `default:"200" help:"At most so many rows, the newest."`
	Replay  time.Time     `placeholder:"TIME" help:"Make the decision of that time (RFC 3339) again, from the nearest snapshot, and compare."`
}

func (c historyCommand) Run(ctx context.Context, streams cli.Streams) error {
	switch {
	case c.Limit < 1:
		return cli.Usagef("--limit %d: ask for at least one row", c.Limit)
	case c.Since <= 0:
		return cli.Usagef("--since %s: say how far back, such as 24h", c.Since)
	}
	return within(ctx, c.Flags, func(ctx context.Context, db store.Store) error { return c.show(ctx, streams, db) })
}

func (c historyCommand) show(ctx context.Context, streams cli.Streams, db store.Store) error {
	name, err := whichPolicy(ctx, db, c.Name)
	if err != nil {
		return err
	}
	if !c.Replay.IsZero() {
		return c.replay(ctx, streams, db, name)
	}
	decisions, err := db.Decisions(ctx, store.DecisionFilter{Policy: name, Since: time.Now().Add(-c.Since), Changed: c.Changes, Limit: c.Limit})
	if err != nil {
		return err
	}
	shown, table := api.Decisions(decisions), [][]string{}
	for _, d := range shown {
		table = append(table, []string{d.Time.Format(time.RFC3339), fmt.Sprint(d.Count), fmt.Sprintf("%d → %d", d.Current, d.Desired), dash(d.LimitedBy), d.Reason})
	}
	if len(decisions) == c.Limit {
		_, _ = fmt.Fprintf(streams.Err, "controller: these are the newest %d; for older ones raise --limit\n", c.Limit)
	}
	return c.Print(streams.Out, shown, []string{"TIME", "TICKS", "TASKS", "LIMITED BY", "REASON"}, table)
}

func (c historyCommand) replay(ctx context.Context, streams cli.Streams, db store.Store, name string) error {
	got, err := reconcile.Replay(ctx, db, name, c.Replay)
	if err != nil {
		return err
	}
	rows := make([][]string, 0, len(got.Decision.Steps))
	for _, step := range got.Decision.Steps {
		rows = append(rows, []string{step.Rule, fmt.Sprintf("%d → %d", step.From, step.To), step.Reason})
	}
	if err := c.Print(streams.Out, got, []string{"STEP", "TASKS", "REASON"}, rows); err != nil {
		return err
	}
	if !got.Same {
		return fmt.Errorf("replayed %d decisions since %s, and came to another state than was recorded: the code differs from the one that decided, or a record is missing",
			got.Ticks, got.Snapshot.Format(time.RFC3339))
	}
	if c.Output.Output == "table" {
		_, _ = fmt.Fprintf(streams.Out, "\n%s: %d → %d tasks.\n%s\nReplayed %d decisions since the snapshot of %s (generation %d): the same states as recorded.\n",
			got.Decision.Time.Format(time.RFC3339), got.Decision.Current, got.Decision.Desired, got.Decision.Reason,
			got.Ticks, got.Snapshot.Format(time.RFC3339), got.Generation)
	}
	return nil
}

func oneLine(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ") }

func lines(text string) iter.Seq[string] {
	return strings.SplitSeq(strings.TrimRight(text, "\n"), "\n")
}
