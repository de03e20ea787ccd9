package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/store"
)

type sqsAttribute = sqstypes.QueueAttributeName

const reportEvery = 10 * time.Second

// report tells what happens, and at the end what came of it.
type report struct {
	began  time.Time
	out    io.Writer
	db     store.Store
	load   *load
	queues []queue
	*providers
	sqs *sqs.Client
	ecs *ecs.Client

	inherited     map[message.Channel]int64 // messages that a former run left on the queues
	firstAccepted time.Duration             // from the start; 0: none yet
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
		waiting, err := r.waiting(ctx)
		if err == nil {
			_, _ = fmt.Fprintf(r.out, "%s  queued %d, sent %d, waiting %d, tasks %d of %d\n", printed.Format(time.TimeOnly), r.load.sent(""), accepted, waiting, running, desired)
		}
	}
}

func (r *report) tasks(ctx context.Context) (running, desired int32, err error) {
	answer, err := r.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String(cluster), Services: []string{workerService}})
	if err != nil || len(answer.Services) == 0 {
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

// waiting is what all queues hold.
func (r *report) waiting(ctx context.Context) (sum int64, err error) {
	for _, q := range r.queues {
		one, err := depth(ctx, r.sqs, q.url)
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}

// summary prints what came of every message, and fails when one is lost or
// was sent twice.
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
	var lost, doubled int64
	for _, q := range r.queues {
		channelLost, channelDoubled, err := r.channelSummary(ctx, q, events)
		if err != nil {
			return err
		}
		lost, doubled = lost+channelLost, doubled+channelDoubled
	}
	_, _ = fmt.Fprintf(r.out, "lost %d, sent twice %d\n", lost, doubled)
	if lost > 0 || doubled > 0 {
		return fmt.Errorf("%d messages were lost, and %d were sent twice: this is a defect, please report it with the logs", lost, doubled)
	}
	return nil
}

// channelSummary prints one channel's line. What providers tell of messages
// comes on the same queue, and is counted apart.
func (r *report) channelSummary(ctx context.Context, q queue, events []store.Event) (lost, doubled int64, err error) {
	waiting, err := depth(ctx, r.sqs, q.url)
	if err != nil {
		return 0, 0, err
	}
	statuses, told, rows := map[store.Status]int64{}, 0, int64(0)
	for _, e := range events {
		switch {
		case e.Channel != string(q.channel):
		case e.Type == string(message.Status):
			told++
		default:
			rows++
			statuses[e.Status]++
		}
	}
	totals, queued := r.totals(q.channel), r.load.sent(q.channel)
	// What still waits may have a row already, so a loss is what neither the
	// history nor the queue knows.
	lost = max(0, queued+r.inherited[q.channel]-rows-waiting)
	_, _ = fmt.Fprintf(r.out, "%-5s  queued %d; history:%s; statuses told %d; still waiting %d; folded %d; lost %d, sent twice %d\n",
		q.channel, queued, tally(statuses), told, waiting, totals.Folded, lost, totals.Doubled)
	return lost, totals.Doubled, nil
}

// tally lists counts by status, in the order of the names.
func tally(statuses map[store.Status]int64) string {
	var text strings.Builder
	for _, status := range slices.Sorted(maps.Keys(statuses)) {
		_, _ = fmt.Fprintf(&text, " %s %d", status, statuses[status])
	}
	return text.String()
}
