package simulate

import (
	"context"
	"math"

	"github.com/novaura/acs-operator/config"
)

// Setting is what a comparison holds fixed over its workloads.
type Setting struct {
	Policy  *config.ScalingPolicy
	Service Service
	View    View
	Seed    uint64
	// Others runs the baselines too.
	Others bool
}

// Comparison is a workload with everyone's results, the clairvoyant's first.
type Comparison struct {
	Workload Workload
	Model    Model
	Results  []Result
}

// Model puts a workload into a setting.
func (s Setting) Model(w Workload) Model {
	m := Model{Policy: s.Policy, Arrivals: Draw(w.Rates, s.Seed), Service: s.Service, View: s.View, Seed: s.Seed}
	if w.Adjust != nil {
		w.Adjust(&m)
	}
	// The tasks that the first minute needs: nobody starts into a full queue.
	first := mean(w.Rates[:min(60, len(w.Rates))]) / m.Service.PerTask
	for _, load := range m.Beside {
		first = m.together(first, mean(load.Arrivals[:min(60, len(load.Arrivals))])/load.PerTask)
	}
	m.Service.Tasks = min(max(m.Policy.Spec.MinTasks, int(math.Ceil(first))), m.Policy.Spec.MaxTasks)
	return m
}

// together is the tasks that two queues need.
func (m Model) together(a, b float64) float64 {
	if m.Compete {
		return a + b
	}
	return max(a, b)
}

// Compare runs everyone over a workload. progress, if not nil, is told each
// result. It stops with ctx's error between two of them.
func (s Setting) Compare(ctx context.Context, w Workload, progress func(Result)) (Comparison, error) {
	m := s.Model(w)
	c := Comparison{Workload: w, Model: m}
	add := func(r Result) {
		c.Results = append(c.Results, r)
		if progress != nil {
			progress(r)
		}
	}
	add(Clairvoyant(m))
	add(RunCore(m))
	if !s.Others {
		return c, ctx.Err()
	}
	for _, other := range Baselines(m) {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		add(Run(m, other.Name, other.Scaler))
	}
	return c, ctx.Err()
}

// Ratio is a result's task-hours over the clairvoyant's.
func (c Comparison) Ratio(r Result) float64 { return r.TaskHours / max(1e-9, c.Results[0].TaskHours) }
