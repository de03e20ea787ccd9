// Command incidents plays what goes wrong in production against the shipped
// programs, and prints what an engineer on call would see: when the first notice
// comes and what it says, the status, the count of tasks, and how it ends.
//
// Each incident runs on a local system of its own: its ports, its data folder,
// its copy of the shipped policies, whose alerts all go to one receiver here. It
// talks to this machine alone. It exits 1 unless every verdict is OK.
//
// Start with incident.go; judge.go makes a row of what was recorded, and the
// incidents are in provider.go, database.go, tasks.go, aws.go, policy.go,
// messages.go and people.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/novaura/acs-operator/internal/cli"
)

type command struct {
	Only     []string `placeholder:"ID" help:"These incidents alone; absent: all."`
	Short    bool     `help:"A short selection, each ended as soon as all is seen."`
	Parallel int      `default:"6" help:"How many run at once."`
	Output   string   `short:"o" enum:"table,json" default:"table" help:"How to print: table or json."`
	Keep     string   `placeholder:"FOLDER" type:"path" help:"Keep policies, logs and databases there, a folder for each incident."`
	List     bool     `help:"List the incidents, and play none."`
}

func main() { cli.Main(run) }

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	return cli.Run(ctx, "incidents", "Plays incidents against the shipped programs, and prints what an engineer on call would see.",
		&command{}, args, cli.Streams{In: in, Out: out, Err: errOut})
}

// Run plays the incidents and prints their rows.
func (c *command) Run(ctx context.Context, streams cli.Streams) error {
	incidents, err := choose(table(), c.Only, c.Short)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	if c.Parallel < 1 {
		return cli.Usagef("--parallel: %d is too few; write 1 or more", c.Parallel)
	}
	if c.List {
		for _, incident := range incidents {
			_, _ = fmt.Fprintf(streams.Out, "%-28s %s\n", incident.ID, incident.Name)
		}
		return nil
	}
	rows, err := c.playTable(ctx, streams, incidents)
	if err != nil {
		return err
	}
	show := printTable
	if c.Output == "json" {
		show = printJSON
	}
	return errors.Join(show(streams.Out, rows), failures(rows))
}

func (c *command) playTable(ctx context.Context, streams cli.Streams, incidents []Incident) ([]Row, error) {
	folder, err := os.MkdirTemp("", "incidents")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	_, _ = fmt.Fprintln(streams.Err, "building local, the controller and the worker …")
	programs, err := buildPrograms(ctx, filepath.Join(folder, "bin"))
	if err != nil {
		return nil, err
	}
	keep := folder
	if c.Keep != "" {
		keep = c.Keep
	}
	speed := longPace()
	if c.Short {
		speed = shortPace()
	}
	began := time.Now()
	rows := playAll(ctx, c.Parallel, incidents,
		func(i Incident) Row { return play(ctx, speed, programs, i, keep) },
		func(r Row) {
			_, _ = fmt.Fprintf(streams.Err, "%6s  %-26s %s\n", time.Since(began).Round(time.Second), r.ID, r.verdict())
		})
	return rows, nil
}

// failures counts the rows that are wrong.
func failures(rows []Row) error {
	wrong := 0
	for _, row := range rows {
		if len(row.Problems) > 0 {
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d incidents are not as they should be", wrong, len(rows))
	}
	return nil
}
