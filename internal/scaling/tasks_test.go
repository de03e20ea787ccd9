package scaling

import (
	"slices"
	"testing"
	"time"
)

func TestAnOutageOfStartsIsNoStartLag(t *testing.T) {
	t.Parallel()
	known := []float64{50, 60, 70, 80, 90} // overdue after 300 s, the least
	for name, tc := range map[string]struct {
		known  []float64
		after  []time.Duration // starts of one task each, in order
		failed bool            // ECS tells that tasks failed to start meanwhile
		want   []float64       // what is noted of them
	}{
		"a start as others":                       {known: known, after: []time.Duration{75 * time.Second}, want: []float64{75}},
		"a slow one":                              {known: known, after: []time.Duration{5 * time.Minute}, want: []float64{300}},
		"one that waited for capacity":            {known: known, after: []time.Duration{time.Hour}, want: []float64{300}},
		"many that waited for it":                 {known: known, after: []time.Duration{time.Hour, time.Hour, 59 * time.Minute}, want: []float64{300}},
		"one whose image could not be pulled":     {known: known, after: []time.Duration{time.Hour}, failed: true},
		"while no lag is known":                   {after: []time.Duration{time.Hour, time.Hour, time.Hour}, want: []float64{300}},
		"a few that were slow move it no further": {known: []float64{50, 60, 70, 80, 300}, after: []time.Duration{time.Hour}, want: []float64{300}},
		"where starts are slow, a slower one":     {known: []float64{150, 150, 150}, after: []time.Duration{10 * time.Minute}, want: []float64{600}},
	} {
		now := stampOf(monday)
		m := taskMemory{Lags: slices.Clone(tc.known)}
		if tc.failed {
			m.FailedAt = now.add(-time.Minute)
		}
		overdue := m.overdue()
		for _, took := range tc.after {
			m.noteLag(now, now.add(-took), overdue)
		}
		if got := m.Lags[len(tc.known):]; !slices.Equal(got, tc.want) {
			t.Errorf("%s: noted %v s, want %v", name, got, tc.want)
		}
	}
}

func TestARolloutEndsNoStarts(t *testing.T) {
	t.Parallel()
	now := stampOf(monday)
	m := taskMemory{Seen: now, Desired: 5, Running: []runningSince{{At: now, Tasks: 5}}}
	m.ask(now, 8)
	look := func(after time.Duration, running int, rollout bool) (string, bool) {
		s := Service{Desired: 8, Running: running, Rollout: &rollout}
		m.observe(now.add(after), s)
		return m.failing(now.add(after), s)
	}
	for after := 15 * time.Second; after < 2*time.Minute; after += 15 * time.Second {
		look(after, 13, true)
	}
	for after := 2 * time.Minute; after < 8*time.Minute; after += 15 * time.Second {
		look(after, 5, false)
	}
	if how, failing := look(8*time.Minute, 5, false); !failing || len(m.Lags) > 0 {
		t.Errorf("3 tasks do not start for 8 min: failing %v (%s), lags %v", failing, how, m.Lags)
	}
	if look(8*time.Minute+15*time.Second, 8, false); len(m.Starts) > 0 {
		t.Errorf("all run, and these start: %v", m.Starts)
	}
}
