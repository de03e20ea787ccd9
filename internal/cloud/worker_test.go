package cloud

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// workers is CloudWatch with one minute of what workers publish, by name.
type workers struct {
	end    time.Time
	values map[string]float64
	asked  int // metrics of workers that were asked for
	wrong  []types.MetricDataQuery
}

func (w *workers) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	out := &cloudwatch.GetMetricDataOutput{}
	for _, q := range in.MetricDataQueries {
		metric := q.MetricStat.Metric
		if aws.ToString(metric.Namespace) != "ACS/Worker" {
			continue
		}
		w.asked++
		if len(metric.Dimensions) != 2 || *metric.Dimensions[0].Value != "s" || *metric.Dimensions[1].Value != "sms" {
			w.wrong = append(w.wrong, q)
		}
		result := types.MetricDataResult{Id: q.Id}
		if value, published := w.values[*metric.MetricName]; published {
			result.Timestamps, result.Values = []time.Time{w.end.Add(-time.Minute)}, []float64{value}
		}
		out.MetricDataResults = append(out.MetricDataResults, result)
	}
	return out, nil
}

func TestWhatTheWorkersPublishIsObserved(t *testing.T) {
	t.Parallel()
	end := time.Now().Truncate(time.Minute)
	p := policy(config.SourceCloudWatch)
	p.Spec.Target = config.ServiceRef{Service: "arn:aws:ecs:us-east-1:123456789012:service/c/s"}
	cw := &workers{end: end, values: map[string]float64{
		"Failed": 3, "DeadLettered": 1, "CredentialsRefused": 4, "ProviderLimited": 20, "Processed": 60, "OldestMessage": 42,
		"Retried": 7, "BusySeconds": 410, "SlotSeconds": 1920, "ProviderCalls": 90, "ProviderErrors": 30, "BreakerOpen": 1,
	}}
	got, err := NewMetrics(cw, &queues{}, "us-east-1").Observe(t.Context(), p, end.Add(time.Second))
	if err != nil || len(cw.wrong) > 0 {
		t.Fatalf("error %v, asked for %+v", err, cw.wrong)
	}
	sms := got["sms"]
	wantSample(t, "failed", sms.Failed, scaling.Sample{Value: 3, Time: end, Period: 60})
	wantSample(t, "dead-lettered", sms.DeadLettered, scaling.Sample{Value: 1, Time: end, Period: 60})
	wantSample(t, "credentials refused", sms.CredentialsRefused, scaling.Sample{Value: 4, Time: end, Period: 60})
	wantSample(t, "oldest waiting", sms.OldestWaiting, scaling.Sample{Value: 42, Time: end})
	wantSample(t, "retried", sms.Retried, scaling.Sample{Value: 7, Time: end, Period: 60})
	wantSample(t, "busy", sms.BusySeconds, scaling.Sample{Value: 410, Time: end, Period: 60})
	wantSample(t, "slots", sms.SlotSeconds, scaling.Sample{Value: 1920, Time: end, Period: 60})
	if want := []scaling.Provider{{Time: end, Calls: 90, Failed: 30, Share: 30.0 / 90, Open: true}}; !slices.Equal(sms.Providers, want) {
		t.Errorf("providers are %+v, want %+v", sms.Providers, want)
	}
	if sms.ProviderLimited == nil || !*sms.ProviderLimited {
		t.Error("a third of the messages waits for the provider, and it is not said")
	}
}

func TestTheProviderSetsThePaceWhenManyMessagesWaitForIt(t *testing.T) {
	t.Parallel()
	sample := func(value float64) *scaling.Sample { return &scaling.Sample{Value: value} }
	for name, tc := range map[string]struct {
		limited, processed *scaling.Sample
		want               string
	}{
		"workers that say nothing":           {nil, sample(10), "unknown"},
		"none waits":                         {sample(0), sample(100), "false"},
		"one of a thousand waits":            {sample(1), sample(1000), "false"},
		"a fifth waits":                      {sample(20), sample(100), "true"},
		"all wait and none was processed":    {sample(20), sample(0), "true"},
		"how many were processed is unknown": {sample(20), nil, "true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := "unknown"
			if limits := (reported{Limited: tc.limited, Processed: tc.processed}).limited(); limits != nil {
				got = map[bool]string{true: "true", false: "false"}[*limits]
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestProvidersAreKnownFromOneMinuteOnly(t *testing.T) {
	t.Parallel()
	now := time.Now()
	sample := func(value float64, at time.Time) *scaling.Sample { return &scaling.Sample{Value: value, Time: at} }
	for name, tc := range map[string]struct {
		reported reported
		want     []scaling.Provider
	}{
		"workers that say nothing":            {reported{ProviderErrors: sample(3, now)}, nil},
		"calls without an error":              {reported{ProviderCalls: sample(9, now)}, []scaling.Provider{{Time: now, Calls: 9}}},
		"errors of an earlier minute are old": {reported{ProviderCalls: sample(9, now), ProviderErrors: sample(3, now.Add(-time.Minute))}, []scaling.Provider{{Time: now, Calls: 9}}},
		"an open breaker makes no calls":      {reported{ProviderCalls: sample(9, now.Add(-time.Minute)), BreakerOpen: sample(1, now)}, []scaling.Provider{{Time: now, Open: true}}},
		"a breaker that closed":               {reported{ProviderCalls: sample(9, now), BreakerOpen: sample(0, now)}, []scaling.Provider{{Time: now, Calls: 9}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.reported.providers(); !slices.Equal(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestWorkersAreAskedOnceAMinuteAndSilentOnesSeldom(t *testing.T) {
	t.Parallel()
	p := policy(config.SourceCloudWatch)
	p.Spec.Target.Service = "s"
	start := time.Now().Truncate(time.Minute)
	for name, tc := range map[string]struct {
		values map[string]float64
		want   int // rounds of questions in 20 minutes of 15 s ticks
	}{
		"they publish":    {map[string]float64{"Failed": 0}, 20},
		"they are silent": {nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cw := &workers{end: start, values: tc.values}
			m := NewMetrics(cw, &queues{}, "us-east-1")
			for tick := range 20 * 4 {
				if _, err := m.Observe(t.Context(), p, start.Add(time.Duration(tick)*15*time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			if got := cw.asked / len(workerMetrics); got != tc.want {
				t.Errorf("asked %d times, want %d", got, tc.want)
			}
		})
	}
}
