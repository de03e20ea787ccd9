package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/simulate"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

type simulateCommand struct {
	policyFlag
	open.Flags
	cli.Output
	Name  string `help:"Which ScalingPolicy, where the source has several."`
	Queue string `help:"Which of its queues; the first, unless named."`

	Workload    []string      `placeholder:"NAME" help:"A workload to run, again for more: 'list' lists them, 'all' is the default."`
	Trace       string        `placeholder:"FILE.csv" help:"Arrivals from a file: lines of time,count."`
	FromHistory time.Duration `placeholder:"DURATION" help:"Arrivals as the running controller saw them, from so long ago until now."`
	Mean        float64       `help:"Scale the arrivals to a mean of so many messages/s; 0 leaves them."`

	WhatIf     []string `placeholder:"FIELD=VALUE" help:"Change a field of the policy's spec first: maxTasks=20, queues[0].maxAge=2m."`
	PerTask    float64  `default:"8" help:"Messages/s that one task works off; the policy is not told."`
	StartLag   string   `default:"45s-90s" placeholder:"FROM-TO" help:"How long a task takes to start."`
	CountError float64  `default:"0.02" help:"Relative error of SQS's counts."`
	Delay      string   `default:"60s-180s" placeholder:"FROM-TO" help:"How late CloudWatch's metrics come."`
	Seed       uint64   `default:"1" help:"Another draw of chance."`

	Alone  bool   `help:"Leave out the other autoscalers."`
	Report string `placeholder:"FILE.html" help:"Write a page with charts there too."`
}

func (c simulateCommand) Run(ctx context.Context, streams cli.Streams) error {
	if slices.Contains(c.Workload, "list") {
		return c.list(streams.Out)
	}
	p, err := c.policy(ctx)
	if err != nil {
		return err
	}
	setting, err := c.setting(p)
	if err != nil {
		return err
	}
	workloads, err := c.workloads(ctx, p, &setting)
	if err != nil {
		return err
	}
	comparisons, err := c.compare(ctx, setting, workloads, streams.Err)
	if err != nil {
		return err
	}
	if err := c.write(comparisons, p.Metadata.Name); err != nil {
		return err
	}
	return c.show(streams.Out, comparisons)
}

func (c simulateCommand) list(out io.Writer) error {
	rows := [][]string{}
	for _, w := range simulate.Workloads() {
		rows = append(rows, []string{w.Name, fmt.Sprintf("%.0f h", float64(len(w.Rates))/3600), w.About})
	}
	return c.Print(out, rows, []string{"WORKLOAD", "LENGTH", "ABOUT"}, rows)
}

// policy is the chosen one with what --what-if changes, reduced to the queue
// that is modelled.
func (c simulateCommand) policy(ctx context.Context) (*config.ScalingPolicy, error) {
	files, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	if files, err = whatIf(files, c.Name, c.WhatIf); err != nil {
		return nil, err
	}
	policies, err := config.Parse(files...)
	if err != nil {
		return nil, &cli.UsageError{Err: refusal(err)}
	}
	p, err := one(policies, c.Name)
	if err != nil {
		return nil, err
	}
	for i, q := range p.Spec.Queues {
		if c.Queue == "" && i == 0 || q.Name == c.Queue {
			p.Spec.Queues = []config.QueueSpec{q}
			return p, nil
		}
	}
	return nil, cli.Usagef("the policy %s has no queue %q", p.Metadata.Name, c.Queue)
}

func (c simulateCommand) setting(p *config.ScalingPolicy) (simulate.Setting, error) {
	s := simulate.Setting{Policy: p, Service: simulate.DefaultService(), View: simulate.DefaultView(p.Spec.Metrics.Source), Seed: c.Seed, Others: !c.Alone}
	var err, delayErr error
	s.Service.StartLag, err = span(c.StartLag)
	s.View.Delay, delayErr = span(c.Delay)
	if err = errors.Join(err, delayErr); err != nil {
		return s, err
	}
	if c.PerTask <= 0 || c.CountError < 0 || c.CountError > 1 {
		return s, cli.Usagef("--per-task is above 0, and --count-error 0 to 1")
	}
	s.Service.PerTask, s.View.CountError = c.PerTask, c.CountError
	return s, nil
}

// span reads 45s-90s, or 60s for both ends, as seconds.
func span(text string) (ends [2]float64, err error) {
	from, to, ranged := strings.Cut(text, "-")
	if !ranged {
		to = from
	}
	low, err := time.ParseDuration(from)
	high, highErr := time.ParseDuration(to)
	if err = errors.Join(err, highErr); err != nil || low < 0 || high < low {
		return ends, cli.Usagef("%q is no span of time: write 45s-90s, or 60s", text)
	}
	return [2]float64{low.Seconds(), high.Seconds()}, nil
}

func (c simulateCommand) workloads(ctx context.Context, p *config.ScalingPolicy, s *simulate.Setting) ([]simulate.Workload, error) {
	var chosen []simulate.Workload
	var err error
	switch {
	case c.Trace != "":
		chosen, err = c.fromTrace()
	case c.FromHistory > 0:
		chosen, err = c.fromHistory(ctx, p, s)
	default:
		chosen, err = c.named()
	}
	if c.Mean > 0 {
		for i := range chosen {
			chosen[i].Rates = simulate.Scale(chosen[i].Rates, c.Mean)
		}
	}
	return chosen, err
}

func (c simulateCommand) named() ([]simulate.Workload, error) {
	all := simulate.Workloads()
	if len(c.Workload) == 0 || slices.Contains(c.Workload, "all") {
		return all, nil
	}
	var chosen []simulate.Workload
	for _, name := range c.Workload {
		i := slices.IndexFunc(all, func(w simulate.Workload) bool { return w.Name == name })
		if i < 0 {
			return nil, cli.Usagef("there is no workload %q: --workload list lists them", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func (c simulateCommand) fromTrace() ([]simulate.Workload, error) {
	file, err := os.Open(c.Trace)
	if err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	defer func() { _ = file.Close() }()
	rates, err := simulate.ReadTrace(file)
	if err != nil {
		return nil, cli.Usagef("%s: %w", c.Trace, err)
	}
	return []simulate.Workload{{Name: c.Trace, About: "arrivals of the file", Rates: rates}}, nil
}

// fromHistory replays the arrivals that the controller recorded, and takes the
// rate a task from what it has learned.
func (c simulateCommand) fromHistory(ctx context.Context, p *config.ScalingPolicy, s *simulate.Setting) ([]simulate.Workload, error) {
	const most = 200_000 // rows; a row a minute at least
	db, err := openExisting(ctx, c.Flags)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Decisions(ctx, store.DecisionFilter{Policy: p.Metadata.Name, Since: time.Now().Add(-c.FromHistory), Limit: most})
	if err != nil {
		return nil, err
	}
	seen := simulate.NewHistory(p.Spec.Queues[0].Name)
	for _, row := range rows {
		var record reconcile.Record
		if json.Unmarshal(row.Record, &record) == nil {
			seen.Add(record.Observation)
			seen.Learned(record.Decision)
		}
	}
	rates, perTask, err := seen.Rates()
	if err != nil {
		return nil, fmt.Errorf("%w in the history of %s since %s", err, p.Metadata.Name, c.FromHistory)
	}
	if perTask > 0 {
		s.Service.PerTask = perTask
	}
	return []simulate.Workload{{Name: "history", About: fmt.Sprintf("what %s saw", p.Spec.Queues[0].Name), Rates: rates}}, nil
}

// compare runs everything, and tells on errOut how far it is.
func (c simulateCommand) compare(ctx context.Context, s simulate.Setting, workloads []simulate.Workload, errOut io.Writer) ([]simulate.Comparison, error) {
	comparisons := make([]simulate.Comparison, 0, len(workloads))
	started := time.Now()
	if !isTerminal(errOut) {
		errOut = io.Discard
	}
	for i, w := range workloads {
		compared, err := s.Compare(ctx, w, func(r simulate.Result) {
			if time.Since(started) > time.Second {
				_, _ = fmt.Fprintf(errOut, "\r\x1b[K%d of %d: %s, %s", i+1, len(workloads), w.Name, r.Name)
			}
		})
		if err != nil {
			return nil, err
		}
		comparisons = append(comparisons, compared)
	}
	if time.Since(started) > time.Second {
		_, _ = fmt.Fprint(errOut, "\r\x1b[K")
	}
	return comparisons, nil
}

// isTerminal says that a person watches.
func isTerminal(w io.Writer) bool {
	file, is := w.(*os.File)
	if !is {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (c simulateCommand) write(comparisons []simulate.Comparison, policy string) error {
	if c.Report == "" {
		return nil
	}
	var page bytes.Buffer
	if err := simulate.WriteReport(&page, "Simulation of "+policy, comparisons); err != nil {
		return err
	}
	if err := os.WriteFile(c.Report, page.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// simulated is one result for programs.
type simulated struct {
	Workload  string  `json:"workload"`
	Who       string  `json:"who"`
	Messages  float64 `json:"messages"`
	Late      float64 `json:"late"` // part
	P50       float64 `json:"p50"`  // seconds
	P99       float64 `json:"p99"`
	Max       float64 `json:"max"`
	TaskHours float64 `json:"taskHours"`
	Ratio     float64 `json:"ratio"` // to the clairvoyant's
	Changes   int     `json:"changes"`
	Reversals int     `json:"reversals"`
	Peak      int     `json:"peak"`
}

func (c simulateCommand) show(out io.Writer, comparisons []simulate.Comparison) error {
	var results []simulated
	for _, compared := range comparisons {
		for _, r := range compared.Results {
			results = append(results, simulated{
				Workload: compared.Workload.Name, Who: r.Name, Messages: r.Messages, Late: r.Late, P50: r.Ages[0], P99: r.Ages[1], Max: r.Ages[2],
				TaskHours: math.Round(1000*r.TaskHours) / 1000, Ratio: compared.Ratio(r), Changes: r.Changes, Reversals: r.Reversals, Peak: r.Peak,
			})
		}
	}
	if err := c.Print(out, results, simulate.Header, simulate.Table(comparisons)); err != nil || c.Output.Output != "table" || len(comparisons) < 2 {
		return err
	}
	_, _ = fmt.Fprintln(out)
	return c.Print(out, nil, simulate.MeanHeader, simulate.Mean(comparisons))
}
