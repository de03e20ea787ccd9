package processor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

const (
	bucketLength = 5 * time.Second
	buckets      = int64(store.ReportWindow / bucketLength)
	mostKinds    = 50  // of failures in a bucket: a provider may make codes up
	mostText     = 300 // bytes of an error in a report
)

// calls counts how providers answered, and how the store answered claims; its
// breakers stop the calls of a provider that fails. Safe for concurrent use.
type calls struct {
	mu       sync.Mutex
	breakers map[circuit]*breaker
	admitted map[string]time.Time // by queue: when a probe was last received
	tallies  map[tallyKey]*tally
	claims   map[string]*claimTally // by queue
}

func newCalls() *calls {
	return &calls{
		breakers: map[circuit]*breaker{}, admitted: map[string]time.Time{},
		tallies: map[tallyKey]*tally{}, claims: map[string]*claimTally{},
	}
}

// bucket counts the calls of some seconds.
type bucket struct {
	number        int64
	calls, failed int
	took          time.Duration
	failures      map[store.Failure]int // by what they have in common: Count is 0
}

// recent is the buckets of the last minute.
type recent [buckets]bucket

// at is the bucket of a moment.
func (r *recent) at(now time.Time) *bucket {
	number := now.UnixNano() / int64(bucketLength)
	b := &r[number%buckets]
	if b.number != number {
		*b = bucket{number: number, failures: map[store.Failure]int{}}
	}
	return b
}

// sum is what was counted within the last minute.
func (r *recent) sum(now time.Time) bucket {
	sum := bucket{failures: map[store.Failure]int{}}
	oldest := now.UnixNano()/int64(bucketLength) - buckets
	for _, b := range r {
		if b.number <= oldest {
			continue
		}
		sum.calls, sum.failed, sum.took = sum.calls+b.calls, sum.failed+b.failed, sum.took+b.took
		for kind, count := range b.failures {
			sum.failures[kind] += count
		}
	}
	return sum
}

// mean is the mean time of a call; 0: there was none.
func (b bucket) mean() time.Duration { return b.took / time.Duration(max(b.calls, 1)) }

// mostFail says that more calls failed than not.
func (b bucket) mostFail() bool { return 2*b.failed > b.calls }

// tallyKey is a provider as one queue knows it.
type tallyKey struct{ queue, provider string }

// tally counts the calls of one queue to one provider.
type tally struct {
	recent

	totals   map[string]int // by class (AnsweredOK or the error's), since the start
	faults   int            // calls that failed by the provider's fault, since the start
	failedAt time.Time      // when the failures began that have not ended; zero: there are none
	// rejectedAt is when the provider began to reject our set-up, with nothing accepted
	// since; zero: it does not.
	rejectedAt time.Time
}

// claimTally counts the claims of one queue.
type claimTally struct {
	recent

	calls, failed int       // since the start
	failedAt      time.Time // when claims began to fail; zero: the newest was answered
	newestFailure time.Time
	err           string // of the newest that failed
}

// failing is since when claims fail; zero: they do not. What failed more than a
// minute ago says nothing any more: an idle worker has no further claim to show
// that the store is back.
func (t *claimTally) failing(now time.Time) time.Time {
	if now.Sub(t.newestFailure) > store.ReportWindow {
		return time.Time{}
	}
	return t.failedAt
}

// AnsweredOK is the class of a call that was accepted, beside those of
// provider.Class.
const AnsweredOK = "ok"

// answered counts the answer to a call; nil is an acceptance.
func (c *calls) answered(queue string, of circuit, now time.Time, took time.Duration, probe bool, err *provider.Error) *turnover {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := tallyKey{queue, of.provider}
	t := c.tallies[key]
	if t == nil {
		t = &tally{totals: map[string]int{}}
		c.tallies[key] = t
	}
	t.count(now, took, err)
	return c.judge(of, now, probe, err)
}

func (t *tally) count(now time.Time, took time.Duration, err *provider.Error) {
	b := t.at(now)
	b.calls, b.took = b.calls+1, b.took+took
	if err == nil {
		t.totals[AnsweredOK]++
	} else {
		t.totals[strings.ReplaceAll(err.Class.String(), " ", "_")]++
		if kind := kindOf(err); b.failures[kind] > 0 || len(b.failures) < mostKinds {
			b.failures[kind]++
		}
	}
	switch {
	case err == nil || err.Class == provider.Permanent || err.Class == provider.Suppress:
		t.rejectedAt = time.Time{}
	case err.Class == provider.Config && !err.Alone && t.rejectedAt.IsZero():
		t.rejectedAt = now
	}
	switch fault := err != nil && err.ProviderFault(); {
	case fault:
		b.failed, t.faults = b.failed+1, t.faults+1
		if t.failedAt.IsZero() {
			t.failedAt = now
		}
	case !t.failedAt.IsZero() && !t.sum(now).mostFail():
		t.failedAt = time.Time{}
	}
}

// kindOf is what failures are counted by.
func kindOf(err *provider.Error) store.Failure {
	text := err.Message
	if text == "" && err.Err != nil {
		text = err.Err.Error()
	}
	if network := (*net.OpError)(nil); err.Message == "" && errors.As(err.Err, &network) {
		text = network.Op + ": " + network.Err.Error() // its own words name a port of ours, another one each time
	}
	return store.Failure{
		Class: err.Class.String(), Code: err.Code, HTTPStatus: err.HTTPStatus, Message: cut(text),
		Credentials: err.Credentials, ProviderFault: err.ProviderFault(),
	}
}

// cut bounds a text.
func cut(text string) string { return strings.ToValidUTF8(text[:min(len(text), mostText)], "") }

// claimed counts a claim; nil: the store answered it.
func (c *calls) claimed(queue string, now time.Time, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.claims[queue]
	if t == nil {
		t = &claimTally{}
		c.claims[queue] = t
	}
	b := t.at(now)
	t.calls, b.calls, b.took = t.calls+1, b.calls+1, b.took+took
	if err == nil {
		t.failedAt = time.Time{}
		return
	}
	t.failed, b.failed = t.failed+1, b.failed+1
	t.fail(now, err)
}

// fail notes that the store takes no claims now.
func (t *claimTally) fail(now time.Time, err error) {
	if t.failing(now).IsZero() {
		t.failedAt = now
	}
	t.err, t.newestFailure = cut(err.Error()), now
}

// Unwritable says that the store still takes no claims of a queue, of which
// nothing is received until it does.
func (p *Processor) Unwritable(queue string, err error) {
	p.calls.mu.Lock()
	defer p.calls.mu.Unlock()
	if t := p.calls.claims[queue]; t != nil {
		t.fail(p.Now(), err)
	}
}

// Standing says how the providers of a queue's channel, and the store's claims,
// answered this queue in the last minute.
func (p *Processor) Standing(queue consumer.Queue) (providers []store.ProviderReport, claims store.ClaimReport) {
	circuits, now := p.circuits(message.Channel(queue.Channel)), p.Now()
	p.calls.mu.Lock()
	defer p.calls.mu.Unlock()
	for _, of := range circuits {
		if report := p.calls.report(queue.Name, of, now); report != nil {
			providers = append(providers, *report)
		}
	}
	if t := p.calls.claims[queue.Name]; t != nil {
		sum := t.sum(now)
		claims = store.ClaimReport{Calls: sum.calls, Failed: sum.failed, Mean: sum.mean(), FailedAt: t.failing(now)}
		if sum.failed > 0 || !claims.FailedAt.IsZero() {
			claims.Error = t.err
		}
	}
	return providers, claims
}

// report is nil where there is nothing to say of a provider. Call it with mu held.
func (c *calls) report(queue string, of circuit, now time.Time) *store.ProviderReport {
	report := store.ProviderReport{Provider: of.provider}
	b := c.breakers[of]
	if b != nil {
		report.OpenedAt = b.openedAt
	}
	if t := c.tallies[tallyKey{queue, of.provider}]; t != nil {
		sum := t.sum(now)
		report.Calls, report.Failed, report.Mean, report.Failures = sum.calls, sum.failed, sum.mean(), mostFrequent(sum.failures)
		report.RejectedAt = t.rejectedAt
		if sum.mostFail() || !report.OpenedAt.IsZero() {
			report.FailedAt = t.failedAt
		}
	}
	if report.OpenedAt.IsZero() {
		if report.Calls == 0 && report.RejectedAt.IsZero() {
			return nil
		}
		return &report
	}
	if report.FailedAt.IsZero() {
		report.FailedAt = report.OpenedAt
	}
	if len(report.Failures) == 0 { // another queue's messages were the probes of this minute
		report.Failures = []store.Failure{kindOf(b.last)}
	}
	return &report
}

// mostFrequent lists failures, the most frequent first, and the rest by their words.
func mostFrequent(counts map[store.Failure]int) []store.Failure {
	failures := make([]store.Failure, 0, len(counts))
	for kind, count := range counts {
		kind.Count = count
		failures = append(failures, kind)
	}
	slices.SortFunc(failures, func(a, b store.Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	return failures[:min(len(failures), store.MostFailures)]
}

// OfClass counts the calls of all providers that came to a class; empty: all.
func (q QueueTotals) OfClass(class string) (calls int) {
	for _, byClass := range q.Calls {
		for each, count := range byClass {
			if class == "" || each == class {
				calls += count
			}
		}
	}
	return calls
}

// QueueTotals counts what happened for one queue since the start.
type QueueTotals struct {
	Calls                map[string]map[string]int // by provider and class: AnsweredOK or one of provider.Class, in snake_case
	Faults               int                       // calls that failed by the provider's fault
	Claims, ClaimsFailed int                       // statements
}

// Totals counts for one queue.
func (p *Processor) Totals(queue string) QueueTotals {
	p.calls.mu.Lock()
	defer p.calls.mu.Unlock()
	totals := QueueTotals{Calls: map[string]map[string]int{}}
	for key, t := range p.calls.tallies {
		if key.queue == queue {
			totals.Calls[key.provider] = maps.Clone(t.totals)
			totals.Faults += t.faults
		}
	}
	if t := p.calls.claims[queue]; t != nil {
		totals.Claims, totals.ClaimsFailed = t.calls, t.failed
	}
	return totals
}

// Breakers says by provider of a channel whether its circuit breaker is open.
func (p *Processor) Breakers(channel message.Channel) map[string]bool {
	open := map[string]bool{}
	for _, of := range p.circuits(channel) {
		open[of.provider] = p.calls.open(of, p.Now())
	}
	return open
}

// Unclaimable says, a line for each queue, what keeps claims from being written now.
func (p *Processor) Unclaimable() (lines []string) {
	p.calls.mu.Lock()
	defer p.calls.mu.Unlock()
	for queue, t := range p.calls.claims {
		if since := t.failing(p.Now()); !since.IsZero() {
			lines = append(lines, fmt.Sprintf("claims of %s cannot be written since %s: %s", queue, since.UTC().Format(time.RFC3339), t.err))
		}
	}
	slices.Sort(lines)
	return lines
}
