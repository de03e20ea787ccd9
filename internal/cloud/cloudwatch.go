// Package cloud translates AWS for the reconcile loop: CloudWatch and SQS into
// observations, ECS into task counts. It batches, caches and bounds its calls,
// and decides nothing. Start with Metrics and Services.
package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/scaling"
)

const (
	metricPeriod  = time.Minute      // SQS publishes a point a minute
	lookBack      = 10 * time.Minute // points come minutes late; older ones are of no use
	queriesPerAsk = 500              // GetMetricData's limit
	pagesPerAsk   = 600              // 500 queries of 10 points fit one page; a bound, not a need
	callTimeout   = 5 * time.Second  // of one call with its retries
	roundTimeout  = 8 * time.Second  // of the queues' metrics: all pages, and those that are asked for alone

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
// A count has a place among those of earlier minutes, too.
var queueMetrics = []struct {
	name, stat string
	field      func(*scaling.Queue) **scaling.Sample
	earlier    func(*scaling.Counts) **scaling.Sample
}{
	{"ApproximateNumberOfMessagesVisible", "Maximum", func(q *scaling.Queue) **scaling.Sample { return &q.Visible }, nil},
	{"ApproximateNumberOfMessagesNotVisible", "Maximum", func(q *scaling.Queue) **scaling.Sample { return &q.InFlight }, nil},
	{"ApproximateNumberOfMessagesDelayed", "Maximum", func(q *scaling.Queue) **scaling.Sample { return &q.Delayed }, nil},
	{"ApproximateAgeOfOldestMessage", "Maximum", func(q *scaling.Queue) **scaling.Sample { return &q.OldestAge }, nil},
	{"NumberOfMessagesSent", "Sum", func(q *scaling.Queue) **scaling.Sample { return &q.Sent }, func(c *scaling.Counts) **scaling.Sample { return &c.Sent }},
	{"NumberOfMessagesReceived", "Sum", func(q *scaling.Queue) **scaling.Sample { return &q.Received }, func(c *scaling.Counts) **scaling.Sample { return &c.Received }},
	{"NumberOfMessagesDeleted", "Sum", func(q *scaling.Queue) **scaling.Sample { return &q.Deleted }, func(c *scaling.Counts) **scaling.Sample { return &c.Deleted }},
}

// Metrics observes queues through CloudWatch and SQS. It is safe for
// concurrent use.
type Metrics struct {
	cw       cloudwatchAPI
	region   string
	live     *depths
	queues   *gather[minuteOf, told]
	reported *gather[minuteOf, toldByWorkers]

	mu      sync.Mutex
	cache   map[string]*answer       // by policy name
	workers map[string]*workerAnswer // by policy name
}

// minuteOf is a queue's metrics until the end of a minute; of its workers, of
// one service.
type minuteOf struct {
	end            time.Time
	service, queue string
}

func (k minuteOf) group() string { return k.end.String() }
func (k minuteOf) thing() string { return k.service + "/" + k.queue }

// told is what one answer says of a queue, which of its metrics it could not
// give, and why.
type told struct {
	queue   scaling.Queue
	unknown []string
	err     error
}

// An answer is what CloudWatch last said of a policy's queues, and when it is
// worth asking again.
type answer struct {
	queues  map[string]scaling.Queue
	counts  map[string][]scaling.Counts // all that were told, of each queue
	names   []string
	newest  time.Time // end of the newest period seen
	points  int       // metrics that had a point then, ages aside
	nextAsk time.Time
	err     error
}

// NewMetrics observes through the two clients, which are of one region.
func NewMetrics(cw cloudwatchAPI, sqs sqsAPI, region string) *Metrics {
	m := &Metrics{cw: cw, region: region, live: newDepths(sqs, region), cache: map[string]*answer{}, workers: map[string]*workerAnswer{}}
	m.queues = newGather(queriesPerAsk/len(queueMetrics), roundTimeout, minuteOf.group, minuteOf.thing, m.askQueues)
	m.reported = newGather(queriesPerAsk/len(workerMetrics), roundTimeout, minuteOf.group, minuteOf.thing, m.askWorkers)
	return m
}

// Observe gives what is known of p's queues at now, by queue name. A sample's
// time is when it was true: a CloudWatch period's end, or now for a live
// depth. A metric without a point is nil: SQS publishes zeros for a queue in
// use and nothing for one asleep, so that absence says nothing.
//
// The result is good even with an error: it holds what could be read, and the
// error names each queue and metric that could not. All is asked for at the
// same time, so that what is slow to answer costs nothing else.
func (m *Metrics) Observe(ctx context.Context, p *config.ScalingPolicy, now time.Time) (map[string]scaling.Queue, error) {
	p, names, abroadErr := m.here(p)
	var (
		asking                            sync.WaitGroup
		queues                            map[string]scaling.Queue
		workers                           map[string]reported
		live                              map[string]scaling.Queue
		dead                              map[string]scaling.Sample
		cwErr, workerErr, sqsErr, deadErr error
	)
	asking.Go(func() { queues, cwErr = m.fromCloudWatch(ctx, p.Metadata.Name, names, now) })
	asking.Go(func() {
		workers, workerErr = m.fromWorkers(ctx, p.Metadata.Name, lastPart(p.Spec.Target.Service), names, now)
	})
	if p.Spec.Metrics.Source != config.SourceCloudWatch {
		asking.Go(func() { live, sqsErr = m.live.read(ctx, urlsOf(p), fieldName, now) })
		asking.Go(func() { dead, deadErr = m.DeadLetters(ctx, p, now) })
	}
	asking.Wait()
	for _, spec := range p.Spec.Queues {
		name := queueName(spec)
		q, known := queues[name]
		if r, told := workers[name]; told {
			q, known = r.addTo(q), true
		}
		if depth, told := live[name]; told {
			q, known = newerDepth(q, depth), true
		}
		if depth, told := dead[spec.DeadLetterQueue]; told {
			q.DeadLetters, known = &depth, true
		}
		if known {
			queues[name] = q
		}
	}
	return queues, errors.Join(abroadErr, cwErr, workerErr, sqsErr, deadErr)
}

// here is p without the queues of other regions: this region's SQS does not
// know them, and its CloudWatch may know others of the same names.
func (m *Metrics) here(p *config.ScalingPolicy) (*config.ScalingPolicy, []string, error) {
	local, errs := *p, []error(nil)
	local.Spec.Queues = slices.DeleteFunc(slices.Clone(p.Spec.Queues), func(q config.QueueSpec) bool {
		region := regionOf(q.URL)
		abroad := region != "" && m.region != "" && region != m.region
		if abroad {
			errs = append(errs, fmt.Errorf("queue %q is in region %s, according to its url, and this controller works in %s: run a controller there, or correct spec.queues[].url", queueName(q), region, m.region))
		}
		return abroad
	})
	return &local, queueNames(&local), errors.Join(errs...)
}

// newerDepth is q with the parts of the depth that are known.
func newerDepth(q, depth scaling.Queue) scaling.Queue {
	q.Visible, q.InFlight, q.Delayed = cmp.Or(depth.Visible, q.Visible), cmp.Or(depth.InFlight, q.InFlight), cmp.Or(depth.Delayed, q.Delayed)
	return q
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
	found, err := m.live.read(ctx, urls, fieldDeadLetter, now)
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
	if ctx.Err() != nil { // whoever asked is gone: that says nothing of CloudWatch
		return copied(last.queues), awsclient.Explain(ctx.Err(), "cloudwatch:GetMetricData")
	}
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
	n := &answer{queues: queues, counts: maps.Clone(a.counts), names: a.names, err: err, nextAsk: now.Add(askWhenDue)}
	if n.counts == nil {
		n.counts = make(map[string][]scaling.Counts, len(queues))
	}
	for name, q := range queues {
		n.counts[name] = q.Earlier
		q.Earlier = untold(q, a.counts[name])
		queues[name] = q
	}
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

// untold is the counts of the minutes before q's newest that the last answer did not
// tell, or told otherwise. Until then q.Earlier has those of all minutes.
func untold(q scaling.Queue, last []scaling.Counts) (news []scaling.Counts) {
	for _, counts := range q.Earlier {
		for _, metric := range queueMetrics {
			if metric.earlier == nil {
				continue
			}
			s := *metric.earlier(&counts)
			if s == nil || s.Time.Equal((*metric.field(&q)).Time) {
				continue
			}
			if !slices.ContainsFunc(last, func(c scaling.Counts) bool {
				told := *metric.earlier(&c)
				return told != nil && told.Time.Equal(s.Time) && told.Value == s.Value
			}) {
				news = append(news, counts)
			}
		}
	}
	return news
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

// ask reads all metrics of the queues, beside those that others ask for now.
func (m *Metrics) ask(ctx context.Context, names []string, now time.Time) (map[string]scaling.Queue, error) {
	answers, err := m.queues.get(ctx, minutesOf(now, "", names)...)
	queues := make(map[string]scaling.Queue, len(names))
	var errs []error
	if err != nil {
		errs = append(errs, fmt.Errorf("read metrics of queues %q: %w", names, awsclient.Explain(err, "cloudwatch:GetMetricData")))
	}
	for _, name := range names {
		if of, known := answers[minutesOf(now, "", []string{name})[0]]; known {
			queues[name] = withoutOldAge(of.queue)
			if of.err != nil {
				errs = append(errs, fmt.Errorf("read %s of queue %q: %w", strings.Join(of.unknown, ", "), name, of.err))
			}
		}
	}
	return queues, errors.Join(errs...)
}

// minutesOf is the queues' metrics up to the last minute that is over at now.
func minutesOf(now time.Time, service string, names []string) []minuteOf {
	minutes := make([]minuteOf, len(names))
	for i, name := range names {
		minutes[i] = minuteOf{end: now.Truncate(metricPeriod).UTC(), service: service, queue: name}
	}
	return minutes
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

// askQueues reads queues' metrics of one minute and those before it.
func (m *Metrics) askQueues(ctx context.Context, of []minuteOf) (map[minuteOf]told, error) {
	into := make(map[minuteOf]told, len(of))
	err := m.pages(ctx, of[0].end, lookBack, queriesFor(of), func(r *types.MetricDataResult) {
		take(r, of, into)
	})
	return into, err
}

// pages hands over every result of the queries; those that came before an
// error too.
func (m *Metrics) pages(ctx context.Context, end time.Time, back time.Duration, queries []types.MetricDataQuery, take func(*types.MetricDataResult)) error {
	in := &cloudwatch.GetMetricDataInput{ // the end is excluded, and so is the minute that still runs
		StartTime: aws.Time(end.Add(-back)), EndTime: aws.Time(end), ScanBy: types.ScanByTimestampDescending,
		MetricDataQueries: queries,
	}
	for range pagesPerAsk {
		out, err := m.page(ctx, in)
		if err != nil {
			return err
		}
		for i := range out.MetricDataResults {
			take(&out.MetricDataResults[i])
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return nil
		}
	}
	return fmt.Errorf("more than %d pages", pagesPerAsk)
}

func (m *Metrics) page(ctx context.Context, in *cloudwatch.GetMetricDataInput) (*cloudwatch.GetMetricDataOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return m.cw.GetMetricData(ctx, in)
}

func queriesFor(of []minuteOf) []types.MetricDataQuery {
	queries := make([]types.MetricDataQuery, 0, len(of)*len(queueMetrics))
	for n, one := range of {
		for i, metric := range queueMetrics {
			queries = append(queries, query(n, i, "AWS/SQS", metric.name, metric.stat, types.Dimension{Name: aws.String("QueueName"), Value: aws.String(one.queue)}))
		}
	}
	return queries
}

// query asks for the minutes of one metric: the i-th of the n-th queue.
func query(n, i int, namespace, name, stat string, dimensions ...types.Dimension) types.MetricDataQuery {
	return types.MetricDataQuery{
		Id: aws.String(fmt.Sprintf("q%d_%d", n, i)),
		MetricStat: &types.MetricStat{
			Period: aws.Int32(int32(metricPeriod / time.Second)), Stat: aws.String(stat),
			Metric: &types.Metric{Namespace: aws.String(namespace), MetricName: aws.String(name), Dimensions: dimensions},
		},
	}
}

// asked says which queue and which metric a result is of.
func asked(r *types.MetricDataResult, queues, metrics int) (n, i int, ok bool) {
	_, err := fmt.Sscanf(aws.ToString(r.Id), "q%d_%d", &n, &i)
	return n, i, err == nil && n >= 0 && n < queues && i >= 0 && i < metrics
}

// take keeps a result's newest point, and all of those of a count. What was not
// asked for is left alone.
func take(r *types.MetricDataResult, of []minuteOf, into map[minuteOf]told) {
	n, i, ok := asked(r, len(of), len(queueMetrics))
	if !ok {
		return
	}
	metric, known := queueMetrics[i], into[of[n]]
	keepNewest(metric.field(&known.queue), r, metric.stat)
	if metric.earlier != nil {
		known.queue.Earlier = append(known.queue.Earlier, countsOf(r, metric.earlier)...)
	}
	if err := incomplete(r); err != nil {
		known.unknown, known.err = append(known.unknown, metric.name), err
	}
	into[of[n]] = known
}

// keepNewest takes the newest of a result's points, in whatever order they
// come, stamped with its period's end, if none is newer already.
func keepNewest(field **scaling.Sample, r *types.MetricDataResult, stat string) {
	for n := range min(len(r.Timestamps), len(r.Values)) {
		s := pointOf(r, n)
		if stat != "Sum" {
			s.Period = 0
		}
		if *field == nil || s.Time.After((*field).Time) {
			*field = &s
		}
	}
}

// pointOf is a result's nth point, as a count.
func pointOf(r *types.MetricDataResult, n int) scaling.Sample {
	return scaling.Sample{Value: r.Values[n], Time: r.Timestamps[n].Add(metricPeriod), Period: metricPeriod.Seconds()}
}

// countsOf is all of a result's points.
func countsOf(r *types.MetricDataResult, place func(*scaling.Counts) **scaling.Sample) []scaling.Counts {
	counts := make([]scaling.Counts, min(len(r.Timestamps), len(r.Values)))
	for n := range counts {
		s := pointOf(r, n)
		*place(&counts[n]) = &s
	}
	return counts
}

// incomplete returns why CloudWatch did not return all of a metric. PartialData
// is no error: the rest comes on the next page.
func incomplete(r *types.MetricDataResult) error {
	const action = "cloudwatch:GetMetricData"
	switch r.StatusCode {
	case types.StatusCodeInternalError:
		return &awsclient.CallError{Action: action, Kind: awsclient.ErrUnreachable, Reason: "CloudWatch fails at " + action + " (InternalError); the controller asks again"}
	case types.StatusCodeComplete, types.StatusCodePartialData:
	case types.StatusCodeForbidden:
		return &awsclient.CallError{Action: action, Kind: awsclient.ErrDenied, Reason: "CloudWatch denies " + action + " (Forbidden): allow " + action + " in the role that the program runs as"}
	}
	return nil
}
