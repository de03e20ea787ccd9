package scaling

import (
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

func TestSchedules(t *testing.T) {
	window := func(cron string, length time.Duration, low, high *int) config.Schedule {
		return config.Schedule{Name: "campaign", Cron: cron, TimeZone: "America/New_York", Duration: length, MinTasks: low, MaxTasks: high}
	}
	morning := window("0 8 * * MON-FRI", 2*time.Hour, new(10), new(60))
	for name, tc := range map[string]struct {
		schedules []config.Schedule
		at        string
		low, high int
	}{
		"before it starts nothing is raised":            {[]config.Schedule{morning}, "2026-01-05T12:59:59Z", 1, 40},
		"at its start it holds":                         {[]config.Schedule{morning}, "2026-01-05T13:00:00Z", 10, 60},
		"within its duration it holds":                  {[]config.Schedule{morning}, "2026-01-05T14:59:59Z", 10, 60},
		"at its end it is over":                         {[]config.Schedule{morning}, "2026-01-05T15:00:00Z", 1, 40},
		"on a day it does not name it rests":            {[]config.Schedule{morning}, "2026-01-04T13:30:00Z", 1, 40},
		"in summer it follows the wall clock":           {[]config.Schedule{morning}, "2026-07-06T12:30:00Z", 10, 60},
		"of two that overlap the highest minimum wins":  {[]config.Schedule{morning, window("30 8 * * *", time.Hour, new(15), nil), window("0 8 * * *", time.Hour, new(3), nil)}, "2026-01-05T13:40:00Z", 15, 60},
		"it may lower the minimum":                      {[]config.Schedule{window("0 8 * * *", time.Hour, new(0), nil)}, "2026-01-05T13:40:00Z", 0, 40},
		"a minimum above the maximum lifts it":          {[]config.Schedule{window("0 8 * * *", time.Hour, new(50), nil)}, "2026-01-05T13:40:00Z", 50, 50},
		"a start in the skipped hour comes at the jump": {[]config.Schedule{window("30 2 * * *", 10*time.Minute, new(7), nil)}, "2026-03-08T07:05:00Z", 7, 40},
		"not before the jump":                           {[]config.Schedule{window("30 2 * * *", 10*time.Minute, new(7), nil)}, "2026-03-08T06:59:59Z", 1, 40},
		"and not a second time":                         {[]config.Schedule{window("30 2 * * *", 10*time.Minute, new(7), nil)}, "2026-03-08T07:30:00Z", 1, 40},
		"a doubled hour starts it the first time":       {[]config.Schedule{window("30 1 * * *", 10*time.Minute, new(7), nil)}, "2026-11-01T05:35:00Z", 7, 40},
		"a doubled hour starts it once":                 {[]config.Schedule{window("30 1 * * *", 10*time.Minute, new(7), nil)}, "2026-11-01T06:35:00Z", 1, 40},
		"one longer than its period never ends":         {[]config.Schedule{window("* * * * *", 24*time.Hour, new(7), nil)}, "2026-11-01T06:35:00Z", 7, 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339, tc.at)
			if err != nil {
				t.Fatal(err)
			}
			spec := policy(func(s *config.ScalingSpec) { s.Schedules = tc.schedules }).Spec
			if b := boundsAt(&spec, at); b.Min != tc.low || b.Max != tc.high {
				t.Errorf("%d to %d, want %d to %d", b.Min, b.Max, tc.low, tc.high)
			}
		})
	}
}

func TestAScheduleIsNamedAsTheLimit(t *testing.T) {
	p := policy(func(s *config.ScalingSpec) {
		s.Schedules = []config.Schedule{{Name: "campaign", Cron: "0 8 * * *", TimeZone: "UTC", Duration: time.Hour, MinTasks: new(10)}}
	})
	d := story(t, p, seen(2, 0, 0))
	if d.Desired != 10 || d.LimitedBy != "schedule" {
		t.Errorf("desired %d by %s: %s", d.Desired, d.LimitedBy, d.Reason)
	}
	if want := "raised to 10 by schedule campaign (minTasks 10)"; len(d.Reason) < len(want) || d.Reason[len(d.Reason)-len(want):] != want {
		t.Errorf("reason %q", d.Reason)
	}
}

func TestAScheduleShorterThanAStartHoldsFromOneStartBeforeItToItsEnd(t *testing.T) {
	t.Parallel()
	spec := policy(func(s *config.ScalingSpec) {
		s.Schedules = []config.Schedule{{Name: "burst", Cron: "10 8 * * *", TimeZone: "UTC", Duration: time.Minute, MinTasks: new(10)}}
	}).Spec
	start := monday.Add(10 * time.Minute)
	for after := -3 * time.Minute; after < 3*time.Minute; after += 15 * time.Second {
		want := 1
		if after >= -75*time.Second && after < time.Minute {
			want = 10
		}
		if b := boundsAhead(&spec, start.Add(after), 75); b.Min != want {
			t.Errorf("%s after its start: at least %d, want %d", after, b.Min, want)
		}
	}
}
