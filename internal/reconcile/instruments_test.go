package reconcile

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// gaugesOf are the values of what a view collects for its queues, by name.
func gaugesOf(t *testing.T, q scaling.Queue) map[string]float64 {
	t.Helper()
	p := &config.ScalingPolicy{}
	p.Spec.Queues = []config.QueueSpec{{Name: "sms"}}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collected(func(to chan<- prometheus.Metric) {
		View{Policy: p, Observation: scaling.Observation{Queues: map[string]scaling.Queue{"sms": q}}}.collectQueues(to, "worker")
	}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		values[family.GetName()] = family.GetMetric()[0].GetGauge().GetValue()
	}
	return values
}

type collected func(chan<- prometheus.Metric)

func (collected) Describe(chan<- *prometheus.Desc)      {}
func (c collected) Collect(to chan<- prometheus.Metric) { c(to) }

func TestAQueuesGaugesShowWhatIsTrueNow(t *testing.T) {
	t.Parallel()
	now := time.Now()
	sample := func(value float64, ago time.Duration) *scaling.Sample {
		return &scaling.Sample{Value: value, Time: now.Add(-ago)}
	}
	const absent = -1
	for name, tc := range map[string]struct {
		queue scaling.Queue
		gauge string
		want  float64
	}{
		"the age of the oldest message while some wait":   {scaling.Queue{OldestAge: sample(42, time.Minute), Visible: sample(1, 0), InFlight: sample(0, 0)}, "acs_queue_oldest_age_seconds", 42},
		"and while some are in flight":                    {scaling.Queue{OldestAge: sample(42, time.Minute), Visible: sample(0, 0), InFlight: sample(1, 0)}, "acs_queue_oldest_age_seconds", 42},
		"and while the depth is unknown":                  {scaling.Queue{OldestAge: sample(42, time.Minute), Visible: sample(0, 0)}, "acs_queue_oldest_age_seconds", 42},
		"and while the depth is older than the age":       {scaling.Queue{OldestAge: sample(42, 0), Visible: sample(0, time.Minute), InFlight: sample(0, time.Minute)}, "acs_queue_oldest_age_seconds", 42},
		"an empty queue has no age":                       {scaling.Queue{OldestAge: sample(42, time.Minute), Visible: sample(0, 0), InFlight: sample(0, 0)}, "acs_queue_oldest_age_seconds", absent},
		"dead letters":                                    {scaling.Queue{DeadLetters: sample(3, 0)}, "acs_dead_letters", 3},
		"dead letters that are unknown are not none":      {scaling.Queue{}, "acs_dead_letters", absent},
		"the oldest message that is not settled":          {scaling.Queue{OldestUnsettled: sample(90, 0)}, "acs_queue_oldest_unsettled_seconds", 90},
		"a quarter of the slots work":                     {scaling.Queue{BusySeconds: sample(480, 0), SlotSeconds: sample(1920, 0)}, "acs_worker_slots_busy_ratio", .25},
		"two sums of different minutes are no ratio":      {scaling.Queue{BusySeconds: sample(480, time.Minute), SlotSeconds: sample(1920, 0)}, "acs_worker_slots_busy_ratio", absent},
		"workers without a slot in that minute have none": {scaling.Queue{BusySeconds: sample(0, 0), SlotSeconds: sample(0, 0)}, "acs_worker_slots_busy_ratio", absent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, known := gaugesOf(t, tc.queue)[tc.gauge]
			if !known {
				got = absent
			}
			if got != tc.want {
				t.Errorf("%s is %v, want %v (-1: absent)", tc.gauge, got, tc.want)
			}
		})
	}
}
