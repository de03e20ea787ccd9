package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/scaling"
)

type decideCommand struct {
	policyFlag
	Name  string `help:"Which ScalingPolicy, where the source has several."`
	State string `placeholder:"FILE" help:"Load the state from FILE before the first line, save it there after the last."`
}

func (c decideCommand) Run(ctx context.Context, streams cli.Streams) error {
	policies, err := c.load(ctx)
	if err != nil {
		return err
	}
	p, err := one(policies, c.Name)
	if err != nil {
		return err
	}
	state, err := readState(c.State)
	if err != nil {
		return err
	}
	alerts := config.WithBuiltIn(policies.Alert)
	state.State, err = scaling.DecideLines(p, state.State, streams.In, streams.Out, func(obs scaling.Observation, d *scaling.Decision) {
		state.Alerts = judge(alerts, p, obs, d, state.Alerts)
	})
	return errors.Join(err, writeState(c.State, state))
}

// judge adds to a decision the alerts that are pending or fire. Of the
// controller itself, only that its policy is accepted is known here.
func judge(policies []*config.AlertPolicy, p *config.ScalingPolicy, obs scaling.Observation, d *scaling.Decision, before alerting.State) alerting.State {
	accepted := true
	outcome, after := alerting.Step(policies, alerting.Input{
		Policy: p, Observation: obs, Decision: *d, Controller: alerting.Controller{PolicyAccepted: &accepted},
	}, nil, before, obs.Time)
	for _, a := range outcome.Alerts {
		if a.State == alerting.Pending || a.State == alerting.Firing {
			d.Alerts = append(d.Alerts, a.Shown())
		}
	}
	return after
}

// decideState is what --state keeps: the decision's state, and the alerts'
// beside it.
type decideState struct {
	scaling.State

	Alerts alerting.State
}

// MarshalJSON puts the alerts among the fields of the decision's state.
func (s decideState) MarshalJSON() ([]byte, error) {
	fields := map[string]json.RawMessage{}
	encoded, err := json.Marshal(s.State)
	if err == nil {
		err = json.Unmarshal(encoded, &fields)
	}
	if err == nil {
		fields["alerts"], err = json.Marshal(s.Alerts)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// UnmarshalJSON reads what MarshalJSON wrote; a state without alerts is one.
func (s *decideState) UnmarshalJSON(data []byte) error {
	var beside struct {
		Alerts alerting.State `json:"alerts"`
	}
	if err := errors.Join(json.Unmarshal(data, &s.State), json.Unmarshal(data, &beside)); err != nil {
		return err
	}
	s.Alerts = beside.Alerts
	return nil
}

func readState(path string) (decideState, error) {
	var state decideState
	if path == "" {
		return state, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return state, &cli.UsageError{Err: err}
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return state, cli.Usagef("%s is not a saved state: %w", path, err)
	}
	return state, nil
}

// writeState replaces the file as a whole: a crash leaves the old one.
func writeState(path string, state decideState) error {
	if path == "" {
		return nil
	}
	data, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	_, err = temporary.Write(append(data, '\n'))
	if err = errors.Join(err, temporary.Close()); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return os.Rename(temporary.Name(), path)
}
