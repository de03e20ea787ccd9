// Package cloud translates AWS for the reconcile loop: CloudWatch and SQS into
// observations, ECS into task counts. It batches, caches and bounds its calls,
// and decides nothing. Start with Metrics and Services.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

const (
	metricPeriod  = time.Minute      // SQS publishes a point a minute
	lookBack      = 10 * time.Minute // points come minutes late; older ones are of no use
	queriesPerAsk = 500              // GetMetricData's limit
	pagesPerAsk   = 20               // 500 queries of 10 points fit one page; a bound, not a need
	callTimeout   = 5 * time.Second  // of one call with its retries

	// CloudWatch bills each metric asked for, and a minute gives one point.
	// After news the next point is a minute away; without news, it is due.
	askAfterNews = metricPeriod - time.Second
	askWhenDue   = 14 * time.Second // just under the default interval
)

// cloudwatchAPI is what Metrics needs of CloudWatch.
type cloudwatchAPI interface {
	GetMetricData(ctx context.Context, in *cloudwatch.GetMetricDataInput, o ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error)
}

// queueMetrics is what is asked of each queue. SQS publishes one value a
// minute for a gauge; Maximum would be the safe reading if it were several.
var queueMetrics = []struct {
	name, stat string
	field      func(*scaling.Queue) **scaling.Sample
}{
	{"ApproximateNumberOfMessagesVisible", "Maximum", func(q *scaling.Queue) **scaling.Sample { return &q.Visible }},
	{"ApproximateNumberOfMessagesNotVisible", "Maximum", func(q *scaling.Queue) **scaling.Sample { return &q.InFlight }},
	{"ApproximateNumberOfMessagesDelayed", "Maximum", func(q *scaling.Queue) **scaling.Sample { return &q.Delayed }},
	{"ApproximateAgeOfOldestMessage", "Maximum", func(q *scaling.Queue) **scaling.Sample { return &q.OldestAge }},
	{"NumberOfMessagesSent", "Sum", func(q *scaling.Queue) **scaling.Sample { return &q.Sent }},
	{"NumberOfMessagesReceived", "Sum", func(q *scaling.Queue) **scaling.Sample { return &q.Received }},
	{"NumberOfMessagesDeleted", "Sum", func(q *scaling.Queue) **scaling.Sample { return &q.Deleted }},
}

// Metrics observes queues through CloudWatch and SQS. It is safe for
// concurrent use.
type Metrics struct {
	cw   cloudwatchAPI
	live *depths

	mu      sync.Mutex
	cache   map[string]*answer       // by policy name
	workers map[string]*workerAnswer // by policy name
}

// An answer is what CloudWatch last said of a policy's queues, and when it is
// worth asking again.
type answer struct {
	queues  map[string]scaling.Queue
	names   []string
	newest  time.Time // end of the newest period seen
	points  int       // metrics that had a point then, ages aside
	nextAsk time.Time
	err     error
}

// NewMetrics observes through the two clients.
func NewMetrics(cw cloudwatchAPI, sqs sqsAPI) *Metrics {
	return &Metrics{cw: cw, live: newDepths(sqs), cache: map[string]*answer{}, workers: map[string]*workerAnswer{}}
}

// Observe gives what is known of p's queues at now, by queue name. A sample's
// time is when it was true: a CloudWatch period's end, or now for a live
// depth. A metric without a point is nil: SQS publishes zeros for a queue in
// use and nothing for one asleep, so that absence says nothing.
//
// The result is good even with an error: it holds what could be read, and the
// error names each queue and metric that could not.
func (m *Metrics) Observe(ctx context.Context, p *config.ScalingPolicy, now time.Time) (map[string]scaling.Queue, error) {
	names := queueNames(p)
	queues, err := m.fromCloudWatch(ctx, p.Metadata.Name, names, now)
	err = errors.Join(err, m.addReported(ctx, p.Metadata.Name, lastPart(p.Spec.Target.Service), names, now, queues))
	if p.Spec.Metrics.Source == config.SourceCloudWatch {
		return queues, err
	}
	found, liveErr := m.live.read(ctx, urlsOf(p), now)
	for name, depth := range found {
		q := queues[name]
		q.Visible, q.InFlight, q.Delayed = depth.Visible, depth.InFlight, depth.Delayed
		queues[name] = q
	}
	return queues, errors.Join(err, liveErr, m.addDeadLetters(ctx, p, now, queues))
}

// addDeadLetters reads how many messages each queue's dead-letter queue has.
func (m *Metrics) addDeadLetters(ctx context.Context, p *config.ScalingPolicy, now time.Time, queues map[string]scaling.Queue) error {
	dead, err := m.DeadLetters(ctx, p, now)
	for _, spec := range p.Spec.Queues {
		if depth, known := dead[spec.DeadLetterQueue]; known {
			q := queues[queueName(spec)]
			q.DeadLetters = &depth
			queues[queueName(spec)] = q
		}
	}
	return err
}

// DeadLetters gives the depth, live from SQS, of each dead-letter queue that p
// names, by that queue's name. As with Observe, the result is good with an
// error too.
func (m *Metrics) DeadLetters(ctx context.Context, p *config.ScalingPolicy, now time.Time) (map[string]scaling.Sample, error) {
	urls := map[string]string{}
	for _, q := range p.Spec.Queues {
		if q.DeadLetterQueue != "" {
			urls[q.DeadLetterQueue] = ""
		}
	}
	found, err := m.live.read(ctx, urls, now)
	visible := map[string]scaling.Sample{}
	for name, q := range found {
		if q.Visible != nil {
			visible[name] = *q.Visible
		}
	}
	return visible, err
}

func queueName(q config.QueueSpec) string {
	if q.Name == "" {
		return path.Base(q.URL)
	}
	return q.Name
}

func queueNames(p *config.ScalingPolicy) []string {
	names := make([]string, len(p.Spec.Queues))
	for i, q := range p.Spec.Queues {
		names[i] = queueName(q)
	}
	return names
}

func urlsOf(p *config.ScalingPolicy) map[string]string {
	urls := make(map[string]string, len(p.Spec.Queues))
	for _, q := range p.Spec.Queues {
		urls[queueName(q)] = q.URL
	}
	return urls
}

// fromCloudWatch gives a copy of the cached answer, asking first when a newer
// point is due.
func (m *Metrics) fromCloudWatch(ctx context.Context, policy string, names []string, now time.Time) (map[string]scaling.Queue, error) {
	m.mu.Lock()
	last := m.cache[policy]
	m.mu.Unlock()
	if last == nil || !sameNames(last.names, names) {
		last = &answer{names: names}
	}
	if now.Before(last.nextAsk) {
		return copied(last.queues), last.err
	}
	queues, err := m.ask(ctx, names, now)
	next := last.then(queues, now, err)
	m.mu.Lock()
	m.cache[policy] = next
	m.mu.Unlock()
	return copied(next.queues), next.err
}

func sameNames(a, b []string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func copied(queues map[string]scaling.Queue) map[string]scaling.Queue {
	c := make(map[string]scaling.Queue, len(queues))
	maps.Copy(c, queues)
	return c
}

// then is the answer after a: the newer of each sample, and when to ask next.
// The first answer may be of any age, so the second is sought every interval
// until a newer minute shows; from then on one ask a minute meets each minute
// as it appears. A minute whose metrics are fewer than the last one's is still
// arriving and is asked for again. An answer without any news for a while
// (queues asleep) is asked for once a minute.
func (a *answer) then(queues map[string]scaling.Queue, now time.Time, err error) *answer {
	n := &answer{queues: queues, names: a.names, err: err, nextAsk: now.Add(askWhenDue)}
	if err != nil { // what was known stays known, at its own time
		for name, q := range a.queues {
			n.queues[name] = newerOf(q, queues[name])
		}
	}
	n.newest, n.points = newestOf(n.queues)
	arrived := !a.newest.IsZero() && n.newest.After(a.newest) && n.points >= a.points
	asleep := now.Sub(n.newest) > lookBack/2
	if err == nil && (arrived || asleep) {
		n.nextAsk = now.Add(askAfterNews)
	}
	return n
}

func newerOf(old, fresh scaling.Queue) scaling.Queue {
	for _, metric := range queueMetrics {
		if to := metric.field(&fresh); *to == nil {
			*to = *metric.field(&old)
		}
	}
	return fresh
}

func newestOf(queues map[string]scaling.Queue) (end time.Time, points int) {
	for _, q := range queues {
		q.OldestAge = nil // absent whenever a queue is empty
		for _, metric := range queueMetrics {
			switch s := *metric.field(&q); {
			case s == nil || s.Time.Before(end):
			case s.Time.After(end):
				end, points = s.Time, 1
			default:
				points++
			}
		}
	}
	return end, points
}

// ask reads all metrics of all queues, 500 queries a call.
func (m *Metrics) ask(ctx context.Context, names []string, now time.Time) (map[string]scaling.Queue, error) {
	queues := make(map[string]scaling.Queue, len(names))
	perCall := queriesPerAsk / len(queueMetrics)
	var errs []error
	for first := 0; first < len(names); first += perCall {
		some := names[first:min(first+perCall, len(names))]
		if err := m.askSome(ctx, some, now, queues); err != nil {
			errs = append(errs, err)
		}
	}
	for name, q := range queues {
		queues[name] = withoutOldAge(q)
	}
	return queues, errors.Join(errs...)
}

// withoutOldAge drops an age from before the queue was seen empty: SQS stops
// publishing the age then, and the last one is no longer true.
func withoutOldAge(q scaling.Queue) scaling.Queue {
	empty := q.Visible != nil && q.InFlight != nil && q.Visible.Value == 0 && q.InFlight.Value == 0
	if empty && q.OldestAge != nil && q.OldestAge.Time.Before(q.Visible.Time) {
		q.OldestAge = nil
	}
	return q
}

func (m *Metrics) askSome(ctx context.Context, names []string, now time.Time, into map[string]scaling.Queue) error {
	end := now.Truncate(metricPeriod) // excluded, and so is the minute that still runs
	in := &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(end.Add(-lookBack)), EndTime: aws.Time(end), ScanBy: types.ScanByTimestampDescending,
		MetricDataQueries: queriesFor(names),
	}
	var errs []error
	for range pagesPerAsk {
		out, err := m.page(ctx, in)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("read metrics of queues %q from CloudWatch: %w", names, explained(err, "cloudwatch:GetMetricData")))...)
		}
		for _, r := range out.MetricDataResults {
			if err := take(&r, names, into); err != nil {
				errs = append(errs, err)
			}
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return errors.Join(errs...)
		}
	}
	return errors.Join(append(errs, fmt.Errorf("read metrics of queues %q from CloudWatch: more than %d pages", names, pagesPerAsk))...)
}

func (m *Metrics) page(ctx context.Context, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return m.cw.GetMetricData(ctx, in)
}

func queriesFor(names []string) []types.MetricDataQuery {
	queries := make([]types.MetricDataQuery, 0, len(names)*len(queueMetrics))
	for q, name := range names {
		for i, metric := range queueMetrics {
			queries = append(queries, types.MetricDataQuery{
				Id: aws.String(fmt.Sprintf("q%d_%d", q, i)),
				MetricStat: &types.MetricStat{
					Period: aws.Int32(int32(metricPeriod / time.Second)), Stat: aws.String(metric.stat),
					Metric: &types.Metric{
						Namespace: aws.String("AWS/SQS"), MetricName: aws.String(metric.name),
						Dimensions: []types.Dimension{{Name: aws.String("QueueName"), Value: aws.String(name)}},
					},
				},
			})
		}
	}
	return queries
}

// take keeps a result's newest point, stamped with its period's end.
func take(r *types.MetricDataResult, names []string, into map[string]scaling.Queue) error {
	var q, i int
	if _, err := fmt.Sscanf(aws.ToString(r.Id), "q%d_%d", &q, &i); err != nil || q < 0 || q >= len(names) || i < 0 || i >= len(queueMetrics) {
		return fmt.Errorf("read metrics from CloudWatch: it answered query %q, which was not asked", aws.ToString(r.Id))
	}
	metric, known := queueMetrics[i], into[names[q]]
	field := metric.field(&known)
	for n := range min(len(r.Timestamps), len(r.Values)) {
		s := scaling.Sample{Value: r.Values[n], Time: r.Timestamps[n].Add(metricPeriod)}
		if metric.stat == "Sum" {
			s.Period = metricPeriod.Seconds()
		}
		if *field == nil || s.Time.After((*field).Time) {
			*field = &s
		}
	}
	into[names[q]] = known
	if r.StatusCode == types.StatusCodeInternalError || r.StatusCode == types.StatusCodeForbidden {
		return fmt.Errorf("read %s of queue %q from CloudWatch: status %s", metric.name, names[q], r.StatusCode)
	}
	return nil
}

// explained adds to a refusal what to do about it.
func explained(err error, action string) error {
	var refusal smithy.APIError
	if !errors.As(err, &refusal) {
		return err
	}
	switch refusal.ErrorCode() {
	case "AccessDenied", "AccessDeniedException":
		return fmt.Errorf("%w (allow %s in the controller's IAM role)", err, action)
	case "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue":
		return fmt.Errorf("%w (check the queue's name, region and account in the policy)", err)
	default:
		return err
	}
}
