package scaling

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/config"
)

const (
	// fewCalls is how many calls of a provider in a minute tell whether it works.
	fewCalls = 5
	// mostFail is the part of the calls from which on a provider fails.
	mostFail = 0.5
	// failsFor is how long a provider that gets fewer calls must have failed all of them.
	failsFor = time.Minute
	// reportedWithin is how old a report about a provider may be.
	reportedWithin = 2 * time.Minute
)

// Failing reports whether the provider gets next to nothing done at now, for a reason
// that more tasks cannot cure: it is down, its breaker is open, or it rejects our
// credentials or our set-up.
func (p Provider) Failing(now time.Time) bool {
	if now.Sub(p.Time) > reportedWithin {
		return false
	}
	rejected := 0.0
	if p.Class == classConfig {
		rejected = p.Share * p.Calls
	}
	failed := max(p.Failed, rejected)
	switch {
	case p.Open || p.Rejecting:
		return true
	case p.Calls >= fewCalls:
		return failed >= mostFail*p.Calls
	}
	return p.Calls > 0 && failed >= p.Calls && !p.Since.IsZero() && now.Sub(p.Since) >= failsFor
}

// Class names as provider.Class prints them; that package is not for here.
const classConfig = "config"

// Failure describes the most frequent failure: "HTTP 500, code 20500, 98% of calls". While
// the breaker is open its part of the failures says more: hardly any calls are made.
func (p Provider) Failure() string {
	var parts []string
	if p.CredentialsRejected {
		parts = append(parts, "credentials rejected")
	}
	if p.HTTPStatus != 0 {
		parts = append(parts, fmt.Sprintf("HTTP %d", p.HTTPStatus))
	}
	if p.Code != "" {
		parts = append(parts, "code "+p.Code)
	}
	if len(parts) == 0 {
		parts = append(parts, "no answer")
		if p.Name == "" { // CloudWatch has counts, and no codes
			parts = []string{"code unknown"}
		}
	}
	switch count := p.Share * p.Calls; {
	case p.Open && p.Failed > 0:
		parts = append(parts, fmt.Sprintf("%.0f%% of failures", 100*min(1, count/p.Failed)))
	case p.Rejecting: // of every call since
	case p.Calls >= fewCalls:
		parts = append(parts, fmt.Sprintf("%.0f%% of calls", 100*p.Share))
	}
	return strings.Join(parts, ", ")
}

// stalledBy says which provider keeps the queue from getting anything done; empty:
// none. While one of a queue's providers works, its tasks do too.
func (q Queue) stalledBy(now time.Time) string {
	reason := ""
	for _, p := range q.Providers {
		switch {
		case p.Failing(now):
			if reason == "" {
				reason = p.name() + " fails (" + p.Failure() + ")"
			}
		case p.Calls > 0 && now.Sub(p.Time) <= reportedWithin:
			return ""
		}
	}
	return reason
}

// Works reports whether workers say that a provider takes messages of the queue now, which
// CloudWatch shows minutes later.
func (q Queue) Works(now time.Time) bool {
	return slices.ContainsFunc(q.Providers, func(p Provider) bool {
		return p.Calls > 0 && now.Sub(p.Time) <= reportedWithin && !p.Failing(now)
	})
}

func (p Provider) name() string {
	if p.Name == "" {
		return "the provider"
	}
	return p.Name
}

// findStalls notes which queues get nothing done, and why.
func (d *deciding) findStalls() {
	for i := range d.queues {
		q := &d.queues[i]
		q.stalled = q.told.stalledBy(d.now)
		switch {
		case q.told.Unread && d.obs.Service.Running > 0:
			q.stalled = "no worker reads it"
		case q.stalled != "" || q.told.Works(d.now):
		case q.standsStill(q.spec, &d.state.Tasks, d.at):
			q.stalled = "nothing was finished in the newest minute that CloudWatch shows"
		case q.Service.Idle >= idleMinutes && d.current > 0:
			q.stalled = "next to nothing has been finished for minutes"
		}
	}
}

// standsStill reports that next to nothing was finished in the newest counted minute,
// although tasks ran that are known to do more, and work is left. Dead letters are not
// finished work.
func (q *queueMemory) standsStill(spec *config.QueueSpec, tasks *taskMemory, now stamp) bool {
	const (
		nothing  = 0.05 // of what was to be expected
		expected = 20   // messages, at least: fewer say nothing
	)
	for _, m := range slices.Backward(q.Minutes) {
		if m.served() < 0 {
			continue
		}
		ran, _, known := tasks.seconds(m.begin(), m.End)
		if !known || !m.End.within(settled, now) || q.fills(&m, now) {
			return false
		}
		due := min(q.perTask(spec)*ran, float64(m.Sent)) // what waits now may have come since
		return due >= expected && float64(m.served()) <= nothing*due && q.Depth.Visible+q.Depth.InFlight > fewMessages
	}
	return false
}

// capStalled keeps the count where the queue that sets the need gets nothing done:
// tasks that cannot help are not started, and those that run are needed when the
// provider works again.
func (d *deciding) capStalled() {
	if d.tasks != d.current {
		return // another queue needs more
	}
	for i := range d.queues {
		if why := d.queues[i].stalled; why != "" {
			rule := "failing"
			if d.queues[i].told.stalledBy(d.now) != "" {
				rule = "providerFailing"
			}
			d.halt(rule, d.queues[i].spec.Name+": "+why)
			return
		}
	}
}
