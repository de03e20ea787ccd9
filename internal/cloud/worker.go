package cloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/novaura/acs-operator/internal/scaling"
)

const (
	workerNamespace = "ACS/Worker"
	// askWhenSilent is how soon workers that publish nothing are asked again:
	// each metric asked for costs, whether it is there or not.
	askWhenSilent = 10 * time.Minute
	// limitedShare is the share of messages held back by the provider, of
	// those processed, from which the provider and not the tasks set the pace.
	limitedShare = 0.2
)

// reported is what the workers alone know of a queue, in one minute.
type reported struct {
	Failed, DeadLettered, Limited, Processed, Oldest *scaling.Sample
}

// workerMetrics is what is asked of each queue: counts add up over the
// workers, and the oldest message is the oldest of any.
var workerMetrics = []struct {
	name, stat string
	field      func(*reported) **scaling.Sample
}{
	{"Failed", "Sum", func(r *reported) **scaling.Sample { return &r.Failed }},
	{"DeadLettered", "Sum", func(r *reported) **scaling.Sample { return &r.DeadLettered }},
	{"ProviderLimited", "Sum", func(r *reported) **scaling.Sample { return &r.Limited }},
	{"Processed", "Sum", func(r *reported) **scaling.Sample { return &r.Processed }},
	{"OldestMessage", "Maximum", func(r *reported) **scaling.Sample { return &r.Oldest }},
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

// addReported adds what the workers publish, through CloudWatch's embedded
// metric format, to the queues.
func (m *Metrics) addReported(ctx context.Context, policy, service string, names []string, now time.Time, queues map[string]scaling.Queue) error {
	m.mu.Lock()
	last := m.workers[policy]
	m.mu.Unlock()
	if last == nil || last.service != service || !sameNames(last.names, names) || !now.Before(last.nextAsk) {
		last = m.askWorkers(ctx, service, names, now)
		m.mu.Lock()
		m.workers[policy] = last
		m.mu.Unlock()
	}
	for name, r := range last.queues {
		q := queues[name]
		q.Failed, q.DeadLettered, q.OldestWaiting, q.ProviderLimited = r.Failed, r.DeadLettered, r.Oldest, r.limited()
		queues[name] = q
	}
	return last.err
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

func (m *Metrics) askWorkers(ctx context.Context, service string, names []string, now time.Time) *workerAnswer {
	answer := &workerAnswer{queues: map[string]reported{}, service: service, names: names, nextAsk: now.Add(askAfterNews)}
	perCall := queriesPerAsk / len(workerMetrics)
	var errs []error
	for first := 0; first < len(names); first += perCall {
		some := names[first:min(first+perCall, len(names))]
		if err := m.askWorkersOf(ctx, service, some, now, answer.queues); err != nil {
			errs = append(errs, fmt.Errorf("read the workers' metrics of queues %q from CloudWatch: %w", some, explained(err, "cloudwatch:GetMetricData")))
		}
	}
	answer.err = errors.Join(errs...)
	if answer.err == nil && len(answer.queues) == 0 {
		answer.nextAsk = now.Add(askWhenSilent)
	}
	return answer
}

func (m *Metrics) askWorkersOf(ctx context.Context, service string, names []string, now time.Time, into map[string]reported) error {
	end := now.Truncate(metricPeriod)
	in := &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(end.Add(-lookBack / 2)), EndTime: aws.Time(end), ScanBy: types.ScanByTimestampDescending,
	}
	for q, name := range names {
		for i, metric := range workerMetrics {
			in.MetricDataQueries = append(in.MetricDataQueries, types.MetricDataQuery{
				Id: aws.String(fmt.Sprintf("q%d_%d", q, i)),
				MetricStat: &types.MetricStat{
					Period: aws.Int32(int32(metricPeriod / time.Second)), Stat: aws.String(metric.stat),
					Metric: &types.Metric{
						Namespace: aws.String(workerNamespace), MetricName: aws.String(metric.name),
						Dimensions: []types.Dimension{{Name: aws.String("Service"), Value: aws.String(service)}, {Name: aws.String("Queue"), Value: aws.String(name)}},
					},
				},
			})
		}
	}
	for range pagesPerAsk {
		out, err := m.page(ctx, in)
		if err != nil {
			return err
		}
		for _, r := range out.MetricDataResults {
			takeReported(&r, names, into)
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return nil
		}
	}
	return fmt.Errorf("more than %d pages", pagesPerAsk)
}

// takeReported keeps a result's newest point, stamped with its period's end.
func takeReported(r *types.MetricDataResult, names []string, into map[string]reported) {
	var q, i int
	if _, err := fmt.Sscanf(aws.ToString(r.Id), "q%d_%d", &q, &i); err != nil || q < 0 || q >= len(names) || i < 0 || i >= len(workerMetrics) {
		return
	}
	if len(r.Timestamps) == 0 || len(r.Values) == 0 {
		return
	}
	known, sample := into[names[q]], scaling.Sample{Value: r.Values[0], Time: r.Timestamps[0].Add(metricPeriod)}
	if workerMetrics[i].stat == "Sum" {
		sample.Period = metricPeriod.Seconds()
	}
	if field := workerMetrics[i].field(&known); *field == nil || sample.Time.After((*field).Time) {
		*field = &sample
	}
	into[names[q]] = known
}
