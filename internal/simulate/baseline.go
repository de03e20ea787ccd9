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
	queueLength := func(of func(Load) float64) map[string]float64 {
		targets := map[string]float64{}
		for _, load := range m.loads() {
			targets[load.Queue.Name] = max(1, of(load))
		}
		return targets
	}
	list := []Named{
		{"plain rule, rate told", &plain{low: low, high: high, model: m}},
		{"KEDA, queueLength 5", newHPA(low, high, queueLength(func(Load) float64 { return 5 }), 300)},
		{"KEDA, queueLength 100", newHPA(low, high, queueLength(func(Load) float64 { return 100 }), 300)},
		{"KEDA, half the objective", newHPA(low, high, queueLength(func(l Load) float64 { return l.PerTask * l.Queue.MaxAge.Seconds() / 2 }), 300)},
		// The best of the tunings tried: near what a busy task has in flight.
		{"KEDA, best tuning found", newHPA(low, high, queueLength(func(l Load) float64 { return l.PerTask * 0.95 }), 60)},
	}
	for _, part := range []float64{1, 0.5, 0.1} {
		list = append(list, Named{"target tracking, " + percent(part) + " of objective",
			&targetTracking{low: low, high: high, target: perTask * objective * part, calm: -1e9, grew: -1e9}})
	}
	list = append(list, Named{"step scaling", &stepScaling{low: low, high: high, changed: -1e9}})
	mean, peak := tasksOf(m)
	return append(list,
		Named{"fixed, the mean", fixed(min(max(low, int(math.Ceil(mean))), high))},
		Named{"fixed, the busiest minute", fixed(min(max(low, int(math.Ceil(peak))), high))})
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

// tasksOf is what the mean of the arrivals needs, and their busiest minute.
func tasksOf(m Model) (usual, peak float64) {
	for _, load := range m.loads() {
		minute, busiest := 0.0, 0.0
		for i, n := range load.Arrivals {
			if minute += n; i%60 == 59 {
				busiest, minute = max(busiest, minute/60), 0
			}
		}
		usual = m.together(usual, mean(load.Arrivals)/load.PerTask)
		peak = m.together(peak, busiest/load.PerTask)
	}
	return usual, peak
}

type fixed int

func (f fixed) Desired(Look) int { return int(f) }

// depthOf is visible and in flight as the observation tells, and whether it
// does.
func depthOf(q scaling.Queue) (float64, bool) {
	if q.Visible == nil || q.InFlight == nil {
		return 0, false
	}
	return q.Visible.Value + q.InFlight.Value, true
}

// plain is what one writes in an afternoon: the newest minute's arrivals as
// the floor, the backlog within half the objective on top.
type plain struct {
	low, high int
	model     Model
}

func (p *plain) Desired(look Look) int {
	need := 0.0
	for _, load := range p.model.loads() {
		q := look.Observation.Queues[load.Queue.Name]
		if q.Visible == nil || q.Sent == nil {
			return min(max(look.Observation.Service.Desired, p.low), p.high)
		}
		rate := q.Sent.Value/q.Sent.Period + q.Visible.Value/(load.Queue.MaxAge.Seconds()/2)
		need = p.model.together(need, rate/load.PerTask)
	}
	return min(max(int(math.Ceil(need)), p.low), p.high)
}

// hpa is KEDA's SQS trigger, one a queue, behind a HorizontalPodAutoscaler v2,
// which takes the highest count: AverageValue of visible and in flight, tolerance
// 0.1, 4 pods or 100 % per 15 s up, 100 % per 15 s down, with a stabilization
// window.
type hpa struct {
	low, high int
	targets   map[string]float64 // messages a task, by queue
	window    int                // seconds
	advice    []timed
	ups       []timed
}

type timed struct{ at, tasks int }

func newHPA(low, high int, targets map[string]float64, window int) *hpa {
	return &hpa{low: low, high: high, targets: targets, window: window}
}

func (h *hpa) Desired(look Look) int {
	current := look.Observation.Service.Desired
	wanted := 0
	for name, q := range look.Observation.Queues {
		depth, known := depthOf(q)
		if !known {
			return current
		}
		wanted = max(wanted, h.wanted(current, depth, h.targets[name]))
		if current == 0 && depth > 0 {
			wanted = max(wanted, 1) // KEDA's activation
		}
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

func (h *hpa) wanted(current int, depth, target float64) int {
	if current > 0 && math.Abs(1-depth/(target*float64(current))) <= 0.1 {
		return current
	}
	return int(math.Ceil(depth / target))
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
