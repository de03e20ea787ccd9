package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

// policy is the defaults' policy with an objective of one minute.
func policy(change func(*config.ScalingSpec)) *config.ScalingPolicy {
	p := &config.ScalingPolicy{Metadata: config.Metadata{Name: "worker"}}
	p.Spec = config.ScalingSpec{
		Interval: 15 * time.Second, MinTasks: 1, MaxTasks: 200,
		Queues:  []config.QueueSpec{{Name: "sms-events", MaxAge: time.Minute}},
		Metrics: config.MetricsSpec{Source: config.SourceHybrid},
		Behavior: config.Behavior{
			ScaleUp: config.ScalingRules{Tolerance: 0.1, SelectPolicy: config.SelectMax, Policies: []config.RatePolicy{
				{Type: config.PercentPolicy, Value: 100, Period: 15 * time.Second},
				{Type: config.TasksPolicy, Value: 4, Period: 15 * time.Second},
			}},
			ScaleDown: config.ScalingRules{StabilizationWindow: time.Minute, Tolerance: 0.1, SelectPolicy: config.SelectMax, Policies: []config.RatePolicy{
				{Type: config.PercentPolicy, Value: 50, Period: time.Minute},
				{Type: config.TasksPolicy, Value: 1, Period: time.Minute},
			}},
		},
		Fallback: config.Fallback{After: 5 * time.Minute, Behavior: config.FallbackCurrentIfHigher, Tasks: 1},
	}
	if change != nil {
		change(&p.Spec)
	}
	return p
}

func run(p *config.ScalingPolicy, arrivals []float64) Result {
	return Run(Model{
		Policy: p, Arrivals: arrivals, PerTask: 8, Handling: 500 * time.Millisecond,
		StartLag: [2]time.Duration{45 * time.Second, 90 * time.Second}, Tasks: 1, Seed: 7,
	})
}

func constant(hours float64, rate float64) []float64 {
	arrivals := make([]float64, int(hours*3600))
	for i := range arrivals {
		arrivals[i] = rate
	}
	return arrivals
}

func dayCurve() []float64 {
	arrivals := make([]float64, 24*3600)
	for i := range arrivals {
		arrivals[i] = 60 - 50*math.Cos(2*math.Pi*float64(i)/(24*3600))
	}
	return arrivals
}

func dumpOf(size float64, at int, hours float64) []float64 {
	arrivals := constant(hours, 0)
	arrivals[at] = size
	return arrivals
}

func cloudWatch(s *config.ScalingSpec) { s.Metrics.Source = config.SourceCloudWatch }

// noisy changes its rate every minute by a quarter, and remembers some of it.
func noisy() []float64 {
	random := rand.New(rand.NewPCG(3, 3))
	arrivals, level := make([]float64, 24*3600), 0.0
	for i := range arrivals {
		if i%60 == 0 {
			level = 0.8*level + 0.25*random.NormFloat64()
		}
		arrivals[i] = 50 * math.Exp(level)
	}
	return arrivals
}

func step() []float64 {
	arrivals := constant(6, 10)
	for i := 2 * 3600; i < 4*3600; i++ {
		arrivals[i] = 100
	}
	return arrivals
}

// TestArrivals holds what the decision reaches today, with room for another
// draw of chance. The rate a task is not told.
func TestArrivals(t *testing.T) {
	for name, tc := range map[string]struct {
		change    func(*config.ScalingSpec)
		arrivals  []float64
		ratio     float64 // at most
		late      float64 // at most, part
		reversals int     // at most
	}{
		"a steady load runs near what it needs":           {arrivals: constant(6, 60), ratio: 1.2, late: 0.01, reversals: 15},
		"a load that one task can serve never starts two": {arrivals: constant(6, 5), ratio: 1.01, late: 0.001},
		"a day's curve is followed":                       {arrivals: dayCurve(), ratio: 1.2, late: 0.01, reversals: 60},
		"a step of ten is found, and left again":          {arrivals: step(), ratio: 1.35, late: 0.02, reversals: 12},
		"noise from minute to minute is served in time":   {arrivals: noisy(), ratio: 1.55, late: 0.01, reversals: 280},
		"late numbers still follow a day":                 {change: cloudWatch, arrivals: dayCurve(), ratio: 1.25, late: 0.02, reversals: 60},
		"late numbers still find a step":                  {change: cloudWatch, arrivals: step(), ratio: 1.5, late: 0.06, reversals: 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(policy(tc.change), tc.arrivals)
			if r.Ratio() > tc.ratio || r.Late > tc.late || r.Reversals > tc.reversals {
				t.Errorf("ratio %.2f, late %.4f, reversals %d, want at most %.2f, %.4f, %d", r.Ratio(), r.Late, r.Reversals, tc.ratio, tc.late, tc.reversals)
			}
		})
	}
}

func TestADumpIsAnsweredInOneIntervalAndLeavesWithoutFlapping(t *testing.T) {
	for _, size := range []float64{5000, 20000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			const at = 600 // seconds
			r := run(policy(nil), dumpOf(size, at, 1))
			before, after := r.Counts[at/15-1], r.Counts[at/15]
			if before != 1 || after != 5 { // the most that behavior grants
				t.Errorf("%d tasks became %d, want 1 and 5: %s", before, after, r.Decisions[at/15].Reason)
			}
			if last := r.Counts[len(r.Counts)-1]; last != 1 || r.Reversals > 1 || r.OldestAge > 240 {
				t.Errorf("ends with %d tasks after %d reversals, oldest message %.0f s", last, r.Reversals, r.OldestAge)
			}
		})
	}
}

func TestTheSameModelGivesTheSameResult(t *testing.T) {
	first, second := run(policy(nil), noisy()[:7200]), run(policy(nil), noisy()[:7200])
	if !slices.Equal(first.Counts, second.Counts) || first.Late != second.Late {
		t.Error("two runs of one model differ")
	}
}
