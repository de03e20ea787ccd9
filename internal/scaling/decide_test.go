package scaling

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

func minZero(s *config.ScalingSpec) { s.MinTasks = 0 }

func TestDecide(t *testing.T) {
	old := func(age time.Duration) func(*Observation, *Queue) {
		return func(_ *Observation, q *Queue) {
			for _, s := range []**Sample{&q.Visible, &q.InFlight, &q.Delayed} {
				*s = &Sample{Value: (*s).Value, Time: monday.Add(-age)}
			}
		}
	}
	blind := func(_ *Observation, q *Queue) { *q = Queue{} }
	wakes := policy(minZero, func(s *config.ScalingSpec) { // from 08:01 on, a start lag ahead
		s.Schedules = []config.Schedule{{Name: "campaign", Cron: "2 8 * * *", TimeZone: "UTC", Duration: time.Hour, MinTasks: new(3)}}
	})
	asleep := again(5, seen(0, 0, 0))
	noneStarts := func(o *Observation, _ *Queue) { o.Service = &Service{Desired: 4, Running: 2, FailedStarts: new(3)} }
	for name, tc := range map[string]struct {
		policy *config.ScalingPolicy
		obs    []Observation
		want   int
		by     string
	}{
		"an idle queue settles at minTasks":                        {obs: again(4, seen(8, 0, 0)), want: 1, by: "minTasks"},
		"a dump raises the count at once":                          {obs: []Observation{seen(1, 0, 0), seen(1, 40000, 0)}, want: 40, by: "maxTasks"},
		"the arrival rate is the floor of the count":               {obs: again(4, seen(10, 0, 3600)), want: 8},
		"a backlog inside the objective needs no task":             {obs: again(4, seen(8, 300, 3600)), want: 8},
		"tasks that are starting are counted":                      {obs: []Observation{seen(1, 9000, 0, func(o *Observation, _ *Queue) { o.Service = &Service{Desired: 40, Running: 1, Pending: 39} })}, want: 40},
		"minTasks holds":                                           {policy: policy(func(s *config.ScalingSpec) { s.MinTasks = 3 }), obs: again(4, seen(3, 0, 0)), want: 3, by: "minTasks"},
		"a count above maxTasks is corrected first":                {obs: []Observation{seen(60, 0, 0, blind)}, want: 40, by: "maxTasks"},
		"a count below minTasks is corrected first":                {policy: policy(func(s *config.ScalingSpec) { s.MinTasks = 3 }), obs: []Observation{seen(1, 9000, 0)}, want: 3, by: "minTasks"},
		"zero with minTasks above is the emergency stop":           {obs: []Observation{seen(2, 0, 0), seen(0, 9000, 0), seen(0, 9000, 0)}, want: 0, by: "emergencyStop"},
		"a stop ends when someone raises the count":                {obs: []Observation{seen(2, 0, 0), seen(0, 9000, 0), seen(1, 9000, 0)}, want: 18},
		"a stop is one that follows tasks":                         {policy: wakes, obs: append(slices.Clone(asleep), seen(3, 0, 0), seen(0, 0, 0)), want: 0, by: "emergencyStop"},
		"a zero that stays zero is a count that was not set":       {policy: wakes, obs: append(slices.Clone(asleep), seen(0, 0, 0)), want: 3, by: "schedule"},
		"a number of running tasks left out changes nothing":       {obs: append(again(4, seen(5, 0, 2400)), seen(5, 0, 2400, func(o *Observation, _ *Queue) { o.Service.Running = unknown })), want: 5, by: "unknown"},
		"a service that cannot be read is left alone":              {obs: []Observation{seen(4, 0, 0), seen(0, 9000, 0, func(o *Observation, _ *Queue) { o.Service = nil })}, want: 1, by: "unknown"},
		"paused holds, whatever waits":                             {policy: policy(func(s *config.ScalingSpec) { s.Paused = true }), obs: []Observation{seen(2, 20000, 600)}, want: 2, by: "paused"},
		"a missing depth never scales in":                          {policy: policy(func(s *config.ScalingSpec) { s.Fallback.Tasks = 1 }), obs: again(6, seen(8, 0, 0, func(_ *Observation, q *Queue) { q.Visible = nil })), want: 8, by: "unknown"},
		"a depth that is ten minutes old never scales in":          {policy: policy(func(s *config.ScalingSpec) { s.Fallback.Tasks = 1 }), obs: again(6, seen(8, 0, 0, old(10*time.Minute))), want: 8, by: "unknown"},
		"a depth of no number is unknown":                          {policy: policy(func(s *config.ScalingSpec) { s.Fallback.Tasks = 1 }), obs: again(6, seen(8, math.NaN(), 0)), want: 8, by: "unknown"},
		"a negative depth is unknown":                              {policy: policy(func(s *config.ScalingSpec) { s.Fallback.Tasks = 1 }), obs: again(6, seen(8, -3, 0)), want: 8, by: "unknown"},
		"an infinite depth is unknown":                             {policy: policy(func(s *config.ScalingSpec) { s.Fallback.Tasks = 1 }), obs: again(6, seen(8, math.Inf(1), 0)), want: 8, by: "unknown"},
		"a missing number in flight never scales in":               {obs: again(6, seen(8, 0, 0, func(_ *Observation, q *Queue) { q.InFlight = nil })), want: 8, by: "unknown"},
		"a missing age with a backlog never scales in":             {obs: again(6, seen(8, 3, 0, func(_ *Observation, q *Queue) { q.OldestAge = nil })), want: 8, by: "unknown"},
		"a missing age on an empty queue is healthy":               {obs: again(6, seen(8, 0, 0, func(_ *Observation, q *Queue) { q.OldestAge = nil })), want: 1, by: "minTasks"},
		"a missing rate with a backlog never scales in":            {obs: again(6, seen(8, 3, 0, func(_ *Observation, q *Queue) { q.Sent = nil })), want: 8, by: "unknown"},
		"a missing age does not stop a scale-out":                  {obs: []Observation{seen(1, 40000, 0, func(_ *Observation, q *Queue) { q.OldestAge, q.Sent = nil, nil })}, want: 40, by: "maxTasks"},
		"no depth at all falls back":                               {obs: []Observation{seen(2, 0, 0, blind)}, want: 6, by: "fallback"},
		"the fallback is a floor and never a cap":                  {policy: policy(func(s *config.ScalingSpec) { s.Fallback.Behavior = config.FallbackStatic }), obs: []Observation{seen(9, 0, 0, blind)}, want: 9, by: "unknown"},
		"the fallback current keeps the count":                     {policy: policy(func(s *config.ScalingSpec) { s.Fallback.Behavior = config.FallbackCurrent }), obs: []Observation{seen(2, 0, 0, blind)}, want: 2, by: "unknown"},
		"the fallback currentIfLower never lowers":                 {policy: policy(func(s *config.ScalingSpec) { s.Fallback.Behavior = config.FallbackCurrentIfLower }), obs: []Observation{seen(9, 0, 0, blind)}, want: 9, by: "unknown"},
		"a fallback from zero starts":                              {policy: policy(minZero), obs: []Observation{seen(0, 0, 0, blind)}, want: 6, by: "fallback"},
		"a depth of a minute ago is no case for the fallback":      {obs: []Observation{seen(8, 0, 0), seen(8, 0, 0, blind)}, want: 8, by: "unknown"},
		"one message wakes a service from zero":                    {policy: policy(minZero), obs: []Observation{seen(0, 1, 0)}, want: 1},
		"one delayed message wakes a service from zero":            {policy: policy(minZero), obs: []Observation{seen(0, 0, 0, func(_ *Observation, q *Queue) { q.Delayed = &Sample{Value: 1} })}, want: 1},
		"one parked message that is due wakes a service from zero": {policy: policy(minZero), obs: []Observation{seen(0, 0, 0, func(_ *Observation, q *Queue) { q.Parked = &Sample{Value: 1} })}, want: 1},
		"percent alone still wakes a service from zero": {policy: policy(minZero, func(s *config.ScalingSpec) {
			s.Behavior.ScaleUp.Policies = []config.RatePolicy{{Type: config.PercentPolicy, Value: 100, Period: time.Minute}}
		}), obs: []Observation{seen(0, 900, 0)}, want: 1, by: "behavior"},
		"one empty look does not stop the last task":              {policy: policy(minZero), obs: []Observation{seen(1, 5, 0), seen(1, 0, 0)}, want: 1},
		"a few empty looks stop the last task":                    {policy: policy(minZero), obs: again(4, seen(1, 0, 0)), want: 0},
		"a phantom message starts the count of empty looks anew":  {policy: policy(minZero), obs: []Observation{seen(1, 0, 0), seen(1, 0, 0), seen(1, 1, 0), seen(1, 0, 0), seen(1, 0, 0)}, want: 1},
		"a message in flight keeps the last task":                 {policy: policy(minZero), obs: again(9, seen(1, 0, 0, func(_ *Observation, q *Queue) { q.InFlight = &Sample{Value: 1} })), want: 1},
		"a number delayed of long ago never scales to zero":       {policy: policy(minZero), obs: again(9, seen(1, 0, 0, func(_ *Observation, q *Queue) { q.Delayed = &Sample{Time: monday.Add(-time.Hour)} })), want: 1},
		"messages parked long ago start nothing":                  {policy: policy(minZero), obs: again(9, seen(0, 0, 0, func(_ *Observation, q *Queue) { q.Parked = &Sample{Value: 5000, Time: monday.Add(-time.Hour)} })), want: 0},
		"an unknown number delayed never scales to zero":          {policy: policy(minZero), obs: again(9, seen(1, 0, 0, func(_ *Observation, q *Queue) { q.Delayed = nil })), want: 1},
		"a rollout blocks scale-in":                               {obs: again(6, seen(8, 0, 0, func(o *Observation, _ *Queue) { o.Service.Rollout = new(true) })), want: 8, by: "rollout"},
		"a rollout does not block scale-out":                      {obs: again(2, seen(1, 40000, 0, func(o *Observation, _ *Queue) { o.Service.Rollout = new(true) })), want: 40, by: "maxTasks"},
		"a rollout's extra tasks are not capacity":                {obs: again(4, seen(8, 300, 3600, func(o *Observation, _ *Queue) { o.Service = &Service{Desired: 8, Running: 16, Rollout: new(true)} })), want: 8},
		"protected tasks are never cut":                           {obs: again(6, seen(8, 0, 0, func(o *Observation, _ *Queue) { o.Service.Protected = new(5) })), want: 5, by: "protected"},
		"tasks that fail to start are named, ask for more or not": {obs: []Observation{seen(4, 0, 1800), seen(4, 700, 1800, noneStarts)}, want: 4, by: "failedStarts"},
		"a fixed count with too much to do is at its maximum":     {policy: policy(func(s *config.ScalingSpec) { s.MinTasks, s.MaxTasks = 5, 5 }), obs: again(2, seen(5, 20000, 0)), want: 5, by: "maxTasks"},
		"a fixed count with too little to do is at its minimum":   {policy: policy(func(s *config.ScalingSpec) { s.MinTasks, s.MaxTasks = 5, 5 }), obs: again(2, seen(5, 0, 0)), want: 5, by: "minTasks"},
		"tasks that fail to start are not added to":               {obs: []Observation{seen(2, 9000, 0, func(o *Observation, _ *Queue) { o.Service = &Service{Desired: 4, Running: 2, FailedStarts: new(3)} })}, want: 4, by: "failedStarts"},
		"more tasks than the provider feeds are not started":      {policy: policy(func(s *config.ScalingSpec) { s.Queues[0].MaxThroughput = 100 }), obs: []Observation{seen(1, 20000, 0)}, want: 13, by: "maxThroughput"},
		"workers that wait for their provider get no help":        {obs: []Observation{seen(3, 20000, 0, func(_ *Observation, q *Queue) { q.ProviderLimited = new(true) })}, want: 3, by: "providerLimited"},
		"a count lowered by hand is raised at once":               {obs: append(again(4, seen(8, 0, 3600)), seen(2, 900, 3600)), want: 11},
		"an old age raises a count whose backlog looked harmless": {policy: policy(func(s *config.ScalingSpec) { s.Queues[0].ThroughputPerTask = 100 }), obs: again(1, seen(4, 29000, 6000, func(_ *Observation, q *Queue) { q.OldestAge = &Sample{Value: 900} })), want: 5},
		"a message that loops alone does not raise the count":     {obs: again(4, seen(1, 1, 60, func(_ *Observation, q *Queue) { q.OldestAge = &Sample{Value: 9000} })), want: 1},
		"a difference outside the tolerance is followed":          {policy: policy(func(s *config.ScalingSpec) { s.Behavior.ScaleDown.Tolerance = 0.1 }), obs: again(4, seen(10, 0, 3600)), want: 8},
		"a difference inside the tolerance is left alone":         {policy: policy(func(s *config.ScalingSpec) { s.Behavior.ScaleDown.Tolerance = 0.3 }), obs: again(4, seen(10, 0, 3600)), want: 10, by: "tolerance"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := tc.policy
			if p == nil {
				p = policy()
			}
			d := story(t, p, tc.obs...)
			if d.Desired != tc.want || d.LimitedBy != tc.by {
				t.Errorf("desired %d limited by %q, want %d by %q\n%s", d.Desired, d.LimitedBy, tc.want, tc.by, d.Reason)
			}
			if d.Reason == "" || d.Alerts == nil {
				t.Errorf("reason %q, alerts %v", d.Reason, d.Alerts)
			}
		})
	}
}

func TestTheNeediestQueueSetsTheCount(t *testing.T) {
	p := policy(func(s *config.ScalingSpec) {
		s.Queues = append(s.Queues, config.QueueSpec{Name: "email-events", MaxAge: time.Minute, ThroughputPerTask: 1})
	})
	obs := seen(2, 0, 0)
	obs.Queues["email-events"] = Queue{Visible: &Sample{Value: 600}}
	d := story(t, p, obs)
	if d.Desired != 8 || !strings.HasPrefix(d.Reason, "email-events: 600 waiting") {
		t.Errorf("desired %d, reason %q", d.Desired, d.Reason)
	}
}

func TestAQueueWithoutDepthBlocksScaleInOfAll(t *testing.T) {
	p := policy(func(s *config.ScalingSpec) {
		s.Queues = append(s.Queues, config.QueueSpec{Name: "email-events", MaxAge: time.Minute, ThroughputPerTask: 1})
	})
	d := story(t, p, again(6, seen(9, 0, 0))...)
	if d.Desired != 9 || d.LimitedBy == "fallback" {
		t.Errorf("desired %d by %s, want 9: %s", d.Desired, d.LimitedBy, d.Reason)
	}
}

func TestAForeignCountIsNamed(t *testing.T) {
	d := story(t, policy(), seen(2, 0, 900), seen(5, 0, 900))
	if len(d.Steps) == 0 || d.Steps[0].Rule != "externalChange" || !strings.Contains(d.Reason, "someone else changed the count") {
		t.Errorf("steps %+v, reason %q", d.Steps, d.Reason)
	}
}

func TestACountRaisedByHandComesDownNoFasterThanTheWindow(t *testing.T) {
	p := policy(func(s *config.ScalingSpec) { s.Behavior.ScaleDown.StabilizationWindow = 5 * time.Minute })
	looks := append(again(30, seen(1, 0, 0)), again(10, seen(20, 0, 0))...)
	if d := story(t, p, looks...); d.Desired != 20 || d.LimitedBy != "stabilization" {
		t.Errorf("desired %d by %s: %s", d.Desired, d.LimitedBy, d.Reason)
	}
}

func TestAZeroOfOurOwnIsNoEmergencyStop(t *testing.T) {
	var state State
	asleep := policy(minZero)
	now := monday
	for range 5 {
		_, state = Decide(asleep, seen(0, 0, 0), state, now)
		now = now.Add(15 * time.Second)
	}
	d, _ := Decide(policy(), seen(0, 0, 0), state, now)
	if d.Desired != 1 {
		t.Errorf("desired %d by %s, want 1: %s", d.Desired, d.LimitedBy, d.Reason)
	}
}

func TestReasonIsOneSentence(t *testing.T) {
	p := policy(func(s *config.ScalingSpec) {
		s.Behavior.ScaleUp.Policies = []config.RatePolicy{{Type: config.PercentPolicy, Value: 100, Period: 15 * time.Second}}
	})
	d := story(t, p, seen(3, 5000, 720))
	const want = "sms-events: 5,000 waiting, 12/s arriving, 3 tasks do 24/s: 10 tasks clear it within 2m15s; limited to 6 by scaleUp (100% per 15s)"
	if d.Reason != want {
		t.Errorf("reason\n%s, want\n%s", d.Reason, want)
	}
}

func TestServiceRateIsLearnedFromBusyMinutes(t *testing.T) {
	p := policy(func(s *config.ScalingSpec) { s.Queues[0].ThroughputPerTask = 0 })
	var state State
	var d Decision
	for i := range 12 { // three minutes of a queue that two tasks cannot empty
		now := monday.Add(time.Duration(i) * 15 * time.Second)
		obs := seen(2, 5000-float64(i)*15*14, 0, func(_ *Observation, q *Queue) {
			minute := now.Truncate(time.Minute)
			q.Sent = &Sample{Value: 0, Time: minute, Period: 60}
			q.Deleted = &Sample{Value: 2 * 7 * 60, Time: minute, Period: 60}
		})
		d, state = Decide(p, obs, state, now)
	}
	if got := d.Queues[0]; math.Abs(got.PerTask-7) > 0.01 || !got.Learned {
		t.Errorf("per task %.2f learned %t, want 7", got.PerTask, got.Learned)
	}
}

func TestStartLagIsLearned(t *testing.T) {
	memory := taskMemory{}
	now := stampOf(monday)
	memory.observe(now, Service{Desired: 1, Running: 1})
	for i := range 10 {
		memory.ask(now, i+2)
		for range 2 {
			now = now.add(15 * time.Second)
			memory.observe(now, Service{Desired: i + 2, Running: i + 1})
		}
		now = now.add(15 * time.Second)
		memory.observe(now, Service{Desired: i + 2, Running: i + 2})
	}
	if memory.lag() != 45 {
		t.Errorf("lag %v, want 45", memory.lag())
	}
}

func TestAClockThatJumpsHarmsNothing(t *testing.T) {
	for name, jump := range map[string]time.Duration{"back": -3 * time.Hour, "far back": -400000 * time.Hour, "ahead": 1000 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			p := policy(func(s *config.ScalingSpec) { s.Behavior.ScaleDown.StabilizationWindow = 5 * time.Minute })
			var state State
			now := monday
			for i := range 120 {
				if i == 20 {
					now = now.Add(jump)
				}
				var d Decision
				d, state = Decide(p, seen(8, 0, 3600), state, now)
				if i > 60 && d.Desired != 8 {
					t.Fatalf("tick %d: desired %d: %s", i, d.Desired, d.Reason)
				}
				now = now.Add(15 * time.Second)
			}
		})
	}
}

func TestCountNoiseDoesNotFlap(t *testing.T) {
	p := policy()
	var state State
	tasks, changes := 8, 0
	for i := range 400 {
		noise := 1 + 0.02*math.Sin(float64(i*i))
		d, next := Decide(p, seen(tasks, 200*noise, 3600), state, monday.Add(time.Duration(i)*15*time.Second))
		state = next
		if d.Desired != tasks {
			changes++
			tasks = d.Desired
		}
	}
	if changes > 4 {
		t.Errorf("%d changes in 100 minutes of the same load", changes)
	}
}

func TestAQueueThatAStateHasNothingOfIsReadAsNew(t *testing.T) {
	var state State
	if err := json.Unmarshal([]byte(`{"version":2,"time":1,"queues":{"sms-events":null}}`), &state); err != nil {
		t.Fatal(err)
	}
	obs := seen(1, 0, 0)
	obs.Time = monday
	want, _ := Decide(policy(), obs, State{}, monday)
	if got, _ := Decide(policy(), obs, state, monday); got.Reason != want.Reason || got.Desired != want.Desired {
		t.Errorf("%d tasks, %s; want %d, %s", got.Desired, got.Reason, want.Desired, want.Reason)
	}
}
