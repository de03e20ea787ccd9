package scaling

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/novaura/acs-operator/config"
)

func anyRules(t *rapid.T, name string) config.ScalingRules {
	rules := config.ScalingRules{
		StabilizationWindow: time.Duration(rapid.IntRange(0, 600).Draw(t, name+" window")) * time.Second,
		Tolerance:           rapid.Float64Range(0, 0.5).Draw(t, name+" tolerance"),
		SelectPolicy:        rapid.SampledFrom([]string{config.SelectMax, config.SelectMin, config.SelectDisabled}).Draw(t, name+" select"),
	}
	for range rapid.IntRange(1, 3).Draw(t, name+" policies") {
		rules.Policies = append(rules.Policies, config.RatePolicy{
			Type:   rapid.SampledFrom([]string{config.PercentPolicy, config.TasksPolicy}).Draw(t, name+" type"),
			Value:  rapid.IntRange(1, 200).Draw(t, name+" value"),
			Period: time.Duration(rapid.IntRange(1, 300).Draw(t, name+" period")) * time.Second,
		})
	}
	return rules
}

func anyPolicy(t *rapid.T) *config.ScalingPolicy {
	low := rapid.IntRange(0, 5).Draw(t, "min")
	return policy(func(s *config.ScalingSpec) {
		s.MinTasks, s.MaxTasks = low, rapid.IntRange(max(1, low), 60).Draw(t, "max")
		s.Behavior = config.Behavior{ScaleUp: anyRules(t, "up"), ScaleDown: anyRules(t, "down")}
		s.Queues[0].ThroughputPerTask = rapid.SampledFrom([]float64{0, 0.2, 8, 900}).Draw(t, "per task")
		s.Queues[0].MaxThroughput = rapid.SampledFrom([]float64{0, 0, 50}).Draw(t, "max throughput")
		s.Queues = append(s.Queues, config.QueueSpec{Name: "push-events", MaxAge: 10 * time.Second})
		s.Fallback.Behavior = rapid.SampledFrom([]string{"static", "current", "currentIfHigher", "currentIfLower"}).Draw(t, "fallback")
		if rapid.Bool().Draw(t, "scheduled") {
			s.Schedules = []config.Schedule{{Name: "busy", Cron: "*/10 * * * *", TimeZone: "UTC", Duration: 3 * time.Minute, MinTasks: new(8)}}
		}
	})
}

func anySample(t *rapid.T, now time.Time, name string) *Sample {
	if rapid.IntRange(0, 9).Draw(t, name+" missing") == 0 {
		return nil
	}
	value := rapid.OneOf(rapid.SampledFrom([]float64{0, 0, 1, math.NaN(), math.Inf(1), -1, 1e18}), rapid.Float64Range(0, 30000)).Draw(t, name)
	late := time.Duration(rapid.IntRange(-20, 400).Draw(t, name+" late")) * time.Second
	return &Sample{Value: value, Time: now.Add(-late), Period: 60}
}

func anyObservation(t *rapid.T, now time.Time, desired int) Observation {
	obs := Observation{Time: now, Queues: map[string]Queue{}}
	for _, name := range []string{queueName, "push-events"} {
		q := Queue{}
		q.Visible, q.InFlight, q.Delayed = anySample(t, now, "visible"), anySample(t, now, "in flight"), anySample(t, now, "delayed")
		q.OldestAge, q.Sent, q.Deleted = anySample(t, now, "age"), anySample(t, now, "sent"), anySample(t, now, "deleted")
		obs.Queues[name] = q
	}
	running := rapid.IntRange(0, 80).Draw(t, "running")
	obs.Service = &Service{Desired: desired, Running: running, Pending: max(0, desired-running)}
	if rapid.Bool().Draw(t, "told more") {
		obs.Service.Rollout = new(rapid.Bool().Draw(t, "rollout"))
		obs.Service.FailedStarts = new(rapid.IntRange(0, 5).Draw(t, "failed starts"))
		obs.Service.Protected = new(rapid.IntRange(0, 50).Draw(t, "protected"))
	}
	return obs
}

func TestWhateverIsObserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPolicy(t)
		var state State
		now := monday
		desired := rapid.IntRange(0, 70).Draw(t, "desired")
		for range rapid.IntRange(1, 25).Draw(t, "ticks") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{15, 15, 15, 60, -30, 100000}).Draw(t, "passed")) * time.Second)
			obs := anyObservation(t, now, desired)
			before, _ := json.Marshal(state)
			d, next := Decide(p, obs, state, now)
			checkRepeatable(t, p, obs, before, d, next, now)
			checkBounds(t, p, d, now)
			checkPause(t, *p, obs, state, now)
			checkUnknown(t, p, obs, state, now)
			if after, _ := json.Marshal(state); string(after) != string(before) {
				t.Fatal("the decision changed the state it was given")
			}
			state = next
			desired = d.Desired
			if rapid.IntRange(0, 9).Draw(t, "by hand") == 0 {
				desired = rapid.IntRange(0, 70).Draw(t, "hand-made")
			}
		}
	})
}

// checkRepeatable: the state survives JSON, stays small, and equal arguments
// give equal results.
func checkRepeatable(t *rapid.T, p *config.ScalingPolicy, obs Observation, state []byte, d Decision, next State, now time.Time) {
	var read State
	if err := json.Unmarshal(state, &read); err != nil {
		t.Fatalf("read state: %v", err)
	}
	again, nextAgain := Decide(p, obs, read, now)
	if !reflect.DeepEqual(d, again) {
		t.Fatalf("two decisions of one observation:\n%+v\n%+v", d, again)
	}
	text, err := json.Marshal(next)
	textAgain, _ := json.Marshal(nextAgain)
	if err != nil || string(text) != string(textAgain) {
		t.Fatalf("two states of one observation (%v):\n%s\n%s", err, text, textAgain)
	}
	if len(text) > 16<<10 {
		t.Fatalf("the state has %d bytes", len(text))
	}
	if _, err := json.Marshal(d); err != nil {
		t.Fatalf("encode decision: %v", err)
	}
}

func checkBounds(t *rapid.T, p *config.ScalingPolicy, d Decision, now time.Time) {
	b := boundsAt(&p.Spec, now)
	if d.LimitedBy != "emergencyStop" && (d.Desired < b.Min || d.Desired > b.Max) {
		t.Fatalf("desired %d outside %d to %d: %s", d.Desired, b.Min, b.Max, d.Reason)
	}
}

func checkPause(t *rapid.T, p config.ScalingPolicy, obs Observation, state State, now time.Time) {
	p.Spec.Paused = true
	if d, _ := Decide(&p, obs, state, now); d.Desired != obs.Service.Desired {
		t.Fatalf("paused, and %d became %d", obs.Service.Desired, d.Desired)
	}
}

// checkUnknown: without depths, or what is in flight, nothing is taken away, the
// bounds aside.
func checkUnknown(t *rapid.T, p *config.ScalingPolicy, obs Observation, state State, now time.Time) {
	for name := range obs.Queues {
		for _, forget := range []func(*Queue){func(q *Queue) { q.Visible = nil }, func(q *Queue) { q.InFlight = nil }} {
			q := obs.Queues[name]
			forget(&q)
			d, _ := Decide(p, Observation{Time: now, Service: obs.Service, Queues: map[string]Queue{name: q}}, state, now)
			if least := min(obs.Service.Desired, boundsAt(&p.Spec, now).Max); d.Desired < least {
				t.Fatalf("unknown, and %d became %d: %s", obs.Service.Desired, d.Desired, d.Reason)
			}
		}
	}
}

func TestTheNeedGrowsWithTheBacklog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy(func(s *config.ScalingSpec) { s.MaxTasks = 5000 })
		tasks, rate := rapid.IntRange(1, 30).Draw(t, "tasks"), rapid.Float64Range(0, 20000).Draw(t, "rate")
		low := math.Round(rapid.Float64Range(0, 50000).Draw(t, "backlog"))
		high := low + math.Round(rapid.Float64Range(0, 50000).Draw(t, "more"))
		fewer, _ := Decide(p, seen(tasks, low, rate), State{}, monday)
		more, _ := Decide(p, seen(tasks, high, rate), State{}, monday)
		if more.Need < fewer.Need {
			t.Fatalf("%v waiting need %d (%s), %v need %d (%s)", low, fewer.Need, fewer.Reason, high, more.Need, more.Reason)
		}
	})
}
