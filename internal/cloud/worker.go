package cloud

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/scaling"
)

const (
	workerNamespace = "ACS/Worker"
	// askWhenSilent is how soon the metrics of workers that publish none are read
	// again: CloudWatch bills each metric in a request, whether it exists or not.
	askWhenSilent = 10 * time.Minute
	// limitedShare is the share of messages held back by the provider, of
	// those processed, from which the provider and not the tasks set the pace.
	limitedShare = 0.2
)

// reported is what only the workers know about a queue, over one minute.
type reported struct {
	Failed, DeadLettered, Limited, Refused, Processed, Oldest *scaling.Sample

	Retried, BusySeconds, SlotSeconds          *scaling.Sample
	ProviderCalls, ProviderErrors, BreakerOpen *scaling.Sample
}

// toldByWorkers is what one answer says about a queue, and why it is not all.
type toldByWorkers struct {
	reported

	err error
}

// workerMetrics are the metrics that are read for each queue. Counts and seconds
// add up over the workers. The oldest message is the oldest of any worker, and
// one open circuit breaker is enough.
var workerMetrics = []struct {
	name, stat string
	field      func(*reported) **scaling.Sample
}{
	{"Failed", "Sum", func(r *reported) **scaling.Sample { return &r.Failed }},
	{"DeadLettered", "Sum", func(r *reported) **scaling.Sample { return &r.DeadLettered }},
	{"ProviderLimited", "Sum", func(r *reported) **scaling.Sample { return &r.Limited }},
	{"CredentialsRefused", "Sum", func(r *reported) **scaling.Sample { return &r.Refused }},
	{"Processed", "Sum", func(r *reported) **scaling.Sample { return &r.Processed }},
	{"OldestMessage", "Maximum", func(r *reported) **scaling.Sample { return &r.Oldest }},
	{"Retried", "Sum", func(r *reported) **scaling.Sample { return &r.Retried }},
	{"BusySeconds", "Sum", func(r *reported) **scaling.Sample { return &r.BusySeconds }},
	{"SlotSeconds", "Sum", func(r *reported) **scaling.Sample { return &r.SlotSeconds }},
	{"ProviderCalls", "Sum", func(r *reported) **scaling.Sample { return &r.ProviderCalls }},
	{"ProviderErrors", "Sum", func(r *reported) **scaling.Sample { return &r.ProviderErrors }},
	{"BreakerOpen", "Maximum", func(r *reported) **scaling.Sample { return &r.BreakerOpen }},
}

// workerAnswer is what was said last of a policy's queues, and when to ask
// again.
type workerAnswer struct {
	queues  map[string]reported
	service string
	names   []string
	nextAsk time.Time
	err     error
}

// fromWorkers is what the workers publish, through CloudWatch's embedded
// metric format, by queue.
func (m *Metrics) fromWorkers(ctx context.Context, policy, service string, names []string, now time.Time) (map[string]reported, error) {
	m.mu.Lock()
	last := m.workers[policy]
	m.mu.Unlock()
	if last == nil || last.service != service || !sameNames(last.names, names) {
		last = &workerAnswer{service: service, names: names}
	}
	if now.Before(last.nextAsk) {
		return last.queues, last.err
	}
	answers, err := m.reported.get(ctx, minutesOf(now, service, names)...)
	if ctx.Err() != nil {
		return last.queues, awsclient.Explain(ctx.Err(), "cloudwatch:GetMetricData")
	}
	next := last.then(answers, now, err)
	m.mu.Lock()
	m.workers[policy] = next
	m.mu.Unlock()
	return next.queues, next.err
}

// then is the answer after a. What could not be read stays as it was known, at
// its own time, and is asked for again soon.
func (a *workerAnswer) then(answers map[minuteOf]toldByWorkers, now time.Time, err error) *workerAnswer {
	next := &workerAnswer{queues: map[string]reported{}, service: a.service, names: a.names, nextAsk: now.Add(askAfterNews)}
	for _, told := range answers {
		err = cmp.Or(err, told.err)
	}
	if err != nil {
		next.err = fmt.Errorf("read the workers' metrics of queues %q: %w", a.names, awsclient.Explain(err, "cloudwatch:GetMetricData"))
		next.nextAsk = now.Add(askWhenDue)
		maps.Copy(next.queues, a.queues)
	}
	for of, told := range answers {
		if told.reported != (reported{}) {
			next.queues[of.queue] = told.reported
		}
	}
	if err == nil && len(next.queues) == 0 {
		next.nextAsk = now.Add(askWhenSilent)
	}
	return next
}

// addTo returns q with what the workers know about it.
func (r reported) addTo(q scaling.Queue) scaling.Queue {
	q.Failed, q.DeadLettered, q.OldestWaiting, q.ProviderLimited = r.Failed, r.DeadLettered, r.Oldest, r.limited()
	q.CredentialsRefused = r.Refused
	q.Retried, q.BusySeconds, q.SlotSeconds, q.Providers = r.Retried, r.BusySeconds, r.SlotSeconds, r.providers()
	return q
}

// providers returns one entry without a name: CloudWatch has no metrics for each
// provider, only for all of a queue. Nil: the workers did not say.
func (r reported) providers() []scaling.Provider {
	newest := newerSample(r.ProviderCalls, r.BreakerOpen)
	if newest == nil {
		return nil
	}
	at := func(s *scaling.Sample) float64 { // the value of the same minute
		if s == nil || !s.Time.Equal(newest.Time) {
			return 0
		}
		return s.Value
	}
	p := scaling.Provider{Time: newest.Time, Calls: at(r.ProviderCalls), Failed: at(r.ProviderErrors), Open: at(r.BreakerOpen) > 0}
	if p.Calls > 0 {
		p.Share = min(1, p.Failed/p.Calls)
	}
	return []scaling.Provider{p}
}

func newerSample(a, b *scaling.Sample) *scaling.Sample {
	if a == nil || b != nil && b.Time.After(a.Time) {
		return b
	}
	return a
}

// limited is nil where the workers did not say.
func (r reported) limited() *bool {
	if r.Limited == nil {
		return nil
	}
	processed := 0.0
	if r.Processed != nil {
		processed = r.Processed.Value
	}
	limits := r.Limited.Value > 0 && r.Limited.Value >= limitedShare*processed
	return &limits
}

// askWorkers reads workers' metrics of one minute and those before it.
func (m *Metrics) askWorkers(ctx context.Context, of []minuteOf) (map[minuteOf]toldByWorkers, error) {
	queries := make([]types.MetricDataQuery, 0, len(of)*len(workerMetrics))
	for n, one := range of {
		for i, metric := range workerMetrics {
			queries = append(queries, query(n, i, workerNamespace, metric.name, metric.stat,
				types.Dimension{Name: aws.String("Service"), Value: aws.String(one.service)},
				types.Dimension{Name: aws.String("Queue"), Value: aws.String(one.queue)}))
		}
	}
	into := make(map[minuteOf]toldByWorkers, len(of))
	err := m.pages(ctx, of[0].end, lookBack/2, queries, func(r *types.MetricDataResult) {
		n, i, ok := asked(r, len(of), len(workerMetrics))
		if !ok {
			return
		}
		known := into[of[n]]
		keepNewest(workerMetrics[i].field(&known.reported), r, workerMetrics[i].stat)
		known.err = cmp.Or(known.err, incomplete(r))
		into[of[n]] = known
	})
	return into, err
}
