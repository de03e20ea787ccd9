package processor

import (
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

// What counts is what the recipient's clock reads, also in the night in which it is
// put forward or back.
func TestQuietHoursHoldByTheClockWhenItIsChanged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		zone, from, to, at string
		want               string // the end; empty: it is not quiet
	}{
		"before a leap over the end":            {"America/New_York", "22:00", "02:30", "2026-03-08T06:45:00Z", "2026-03-08T07:00:00Z"},
		"the same, east of Greenwich":           {"Europe/Berlin", "22:00", "02:30", "2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z"},
		"after the leap":                        {"Europe/Berlin", "22:00", "02:30", "2026-03-29T01:10:00Z", ""},
		"a leap over midnight":                  {"America/Havana", "22:00", "00:30", "2026-03-08T04:45:00Z", "2026-03-08T05:00:00Z"},
		"the first of two times that are so":    {"America/New_York", "22:00", "01:30", "2026-11-01T05:15:00Z", "2026-11-01T06:30:00Z"},
		"the second of them":                    {"America/New_York", "22:00", "01:30", "2026-11-01T06:15:00Z", "2026-11-01T06:30:00Z"},
		"half an hour is put back":              {"Australia/Lord_Howe", "22:00", "01:45", "2026-04-04T15:10:00Z", "2026-04-04T15:15:00Z"},
		"a morning after the clock was forward": {"America/New_York", "21:00", "08:00", "2026-03-08T11:30:00Z", "2026-03-08T12:00:00Z"},
		"a morning after it was put back":       {"America/New_York", "21:00", "08:00", "2026-11-01T12:30:00Z", "2026-11-01T13:00:00Z"},
		"a day without a change":                {"Asia/Kolkata", "21:00", "08:00", "2026-11-01T01:00:00Z", "2026-11-01T02:30:00Z"},
	} {
		zone, err := time.LoadLocation(tc.zone)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, tc.at)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if end := quietIn(&config.QuietHours{From: tc.from, To: tc.to}, zone, at); !end.IsZero() {
			got = end.UTC().Format(time.RFC3339)
		}
		if got != tc.want {
			t.Errorf("%s: quiet until %q, want %q", name, got, tc.want)
		}
	}
}
