package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/message"
	sandboxsqs "github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/store"
)

type sqsAttribute = sqstypes.QueueAttributeName

const reportEvery = 10 * time.Second

// report shows what happens, and at the end what became of every message.
type report struct {
	began      time.Time
	out        io.Writer
	db         store.Store
	load       *load
	queues     []queue
	service    *sandboxsqs.Service // the same queues, read past the wire
	controller *supervisor
	*providers
	sqs *sqs.Client
	ecs *ecs.Client

	inherited     map[message.Channel]held // what an earlier run left on the queues
	firstAccepted time.Duration            // from the start; 0: none yet
	mostTasks     int32
}

// watch prints a line now and then until ctx ends.
func (r *report) watch(ctx context.Context) {
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	printed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		accepted := r.accepted()
		if accepted > 0 && r.firstAccepted == 0 {
			r.firstAccepted = time.Since(r.began)
			_, _ = fmt.Fprintf(r.out, "first message sent %.1fs after the start\n", r.firstAccepted.Seconds())
		}
		running, desired, err := r.tasks(ctx)
		if err != nil {
			continue
		}
		r.mostTasks = max(r.mostTasks, running)
		if time.Since(printed) < reportEvery {
			continue
		}
		printed = time.Now()
		_, _ = fmt.Fprintf(r.out, "%s  %s\n", printed.Format(time.TimeOnly), r.status(ctx, accepted, running, desired))
	}
}

// status is the line that is printed now and then. Waiting counts delivery
// reports too.
func (r *report) status(ctx context.Context, accepted int64, running, desired int32) string {
	parts := []string{
		fmt.Sprintf("queued %d and %d delivery reports", r.load.sent(""), r.reports.Load()), fmt.Sprintf("sent %d", accepted),
	}
	waiting, missing := r.waiting(ctx)
	parts = append(parts, fmt.Sprintf("waiting %d", waiting), fmt.Sprintf("tasks %d of %d", running, desired))
	for _, name := range missing {
		parts = append(parts, name+" cannot be read")
	}
	if down := r.controller.status(); down != "" {
		parts = append(parts, down)
	}
	return strings.Join(parts, ", ")
}

func (r *report) tasks(ctx context.Context) (running, desired int32, err error) {
	answer, err := r.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String(cluster), Services: []string{workerService}})
	if err == nil && len(answer.Services) == 0 {
		err = errors.New("it is not there")
	}
	if err != nil {
		return 0, 0, fmt.Errorf("describe the service: %w", err)
	}
	return answer.Services[0].RunningCount, answer.Services[0].DesiredCount, nil
}

// accepted is what the providers took, over all channels.
func (r *report) accepted() (sum int64) {
	for _, q := range r.queues {
		sum += r.totals(q.channel).Accepted
	}
	return sum
}

// waiting is what all queues hold, and which of them cannot be read.
func (r *report) waiting(ctx context.Context) (sum int64, missing []string) {
	for _, q := range r.queues {
		one, err := depth(ctx, r.sqs, q.url)
		if err != nil {
			missing = append(missing, q.name)
		}
		sum += one
	}
	return sum, missing
}

// summary prints what became of every message, and fails when one is lost or
// was sent twice. The load and the workers have ended.
func (r *report) summary(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	first := "no message sent"
	if r.firstAccepted > 0 {
		first = fmt.Sprintf("first message sent after %.1fs", r.firstAccepted.Seconds())
	}
	events, err := r.db.Events(ctx, store.Filter{Since: r.began, Limit: math.MaxInt32})
	if err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	_, _ = fmt.Fprintf(r.out, "\nran %s; %s; at most %d tasks\n", time.Since(r.began).Round(time.Second), first, r.mostTasks)
	lost, doubled := 0, int64(0)
	for _, q := range r.queues {
		channelLost, err := r.channelSummary(ctx, q, events)
		if err != nil {
			return err
		}
		lost, doubled = lost+channelLost, doubled+r.totals(q.channel).Doubled
	}
	_, _ = fmt.Fprintf(r.out, "lost %d, sent twice %d\n", lost, doubled)
	if lost > 0 || doubled > 0 {
		return fmt.Errorf("%d messages were lost, and %d were sent twice: unless somebody purged a queue, this is a defect; please report it with the logs", lost, doubled)
	}
	return nil
}

// channelSummary prints one channel's line, and counts its lost messages.
func (r *report) channelSummary(ctx context.Context, q queue, events []store.Event) (lost int, err error) {
	rows, statuses, reports := rowsOf(events, q.channel)
	now, before := holdings(r.service, q), r.inherited[q.channel]
	sent := r.load.ids(q.channel)
	if lost, err = countLost(ctx, r.db, rows, now, sent, before.ids); err != nil {
		return 0, err
	}
	if now.deleted && lost > 0 {
		_, _ = fmt.Fprintf(r.out, "%-5s  the queue was deleted, and %d messages with it\n", q.channel, lost)
		lost = 0
	}
	totals, queued := r.totals(q.channel), strconv.Itoa(len(sent))
	if before.waiting > 0 {
		queued += fmt.Sprintf(" and %d from the last run", before.waiting)
	}
	_, _ = fmt.Fprintf(r.out, "%-5s  queued %s; history:%s; delivery reports %d; still waiting %d messages and %d reports; dead letters %d; folded %d; lost %d, sent twice %d\n",
		q.channel, queued, tally(statuses), reports, now.waiting, now.reports, now.deadLetters, totals.Folded, lost, totals.Doubled)
	return lost, nil
}

// tally lists counts by status, in the order of the names.
func tally(statuses map[store.Status]int64) string {
	var text strings.Builder
	for _, status := range slices.Sorted(maps.Keys(statuses)) {
		_, _ = fmt.Fprintf(&text, " %s %d", status, statuses[status])
	}
	return text.String()
}
