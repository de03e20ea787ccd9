// Package simulate is a model of one queue and its service, second by second,
// that drives scaling.Decide as it is: what a policy would have done to given
// arrivals, at which cost.
//
// It is pure and repeatable: the same Model gives the same Result. It imports
// scaling and config. Start with Run.
package simulate

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// Model is one experiment.
type Model struct {
	Policy *config.ScalingPolicy // of one queue
	// Arrivals are messages/s, one a second; what really arrives is drawn
	// around them (Poisson).
	Arrivals []float64
	PerTask  float64       // messages/s that one task works off
	Handling time.Duration // how long a message is in flight
	StartLag [2]time.Duration
	Tasks    int // running at the start
	Seed     uint64
}

// Result is what came of it.
type Result struct {
	Messages  float64
	Late      float64 // part of the messages that waited longer than maxAge
	OldestAge float64 // seconds, the longest wait
	TaskHours float64 // asked for, from then on
	// Floor is the task-hours that the messages need at least: the work over
	// the rate a task, and minTasks all the time.
	Floor     float64
	Changes   int // decisions that changed the count
	Reversals int // changes in the other direction than the one before
	Peak      int
	Counts    []int // the count after each decision
	Decisions []scaling.Decision
}

// Ratio is the task-hours over the least that the messages need.
func (r Result) Ratio() float64 { return r.TaskHours / r.Floor }

// epoch is a Monday.
var epoch = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// Run lets the policy follow the arrivals.
func Run(m Model) Result {
	w := newWorld(m)
	interval := int(m.Policy.Spec.Interval.Seconds())
	var state scaling.State
	for second, rate := range m.Arrivals {
		w.pass(second, rate)
		if second%interval != 0 {
			continue
		}
		now := epoch.Add(time.Duration(second) * time.Second)
		var decision scaling.Decision
		decision, state = scaling.Decide(m.Policy, w.observe(second, now), state, now)
		w.result.Decisions = append(w.result.Decisions, decision)
		w.set(second, decision.Desired)
	}
	w.result.Late /= math.Max(1, w.result.Messages)
	return w.result
}

// batch is the messages of one second that wait.
type batch struct {
	second int
	count  float64
}

// world is the queue and the service as they are.
type world struct {
	Model
	random    *rand.Rand
	objective float64
	waiting   []batch
	visible   float64
	inFlight  float64
	running   int
	starting  []int // seconds at which tasks run, in order asked for
	upward    int   // direction of the last change
	minutes   []minute
	current   minute
	result    Result
}

func newWorld(m Model) *world {
	return &world{
		Model: m, random: rand.New(rand.NewPCG(m.Seed, 1)), //nolint:gosec // an experiment has to be repeatable
		objective: m.Policy.Spec.Queues[0].MaxAge.Seconds(), running: m.Tasks,
	}
}

// pass lets one second pass: tasks come up, messages arrive, are worked off.
func (w *world) pass(second int, rate float64) {
	for len(w.starting) > 0 && w.starting[0] <= second {
		w.starting = w.starting[1:]
		w.running++
	}
	arrived := w.poisson(rate)
	if arrived > 0 {
		w.waiting = append(w.waiting, batch{second, arrived})
		w.visible += arrived
	}
	served := w.serve(second, float64(w.running)*w.PerTask)
	handling := w.Handling.Seconds()
	w.inFlight = served * handling
	w.result.Messages += arrived
	count := w.running + len(w.starting)
	w.result.TaskHours += float64(count) / 3600
	w.result.Floor += math.Max(rate/w.PerTask, float64(w.Policy.Spec.MinTasks)) / 3600
	w.result.Peak = max(w.result.Peak, count)
	w.count(second, arrived, served)
}

// serve takes up to so many messages, the oldest first.
func (w *world) serve(second int, capacity float64) (served float64) {
	for len(w.waiting) > 0 && served < capacity {
		oldest := &w.waiting[0]
		taken := math.Min(oldest.count, capacity-served)
		served += taken
		oldest.count -= taken
		age := float64(second - oldest.second)
		w.result.OldestAge = math.Max(w.result.OldestAge, age)
		if age > w.objective {
			w.result.Late += taken
		}
		if oldest.count < 1e-9 {
			w.waiting = w.waiting[1:]
		}
	}
	w.visible = math.Max(0, w.visible-served)
	return served
}

// set asks for a count: more tasks start, those that start last go first.
func (w *world) set(second, tasks int) {
	w.result.Counts = append(w.result.Counts, tasks)
	count := w.running + len(w.starting)
	if tasks == count {
		return
	}
	w.result.Changes++
	direction := 1
	if tasks < count {
		direction = -1
	}
	if w.upward == -direction {
		w.result.Reversals++
	}
	w.upward = direction
	for ; count < tasks; count++ {
		w.starting = append(w.starting, second+w.lag())
	}
	for ; count > tasks && len(w.starting) > 0; count-- {
		w.starting = w.starting[:len(w.starting)-1]
	}
	w.running = min(w.running, tasks)
}

// lag draws a start lag; tasks come up in the order they were asked for in.
func (w *world) lag() int {
	low, high := w.StartLag[0].Seconds(), w.StartLag[1].Seconds()
	return int(low + w.random.Float64()*(high-low))
}

// poisson draws a count around mean.
func (w *world) poisson(mean float64) float64 {
	if mean > 30 {
		return math.Max(0, math.Round(mean+math.Sqrt(mean)*w.random.NormFloat64()))
	}
	limit, count := math.Exp(-mean), 0.0
	for product := w.random.Float64(); product > limit; product *= w.random.Float64() {
		count++
	}
	return count
}
