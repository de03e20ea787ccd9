package scaling

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/novaura/acs-operator/config"
)

// referenceHPA is the HorizontalPodAutoscaler's behavior written down naively,
// from its documentation: every advice and every change is kept for good.
type referenceHPA struct {
	rules      config.Behavior
	advice     []advice
	ups, downs []scaleEvent
}

func (r *referenceHPA) next(now stamp, current, wanted int) int {
	if len(r.advice) == 0 {
		r.advice = append(r.advice, advice{now, current})
	}
	up, down := wanted, wanted
	for _, a := range r.advice {
		if now.sub(a.At) < r.rules.ScaleUp.StabilizationWindow.Seconds() {
			up = min(up, a.Tasks)
		}
		if now.sub(a.At) < r.rules.ScaleDown.StabilizationWindow.Seconds() {
			down = max(down, a.Tasks)
		}
	}
	r.advice = append(r.advice, advice{now, wanted})
	to := r.limited(now, current, min(max(current, up), down))
	if to > current {
		r.ups = append(r.ups, scaleEvent{now, to - current})
	} else if to < current {
		r.downs = append(r.downs, scaleEvent{now, current - to})
	}
	return to
}

func (r *referenceHPA) limited(now stamp, current, wanted int) int {
	rules, events, sign := r.rules.ScaleUp, r.ups, 1
	if wanted < current {
		rules, events, sign = r.rules.ScaleDown, r.downs, -1
	}
	if wanted == current || rules.SelectPolicy == config.SelectDisabled {
		return current
	}
	var proposals []int
	for _, p := range rules.Policies {
		changed := 0
		for _, e := range events {
			if now.sub(e.At) < p.Period.Seconds() {
				changed += e.Change
			}
		}
		start := float64(current - sign*changed)
		switch {
		case p.Type == config.TasksPolicy:
			proposals = append(proposals, int(start)+sign*p.Value)
		case sign > 0:
			proposals = append(proposals, int(math.Ceil(start*(1+float64(p.Value)/100))))
		default:
			proposals = append(proposals, int(start*(1-float64(p.Value)/100)))
		}
	}
	limit := proposals[0]
	for _, p := range proposals {
		if (p*sign > limit*sign) == (rules.SelectPolicy != config.SelectMin) {
			limit = p
		}
	}
	if sign > 0 {
		return min(wanted, max(limit, current))
	}
	return max(wanted, min(max(limit, 0), current))
}

func TestBehaviorIsThatOfTheHorizontalPodAutoscaler(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := config.Behavior{ScaleUp: anyRules(t, "up"), ScaleDown: anyRules(t, "down")}
		reference := &referenceHPA{rules: b}
		var memory behaviorMemory
		now, current := stampOf(monday), rapid.IntRange(1, 60).Draw(t, "tasks")
		for range rapid.IntRange(1, 60).Draw(t, "ticks") {
			wanted := rapid.IntRange(1, 80).Draw(t, "wanted")
			stable := memory.stabilize(b, now, current, wanted)
			got, _ := memory.limit(b, now, current, stable)
			memory.record(b, now, current, got)
			if want := reference.next(now, current, wanted); got != want {
				t.Fatalf("at %d: from %d wanted %d: %d tasks, want %d", now, current, wanted, got, want)
			}
			current = max(1, got)
			now = now.add(time.Duration(rapid.IntRange(1, 60).Draw(t, "passed")) * time.Second)
		}
	})
}

// TestABehaviorLimitHoldsInEveryWindow: whatever is wished, the tasks that a
// policy of one kind adds in any of its periods are no more than it grants.
func TestABehaviorLimitHoldsInEveryWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		granted, period := rapid.IntRange(1, 9).Draw(t, "granted"), time.Duration(rapid.IntRange(15, 300).Draw(t, "period"))*time.Second
		p := policy(func(s *config.ScalingSpec) {
			s.Behavior.ScaleUp.Policies = []config.RatePolicy{tasks(granted, period)}
			s.Behavior.ScaleDown.Policies = []config.RatePolicy{tasks(granted, period)}
		})
		var state State
		var ups, downs []scaleEvent
		now, current := monday, rapid.IntRange(1, 40).Draw(t, "tasks")
		for range 60 {
			now = now.Add(15 * time.Second)
			obs := seen(current, float64(rapid.SampledFrom([]int{0, 0, 90, 4000, 20000}).Draw(t, "visible")), 0)
			obs.Time = now
			var d Decision
			d, state = Decide(p, obs, state, now)
			ups, downs = append(ups, scaleEvent{stampOf(now), max(0, d.Desired-current)}), append(downs, scaleEvent{stampOf(now), max(0, current-d.Desired)})
			if changed(ups, period, stampOf(now)) > granted || changed(downs, period, stampOf(now)) > granted {
				t.Fatalf("more than %d tasks in %s: %s", granted, period, d.Reason)
			}
			current = d.Desired
		}
	})
}
