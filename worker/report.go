package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/processor"
	"github.com/novaura/acs-operator/internal/store"
)

const (
	reportEvery = 2 * time.Second // sooner than the controller decides, so that it does not add tasks in vain
	reportBound = 3 * time.Second // of one statement; a report that takes longer is lost
)

// reporter tells controllers and people how this worker fares, by one statement
// every reportEvery. It is also how a worker without messages notices that its
// database cannot be written to.
type reporter struct {
	owner      string
	handler    *processor.Processor
	consumers  []*consumer.Consumer
	policyHash func() string
	db         store.Reporting
	logger     *slog.Logger

	rounds []round // of the last minute, the oldest first; run's own

	mu       sync.Mutex
	failedAt time.Time // since when reports cannot be saved; zero: the newest was
	err      error
}

// round is what the consumers had counted at a moment.
type round struct {
	at    time.Time
	stats []consumer.Stats
}

// run reports until ctx ends, and once more then.
func (r *reporter) run(ctx context.Context) {
	r.rounds = []round{r.look(time.Now())}
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			r.report(context.WithoutCancel(ctx), time.Now())
			return
		case now := <-ticker.C:
			r.report(ctx, now)
		}
	}
}

func (r *reporter) look(now time.Time) round {
	stats := make([]consumer.Stats, len(r.consumers))
	for i, c := range r.consumers {
		stats[i] = c.Stats()
	}
	return round{now, stats}
}

// report saves one report a queue. A report that cannot be saved is lost: the
// next one says more.
func (r *reporter) report(ctx context.Context, now time.Time) {
	r.rounds = append(r.rounds, r.look(now))
	for len(r.rounds) > 2 && now.Sub(r.rounds[0].at) > store.ReportWindow {
		r.rounds = r.rounds[1:]
	}
	reports := make([]store.Report, len(r.consumers))
	for i, c := range r.consumers {
		reports[i] = r.of(c.Queue, i)
	}
	bounded, cancel := context.WithTimeout(ctx, reportBound)
	defer cancel()
	err := r.db.SaveReports(bounded, reports)
	if err != nil {
		r.logger.DebugContext(ctx, "cannot save this worker's reports", "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.err = err; {
	case err == nil:
		r.failedAt = time.Time{}
	case r.failedAt.IsZero():
		r.failedAt = now
	}
}

// of is the report of one queue.
func (r *reporter) of(queue consumer.Queue, i int) store.Report {
	oldest, newest := r.rounds[0], r.rounds[len(r.rounds)-1]
	then, now := oldest.stats[i], newest.stats[i]
	report := store.Report{
		Worker: r.owner, Queue: queue.Name, Channel: queue.Channel, Window: min(newest.at.Sub(oldest.at), store.ReportWindow), PolicyHash: r.policyHash(),
		Received: now.Received - then.Received, Processed: now.Processed - then.Processed, Failed: now.Failed - then.Failed, Retried: now.Retried - then.Retried,
		BusySeconds: now.BusySeconds - then.BusySeconds, SlotSeconds: now.SlotSeconds - then.SlotSeconds, OldestInWork: now.OldestWaiting,
	}
	report.Providers, report.Claims = r.handler.Standing(queue)
	return report
}

// problems says since when reports cannot be saved, and why: then claims cannot be
// either.
func (r *reporter) problems() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failedAt.IsZero() {
		return nil
	}
	return []string{fmt.Sprintf("the database cannot be written to since %s: %s", r.failedAt.UTC().Format(time.RFC3339), r.err)}
}
