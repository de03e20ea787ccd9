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
	leads := leaderHolds(ctx, db)
	for i := range all {
		all[i].Status.Health = healthNow(all[i], leads, time.Now())
	}
	switch {
	case c.Output == "json" || c.Output == "yaml":
		err = c.resources(ctx, db, streams.Out, all)
	case len(all) == 0:
		_, err = fmt.Fprintln(streams.Err, "no controller has followed a policy with this database yet")
	default:
		err = c.table(ctx, db, streams.Out, all)
	}
	if err != nil {
		return err
	}
	return unwell(all)
}

// unwell is an error that names the policies that need somebody, so that the exit code
// tells too.
func unwell(all []known) error {
	var troubles []string
	for _, one := range all {
		if !one.Status.Health.OK() {
			troubles = append(troubles, one.Name+" is "+one.Status.Health.Status)
		}
	}
	if len(troubles) == 0 {
		return nil
	}
	return errors.New(strings.Join(troubles, ", "))
}

func (c getCommand) resources(ctx context.Context, db store.Store, out io.Writer, all []known) error {
	resources := make([]resource, 0, len(all))
	for _, one := range all {
		found, err := resourceOf(ctx, db, one)
		if err != nil {
			return err
		}
		resources = append(resources, found)
	}
	if c.Name != "" {
		return cli.Output{Output: c.Output}.Print(out, resources[0], nil, nil)
	}
	return cli.Output{Output: c.Output}.Print(out, resources, nil, nil)
}

func (c getCommand) table(ctx context.Context, db store.Store, out io.Writer, all []known) error {
	header := []string{"POLICY", "STATUS", "DESIRED", "RUNNING", "PENDING", "WAITING", "IN FLIGHT", "OLDEST", "OBJECTIVE", "SEEN"}
	if c.Output == "wide" {
		header = append(header, "NEED", "LIMITED BY", "ALSO", "SERVICE", "CONTROLLER", "REASON")
	}
	rows := make([][]string, 0, len(all))
	now := time.Now()
	for _, one := range all {
		rows = append(rows, c.row(one, now))
	}
	if err := (cli.Output{Output: "table"}).Print(out, nil, header, rows); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out)
	for _, one := range all {
		if health := one.Status.Health; health.Status != reconcile.StatusOK {
			also := ""
			if len(health.Also) > 0 {
				also = " (also " + strings.Join(health.Also, ", ") + ")"
			}
			_, _ = fmt.Fprintf(out, "%s is %s since %s%s: %s\n", one.Name, health.Status, health.Since.UTC().Format("15:04:05Z"), also, health.Message)
		}
	}
	_, err := fmt.Fprintln(out, leaderLine(ctx, db))
	return err
}

func (c getCommand) row(one known, now time.Time) []string {
	s := one.Status
	desired, running, pending := "?", "?", "?"
	if service := s.Observation.Service; service != nil {
		desired, running, pending = fmt.Sprint(service.Desired), fmt.Sprint(service.Running), fmt.Sprint(service.Pending)
	}
	waiting := sumOf(s, func(q scaling.Queue) *scaling.Sample { return q.Visible })
	inFlight := sumOf(s, func(q scaling.Queue) *scaling.Sample { return q.InFlight })
	row := []string{
		one.Name, s.Health.Status, desired, running, pending, waiting, inFlight, seconds(s.Worst.Oldest), seconds(s.Worst.Objective), age(now, one.Seen),
	}
	if c.Output != "wide" {
		return row
	}
	need, limit, reason := "?", "", ""
	if d := s.Decision; d != nil {
		need, limit, reason = fmt.Sprint(d.Need), d.LimitedBy, d.Reason
	}
	return append(row, need, dash(limit), dash(strings.Join(s.Health.Also, ",")), s.Target.Cluster+"/"+s.Target.Service, s.Holder, reason)
}

// sumOf adds a count of all queues up; ? where one is unknown.
func sumOf(s reconcile.Status, of func(scaling.Queue) *scaling.Sample) string {
	sum := 0.0
	for _, q := range s.Observation.Queues {
		sample := of(q)
		if sample == nil {
			return "?"
		}
		sum += sample.Value
	}
	if len(s.Observation.Queues) == 0 {
		return "?"
	}
	return fmt.Sprintf("%.0f", sum)
}

// healthNow is how a policy stands now: what its leader wrote, unless no controller
// leads any more, or the leader wrote nothing for three intervals.
func healthNow(one known, leads bool, now time.Time) reconcile.Health {
	health, silent := one.Status.Health, now.Sub(one.Seen)
	const slack = 15 * time.Second // a tick that waits for AWS
	switch was := health.Status + " " + age(now, one.Seen); {
	case !leads:
		health.Message = "no controller leads, so nothing is scaled; it was " + was
	case silent > 3*one.Status.Interval+slack:
		health.Message = "the controller that leads has written nothing since then; it was " + was
	default:
		return health
	}
	health.Status, health.Since, health.Queue, health.Also = reconcile.StatusNotLeading, one.Seen, "", nil
	return health
}

// leaderHolds reports whether a controller holds the lease now. When the database does
// not tell, its statuses still do.
func leaderHolds(ctx context.Context, db store.Store) bool {
	l, err := db.Leadership(ctx, "controller")
	if err != nil {
		return !errors.Is(err, store.ErrNotFound)
	}
	return l.Holder != "" && l.Left > 0
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
