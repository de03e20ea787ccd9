package scaling

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/novaura/acs-operator/config"
)

// advice is a count that was advised, last at At.
type advice struct {
	At    stamp `json:"at"`
	Tasks int   `json:"n"`
}

// scaleEvent is a change of the count that this controller made.
type scaleEvent struct {
	At     stamp `json:"at"`
	Change int   `json:"n"` // tasks, above 0 in either direction
}

// behaviorMemory is what the rules of the HorizontalPodAutoscaler v2 remember.
type behaviorMemory struct {
	Advice []advice     `json:"advice,omitempty"` // oldest first
	Ups    []scaleEvent `json:"ups,omitempty"`
	Downs  []scaleEvent `json:"downs,omitempty"`
}

func (m behaviorMemory) clone() behaviorMemory {
	m.Advice = copied(m.Advice)
	m.Ups = copied(m.Ups)
	m.Downs = copied(m.Downs)
	return m
}

func (m *behaviorMemory) forgetAfter(now stamp) {
	late := func(e scaleEvent) bool { return e.At > now }
	m.Advice = slices.DeleteFunc(m.Advice, func(a advice) bool { return a.At > now })
	m.Ups = slices.DeleteFunc(m.Ups, late)
	m.Downs = slices.DeleteFunc(m.Downs, late)
}

// tolerate leaves the count alone when the need differs from it by no more
// than the direction's tolerance, as a part of the count.
func tolerate(b config.Behavior, current, need int) int {
	tolerance := b.ScaleUp.Tolerance
	if need < current {
		tolerance = b.ScaleDown.Tolerance
	}
	if current > 0 && math.Abs(float64(need-current)) <= tolerance*float64(current)+1e-9 {
		return current
	}
	return need
}

// stabilize takes the lowest advice of the scale-up window going up and the
// highest of the scale-down window going down, and remembers the advice. The
// first advice is the current count, so that a restart drops nothing.
func (m *behaviorMemory) stabilize(b config.Behavior, now stamp, current, wanted int) int {
	if len(m.Advice) == 0 {
		m.advise(b, now, current)
	}
	up, down := wanted, wanted
	for _, a := range m.Advice {
		if a.At.within(b.ScaleUp.StabilizationWindow, now) {
			up = min(up, a.Tasks)
		}
		if a.At.within(b.ScaleDown.StabilizationWindow, now) {
			down = max(down, a.Tasks)
		}
	}
	m.advise(b, now, wanted)
	return min(max(current, up), down)
}

// advise remembers a count. Of equal ones in a row the last time is enough,
// and one that has both a higher and a lower one after it says nothing.
func (m *behaviorMemory) advise(b config.Behavior, now stamp, tasks int) {
	window := max(b.ScaleUp.StabilizationWindow, b.ScaleDown.StabilizationWindow, time.Second)
	first := len(m.Advice) // of those kept
	low, high := tasks, tasks
	for _, a := range slices.Backward(m.Advice) {
		if a.At.within(window, now) && (a.Tasks < low || a.Tasks > high) {
			first--
			m.Advice[first] = a
			low, high = min(low, a.Tasks), max(high, a.Tasks)
		}
	}
	m.Advice = newest(append(m.Advice[first:], advice{At: now, Tasks: tasks}), maxMemory)
}

// limit holds a change to what the rate policies of its direction allow, and
// names the policy that did. A period's changes in the other direction do not make
// up for those in this one: the HorizontalPodAutoscaler nets them, and so lets
// more go at once than a policy grants, right after a rise.
func (m *behaviorMemory) limit(b config.Behavior, now stamp, current, wanted int) (int, string) {
	switch {
	case wanted > current:
		most, why := m.highest(b.ScaleUp, now, current)
		if most = max(most, current); wanted > most {
			return most, "scaleUp " + why
		}
	case wanted < current:
		least, why := m.lowest(b.ScaleDown, now, current)
		if least = min(least, current); wanted < least {
			return least, "scaleDown " + why
		}
	}
	return wanted, ""
}

// highest is the count that scale-up may reach now. From zero it is at least
// one, or percent alone could never wake a service: there ours differs from
// the HorizontalPodAutoscaler's.
func (m *behaviorMemory) highest(rules config.ScalingRules, now stamp, current int) (int, string) {
	if rules.SelectPolicy == config.SelectDisabled {
		return current, "(disabled)"
	}
	best, why := 0, ""
	for i, p := range rules.Policies {
		start := current - changed(m.Ups, p.Period, now)
		allowed := start + p.Value
		if p.Type == config.PercentPolicy {
			allowed = int(math.Ceil(float64(start) * (1 + float64(p.Value)/100)))
		}
		if i == 0 || (allowed > best) != (rules.SelectPolicy == config.SelectMin) {
			best, why = allowed, policyText(p)
		}
	}
	if current == 0 {
		best = max(best, 1)
	}
	return best, why
}

// lowest is the count that scale-down may reach now.
func (m *behaviorMemory) lowest(rules config.ScalingRules, now stamp, current int) (int, string) {
	if rules.SelectPolicy == config.SelectDisabled {
		return current, "(disabled)"
	}
	best, why := 0, ""
	for i, p := range rules.Policies {
		start := current + changed(m.Downs, p.Period, now)
		allowed := start - p.Value
		if p.Type == config.PercentPolicy {
			allowed = int(float64(start) * (1 - float64(p.Value)/100))
		}
		if i == 0 || (allowed < best) != (rules.SelectPolicy == config.SelectMin) {
			best, why = allowed, policyText(p)
		}
	}
	return max(best, 0), why
}

// changed sums the changes of the last period.
func changed(events []scaleEvent, period time.Duration, now stamp) int {
	sum := 0
	for _, e := range events {
		if e.At.within(period, now) {
			sum += e.Change
		}
	}
	return sum
}

// record notes a change for the rate policies of later decisions.
func (m *behaviorMemory) record(b config.Behavior, now stamp, from, to int) {
	m.Ups = remember(m.Ups, b.ScaleUp, now, to-from)
	m.Downs = remember(m.Downs, b.ScaleDown, now, from-to)
}

// remember adds a change and drops what no policy looks back to. When there
// are too many, the two oldest become one of the later time: rather too slow
// than too fast.
func remember(events []scaleEvent, rules config.ScalingRules, now stamp, change int) []scaleEvent {
	var longest time.Duration
	for _, p := range rules.Policies {
		longest = max(longest, p.Period)
	}
	events = slices.DeleteFunc(events, func(e scaleEvent) bool { return !e.At.within(longest, now) })
	if change > 0 {
		events = append(events, scaleEvent{At: now, Change: change})
	}
	if len(events) > maxMemory {
		events[1].Change += events[0].Change
		events = events[1:]
	}
	return events
}

func policyText(p config.RatePolicy) string {
	if p.Type == config.PercentPolicy {
		return fmt.Sprintf("(%d%% per %s)", p.Value, duration(p.Period))
	}
	return fmt.Sprintf("(%s per %s)", taskCount(p.Value), duration(p.Period))
}
