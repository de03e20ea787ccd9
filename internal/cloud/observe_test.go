package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// cloudWatch answers every metric with the same points, and misbehaves on
// request.
type cloudWatch struct {
	mu     sync.Mutex
	points map[time.Time]float64 // by the period's start
	order  func(a, b time.Time) int
	status types.StatusCode
	page   int // results a page; 0: all
	hang   bool
	err    error
	calls  int
}

func (c *cloudWatch) GetMetricData(ctx context.Context, in *cloudwatch.GetMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	if c.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if c.err != nil {
		return nil, c.err
	}
	if len(in.MetricDataQueries) > queriesPerAsk {
		return nil, errors.New("ValidationError: too many queries")
	}
	first, end, out := 0, len(in.MetricDataQueries), &cloudwatch.GetMetricDataOutput{}
	_, _ = fmt.Sscan(aws.ToString(in.NextToken), &first)
	if c.page > 0 && first+c.page < end {
		end = first + c.page
		out.NextToken = aws.String(fmt.Sprint(end))
	}
	for _, q := range in.MetricDataQueries[first:end] {
		r := types.MetricDataResult{Id: q.Id, StatusCode: c.status}
		for at := range c.points {
			r.Timestamps = append(r.Timestamps, at)
		}
		slices.SortFunc(r.Timestamps, c.order)
		for _, at := range r.Timestamps {
			r.Values = append(r.Values, c.points[at])
		}
		out.MetricDataResults = append(out.MetricDataResults, r)
	}
	return out, nil
}

func minutesBefore(end time.Time, values ...float64) map[time.Time]float64 {
	points := map[time.Time]float64{}
	for i, value := range values {
		points[end.Add(-time.Duration(i+1)*metricPeriod)] = value
	}
	return points
}

func TestTheNewestPointCountsInWhateverOrderAndOnHoweverManyPagesTheyCome(t *testing.T) {
	t.Parallel()
	end := time.Now().Truncate(time.Minute)
	p := policy(config.SourceCloudWatch)
	for name, order := range map[string]func(a, b time.Time) int{
		"newest first": func(a, b time.Time) int { return b.Compare(a) },
		"oldest first": func(a, b time.Time) int { return a.Compare(b) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cw := &cloudWatch{points: minutesBefore(end, 9, 8, 7), order: order, page: 1}
			got, err := NewMetrics(cw, &queues{}, "us-east-1").Observe(t.Context(), p, end)
			if err != nil {
				t.Fatal(err)
			}
			wantSample(t, "visible", got["sms"].Visible, scaling.Sample{Value: 9, Time: end})
			wantSample(t, "the workers' oldest", got["sms"].OldestWaiting, scaling.Sample{Value: 9, Time: end})
		})
	}
}

func TestAnEarlierMinutesCountIsToldOnceAndAgainWhenCloudWatchCorrectsIt(t *testing.T) {
	t.Parallel()
	end := time.Now().Truncate(time.Minute)
	cw := &cloudWatch{points: minutesBefore(end, 9, 8), order: func(a, b time.Time) int { return a.Compare(b) }}
	m := NewMetrics(cw, &queues{}, "us-east-1")
	for n, step := range []struct {
		points map[time.Time]float64
		sent   map[time.Time]float64 // of the minutes before the newest, by their end
	}{
		{cw.points, map[time.Time]float64{end.Add(-time.Minute): 8}},
		{minutesBefore(end.Add(time.Minute), 7, 9, 8), nil},
		{minutesBefore(end.Add(2*time.Minute), 6, 10, 9, 8), map[time.Time]float64{end.Add(time.Minute): 10}},
	} {
		cw.points = step.points
		got, err := m.Observe(t.Context(), policy(config.SourceCloudWatch), end.Add(time.Duration(n)*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		told := map[time.Time]float64{}
		for _, c := range got["sms"].Earlier {
			if c.Sent != nil {
				told[c.Sent.Time] = c.Sent.Value
			}
		}
		if !maps.Equal(told, step.sent) {
			t.Errorf("answer %d tells of earlier minutes %v, want %v", n+1, told, step.sent)
		}
	}
}

func TestDepthsAreReadWhileCloudWatchHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		live := &queues{visible: map[string]string{"sms": "9", "sms-dlq": "4"}}
		m := NewMetrics(&cloudWatch{hang: true}, live, "us-east-1")
		bounded, cancel := context.WithTimeout(t.Context(), 10*time.Second) // as the loop's
		defer cancel()
		now := time.Now()
		got, err := m.Observe(bounded, policy(config.SourceHybrid), now)
		if err == nil || !strings.Contains(err.Error(), "no answer to cloudwatch:GetMetricData in time") {
			t.Errorf("error is %v, want that CloudWatch did not answer", err)
		}
		wantSample(t, "visible", got["sms"].Visible, scaling.Sample{Value: 9, Time: now})
		wantSample(t, "dead letters", got["sms"].DeadLetters, scaling.Sample{Value: 4, Time: now})
		if took := time.Since(now); took > roundTimeout+time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestPoliciesShareTheCallsOfCloudWatch(t *testing.T) {
	for _, tc := range []struct{ policies, want int }{{1, 2}, {12, 2}, {60, 8}} { // 60 of 3 queues are 1,260 metrics, and 2,160 of workers
		t.Run(fmt.Sprint(tc.policies), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := time.Now().Truncate(time.Minute)
				cw := &cloudWatch{points: minutesBefore(end, 1), order: time.Time.Compare}
				m := NewMetrics(cw, &queues{}, "us-east-1")
				var observing sync.WaitGroup
				for i := range tc.policies {
					p := policy(config.SourceCloudWatch)
					p.Metadata.Name, p.Spec.Target.Service = fmt.Sprint("p", i), fmt.Sprint("s", i)
					p.Spec.Queues = nil
					for j := range 3 {
						p.Spec.Queues = append(p.Spec.Queues, config.QueueSpec{Name: fmt.Sprintf("q%d-%d", i, j)})
					}
					observing.Go(func() {
						got, err := m.Observe(t.Context(), p, end)
						if err != nil || len(got) != 3 {
							t.Errorf("got %d queues, %v", len(got), err)
						}
					})
				}
				observing.Wait()
				if cw.calls != tc.want {
					t.Errorf("%d calls for %d policies, want %d", cw.calls, tc.policies, tc.want)
				}
			})
		})
	}
}

func TestWhatTheWorkersSaidStaysKnownWhileCloudWatchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now().Truncate(time.Minute)
		cw := &cloudWatch{points: minutesBefore(start, 42), order: time.Time.Compare}
		m, p := NewMetrics(cw, &queues{}, "us-east-1"), policy(config.SourceCloudWatch)
		if _, err := m.Observe(t.Context(), p, start); err != nil {
			t.Fatal(err)
		}
		for name, break_ := range map[string]func(){
			"it refuses":               func() { cw.err = errors.New("throttled") },
			"it has an internal error": func() { cw.err, cw.points, cw.status = nil, nil, types.StatusCodeInternalError },
		} {
			break_()
			start = start.Add(time.Minute)
			got, err := m.Observe(t.Context(), p, start)
			if err == nil || got["sms"].OldestWaiting == nil || got["sms"].OldestWaiting.Value != 42 || got["sms"].Visible == nil {
				t.Errorf("%s: %+v, error %v, want what was known before, and the error", name, got["sms"], err)
			}
		}
	})
}

func TestWhatAnAnswerLeavesOutIsUnknownAlone(t *testing.T) {
	t.Parallel()
	got, err := depthOf(map[string]string{"ApproximateNumberOfMessages": "7", "ApproximateNumberOfMessagesNotVisible": "x"}, time.Time{})
	if got.Visible == nil || got.Visible.Value != 7 || got.InFlight != nil || got.Delayed != nil {
		t.Errorf("got %+v, want the visible messages alone", got)
	}
	if err == nil || !strings.Contains(err.Error(), "NotVisible, ApproximateNumberOfMessagesDelayed") {
		t.Errorf("error is %v, want the names of what is missing", err)
	}
}

func TestQueuesThatFailForOneReasonAreSaidInOneSentence(t *testing.T) {
	t.Parallel()
	m := NewMetrics(&cloudWatch{}, &queues{refusal: &types.InternalServiceFault{Message: aws.String("down")}}, "us-east-1")
	p := policy(config.SourceHybrid)
	p.Spec.Queues = []config.QueueSpec{{Name: "sms"}, {Name: "push"}, {Name: "email"}}
	_, err := m.Observe(t.Context(), p, time.Now())
	if err == nil || strings.Count(err.Error(), "down") != 1 || !strings.Contains(err.Error(), `["email" "push" "sms"]`) {
		t.Errorf("error is %v, want one sentence with all three", err)
	}
}

func TestAQueueOfAnotherRegionIsNotTakenForOneOfTheSameName(t *testing.T) {
	t.Parallel()
	end := time.Now().Truncate(time.Minute)
	m := NewMetrics(&cloudWatch{points: minutesBefore(end, 9), order: time.Time.Compare}, &queues{}, "us-east-1")
	p := policy(config.SourceHybrid)
	p.Spec.Queues = []config.QueueSpec{{Name: "sms"}, {Name: "push", URL: "https://sqs.eu-west-1.amazonaws.com/123456789012/push"}}
	got, err := m.Observe(t.Context(), p, end)
	if _, known := got["push"]; known || got["sms"].OldestAge == nil {
		t.Errorf("got %+v, want what is here alone", got)
	}
	if err == nil || !strings.Contains(err.Error(), `"push" is in region eu-west-1`) {
		t.Errorf("error is %v, want the queue and its region", err)
	}
}

func TestAQueuesURLTellsItsRegion(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://sqs.us-east-1.amazonaws.com/123456789012/q":                    "us-east-1",
		"https://sqs.us-east-1.amazonaws.com/123456789012/q/":                   "us-east-1",
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q":                "cn-north-1",
		"https://sqs-fips.us-west-2.amazonaws.com/123456789012/q":               "us-west-2",
		"https://vpce-0a1b-abc.sqs.eu-west-1.vpce.amazonaws.com/123456789012/q": "eu-west-1",
		"https://queue.amazonaws.com/123456789012/q":                            "us-east-1",
		"https://eu-west-1.queue.amazonaws.com/123456789012/q":                  "eu-west-1",
		"http://localhost:4566/000000000000/q":                                  "",
		"http://sqs.eu-west-1.localhost.localstack.cloud:4566/000000000000/q":   "",
		"https://sqs.internal.example.com/123456789012/q":                       "",
		"": "",
	} {
		if got := regionOf(address); got != want {
			t.Errorf("%s is of %q, want %q", address, got, want)
		}
	}
}
