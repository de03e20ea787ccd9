package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/scaling"
)

func TestACountIsContestedWhenSomeoneElseChangesItAgainAndAgain(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		changes []time.Duration // after the start
		until   time.Duration
		want    string // empty: it is not contested
	}{
		"nobody changes it":                       {nil, time.Minute, ""},
		"a person sets it, and corrects it":       {[]time.Duration{0, time.Minute}, 2 * time.Minute, ""},
		"two controllers fight":                   {[]time.Duration{0, 15 * time.Second, 30 * time.Second, 45 * time.Second}, time.Minute, "4 times since 08:00:00 UTC (4 to 40, 4 to 40, 4 to 40)"},
		"three changes in an hour are a person's": {[]time.Duration{0, 20 * time.Minute, 40 * time.Minute}, time.Hour, ""},
		"the fight is over after ten minutes":     {[]time.Duration{0, 15 * time.Second, 30 * time.Second}, 11 * time.Minute, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c contest
			for at := time.Duration(0); at <= tc.until; at += 5 * time.Second {
				d := scaling.Decision{Time: start.Add(at), Steps: []scaling.Step{{Rule: "need", From: 4, To: 4}}}
				for _, change := range tc.changes {
					if change == at {
						d.Steps = append(d.Steps, scaling.Step{Rule: "externalChange", From: 4, To: 40})
					}
				}
				c.see(d)
			}
			got := c.message()
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
