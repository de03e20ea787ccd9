package reconcile

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/novaura/acs-operator/internal/scaling"
)

// Instruments count and time what the loop does. A nil *Instruments measures
// nothing. Labels are names of policies and queues, never of tasks or people.
type Instruments struct {
	decisions *prometheus.CounterVec
	errors    *prometheus.CounterVec
	notified  *prometheus.CounterVec
	lateness  *prometheus.HistogramVec
	duration  *prometheus.HistogramVec
}

// NewInstruments registers the loop's counters and timers.
func NewInstruments(registry prometheus.Registerer) *Instruments {
	seconds := []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	i := &Instruments{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "acs_decisions_total", Help: "Decisions, by what they did to the count (out, in, none) and what limited them.",
		}, []string{"policy", "direction", "limited_by"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "acs_reconcile_errors_total", Help: "Errors of reconciles, by class: target_read, target_write, metrics, history.",
		}, []string{"policy", "class"}),
		notified: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "acs_notifications_total", Help: "Notifications, by what came of them: taken, or failed for now.",
		}, []string{"receiver", "outcome"}),
		lateness: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "acs_loop_lateness_seconds", Help: "How long after it was due a tick began.", Buckets: seconds,
		}, []string{"policy"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "acs_reconcile_duration_seconds", Help: "How long a tick took.", Buckets: seconds,
		}, []string{"policy"}),
	}
	registry.MustRegister(i.decisions, i.errors, i.notified, i.lateness, i.duration)
	return i
}

func (i *Instruments) late(policy string, by time.Duration) {
	if i != nil {
		i.lateness.WithLabelValues(policy).Observe(max(0, by.Seconds()))
	}
}

func (i *Instruments) ticked(policy string, took time.Duration) {
	if i != nil {
		i.duration.WithLabelValues(policy).Observe(took.Seconds())
	}
}

// failed counts an error of a class; nil counts as none, so that the series
// exists from the first tick.
func (i *Instruments) failed(policy, class string, err error) {
	if i == nil {
		return
	}
	counter := i.errors.WithLabelValues(policy, class)
	if err != nil {
		counter.Inc()
	}
}

// told counts a notification.
func (i *Instruments) told(receiver string, err error) {
	if i == nil {
		return
	}
	outcome := "taken"
	if err != nil {
		outcome = "failed"
	}
	i.notified.WithLabelValues(receiver, outcome).Inc()
}

func (i *Instruments) decided(d scaling.Decision) {
	if i == nil {
		return
	}
	direction := "none"
	switch {
	case d.Desired > d.Current:
		direction = "out"
	case d.Desired < d.Current:
		direction = "in"
	}
	i.decisions.WithLabelValues(d.Policy, direction, d.LimitedBy).Inc()
}

// gauge is one number of a policy as it stands.
type gaugeOf struct {
	desc *prometheus.Desc
	of   func(View) (float64, bool)
}

func policyGauge(name, help string, of func(View) (float64, bool)) gaugeOf {
	return gaugeOf{prometheus.NewDesc(name, help, []string{"policy"}, nil), of}
}

func tasks(name, help string, of func(scaling.Service) int) gaugeOf {
	return policyGauge(name, help, func(v View) (float64, bool) {
		if v.Observation.Service == nil {
			return 0, false
		}
		return float64(of(*v.Observation.Service)), true
	})
}

var policyGauges = []gaugeOf{
	tasks("acs_service_desired_tasks", "Tasks that the service is set to.", func(s scaling.Service) int { return s.Desired }),
	tasks("acs_service_running_tasks", "Tasks that run.", func(s scaling.Service) int { return s.Running }),
	tasks("acs_service_pending_tasks", "Tasks that start.", func(s scaling.Service) int { return s.Pending }),
	policyGauge("acs_policy_min_tasks", "spec.minTasks.", func(v View) (float64, bool) { return float64(v.Policy.Spec.MinTasks), true }),
	policyGauge("acs_policy_max_tasks", "spec.maxTasks.", func(v View) (float64, bool) { return float64(v.Policy.Spec.MaxTasks), true }),
	policyGauge("acs_policy_generation", "Accepted versions of the policy.", func(v View) (float64, bool) {
		return float64(v.Policy.Metadata.Generation), true
	}),
	policyGauge("acs_policy_accepted", "1 when the newest version of the policy is the one that is followed.", func(v View) (float64, bool) {
		return one(v.is(PolicyAccepted)), true
	}),
	policyGauge("acs_policy_paused", "1 while scaling is paused, by a person or by the policy.", func(v View) (float64, bool) {
		return one(v.is(Paused)), true
	}),
	policyGauge("acs_emergency_stop", "1 while the count is 0 by hand although minTasks is above.", func(v View) (float64, bool) {
		return one(v.is(EmergencyStop)), true
	}),
	policyGauge("acs_needed_tasks", "Tasks that the queues need, before any limit.", func(v View) (float64, bool) {
		if v.Decision == nil {
			return 0, false
		}
		return float64(v.Decision.Need), true
	}),
	policyGauge("acs_scaling_limited", "1 when something but the need set the count.", func(v View) (float64, bool) {
		return one(v.is(ScalingLimited)), true
	}),
	policyGauge("acs_observation_age_seconds", "Time since the service and its queues were last seen.", func(v View) (float64, bool) {
		return time.Since(v.Observation.Time).Seconds(), !v.Observation.Time.IsZero()
	}),
}

// queueGauges are absent while unknown: unknown is not zero.
var queueGauges = []struct {
	desc *prometheus.Desc
	of   func(scaling.Queue) *scaling.Sample
}{
	{queueDesc("acs_queue_visible_messages", "Messages that wait to be received."), func(q scaling.Queue) *scaling.Sample { return q.Visible }},
	{queueDesc("acs_queue_in_flight_messages", "Messages in flight."), func(q scaling.Queue) *scaling.Sample { return q.InFlight }},
	{queueDesc("acs_queue_delayed_messages", "Delayed messages."), func(q scaling.Queue) *scaling.Sample { return q.Delayed }},
	{queueDesc("acs_queue_parked_messages", "Messages in the store that are due within a start lag."), func(q scaling.Queue) *scaling.Sample { return q.Parked }},
	{queueDesc("acs_queue_oldest_age_seconds", "Age of the oldest message, by CloudWatch; absent while the queue is empty."), currentAge},
	{queueDesc("acs_queue_oldest_waiting_seconds", "Age of the oldest message, by the workers."), func(q scaling.Queue) *scaling.Sample { return q.OldestWaiting }},
	{queueDesc("acs_queue_oldest_unsettled_seconds", "Age of the oldest message that workers claimed and did not settle yet, by the database."), func(q scaling.Queue) *scaling.Sample { return q.OldestUnsettled }},
	{queueDesc("acs_dead_letters", "Messages on the queue's dead-letter queue."), func(q scaling.Queue) *scaling.Sample { return q.DeadLetters }},
	{queueDesc("acs_worker_slots_busy_ratio", "Part of the workers' slots that worked on the queue's messages, over the last minute."), busyRatio},
}

// currentAge is CloudWatch's age of the oldest message, unless the queue was
// seen empty since: SQS stops publishing then, and the last age is not true any
// more.
func currentAge(q scaling.Queue) *scaling.Sample {
	if q.OldestAge == nil {
		return nil
	}
	for _, depth := range []*scaling.Sample{q.Visible, q.InFlight} {
		if depth == nil || depth.Value > 0 || depth.Time.Before(q.OldestAge.Time) {
			return q.OldestAge
		}
	}
	return nil
}

// busyRatio is known when both sums are, over the same minute.
func busyRatio(q scaling.Queue) *scaling.Sample {
	if q.BusySeconds == nil || q.SlotSeconds == nil || q.SlotSeconds.Value <= 0 || !q.BusySeconds.Time.Equal(q.SlotSeconds.Time) {
		return nil
	}
	return &scaling.Sample{Value: q.BusySeconds.Value / q.SlotSeconds.Value, Time: q.SlotSeconds.Time}
}

var (
	maxAgeDesc    = queueDesc("acs_queue_max_age_seconds", "spec.queues[].maxAge: the objective.")
	queueNeedDesc = queueDesc("acs_queue_needed_tasks", "Tasks that the queue needs.")
	conditionDesc = prometheus.NewDesc("acs_condition", "1 for the status that a condition has.", []string{"policy", "type", "status"}, nil)
	leaderDesc    = prometheus.NewDesc("acs_leader", "1 for the role that this controller has.", []string{"role"}, nil)
)

func queueDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"policy", "queue"}, nil)
}

func one(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}

func (v View) is(kind string) bool {
	return slices.ContainsFunc(v.Conditions, func(c Condition) bool { return c.Type == kind && c.Status == True })
}

// Describe implements prometheus.Collector: what comes depends on the
// policies, so nothing is promised.
func (*Loop) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector: the policies as they stand.
func (l *Loop) Collect(to chan<- prometheus.Metric) {
	role := l.Standing().Role
	for _, r := range []Role{Leading, Unconfirmed, Standby} {
		to <- gaugeMetric(leaderDesc, one(r == role), string(r))
	}
	for _, v := range l.Views() {
		name := v.Policy.Metadata.Name
		for _, g := range policyGauges {
			if value, known := g.of(v); known {
				to <- gaugeMetric(g.desc, value, name)
			}
		}
		for _, c := range v.Conditions {
			for _, status := range []string{True, False, Unknown} {
				to <- gaugeMetric(conditionDesc, one(c.Status == status), name, c.Type, status)
			}
		}
		v.collectQueues(to, name)
	}
}

func (v View) collectQueues(to chan<- prometheus.Metric, policy string) {
	for _, spec := range v.Policy.Spec.Queues {
		to <- gaugeMetric(maxAgeDesc, spec.MaxAge.Seconds(), policy, spec.Name)
		for _, g := range queueGauges {
			if sample := g.of(v.Observation.Queues[spec.Name]); sample != nil {
				to <- gaugeMetric(g.desc, sample.Value, policy, spec.Name)
			}
		}
	}
	if v.Decision == nil {
		return
	}
	for _, q := range v.Decision.Queues {
		to <- gaugeMetric(queueNeedDesc, float64(q.Need), policy, q.Queue)
	}
}

func gaugeMetric(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}
