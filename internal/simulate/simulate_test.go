package simulate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/config"
)

const minimal = `apiVersion: acs.novaura.io/v1
kind: ScalingPolicy
metadata: {name: worker}
spec:
  target: {cluster: c, service: s}
  minTasks: 1
  maxTasks: 200
  queues: [{name: sms-events, maxAge: %s, throughputPerTask: auto}]
  interval: %s
  metrics: {source: %s}
`

// parsed is a policy as most people write it: the defaults for the rest.
func parsed(t testing.TB, maxAge, interval, source string) *config.ScalingPolicy {
	t.Helper()
	p, err := config.Parse(config.File{Name: "p.yaml", Data: fmt.Appendf(nil, minimal, maxAge, interval, source)})
	if err != nil {
		t.Fatal(err)
	}
	return p.Scaling[0]
}

func setting(t testing.TB, source string) Setting {
	t.Helper()
	return Setting{Policy: parsed(t, "60s", "15s", source), Service: DefaultService(), View: DefaultView(source), Seed: 11}
}

// named finds a workload, cut to its first hours.
func named(t testing.TB, name string, hours int) Workload {
	t.Helper()
	for _, w := range Workloads() {
		if w.Name == name {
			w.Rates = w.Rates[:min(len(w.Rates), hours*3600)]
			return w
		}
	}
	t.Fatalf("no workload %s", name)
	return Workload{}
}

// TestWhatTheDecisionReaches holds what it reaches today, on average of some draws
// of chance: one gap at the wrong time makes 3 % late. The rate a task is not told.
func TestWhatTheDecisionReaches(t *testing.T) {
	for name, tc := range map[string]struct {
		workload, source string
		hours            int
		ratio, late      float64 // at most
	}{
		"a steady load runs near what it needs":           {"steady", "hybrid", 3, 1.10, 0.01},
		"a day's curve is followed":                       {"daily", "hybrid", 5, 1.12, 0.01},
		"dumps at the full hour are foreseen":             {"hourly-dumps", "hybrid", 5, 1.70, 0.45},
		"noise from minute to minute is served in time":   {"noisy", "hybrid", 3, 1.20, 0.02},
		"a real day is served in time":                    {"twitter-amzn", "hybrid", 4, 1.12, 0.01},
		"surges that come again and again find head room": {"elb-requests", "cloudwatch", 24, 2.50, 0.06},
		"a slower provider is noticed":                    {"slowdown", "hybrid", 6, 1.20, 0.02},
		"late numbers still follow a day":                 {"daily", "cloudwatch", 5, 1.20, 0.01},
		"gaps in late numbers are lived through":          {"metric-gaps", "cloudwatch", 4, 1.28, 0.01},
		"queues with slots of their own need the highest": {"three-queues", "hybrid", 5, 1.05, 0.001},
		"queues that compete need the sum, and no more":   {"competing", "hybrid", 15, 1.10, 0.01},
		"and so they do with late numbers":                {"competing", "cloudwatch", 15, 1.20, 0.015},
		"a load that one task can serve never starts two": {"quiet-weekend", "hybrid", 6, 1.001, 0.001},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const draws = 5
			ratio, late := 0.0, 0.0
			for draw := range uint64(draws) {
				s := setting(t, tc.source)
				s.Seed += draw
				m := s.Model(named(t, tc.workload, tc.hours))
				r, least := RunCore(m), Clairvoyant(m)
				ratio, late = ratio+r.TaskHours/least.TaskHours/draws, late+r.Late/draws
			}
			if ratio > tc.ratio || late > tc.late {
				t.Errorf("ratio %.3f, late %.4f, want at most %.3f, %.4f", ratio, late, tc.ratio, tc.late)
			}
		})
	}
}

func TestADumpIsAnsweredInOneIntervalAndLeavesWithoutFlapping(t *testing.T) {
	t.Parallel()
	const at = 1800 // seconds
	rates := flat(3600, 4)
	rates[at] = 20000
	r := RunCore(setting(t, "hybrid").Model(Workload{Name: "dump", Rates: rates}))
	before, after := r.Points[at/15-1].Desired, r.Points[at/15].Desired
	if before != 1 || after < 20 {
		t.Errorf("%d tasks became %d: %s", before, after, r.Decisions[at/15].Reason)
	}
	if last := r.Points[len(r.Points)-1].Desired; last != 1 || r.Reversals > 3 || r.Ages[2] > 240 {
		t.Errorf("ends with %d tasks after %d reversals, oldest message %.0f s", last, r.Reversals, r.Ages[2])
	}
}

func TestADumpThatCanStillBeInTimeIs(t *testing.T) {
	t.Parallel()
	rates := flat(3600, 40)
	rates[1801] = 30000
	s := setting(t, "hybrid")
	s.Policy = parsed(t, "150s", "15s", "hybrid")
	if r := RunCore(s.Model(Workload{Name: "dump", Rates: rates})); r.Late > 0 {
		t.Errorf("%.3f of the messages are late, the oldest is %.0f s old; %d tasks at most", r.Late, r.Ages[2], r.Peak)
	}
}

func TestAFlowThatBeginsFromNothingIsFollowedAtOnce(t *testing.T) {
	t.Parallel()
	const at = 1800 // seconds
	for _, low := range []float64{0, 0.02} {
		s := setting(t, "hybrid")
		s.Policy.Spec.Queues[0].ThroughputPerTask = 8
		rates := flat(2700, 40)
		copy(rates, flat(at, low))
		r := RunCore(s.Model(Workload{Name: "wake", Rates: rates}))
		look := at/15 + 2
		if got := r.Points[look].Desired; got < 5 {
			t.Errorf("from %v/s: 30 s after 40/s began %d tasks of 8/s: %s", low, got, r.Decisions[look].Reason)
		}
	}
}

func TestQueuesThatCompeteDoNotFlap(t *testing.T) {
	t.Parallel()
	r := RunCore(setting(t, "hybrid").Model(named(t, "competing", 24)))
	if r.Changes > 150 || r.Reversals > 80 {
		t.Errorf("%d changes, %d reversals in a day", r.Changes, r.Reversals)
	}
}

func TestTheSameModelGivesTheSameResult(t *testing.T) {
	t.Parallel()
	m := setting(t, "hybrid").Model(named(t, "noisy", 2))
	first, second := RunCore(m), RunCore(m)
	if !slices.Equal(first.Points, second.Points) || first.Late != second.Late {
		t.Error("two runs of one model differ")
	}
}

func TestTheClairvoyantIsNeverBeaten(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"hourly-dumps", "elb-requests", "three-queues", "competing"} {
		m := setting(t, "hybrid").Model(named(t, name, 3))
		least := Clairvoyant(m)
		for _, b := range Baselines(m) {
			if r := Run(m, b.Name, b.Scaler); r.Late < 0.001 && r.TaskHours < least.TaskHours {
				t.Errorf("%s: %s needs %.1f h and leaves none late, the clairvoyant %.1f h", name, b.Name, r.TaskHours, least.TaskHours)
			}
		}
	}
}

func TestTheTautStringStaysBetweenWhatIsDueAndWhatCame(t *testing.T) {
	t.Parallel()
	arrived := Draw(named(t, "elb-requests", 2).Rates, 1)
	low, high := make([]float64, len(arrived)+1), make([]float64, len(arrived)+1)
	for i, n := range arrived {
		high[i+1] = high[i] + n
	}
	for i := 60; i < len(low); i++ {
		low[i] = high[i-60]
	}
	low[len(low)-1] = high[len(high)-1]
	done := 0.0
	for i, step := range tautString(low, high) {
		if done += step; step < -1e-9 || done < low[i+1]-1e-6 || done > high[i+1]+1e-6 {
			t.Fatalf("step %d: %.3f done, want %.0f to %.0f", i, done, low[i+1], high[i+1])
		}
	}
}

func TestTracesAreRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want float64 // messages in all
		err  string
	}{
		"a heading is skipped":               {text: "timestamp,value\n2026-01-05 00:00:00,60\n2026-01-05 00:01:00,60\n", want: 120},
		"Unix seconds are times too":         {text: "1767571200,60\n1767571260,60\n", want: 120},
		"a count below zero is refused":      {text: "0,5\n60,-5\n", err: "line 2"},
		"a line that goes back is refused":   {text: "60,5\n0,5\n", err: "line 2 is not after"},
		"one point is no trace":              {text: "60,5\n", err: "at least two"},
		"a line without a count is refused":  {text: "60\n61\n", err: "has no count"},
		"a count that is none is refused":    {text: "0,5\n60,many\n", err: "line 2"},
		"more than two months are refused":   {text: "0,5\n99999999,5\n", err: "within 60 days"},
		"a trace of no text has no points":   {text: "", err: "0 points"},
		"more columns than two are left out": {text: "0,60,x\n60,60,x\n", want: 120},
	} {
		t.Run(name, func(t *testing.T) {
			rates, err := ReadTrace(strings.NewReader(tc.text))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want %q in it", err, tc.err)
				}
				return
			}
			sum := 0.0
			for _, r := range rates {
				sum += r
			}
			if err != nil || sum < tc.want-1 || sum > tc.want+1 {
				t.Errorf("%.1f messages (%v), want %.0f", sum, err, tc.want)
			}
		})
	}
}
