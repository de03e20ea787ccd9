package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/parking"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// doctorCommand looks at all that a worker needs, and changes nothing.
type doctorCommand struct {
	open.Flags
	channelFlags
	senderFlags
	workerPolicyFlag
	cli.Output
	StopTimeout     time.Duration `env:"WORKER_STOP_TIMEOUT" default:"30s" help:"From SIGTERM to SIGKILL: the task definition's stopTimeout."`
	ProviderTimeout time.Duration `env:"WORKER_PROVIDER_TIMEOUT" name:"provider-timeout" default:"28s" help:"How long one send may take."`
}

// verdict is what a check comes to.
type verdict string

const (
	fine   verdict = "OK"
	warned verdict = "WARN" // it works, and may surprise
	failed verdict = "FAIL" // it does not work
)

// finding is the result of one check, without secrets and personal data.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Detail  string  `json:"detail"`
	Do      string  `json:"do,omitempty"` // what to do about it
}

// oneCheck bounds each.
const oneCheck = 5 * time.Second

func (c doctorCommand) Run(ctx context.Context, streams cli.Streams) error {
	findings := c.settings()
	findings = append(findings, c.checkPolicy(ctx), c.checkDatabase(ctx), c.checkStop())
	findings = append(findings, c.checkStrays(ctx)...)
	config, err := awsclient.Load(ctx)
	if err != nil {
		findings = append(findings, finding{"aws", failed, err.Error(), "set AWS_REGION; on ECS the task has it by itself"})
	} else {
		findings = append(findings, c.checkQueues(ctx, config)...)
	}
	findings = append(findings, c.checkSenders(ctx, config)...)
	findings = append(findings, c.checkReports(ctx)...)
	failures, table := 0, [][]string{}
	for _, f := range findings {
		if f.Verdict == failed {
			failures++
		}
		detail := oneLine(f.Detail)
		if f.Do != "" {
			detail += " → " + f.Do
		}
		table = append(table, []string{string(f.Verdict), f.Check, detail})
	}
	if err := c.Print(streams.Out, findings, []string{"VERDICT", "CHECK", "FOUND → WHAT TO DO"}, table); err != nil {
		return err
	}
	if failures > 0 {
		return fmt.Errorf("%d of %d checks failed", failures, len(findings))
	}
	return nil
}

// oneLine keeps a table a table: a policy's errors are several lines.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// settings are which channels are on.
func (c doctorCommand) settings() (findings []finding) {
	wanted, named, err := c.wanted()
	if err != nil {
		return []finding{{"settings", failed, err.Error(), "correct WORKER_TYPE"}}
	}
	if _, _, err := c.queues(); err != nil {
		findings = append(findings, finding{"settings", failed, err.Error(), "the worker does not start so: set it"})
	}
	for _, channel := range channels {
		name, missing := "settings "+string(channel), c.missing(channel)
		switch {
		case !wanted[channel]:
			findings = append(findings, finding{name, fine, "off: WORKER_TYPE does not name it", ""})
		case c.urls(channel) == "" && !named[channel]:
			findings = append(findings, finding{name, fine, "off: " + queueVariable(channel) + " is not set", ""})
		case missing != "" && named[channel]:
			findings = append(findings, finding{name, failed, missing + " is not set", "the worker does not start so: set it"})
		case missing != "":
			findings = append(findings, finding{name, warned, "on, and " + missing + " is not set: what comes in is recorded, and nothing is sent", "set it, or take the channel's queue away"})
		default:
			findings = append(findings, finding{name, fine, "on", ""})
		}
	}
	return findings
}

func (c doctorCommand) checkPolicy(ctx context.Context) finding {
	if c.Policy == "" {
		return finding{"policy", fine, "none: the defaults of a DeliveryPolicy hold", ""}
	}
	ctx, cancel := context.WithTimeout(ctx, oneCheck)
	defer cancel()
	if _, err := c.follow(ctx, slog.New(slog.DiscardHandler)); err != nil {
		return finding{"policy", failed, err.Error(), "correct the policy at " + c.Policy}
	}
	return finding{"policy", fine, "loaded from " + c.Policy, ""}
}

func (c doctorCommand) checkDatabase(ctx context.Context) finding {
	ctx, cancel := context.WithTimeout(ctx, oneCheck)
	defer cancel()
	db, err := c.OpenExisting(ctx)
	if err != nil {
		return finding{"database", failed, err.Error(), "check DATABASE_URL, or DB_HOST and its kin"}
	}
	defer func() { _ = db.Close() }()
	if err := db.Ready(ctx); err != nil {
		return finding{"database", failed, err.Error(), "see that it is reached from here, and run `worker migrate`"}
	}
	return verify(ctx, db)
}

// verify looks for damage and writes, which an answer alone does not prove.
func verify(ctx context.Context, db store.Store) finding {
	const reading = 30 * time.Second // a file of some GB
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), reading)
	defer cancel()
	undamaged := "undamaged"
	switch err := db.Verify(patient); {
	case errors.Is(err, context.DeadlineExceeded) || patient.Err() != nil:
		undamaged = "not checked for damage: it is too big to read within " + reading.String()
	case err != nil:
		return finding{"database", failed, err.Error(), "stop the workers and the controller, and restore a backup"}
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), oneCheck)
	defer cancel()
	if err := db.Writable(bounded); err != nil {
		return finding{
			"database", failed, "it can be read but not written to: " + err.Error(),
			"free disk space, make it writable, or end the transaction that locks it; until then messages wait and none is lost",
		}
	}
	return finding{"database", fine, "it answers, its schema is up to date, and it is writable and " + undamaged, ""}
}

// checkStrays looks for parked messages of queues that are named here no more.
func (c doctorCommand) checkStrays(ctx context.Context) (findings []finding) {
	ctx, cancel := context.WithTimeout(ctx, oneCheck)
	defer cancel()
	queues, _, err := c.queues()
	if err != nil {
		return nil // settings has said so
	}
	db, err := c.OpenExisting(ctx)
	if err != nil {
		return nil // checkDatabase has
	}
	defer func() { _ = db.Close() }()
	named := map[string]string{}
	for _, queue := range queues {
		named[queue.Name] = queue.URL
	}
	strays, err := parking.Strays(ctx, db, named)
	if err != nil {
		return nil
	}
	for _, queue := range slices.Sorted(maps.Keys(strays)) {
		findings = append(findings, finding{
			"parked " + queue, warned, fmt.Sprintf("%d messages have been due for over an hour, and go back to no queue", strays[queue]),
			"run a worker that names this queue; was it renamed, see Parked for a queue that is gone in docs/operate.md",
		})
	}
	return findings
}

func (c doctorCommand) checkStop() finding {
	if need := stopNeeds(c.ProviderTimeout); need > c.StopTimeout {
		return finding{
			"stop", warned, fmt.Sprintf("stopTimeout is %s: a slow send may be cut short, and waits to be resolved", c.StopTimeout),
			fmt.Sprintf("set the task's stopTimeout and WORKER_STOP_TIMEOUT to %s or more", need),
		}
	}
	return finding{"stop", fine, fmt.Sprintf("%s from SIGTERM to SIGKILL", c.StopTimeout), ""}
}

// checkSenders asks each provider of the channels that are on whether it would
// take what we send.
func (c doctorCommand) checkSenders(ctx context.Context, config aws.Config) (findings []finding) {
	wanted, _, err := c.wanted()
	if err != nil {
		return nil
	}
	for _, channel := range channels {
		if wanted[channel] && c.urls(channel) != "" && c.missing(channel) == "" {
			findings = append(findings, c.checkSender(ctx, config, channel))
		}
	}
	return findings
}
