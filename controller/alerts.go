package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

type alertsCommand struct {
	List alertsListCommand `cmd:"" default:"withargs" help:"List what is pending, fires, or was resolved of late."`
	Test alertsTestCommand `cmd:"" help:"Send a test to a receiver, and say what came of it."`
}

type alertsListCommand struct {
	open.Flags
	cli.Output
}

// Run lists what the leader saved after its last change.
func (c alertsListCommand) Run(ctx context.Context, streams cli.Streams) error {
	return within(ctx, c.Flags, func(ctx context.Context, db store.Store) error {
		alerts, err := savedAlerts(ctx, db)
		if err != nil {
			return err
		}
		return c.print(streams.Out, alerts)
	})
}

// savedAlerts are those of every policy that a controller followed of late.
func savedAlerts(ctx context.Context, db store.Store) ([]alerting.Alert, error) {
	followed, err := db.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	alerts := []alerting.Alert{}
	for _, p := range followed {
		saved, err := db.LoadState(ctx, reconcile.AlertStateKey(p.Policy))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		var state alerting.State
		if err = errors.Join(err, json.Unmarshal(saved, &state)); err != nil {
			return nil, fmt.Errorf("load the alerts of %s: %w", p.Policy, err)
		}
		for _, a := range state.List() {
			alerts = append(alerts, a.Shown())
		}
	}
	return alerts, nil
}

func (c alertsListCommand) print(out io.Writer, alerts []alerting.Alert) error {
	rows := make([][]string, 0, len(alerts))
	for _, a := range alerts {
		told := a.Message
		if a.Unknown != "" {
			told += " (now " + a.Unknown + ")"
		}
		rows = append(rows, []string{string(a.State), a.Severity, a.Alert, a.Policy, a.Queue, since(a), strings.Join(a.SilencedBy, ","), strings.Join(a.InhibitedBy, ","), told})
	}
	return c.Print(out, alerts, []string{"STATE", "SEVERITY", "ALERT", "POLICY", "QUEUE", "FOR", "SILENCED BY", "INHIBITED BY", "MESSAGE"}, rows)
}

func since(a alerting.Alert) string {
	at := a.Since
	if a.State == alerting.Resolved {
		at = a.ResolvedAt
	}
	return config.Age(time.Since(at).Seconds()).String()
}

type alertsTestCommand struct {
	Receiver string `arg:"" help:"The receiver's name."`
	policyFlag
	receiverFlags
	AlertPolicy string `help:"Which AlertPolicy, where several have a receiver of that name."`
}

// Run sends one alert that fires to each recipient of the receiver.
func (c alertsTestCommand) Run(ctx context.Context, streams cli.Streams) error {
	policies, err := c.load(ctx)
	if err != nil {
		return err
	}
	policy, receiver, err := c.find(policies)
	if err != nil {
		return err
	}
	notifier, err := c.notifier(ctx, "", nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for i := range receiver.Recipients() {
		if err := notifier.Send(ctx, receiver, alerting.TestNotification(policy, receiver.Name, i, time.Now())); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(streams.Out, "receiver %q took the test (%d recipient(s)); it says %q\n", receiver.Name, receiver.Recipients(), alerting.TestAlert)
	return err
}

func (c alertsTestCommand) find(policies *config.Policies) (policy string, found config.Receiver, err error) {
	var names []string
	for _, p := range policies.Alert {
		for _, r := range p.Spec.Receivers {
			names = append(names, r.Name)
			if r.Name == c.Receiver && (c.AlertPolicy == "" || c.AlertPolicy == p.Metadata.Name) {
				return p.Metadata.Name, r, nil
			}
		}
	}
	if len(names) == 0 {
		return "", found, cli.Usagef("there is no AlertPolicy in %s", c.Policy)
	}
	return "", found, cli.Usagef("there is no receiver %q, only %s", c.Receiver, strings.Join(names, ", "))
}
