package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// resource is a policy as Kubernetes would show it: spec and status.
type resource struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Metadata   config.Metadata  `json:"metadata"`
	Spec       any              `json:"spec"`
	Status     reconcile.Status `json:"status"`
}

func resourceOf(ctx context.Context, db store.Store, one known) (resource, error) {
	found := resource{
		APIVersion: config.APIVersion, Kind: config.KindScalingPolicy, Status: one.Status,
		Metadata: config.Metadata{Name: one.Name, Generation: one.Status.ObservedGeneration},
	}
	version, err := db.PolicyVersion(ctx, one.Name, one.Status.ObservedGeneration)
	if errors.Is(err, store.ErrNotFound) {
		return found, nil // counted while the database was away
	}
	if err != nil {
		return found, err
	}
	found.Spec, err = asWritten(version.Spec)
	return found, err
}

// asWritten turns a stored spec into what a file would say: durations as
// text, auto for what is learned.
func asWritten(stored []byte) (any, error) {
	var spec config.ScalingSpec
	if err := json.Unmarshal(stored, &spec); err != nil {
		return nil, fmt.Errorf("read the spec: %w", err)
	}
	text, err := yaml.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var written map[string]any
	if err := yaml.Unmarshal(text, &written); err != nil {
		return nil, err
	}
	queues, _ := written["queues"].([]any)
	for _, one := range queues {
		if queue, ok := one.(map[string]any); ok && (queue["throughputPerTask"] == 0 || queue["throughputPerTask"] == 0.0) {
			queue["throughputPerTask"] = "auto"
		}
	}
	return written, nil
}

type describeCommand struct {
	open.Flags

	Name string `arg:"" optional:"" help:"The ScalingPolicy; needed where there are several."`
}

// Run shows all that is known of one policy: for a person in a hurry, the
// reason and the troubles first.
func (c describeCommand) Run(ctx context.Context, streams cli.Streams) error {
	return within(ctx, c.Flags, func(ctx context.Context, db store.Store) error { return c.show(ctx, streams, db) })
}

func (c describeCommand) show(ctx context.Context, streams cli.Streams, db store.Store) error {
	name, err := whichPolicy(ctx, db, c.Name)
	if err != nil {
		return err
	}
	all, err := statusesOf(ctx, db, name)
	if err != nil {
		return err
	}
	shown, err := resourceOf(ctx, db, all[0])
	if err != nil {
		return err
	}
	notices, err := db.Notices(ctx, 500)
	if err != nil {
		return err
	}
	all[0].Status.Health = healthNow(all[0], leaderHolds(ctx, db), time.Now())
	d := description{out: streams.Out, now: time.Now()}
	d.head(all[0], leaderLine(ctx, db))
	d.decision(all[0].Status)
	d.queues(all[0].Status)
	d.conditions(all[0].Status.Conditions)
	d.spec(shown.Spec)
	d.events(notices, name)
	return nil
}

// description prints sections; a broken pipe is nobody's trouble.
type description struct {
	out io.Writer
	now time.Time
}

func (d description) linef(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, format+"\n", args...)
}

func (d description) table(rows func(w io.Writer)) {
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	rows(w)
	_ = w.Flush()
}

func (d description) head(one known, leader string) {
	s := one.Status
	d.table(func(w io.Writer) {
		row := func(name, value string) {
			if name != "" {
				name += ":"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
		row("Name", one.Name)
		row("Status", fmt.Sprintf("%s since %s", s.Health.Status, s.Health.Since.UTC().Format("15:04:05Z")))
		row("", s.Health.Message)
		if len(s.Health.Also) > 0 {
			row("Also", strings.Join(s.Health.Also, ", "))
		}
		row("Service", s.Target.Cluster+"/"+s.Target.Service)
		row("Generation", fmt.Sprint(s.ObservedGeneration))
		row("Controller", leader)
		row("Last reconcile", age(d.now, s.Time))
		if service := s.Observation.Service; service != nil {
			row("Tasks", fmt.Sprintf("%d desired, %d running, %d pending%s", service.Desired, service.Running, service.Pending, extras(service)))
		} else {
			row("Tasks", "unknown")
		}
		if s.Pause != nil {
			row("Paused", fmt.Sprintf("%s, until %s, by %s: %s", s.Pause.Direction, s.Pause.Until.Format(time.RFC3339), s.Pause.Author, s.Pause.Reason))
		}
	})
}

func extras(s *scaling.Service) string {
	text := ""
	if s.Rollout != nil && *s.Rollout {
		text += ", deployment in progress"
	}
	if s.FailedStarts != nil && *s.FailedStarts > 0 {
		text += fmt.Sprintf(", %d failed starts", *s.FailedStarts)
	}
	if s.Protected != nil {
		text += fmt.Sprintf(", %d protected", *s.Protected)
	}
	if more := s.Running - s.Desired; more > 0 && (s.Rollout == nil || !*s.Rollout) {
		text += fmt.Sprintf("; %d run and %d are desired: %d are finishing their messages", s.Running, s.Desired, more)
	}
	if stop := s.LastStop.Text(); stop != "" {
		text += "; last stop: " + stop
	}
	return text
}

func (d description) decision(s reconcile.Status) {
	d.linef("\nLast decision:")
	if s.Decision == nil {
		d.linef("  none yet")
		return
	}
	d.linef("  %s", s.Decision.Reason)
	d.table(func(w io.Writer) {
		found := "unknown"
		if s.Observation.Service != nil {
			found = tasks(s.Decision.Current)
		}
		_, _ = fmt.Fprintf(w, "  found\t%s\n  needed\t%s\n", found, tasks(s.Decision.Need))
		for _, step := range s.Decision.Steps {
			_, _ = fmt.Fprintf(w, "  %s\t%d → %d\t%s\n", step.Rule, step.From, step.To, step.Reason)
		}
		_, _ = fmt.Fprintf(w, "  decided\t%s\n", tasks(s.Decision.Desired))
	})
}

func (d description) queues(s reconcile.Status) {
	if s.Decision == nil {
		return
	}
	d.linef("\nQueues:")
	for _, need := range s.Decision.Queues {
		q := s.Observation.Queues[need.Queue]
		d.linef("  %s: needs %s: %s", need.Queue, tasks(need.Need), need.Why)
		d.table(func(w io.Writer) {
			row := func(name string, s *scaling.Sample, unit string) {
				if s != nil || name == "visible" || name == "oldest (CloudWatch)" {
					_, _ = fmt.Fprintf(w, "    %s\t%s\n", name, sampleText(s, d.now, unit))
				}
			}
			row("visible", q.Visible, "")
			row("in flight", q.InFlight, "")
			row("delayed", q.Delayed, "")
			row("parked", q.Parked, "")
			row("oldest (CloudWatch)", q.OldestAge, "s")
			row("oldest in work (workers)", q.OldestWaiting, "s")
			row("oldest unsettled (database)", q.OldestUnsettled, "s")
			row("sent", q.Sent, "")
			row("deleted", q.Deleted, "")
			row("failed", q.Failed, "")
			row("dead-lettered", q.DeadLettered, "")
			row("credentials refused", q.CredentialsRefused, "")
			row("retried", q.Retried, "")
			for _, p := range q.Providers {
				_, _ = fmt.Fprintf(w, "    provider %s\t%s\n", p.Name, providerText(p, d.now))
			}
		})
	}
}

// providerText says how a provider does.
func providerText(p scaling.Provider, now time.Time) string {
	text := fmt.Sprintf("%.0f calls in the last minute, %.1fs each", p.Calls, p.Mean)
	if p.Share > 0 {
		text += "; " + p.Failure()
	}
	if p.Open {
		text += "; the circuit breaker is open"
	}
	if p.Failing(now) {
		text = "FAILING: " + text
	}
	return text
}

func (d description) conditions(conditions []reconcile.Condition) {
	d.linef("\nConditions:")
	d.table(func(w io.Writer) {
		_, _ = fmt.Fprintln(w, "  TYPE\tSTATUS\tREASON\tSINCE\tMESSAGE")
		for _, c := range conditions {
			mark := " "
			if !c.Healthy() {
				mark = "!"
			}
			_, _ = fmt.Fprintf(w, "%s %s\t%s\t%s\t%s\t%s\n", mark, c.Type, c.Status, c.Reason, age(d.now, c.LastTransitionTime), oneLine(c.Message))
		}
	})
}

func (d description) spec(spec any) {
	if spec == nil {
		return
	}
	d.linef("\nSpec:")
	text, err := yaml.Marshal(spec)
	if err != nil {
		d.linef("  %v", err)
		return
	}
	for line := range lines(string(text)) {
		d.linef("  %s", line)
	}
}

// eventRows is how many events a description shows.
const eventRows = 20

func (d description) events(notices []store.Notice, policy string) {
	d.linef("\nEvents:")
	shown := 0
	d.table(func(w io.Writer) {
		_, _ = fmt.Fprintln(w, "  LAST\tTYPE\tREASON\tCOUNT\tMESSAGE")
		for _, n := range notices {
			if (n.Policy != policy && n.Policy != store.EveryPolicy) || shown == eventRows {
				continue
			}
			shown++
			_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%d\t%s\n", age(d.now, n.LastTime), n.Type, n.Reason, n.Count, oneLine(n.Message))
		}
	})
	if shown == 0 {
		d.linef("  none")
	}
}
