package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/cloud"
	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

type planCommand struct {
	policyFlag
	open.Flags
	cli.Output
	Name string `help:"Which ScalingPolicy, where the source has several."`
}

// Run observes once, decides with what the running controller has learned,
// and prints; it writes neither to AWS nor to the database.
func (c planCommand) Run(ctx context.Context, streams cli.Streams) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	policies, err := c.load(ctx)
	if err != nil {
		return err
	}
	p, err := one(policies, c.Name)
	if err != nil {
		return err
	}
	services, metrics, rivals, err := adapters(ctx)
	if err != nil {
		return err
	}
	state, holds, err := c.learned(ctx, streams.Err, p.Metadata.Name)
	if err != nil {
		return err
	}
	if registered, err := rivals.Registered(ctx, p.Spec.Target); err != nil {
		_, _ = fmt.Fprintf(streams.Err, "controller: whether another autoscaler has the service is not known: %v\n", err)
	} else if registered {
		holds = append(holds, reconcile.RivalHold())
	}
	service, err := services.Describe(ctx, p.Spec.Target)
	if err != nil {
		return err
	}
	queues, err := metrics.Observe(ctx, p, time.Now())
	if errors.Is(err, cloud.ErrQueueMissing) { // a plan that ignores a queue would mislead
		return err
	}
	if err != nil {
		_, _ = fmt.Fprintf(streams.Err, "controller: some metrics are unknown: %v\n", err)
	}
	now := time.Now()
	decision, _ := scaling.Decide(p, scaling.Observation{Time: now, Service: &service, Queues: queues, Holds: holds}, state, now)
	return c.print(streams.Out, p, decision)
}

// learned is the state that the running controller saved, if there is one, and
// what people forbid now.
func (c planCommand) learned(ctx context.Context, errOut io.Writer, policy string) (state scaling.State, holds []scaling.Hold, err error) {
	db, err := openExisting(ctx, c.Flags)
	if err != nil {
		_, _ = fmt.Fprintf(errOut, "controller: planning without what was learned, and without pauses: %v\n", err)
		return state, nil, nil
	}
	defer func() { _ = db.Close() }()
	pauses, err := db.Pauses(ctx)
	if err != nil {
		return state, nil, err
	}
	holds = reconcile.PauseHolds(pauses, policy)
	saved, err := db.LoadState(ctx, policy)
	if errors.Is(err, store.ErrNotFound) {
		return state, holds, nil
	}
	if err != nil {
		return state, nil, fmt.Errorf("load what was learned: %w", err)
	}
	if err := json.Unmarshal(saved, &state); err != nil {
		return state, nil, fmt.Errorf("understand the saved state of %s: %w", policy, err)
	}
	return state, holds, nil
}

func (c planCommand) print(out io.Writer, p *config.ScalingPolicy, d scaling.Decision) error {
	verdict := fmt.Sprintf("leave %s/%s at %s", p.Spec.Target.Cluster, p.Spec.Target.Service, tasks(d.Desired))
	if d.Desired != d.Current {
		verdict = fmt.Sprintf("set %s/%s from %d to %s", p.Spec.Target.Cluster, p.Spec.Target.Service, d.Current, tasks(d.Desired))
	}
	rows := make([][]string, 0, len(d.Queues))
	for _, q := range d.Queues {
		rows = append(rows, []string{
			q.Queue, ifKnown(q.Known, "%.0f", q.Backlog), ifKnown(q.Known, "%.0fs", q.Age), ifKnown(q.ArrivalKnown, "%.1f/s", q.Arrival),
			ifKnown(q.PerTask > 0, "%.1f/s", q.PerTask), fmt.Sprint(q.Need), q.Why,
		})
	}
	if err := c.Print(out, d, []string{"QUEUE", "BACKLOG", "AGE", "ARRIVING", "A TASK DOES", "NEEDS", "WHY"}, rows); err != nil || c.Output.Output != "table" {
		return err
	}
	_, err := fmt.Fprintf(out, "\nWould %s.\n%s\n", verdict, d.Reason)
	return err
}

// ifKnown is a value in a table, and a dash where it is not known.
func ifKnown(known bool, format string, value float64) string {
	if !known {
		return "-"
	}
	return fmt.Sprintf(format, value)
}
