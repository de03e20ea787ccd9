package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

const (
	reasonsEvery   = 15 * time.Second // why messages failed is read so often, for all policies together
	feedbackEvery  = time.Minute      // what recipients made of them is read so often
	failuresSince  = 24 * time.Hour   // failures that explain a dead-letter queue
	failuresAtMost = 2000             // rows of them, the newest
	reasonsAtMost  = 3                // that an alert names
	feedbackSince  = time.Hour
)

// afterwards is what became of messages, read once for all policies.
type afterwards struct {
	asked    time.Time         // for reasons
	reasons  map[string]string // by queue
	heard    time.Time         // when feedback was asked for
	feedback map[string][]alerting.Feedback
	known    bool
}

// messages says what became of the messages of p's queues; nil: that is not known.
func (r *runner) messages(ctx context.Context, p *config.ScalingPolicy) map[string]alerting.Messages {
	if r.options.Orders == nil || r.options.watch.workers == nil {
		return nil
	}
	facts := r.options.watch.afterwards(ctx, r.options.Orders)
	if !facts.known {
		return nil
	}
	messages := make(map[string]alerting.Messages, len(p.Spec.Queues))
	for _, q := range p.Spec.Queues {
		messages[q.Name] = alerting.Messages{DeadLetterReasons: facts.reasons[q.Name], Feedback: facts.feedback[q.Channel]}
	}
	return messages
}

// afterwards reads at most every reasonsEvery. What cannot be read is unknown.
func (w *watch) afterwards(ctx context.Context, history Orders) afterwards {
	w.messages.Lock()
	defer w.messages.Unlock()
	if time.Since(w.ended.asked) < reasonsEvery {
		return w.ended
	}
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	failed, err := history.Events(bounded, store.Filter{Status: store.Failed, Since: time.Now().Add(-failuresSince), Limit: failuresAtMost})
	next := w.ended
	if err == nil && time.Since(next.heard) >= feedbackEvery {
		var rows []store.Feedback
		rows, err = w.workers.Feedback(bounded, time.Now().Add(-feedbackSince))
		next.heard, next.feedback = time.Now(), feedbackOf(rows)
	}
	if ctx.Err() != nil {
		return w.ended
	}
	next.asked, next.known, next.reasons = time.Now(), err == nil, reasonsOf(failed)
	w.ended = next
	return w.ended
}

// reasonsOf counts failures by queue and error code, the most frequent first.
func reasonsOf(failed []store.Event) map[string]string {
	counts := map[string]map[string]int{}
	for _, e := range failed {
		if counts[e.Queue] == nil {
			counts[e.Queue] = map[string]int{}
		}
		counts[e.Queue][cmp.Or(e.ErrorCode, "unknown")]++
	}
	reasons := make(map[string]string, len(counts))
	for queue, of := range counts {
		codes := slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Or(of[b]-of[a], strings.Compare(a, b)) })
		var parts []string
		for _, code := range codes[:min(len(codes), reasonsAtMost)] {
			parts = append(parts, fmt.Sprintf("%s (%d)", code, of[code]))
		}
		if more := len(codes) - reasonsAtMost; more > 0 {
			parts = append(parts, fmt.Sprintf("%d more reasons", more))
		}
		reasons[queue] = strings.Join(parts, ", ")
	}
	return reasons
}

// feedbackOf sorts feedback by channel.
func feedbackOf(rows []store.Feedback) map[string][]alerting.Feedback {
	by := map[string][]alerting.Feedback{}
	for _, row := range rows {
		source := "sender " + cmp.Or(row.Sender, "by default")
		if row.Template != "" {
			source = "campaign " + row.Template
		}
		by[row.Channel] = append(by[row.Channel], alerting.Feedback{
			Source: source, Sent: row.Sent, Bounced: row.Bounced, Complained: row.Complained, OptedOut: row.OptedOut,
		})
	}
	return by
}

// nothingDone names the queues on which next to nothing is finished.
func (r *runner) nothingDone(d scaling.Decision) map[string]bool {
	queues := map[string]bool{}
	for _, q := range d.Queues {
		queues[q.Queue] = q.Stalled != ""
	}
	for _, found := range r.findings {
		if found.status == StatusNothingDone {
			queues[found.queue] = true
		}
	}
	return queues
}
