package scaling

import (
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

func percent(value int, period time.Duration) config.RatePolicy {
	return config.RatePolicy{Type: config.PercentPolicy, Value: value, Period: period}
}

func tasks(value int, period time.Duration) config.RatePolicy {
	return config.RatePolicy{Type: config.TasksPolicy, Value: value, Period: period}
}

func TestRatePolicies(t *testing.T) {
	ago := func(d time.Duration, n int) scaleEvent { return scaleEvent{At: stampOf(monday.Add(-d)), Change: n} }
	for name, tc := range map[string]struct {
		rules           config.ScalingRules
		ups, downs      []scaleEvent
		current, wanted int
		want            int
	}{
		"up, tasks add their value":                              {rules: config.ScalingRules{Policies: []config.RatePolicy{tasks(4, time.Minute)}}, current: 10, wanted: 50, want: 14},
		"up, percent rounds up":                                  {rules: config.ScalingRules{Policies: []config.RatePolicy{percent(10, time.Minute)}}, current: 11, wanted: 50, want: 13},
		"up, Max takes the biggest change":                       {rules: config.ScalingRules{Policies: []config.RatePolicy{percent(100, time.Minute), tasks(4, time.Minute)}}, current: 3, wanted: 50, want: 7},
		"up, Min takes the smallest change":                      {rules: config.ScalingRules{SelectPolicy: config.SelectMin, Policies: []config.RatePolicy{percent(100, time.Minute), tasks(4, time.Minute)}}, current: 3, wanted: 50, want: 6},
		"up, Disabled takes none":                                {rules: config.ScalingRules{SelectPolicy: config.SelectDisabled, Policies: []config.RatePolicy{tasks(4, time.Minute)}}, current: 3, wanted: 50, want: 3},
		"up, what was added in the period counts":                {rules: config.ScalingRules{Policies: []config.RatePolicy{tasks(4, time.Minute)}}, ups: []scaleEvent{ago(30*time.Second, 3)}, current: 10, wanted: 50, want: 11},
		"up, what was added before the period does not":          {rules: config.ScalingRules{Policies: []config.RatePolicy{tasks(4, time.Minute)}}, ups: []scaleEvent{ago(time.Minute, 3)}, current: 10, wanted: 50, want: 14},
		"up, a limit already exceeded pins and never reverses":   {rules: config.ScalingRules{Policies: []config.RatePolicy{tasks(4, time.Minute)}}, ups: []scaleEvent{ago(time.Second, 9)}, current: 10, wanted: 50, want: 10},
		"up, a wish below the limit is granted":                  {rules: config.ScalingRules{Policies: []config.RatePolicy{tasks(4, time.Minute)}}, current: 10, wanted: 12, want: 12},
		"down, tasks take their value away":                      {rules: config.ScalingRules{Policies: []config.RatePolicy{tasks(2, time.Minute)}}, current: 10, wanted: 1, want: 8},
		"down, percent truncates":                                {rules: config.ScalingRules{Policies: []config.RatePolicy{percent(50, time.Minute)}}, current: 7, wanted: 1, want: 3},
		"down, Max takes the biggest change":                     {rules: config.ScalingRules{Policies: []config.RatePolicy{percent(50, time.Minute), tasks(2, time.Minute)}}, current: 10, wanted: 1, want: 5},
		"down, Min takes the smallest change":                    {rules: config.ScalingRules{SelectPolicy: config.SelectMin, Policies: []config.RatePolicy{percent(50, time.Minute), tasks(2, time.Minute)}}, current: 10, wanted: 1, want: 8},
		"down, Disabled takes none":                              {rules: config.ScalingRules{SelectPolicy: config.SelectDisabled, Policies: []config.RatePolicy{tasks(2, time.Minute)}}, current: 10, wanted: 1, want: 10},
		"down, what was taken away in the period counts":         {rules: config.ScalingRules{Policies: []config.RatePolicy{percent(50, time.Minute)}}, downs: []scaleEvent{ago(30*time.Second, 4)}, current: 6, wanted: 1, want: 5},
		"down, a limit already exceeded pins and never reverses": {rules: config.ScalingRules{Policies: []config.RatePolicy{tasks(2, time.Minute)}}, downs: []scaleEvent{ago(time.Second, 9)}, current: 6, wanted: 1, want: 6},
		"down, more than all is zero":                            {rules: config.ScalingRules{Policies: []config.RatePolicy{percent(200, time.Minute)}}, current: 6, wanted: 0, want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.rules.SelectPolicy == "" {
				tc.rules.SelectPolicy = config.SelectMax
			}
			memory := behaviorMemory{Ups: tc.ups, Downs: tc.downs}
			got, why := memory.limit(config.Behavior{ScaleUp: tc.rules, ScaleDown: tc.rules}, stampOf(monday), tc.current, tc.wanted)
			if got != tc.want || (got != tc.wanted) != (why != "") {
				t.Errorf("%d (%s), want %d", got, why, tc.want)
			}
		})
	}
}

func TestStabilization(t *testing.T) {
	type look struct{ after, current, wanted, want int } // seconds, tasks
	for name, tc := range map[string]struct {
		up, down time.Duration
		looks    []look
	}{
		"the first advice is the current count":              {down: 5 * time.Minute, looks: []look{{0, 8, 2, 8}}},
		"without windows every wish is granted":              {looks: []look{{0, 8, 2, 2}, {15, 2, 9, 9}}},
		"going down the highest advice of the window counts": {down: time.Minute, looks: []look{{0, 5, 5, 5}, {15, 5, 3, 5}, {45, 5, 2, 5}, {61, 5, 2, 3}, {76, 3, 2, 2}}},
		"going up the lowest advice of the window counts":    {up: time.Minute, looks: []look{{0, 5, 5, 5}, {15, 5, 9, 5}, {61, 5, 8, 8}}},
		"a wish between two advices keeps the count":         {up: time.Minute, down: time.Minute, looks: []look{{0, 5, 5, 5}, {15, 5, 3, 5}, {30, 5, 9, 5}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var memory behaviorMemory
			b := config.Behavior{ScaleUp: config.ScalingRules{StabilizationWindow: tc.up}, ScaleDown: config.ScalingRules{StabilizationWindow: tc.down}}
			for _, l := range tc.looks {
				now := stampOf(monday.Add(time.Duration(l.after) * time.Second))
				if got := memory.stabilize(b, now, l.current, l.wanted); got != l.want {
					t.Errorf("after %d s: %d, want %d", l.after, got, l.want)
				}
			}
		})
	}
}

func TestTolerance(t *testing.T) {
	b := config.Behavior{ScaleUp: config.ScalingRules{Tolerance: 0.1}, ScaleDown: config.ScalingRules{Tolerance: 0.2}}
	for name, tc := range map[string]struct{ current, need, want int }{
		"a tenth more is left alone":      {10, 11, 10},
		"two tenths more are followed":    {10, 12, 12},
		"two tenths less are left alone":  {10, 8, 10},
		"three tenths less are followed":  {10, 7, 7},
		"from zero nothing is tolerated":  {0, 1, 1},
		"to zero is followed":             {1, 0, 0},
		"an equal count is an equal one":  {4, 4, 4},
		"one more of nine is over a part": {9, 10, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tolerate(b, tc.current, tc.need); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
}
