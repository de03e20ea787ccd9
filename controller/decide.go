package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	state, err = scaling.DecideLines(p, state, streams.In, streams.Out)
	return errors.Join(err, writeState(c.State, state))
}

func readState(path string) (scaling.State, error) {
	var state scaling.State
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
func writeState(path string, state scaling.State) error {
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
