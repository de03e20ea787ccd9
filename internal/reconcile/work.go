package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

const (
	// workEvery is how often workers' reports and unsettled messages are read, for all
	// policies together: workers report every few seconds.
	workEvery = 4 * time.Second
	// reportedWithin is how old a worker's report may be: three are missing then.
	reportedWithin = 20 * time.Second
	// sharedFor is how long after a worker's last report its database counts as the
	// controller's own.
	sharedFor = 30 * time.Minute
	// rejectsFor is how long a provider must have rejected our set-up, and accepted
	// nothing, to be said to do so: one message of many may be rejected for its sender.
	rejectsFor = time.Second
	// limitedShare is the part of the calls that a provider throttles, from which on the
	// provider and not the tasks set the pace.
	limitedShare = 0.2
)

// Workers is what the loop reads from the store about workers and their messages.
type Workers interface {
	Reports(ctx context.Context, within time.Duration) ([]store.Report, error)
	store.Watching
}

// work is what workers and the history say about every queue at one moment.
type work struct {
	at        time.Time
	reports   map[string][]store.Report // by queue
	unsettled map[string]store.Unsettled
	known     bool // unsettled could be read
}

// watch reads the workers' side once for all policies.
type watch struct {
	workers Workers // nil: nothing is read

	mu      sync.Mutex
	asked   time.Time
	newest  work
	reports time.Time // when a report was seen last

	messages sync.Mutex
	ended    afterwards
}

// read returns what is known; at most every workEvery it asks the database, within
// memoryBound. While the database does not answer, nothing is known.
func (w *watch) read(ctx context.Context) work {
	if w.workers == nil {
		return work{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.asked) < workEvery {
		return w.newest
	}
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	reports, reportsErr := w.workers.Reports(bounded, reportedWithin)
	unsettled, unsettledErr := w.workers.OldestUnsettled(bounded)
	if ctx.Err() != nil {
		return w.newest // the caller is gone: that says nothing about the database
	}
	w.asked, w.newest = time.Now(), work{at: time.Now(), reports: map[string][]store.Report{}}
	if reportsErr == nil {
		for _, report := range reports {
			w.newest.reports[report.Queue] = append(w.newest.reports[report.Queue], report)
			w.reports = w.newest.at
		}
	}
	if unsettledErr == nil {
		w.newest.unsettled, w.newest.known = unsettled, true
	}
	return w.newest
}

// shared reports whether workers use this database: they reported lately.
func (w *watch) shared() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.reports.IsZero() && time.Since(w.reports) < sharedFor
}

// addTo completes what is known of a queue. Workers know at once what CloudWatch shows
// minutes later.
func (w work) addTo(q scaling.Queue, name string) scaling.Queue {
	if w.known {
		age := 0.0
		if u := w.unsettled[name]; !u.Oldest.IsZero() {
			age = max(0, w.at.Sub(u.Oldest).Seconds())
		}
		q.OldestUnsettled = &scaling.Sample{Value: age, Time: w.at}
	}
	reports := w.reports[name]
	if len(reports) == 0 {
		return q
	}
	q.Providers = providersOf(reports, w.at)
	limited := slices.ContainsFunc(q.Providers, func(p scaling.Provider) bool {
		return p.Limited > 0 && p.Limited >= limitedShare*p.Calls
	})
	if limited || q.ProviderLimited == nil {
		q.ProviderLimited = &limited
	}
	return q
}

// providersOf adds up what the workers of one queue say about each provider, by name.
func providersOf(reports []store.Report, at time.Time) []scaling.Provider {
	byName := map[string]*scaling.Provider{}
	failures := map[string][]store.Failure{}
	for _, report := range reports {
		for _, one := range report.Providers {
			p := byName[one.Provider]
			if p == nil {
				p = &scaling.Provider{Name: one.Provider, Time: at}
				byName[one.Provider] = p
			}
			p.Mean = (p.Mean*p.Calls + one.Mean.Seconds()*float64(one.Calls)) / max(1, p.Calls+float64(one.Calls))
			p.Calls += float64(one.Calls)
			p.Failed += float64(one.Failed)
			p.Open = p.Open || !one.OpenedAt.IsZero()
			if !one.RejectedAt.IsZero() {
				p.Rejecting = p.Rejecting || at.Sub(one.RejectedAt) >= rejectsFor
			}
			for _, since := range []time.Time{one.FailedAt, one.OpenedAt, one.RejectedAt} {
				if !since.IsZero() && (p.Since.IsZero() || since.Before(p.Since)) {
					p.Since = since
				}
			}
			failures[one.Provider] = append(failures[one.Provider], one.Failures...)
		}
	}
	providers := make([]scaling.Provider, 0, len(byName))
	for name, p := range byName {
		addFailures(p, failures[name])
		providers = append(providers, *p)
	}
	slices.SortFunc(providers, func(a, b scaling.Provider) int { return strings.Compare(a.Name, b.Name) })
	return providers
}

// addFailures sets the most frequent failure, and how many calls were throttled.
func addFailures(p *scaling.Provider, failures []store.Failure) {
	type kind struct {
		class, code string
		status      int
	}
	counts := map[kind]int{}
	most := 0
	for _, f := range failures {
		if f.Class == "throttled" {
			p.Limited += float64(f.Count)
		}
		if f.Class == "permanent" || f.Class == "suppress" {
			continue // the message's own fault
		}
		of := kind{f.Class, f.Code, f.HTTPStatus}
		if counts[of] += f.Count; counts[of] > most {
			most = counts[of]
			p.Class, p.Code, p.HTTPStatus, p.Message, p.CredentialsRejected = f.Class, f.Code, f.HTTPStatus, f.Message, f.Credentials
			p.Share = min(1, float64(most)/max(1, p.Calls))
		}
	}
}

// unread names the queues of p that no worker reads although workers read others of p. A
// policy whose workers do not report has none.
func (w work) unread(p *config.ScalingPolicy) map[string]bool {
	unread, read := map[string]bool{}, false
	for _, q := range p.Spec.Queues {
		unread[q.Name] = len(w.reports[q.Name]) == 0
		read = read || !unread[q.Name]
	}
	if !read {
		return nil
	}
	return unread
}

// claims adds up how the database answered the workers' claims.
func (w work) claims() (failing string, since time.Time, mean time.Duration) {
	calls, total := 0, time.Duration(0)
	for _, reports := range w.reports {
		for _, report := range reports {
			calls, total = calls+report.Claims.Calls, total+time.Duration(report.Claims.Calls)*report.Claims.Mean
			if at := report.Claims.FailedAt; !at.IsZero() && (since.IsZero() || at.Before(since)) {
				since, failing = at, cmp.Or(report.Claims.Error, "no answer")
			}
		}
	}
	return failing, since, total / time.Duration(max(1, calls))
}

// database is how the database does, for conditions, holds and alerts.
type database struct {
	Problem string    // why nothing can be written; empty: it can
	Since   time.Time // since when
	Mean    time.Duration
}

// judgeDatabase looks at the controller's own use of the database and at the workers'
// claims.
func (r *runner) judgeDatabase(w work, now time.Time) database {
	next := database{}
	own := r.condition(MemoryWritable)
	switch claims, since, mean := w.claims(); {
	case r.options.Leader.Standing().Problem != "":
		next.Problem = "the controller cannot use it: " + r.options.Leader.Standing().Problem
	case own.Status == False:
		next.Problem, next.Since = "the controller cannot write to it: "+own.Message, own.LastTransitionTime
	case claims != "":
		next.Problem, next.Since, next.Mean = "workers cannot claim messages: "+claims, since, mean
	default:
		next.Mean = mean
	}
	if next.Problem != "" && next.Since.IsZero() {
		next.Since = now
	}
	if before := r.database; before.Problem != "" && next.Problem != "" && before.Since.Before(next.Since) {
		next.Since = before.Since
	}
	return next
}

// tellDatabase notes when the database begins to fail, and when it works again.
func (r *runner) tellDatabase(before, now database) {
	switch {
	case before.Problem == "" && now.Problem != "":
		r.notice(Warning, "DatabaseFailing", now.Problem)
		r.logger.Error("the database fails; the task count is not changed while it does", "since", now.Since, "error", now.Problem)
	case before.Problem != "" && now.Problem == "":
		r.notice(Normal, "DatabaseWorks", fmt.Sprintf("the database works again; it failed from %s to %s", stampText(before.Since), stampText(time.Now())))
	}
}

// databaseHold keeps the count while workers cannot claim messages: tasks that start
// could not work, and those that run are needed when it works again.
func (r *runner) databaseHold() []scaling.Hold {
	if r.database.Problem == "" || r.options.watch == nil || !r.options.watch.shared() {
		return nil
	}
	return []scaling.Hold{{
		Rule: "databaseFailing", Direction: scaling.HoldBoth,
		Reason: "the database has failed since " + stampText(r.database.Since) + ", so workers cannot claim messages and more tasks would not help",
	}}
}

// stampText is a time as people read it in messages.
func stampText(t time.Time) string { return t.UTC().Format("15:04:05Z") }

// missingIn names the queues that do not exist, by the tree of an observation's error.
func missingIn(err error) map[string]bool {
	missing := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		if typed, is := err.(interface{ MissingQueue() string }); is {
			missing[typed.MissingQueue()] = true
		}
		switch wrapped := err.(type) { //nolint:errorlint // the same
		case interface{ Unwrap() []error }:
			for _, one := range wrapped.Unwrap() {
				walk(one)
			}
		case interface{ Unwrap() error }:
			walk(wrapped.Unwrap())
		}
	}
	walk(err)
	return missing
}
