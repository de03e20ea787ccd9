package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// known is a policy as its leader left it in the store: get and describe work
// wherever the database can be reached, also when no controller runs.
type known struct {
	Name   string           `json:"name"`
	Status reconcile.Status `json:"status"`
	Seen   time.Time        `json:"-"` // when the status was written
}

func statusesOf(ctx context.Context, db store.Store, name string) ([]known, error) {
	rows, err := db.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	var all []known
	for _, row := range rows {
		if name != "" && row.Policy != name {
			continue
		}
		one := known{Name: row.Policy, Seen: row.UpdatedAt}
		if err := json.Unmarshal(row.Status, &one.Status); err != nil {
			return nil, fmt.Errorf("read the status of %s: %w", row.Policy, err)
		}
		all = append(all, one)
	}
	if len(all) == 0 && name != "" {
		return nil, cli.Usagef("there is no policy %q here: `controller get` lists those that are followed", name)
	}
	return all, nil
}

type getCommand struct {
	open.Flags

	Name   string `arg:"" optional:"" help:"One ScalingPolicy; default all."`
	Output string `short:"o" enum:"table,wide,json,yaml" default:"table" help:"How to print: table, wide, json or yaml."`
}

func (c getCommand) Run(ctx context.Context, streams cli.Streams) error {
	return within(ctx, c.Flags, func(ctx context.Context, db store.Store) error { return c.show(ctx, streams, db) })
}

func (c getCommand) show(ctx context.Context, streams cli.Streams, db store.Store) error {
	all, err := statusesOf(ctx, db, c.Name)
	if err != nil {
		return err
	}
	if c.Output == "json" || c.Output == "yaml" {
		resources := make([]resource, 0, len(all))
		for _, one := range all {
			found, err := resourceOf(ctx, db, one)
			if err != nil {
				return err
			}
			resources = append(resources, found)
		}
		if c.Name != "" {
			return cli.Output{Output: c.Output}.Print(streams.Out, resources[0], nil, nil)
		}
		return cli.Output{Output: c.Output}.Print(streams.Out, resources, nil, nil)
	}
	if len(all) == 0 {
		_, _ = fmt.Fprintln(streams.Err, "no controller has followed a policy with this database yet")
		return nil
	}
	return c.table(ctx, db, streams.Out, all)
}

func (c getCommand) table(ctx context.Context, db store.Store, out io.Writer, all []known) error {
	header := []string{"POLICY", "DESIRED", "RUNNING", "PENDING", "WAITING", "OLDEST", "OBJECTIVE", "STATUS", "SEEN"}
	if c.Output == "wide" {
		header = append(header, "NEED", "LIMITED BY", "SERVICE", "CONTROLLER", "REASON")
	}
	rows := make([][]string, 0, len(all))
	now := time.Now()
	for _, one := range all {
		rows = append(rows, c.row(one, now))
	}
	if err := (cli.Output{Output: "table"}).Print(out, nil, header, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "\n"+leaderLine(ctx, db))
	return err
}

func (c getCommand) row(one known, now time.Time) []string {
	s := one.Status
	desired, running, pending := "?", "?", "?"
	if service := s.Observation.Service; service != nil {
		desired, running, pending = fmt.Sprint(service.Desired), fmt.Sprint(service.Running), fmt.Sprint(service.Pending)
	}
	waiting, oldest, objective := depths(s)
	status := summary(s)
	if now.Sub(one.Seen) > 3*s.Interval+time.Minute {
		status = "Stale(" + status + ")" // nobody has looked since
	}
	row := []string{one.Name, desired, running, pending, waiting, oldest, objective, status, age(now, one.Seen)}
	if c.Output != "wide" {
		return row
	}
	need, limit, reason := "?", "", ""
	if d := s.Decision; d != nil {
		need, limit, reason = fmt.Sprint(d.Need), d.LimitedBy, d.Reason
	}
	return append(row, need, dash(limit), s.Target.Cluster+"/"+s.Target.Service, s.Holder, reason)
}

// depths adds the queues up: what waits, the oldest of all, and the tightest
// objective.
func depths(s reconcile.Status) (waiting, oldest, objective string) {
	var sum, worst float64
	sumKnown, ageKnown := len(s.Observation.Queues) > 0, false
	for _, q := range s.Observation.Queues {
		if q.Visible == nil {
			sumKnown = false
			continue
		}
		sum += q.Visible.Value
		if q.OldestAge != nil {
			worst, ageKnown = max(worst, q.OldestAge.Value), true
		}
	}
	waiting, oldest, objective = "?", "-", "-"
	if sumKnown {
		waiting = fmt.Sprintf("%.0f", sum)
	}
	if ageKnown {
		oldest = seconds(worst)
	}
	if s.Objective > 0 {
		objective = seconds(s.Objective.Seconds())
	}
	return waiting, oldest, objective
}

// summary is the worst of what the conditions say, in a word or two.
func summary(s reconcile.Status) string {
	var troubles []string
	for _, c := range s.Conditions {
		if !c.Healthy() && c.Type != reconcile.ScalingLimited && (c.Status != reconcile.Unknown || c.Type != reconcile.TargetExclusive) {
			troubles = append(troubles, c.Reason)
		}
	}
	switch {
	case len(troubles) > 0:
		return strings.Join(troubles, ",")
	case s.Decision != nil && s.Decision.LimitedBy != "":
		return "Limited(" + s.Decision.LimitedBy + ")"
	}
	return "OK"
}

// leaderLine says who controls, and how sure that is.
func leaderLine(ctx context.Context, db store.Store) string {
	l, err := db.Leadership(ctx, "controller")
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "No controller has led with this database yet."
	case err != nil:
		return "Who leads is not known: " + err.Error()
	case l.Holder == "":
		return "Nobody leads: the last controller was stopped. Nothing is scaled."
	case l.Left <= 0:
		return fmt.Sprintf("Nobody leads: the lease of %s lapsed %s ago. Unless it runs without the database, nothing is scaled.", l.Holder, (-l.Left).Round(time.Second))
	}
	return fmt.Sprintf("%s leads since %s (epoch %d).", l.Holder, l.Since.Format(time.RFC3339), l.Epoch)
}

func seconds(s float64) string {
	return (time.Duration(s * float64(time.Second))).Round(time.Second).String()
}

func age(now, then time.Time) string {
	if then.IsZero() {
		return "never"
	}
	return max(0, now.Sub(then)).Round(time.Second).String() + " ago"
}

func tasks(n int) string {
	if n == 1 {
		return "1 task"
	}
	return fmt.Sprintf("%d tasks", n)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func sampleText(s *scaling.Sample, now time.Time, unit string) string {
	if s == nil {
		return "unknown"
	}
	value := fmt.Sprintf("%.0f%s", s.Value, unit)
	if s.Period > 0 {
		value = fmt.Sprintf("%.1f/s", s.Value/s.Period)
	}
	return value + " (" + age(now, s.Time) + ")"
}
