package config

import "time"

// All defaults of the policies, each with its reason. A field that a file
// states keeps what is stated, 0 included: the decoder writes over these.

// defaulter is an item of a list whose absent fields are not zero.
type defaulter interface{ setDefaults() }

func defaultScalingSpec() ScalingSpec {
	return ScalingSpec{
		// Four looks at a queue within the default objective; live depths are
		// no fresher than a few seconds anyway.
		Interval: 15 * time.Second,
		// One warm task answers the first message at once. Zero is the
		// operator's choice, since it costs a start lag.
		MinTasks: 1,
		// A bound on the bill, for those who did not think of one.
		MaxTasks: 10,
		// CloudWatch alone is one to three minutes late, which costs a fifth
		// of the task-hours and lets three times as many messages be late.
		Metrics:  MetricsSpec{Source: SourceHybrid},
		Behavior: defaultBehavior(),
		Fallback: Fallback{
			// CloudWatch itself may be three minutes late and is not at fault.
			After: 5 * time.Minute,
			// A blind controller neither throws capacity away nor forgets to
			// keep some.
			Behavior: FallbackCurrentIfHigher,
			// Tasks defaults to minTasks: see checkScaling.
		},
	}
}

// defaultBehavior lets the decision act at once. The HorizontalPodAutoscaler's
// own limits calm a rule that forgets what it has just done; the decision here
// counts the tasks that are starting, tells noise from change by what it
// learned, and holds what it does not know, so that a limit would only make
// messages late or tasks idle. What bounds a mistake is minTasks and maxTasks.
func defaultBehavior() Behavior {
	return Behavior{
		ScaleUp: ScalingRules{
			// Late is worse than dear: a burst is followed at once. A dump of
			// 20,000 needs 40 tasks now, and four every 15 s would take minutes.
			StabilizationWindow: 0,
			// One task of ten is a tenth of the bill; the need is steady enough
			// to be followed to the task.
			Tolerance:    0,
			SelectPolicy: SelectMax,
			Policies: []RatePolicy{
				{Type: PercentPolicy, Value: 900, Period: 15 * time.Second},
				{Type: TasksPolicy, Value: 100, Period: 15 * time.Second},
			},
		},
		ScaleDown: ScalingRules{
			// A hold-down of 60 s costs 5 % of the task-hours, HPA's 5 m 26 %.
			StabilizationWindow: 0,
			Tolerance:           0,
			SelectPolicy:        SelectMax,
			// HPA's own.
			Policies: []RatePolicy{{Type: PercentPolicy, Value: 100, Period: 15 * time.Second}},
		},
	}
}

func (q *QueueSpec) setDefaults() {
	// A text about a login is useless later; the field's usual objective.
	q.MaxAge = time.Minute
}

func (s *Schedule) setDefaults() {
	// The zone of the logs and of CloudWatch; never the machine's.
	s.TimeZone = "UTC"
}

func defaultAlertSpec() AlertSpec {
	return AlertSpec{
		// Alertmanager's: long enough for one cause's alerts to come together.
		GroupWait:      30 * time.Second,
		GroupInterval:  5 * time.Minute,
		RepeatInterval: 4 * time.Hour,
	}
}

func (r *AlertRule) setDefaults() {
	// Nobody is woken unless the file says so.
	r.Severity = SeverityWarning
}

func defaultDeliverySpec() DeliverySpec {
	// With the worker's back-off, eight attempts span some hours: longer than
	// most outages of a provider.
	const attempts = 8
	hold := InDoubt{Transactional: InDoubtHold, Marketing: InDoubtHold}
	return DeliverySpec{
		Channels: Channels{
			// A second text or mail cannot be taken back.
			SMS:   ChannelSpec{MaxAttempts: attempts, InDoubt: hold},
			Email: ChannelSpec{MaxAttempts: attempts, InDoubt: hold},
			// Its collapse id folds a second one into the first.
			Push: ChannelSpec{MaxAttempts: attempts, InDoubt: InDoubt{Transactional: InDoubtResend, Marketing: InDoubtResend}},
		},
		// Ninety days: what support asks back for.
		Retention: 90 * 24 * time.Hour,
	}
}

// setCrossDefaults sets what one policy takes from another of the same source:
// a queue's maxThroughput is its channel's rateLimit.
func (p *Policies) setCrossDefaults() {
	for _, delivery := range p.Delivery {
		limits := map[string]float64{
			"sms":   delivery.Spec.Channels.SMS.RateLimit,
			"email": delivery.Spec.Channels.Email.RateLimit,
			"push":  delivery.Spec.Channels.Push.RateLimit,
		}
		for _, scaling := range p.Scaling {
			for i := range scaling.Spec.Queues {
				// A stated one is above 0, so 0 is an absent one.
				if queue := &scaling.Spec.Queues[i]; queue.MaxThroughput == 0 {
					queue.MaxThroughput = limits[queue.Channel]
				}
			}
		}
	}
}
