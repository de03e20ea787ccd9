package simulate

import (
	"math"
	"slices"

	"github.com/novaura/acs-operator/internal/scaling"
)

// Baselines are the autoscalers that people use for a queue, each with its
// documented semantics, by name.
func Baselines(m Model) []Named {
	low, high := m.Policy.Spec.MinTasks, m.Policy.Spec.MaxTasks
	perTask := m.Service.PerTask
	objective := m.Policy.Spec.Queues[0].MaxAge.Seconds()
	list := []Named{
		{"plain rule, rate told", &plain{low: low, high: high, perTask: perTask, objective: objective}},
		{"KEDA, queueLength 5", newHPA(low, high, 5, 300)},
		{"KEDA, queueLength 100", newHPA(low, high, 100, 300)},
		{"KEDA, half the objective", newHPA(low, high, perTask*objective/2, 300)},
		// The best of the tunings tried: near what a busy task has in flight.
		{"KEDA, best tuning found", newHPA(low, high, perTask*0.95, 60)},
	}
	for _, part := range []float64{1, 0.5, 0.1} {
		list = append(list, Named{"target tracking, " + percent(part) + " of objective",
			&targetTracking{low: low, high: high, target: perTask * objective * part, calm: -1e9, grew: -1e9}})
	}
	list = append(list, Named{"step scaling", &stepScaling{low: low, high: high, changed: -1e9}})
	mean, peak := loadOf(m)
	return append(list,
		Named{"fixed, the mean", fixed(min(max(low, int(math.Ceil(mean/perTask))), high))},
		Named{"fixed, the busiest minute", fixed(min(max(low, int(math.Ceil(peak/perTask))), high))})
}

// Named is a scaler and what it is called.
type Named struct {
	Name   string
	Scaler Scaler
}

func percent(part float64) string {
	if part == 1 {
		return "all"
	}
	if part == 0.5 {
		return "half"
	}
	return "a tenth"
}

// loadOf is the mean and the busiest minute of the arrivals, messages/s.
func loadOf(m Model) (mean, peak float64) {
	minute := 0.0
	for i, n := range m.Arrivals {
		mean += n
		if minute += n; i%60 == 59 {
			peak, minute = max(peak, minute/60), 0
		}
	}
	return mean / max(1, float64(len(m.Arrivals))), peak
}

type fixed int

func (f fixed) Desired(Look) int { return int(f) }

// depthOf is visible and in flight as the observation tells, and whether it
// does.
func depthOf(o scaling.Observation) (float64, bool) {
	for _, q := range o.Queues {
		if q.Visible == nil || q.InFlight == nil {
			return 0, false
		}
		return q.Visible.Value + q.InFlight.Value, true
	}
	return 0, false
}

// plain is what one writes in an afternoon: the newest minute's arrivals as
// the floor, the backlog within half the objective on top.
type plain struct {
	low, high          int
	perTask, objective float64
}

func (p *plain) Desired(look Look) int {
	now := look.Observation.Service.Desired
	for _, q := range look.Observation.Queues {
		if q.Visible == nil || q.Sent == nil {
			break
		}
		need := q.Sent.Value/q.Sent.Period + q.Visible.Value/(p.objective/2)
		now = int(math.Ceil(need / p.perTask))
	}
	return min(max(now, p.low), p.high)
}

// hpa is KEDA's SQS trigger behind a HorizontalPodAutoscaler v2: AverageValue
// of visible and in flight, tolerance 0.1, 4 pods or 100 % per 15 s up, 100 %
// per 15 s down, with a stabilization window.
type hpa struct {
	low, high int
	target    float64 // messages a task
	window    int     // seconds
	advice    []timed
	ups       []timed
}

type timed struct{ at, tasks int }

func newHPA(low, high int, target float64, window int) *hpa {
	return &hpa{low: low, high: high, target: max(1, target), window: window}
}

func (h *hpa) Desired(look Look) int {
	current := look.Observation.Service.Desired
	depth, known := depthOf(look.Observation)
	if !known {
		return current
	}
	wanted := h.wanted(current, depth)
	if current == 0 && depth > 0 {
		wanted = max(wanted, 1) // KEDA's activation
	}
	if len(h.advice) == 0 {
		h.advice = append(h.advice, timed{look.Second, current})
	}
	h.advice = append(h.advice, timed{look.Second, wanted})
	for len(h.advice) > 1 && h.advice[0].at <= look.Second-h.window {
		h.advice = h.advice[1:]
	}
	stable := wanted
	if wanted < current {
		for _, a := range h.advice {
			stable = max(stable, a.tasks)
		}
		stable = min(stable, current)
	}
	return min(max(h.limited(look.Second, current, stable), h.low), h.high)
}

func (h *hpa) wanted(current int, depth float64) int {
	if current > 0 && math.Abs(1-depth/(h.target*float64(current))) <= 0.1 {
		return current
	}
	return int(math.Ceil(depth / h.target))
}

func (h *hpa) limited(second, current, wanted int) int {
	if wanted <= current {
		return wanted
	}
	added := 0
	for _, up := range h.ups {
		if up.at > second-15 {
			added += up.tasks
		}
	}
	start := current - added
	wanted = min(wanted, max(current, start+4, 2*start))
	if wanted > current {
		h.ups = append(h.ups[max(0, len(h.ups)-20):], timed{second, wanted - current})
	}
	return wanted
}

// targetTracking is Application Auto Scaling on a backlog-per-task metric: up
// after 3 of 3 minutes above the target, down after 15 of 15 below nine tenths
// of it, 300 s of cooldown each way; a scale-out during its cooldown adds only
// what is beyond the one before.
type targetTracking struct {
	low, high  int
	target     float64
	grew, calm int // seconds of the last change up and down
}

func (t *targetTracking) Desired(look Look) int {
	current := look.Observation.Service.Desired
	minutes := look.Minutes
	above, below := 0, 0
	for _, m := range slices.Backward(minutes) {
		if m.perTask() <= t.target {
			break
		}
		above++
	}
	for _, m := range slices.Backward(minutes) {
		if m.perTask() >= 0.9*t.target {
			break
		}
		below++
	}
	switch {
	case above >= 3:
		last := minutes[len(minutes)-1]
		wanted := int(math.Ceil(float64(max(1, last.Tasks)) * last.perTask() / t.target))
		if wanted > current {
			t.grew = look.Second
			current = wanted
		}
	case below >= 15 && look.Second-t.calm >= 300 && look.Second-t.grew >= 300:
		last := minutes[len(minutes)-1]
		wanted := max(int(math.Ceil(float64(last.Tasks)*last.perTask()/t.target)), current/2)
		if wanted < current {
			t.calm = look.Second
			current = wanted
		}
	}
	return min(max(current, t.low), t.high)
}

func (m Minute) perTask() float64 { return m.Visible / float64(max(1, m.Tasks)) }

// stepScaling is a usual set-up: one minute above 100, 1,000 or 5,000 messages
// adds 1, 4 or 10 tasks, five minutes below 10 take one away; 60 s of cooldown.
type stepScaling struct {
	low, high int
	changed   int
}

func (s *stepScaling) Desired(look Look) int {
	current := look.Observation.Service.Desired
	minutes := look.Minutes
	if len(minutes) < 5 || look.Second-s.changed < 60 {
		return min(max(current, s.low), s.high)
	}
	quiet := true
	for _, m := range minutes[len(minutes)-5:] {
		quiet = quiet && m.Visible < 10
	}
	wanted := current
	switch depth := minutes[len(minutes)-1].Visible; {
	case depth > 5000:
		wanted += 10
	case depth > 1000:
		wanted += 4
	case depth > 100:
		wanted++
	case quiet:
		wanted--
	}
	wanted = min(max(wanted, s.low), s.high)
	if wanted != current {
		s.changed = look.Second
	}
	return wanted
}
