package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/cloud"
	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/rightsize"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

type recommendCommand struct {
	policyFlag
	open.Flags
	cli.Output
	Name  string        `help:"Which ScalingPolicy, where the source has several."`
	Since time.Duration `default:"336h" help:"How far back utilization is looked at."`

	Size      string  `placeholder:"CPU/MiB" help:"Today's size, 1024/2048; from the task definition, unless given."`
	CPUMax    float64 `placeholder:"PERCENT" help:"Processor used in the busiest hour; from CloudWatch, unless given."`
	MemoryMax float64 `placeholder:"PERCENT" help:"Memory used at most; from CloudWatch, unless given."`
	PerTask   float64 `placeholder:"RATE" help:"Messages/s that a task does; as the controller learned, unless given."`
	Region    string  `env:"AWS_REGION" default:"us-east-1" help:"Whose prices."`
	VCPUPrice float64 `name:"vcpu-hour" placeholder:"USD" help:"Price of a vCPU-hour; the region's list price, unless given."`
	GBPrice   float64 `name:"gb-hour" placeholder:"USD" help:"Price of a GB-hour; the region's list price, unless given."`
}

func (c recommendCommand) Run(ctx context.Context, streams cli.Streams) error {
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
	price, err := c.price()
	if err != nil {
		return err
	}
	size, used, err := c.measured(ctx, p)
	if err != nil {
		return err
	}
	perTask := c.throughput(ctx, p, streams.Err)
	now, best := rightsize.Recommend(size, used, perTask, price)
	return c.print(streams.Out, now, best, price)
}

func (c recommendCommand) price() (rightsize.Price, error) {
	price, known := rightsize.Prices[c.Region]
	if c.VCPUPrice > 0 && c.GBPrice > 0 {
		return rightsize.Price{VCPU: c.VCPUPrice, GB: c.GBPrice, Region: c.Region, AsOf: "given"}, nil
	}
	if !known {
		return price, cli.Usagef("the prices of %s are not known here: give --vcpu-hour and --gb-hour (https://aws.amazon.com/fargate/pricing)", c.Region)
	}
	return price, nil
}

// measured is today's size and how much of it is used: as given, or else as
// AWS tells.
func (c recommendCommand) measured(ctx context.Context, p *config.ScalingPolicy) (size rightsize.Size, used rightsize.Used, err error) {
	used = rightsize.Used{CPU: c.CPUMax / 100, CPUMax: c.CPUMax / 100, MemoryMax: c.MemoryMax / 100}
	if c.Size != "" {
		if _, err := fmt.Sscanf(c.Size, "%d/%d", &size.CPU, &size.Memory); err != nil || !size.Valid() {
			return size, used, cli.Usagef("--size %s is none that Fargate has: write CPU/MiB, as 1024/2048", c.Size)
		}
	}
	if c.Size != "" && c.CPUMax > 0 && c.MemoryMax > 0 {
		return size, used, nil
	}
	services, metrics, _, err := adapters(ctx)
	if err != nil {
		return size, used, err
	}
	if c.Size == "" {
		if size.CPU, size.Memory, err = services.TaskSize(ctx, p.Spec.Target); err != nil {
			return size, used, fmt.Errorf("%w (or give --size)", err)
		}
	}
	seen, points, err := metrics.Utilization(ctx, p.Spec.Target, time.Now().Add(-c.Since), time.Now())
	if err != nil {
		return size, used, err
	}
	return size, c.override(used, seen), enough(points, c, p)
}

func (c recommendCommand) override(given rightsize.Used, seen cloud.Utilization) rightsize.Used {
	used := rightsize.Used{CPU: seen.CPU, CPUMax: seen.CPUMax, MemoryMax: seen.MemoryMax}
	if c.CPUMax > 0 {
		used.CPU, used.CPUMax = given.CPU, given.CPUMax
	}
	if c.MemoryMax > 0 {
		used.MemoryMax = given.MemoryMax
	}
	return used
}

// enough refuses to advise on nothing.
func enough(points int, c recommendCommand, p *config.ScalingPolicy) error {
	if points == 0 && (c.CPUMax == 0 || c.MemoryMax == 0) {
		return fmt.Errorf("CloudWatch has no CPUUtilization of %s/%s in the last %s: give --cpu-max and --memory-max, or wait an hour",
			p.Spec.Target.Cluster, p.Spec.Target.Service, c.Since)
	}
	return nil
}

// throughput is what a task does at its best, over all its queues: as given,
// stated in the policy, or learned. Unknown is 0, and said.
func (c recommendCommand) throughput(ctx context.Context, p *config.ScalingPolicy, errOut io.Writer) float64 {
	if c.PerTask > 0 {
		return c.PerTask
	}
	stated := slices.MaxFunc(p.Spec.Queues, func(a, b config.QueueSpec) int { return int(1000 * (a.ThroughputPerTask - b.ThroughputPerTask)) })
	if stated.ThroughputPerTask > 0 {
		return stated.ThroughputPerTask
	}
	best, err := c.learned(ctx, p)
	if err != nil || best == 0 {
		_, _ = fmt.Fprintf(errOut, "controller: what a task does is not known, so neither is what a message costs (give --per-task): %v\n", orNothing(err))
	}
	return best
}

func (c recommendCommand) learned(ctx context.Context, p *config.ScalingPolicy) (best float64, err error) {
	db, err := openExisting(ctx, c.Flags)
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Decisions(ctx, store.DecisionFilter{Policy: p.Metadata.Name, Since: time.Now().Add(-24 * time.Hour), Limit: 1})
	for _, row := range rows {
		var record reconcile.Record
		if json.Unmarshal(row.Record, &record) == nil {
			for _, q := range record.Decision.Queues {
				best = max(best, q.PerTask)
			}
		}
	}
	return best, err
}

func orNothing(err error) string {
	if err == nil {
		return "nothing was learned yet"
	}
	return strings.TrimSpace(err.Error())
}

func (c recommendCommand) print(out io.Writer, now, best rightsize.Advice, price rightsize.Price) error {
	rows := [][]string{}
	for i, a := range []rightsize.Advice{now, best} {
		million := "unknown"
		if a.Million > 0 {
			million = fmt.Sprintf("$%.4f", a.Million)
		}
		rows = append(rows, []string{[]string{"today", "recommended"}[i], a.Size.String(), fmt.Sprintf("%.1f/s", a.Throughput), fmt.Sprintf("$%.5f", a.Hour), million, a.Why})
	}
	value := map[string]any{"today": now, "recommended": best, "price": price}
	if err := c.Print(out, value, []string{"", "SIZE", "A TASK DOES", "TASK-HOUR", "A MILLION MESSAGES", "WHY"}, rows); err != nil || c.Output.Output != "table" {
		return err
	}
	_, err := fmt.Fprintf(out, "\nPrices of %s (%s): $%g a vCPU-hour, $%g a GB-hour, Linux on x86, on demand.\n", price.Region, price.AsOf, price.VCPU, price.GB)
	return err
}
