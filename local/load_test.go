package main

import (
	"testing"
	"time"
)

func TestADayIsQuietAtNightBusyByDayAndHasItsCampaignsAtTheFullHour(t *testing.T) {
	at := func(hour float64) time.Duration {
		return time.Duration((hour - dayBegins) / 24 * float64(dayLength))
	}
	for _, c := range []struct {
		name            string
		hour            float64
		usual, campaign float64
	}{
		{"before work", 7, 2, 0}, {"as the first campaign leaves", 9.01, 10, 100}, {"when it has left", 9.2, 10, 0},
		{"at the day's height", 14, 28, 0}, {"at night", 27, 1, 0}, {"the next morning", 33.01, 10, 100},
	} {
		usual, campaign := rateAt("day", 10, at(c.hour))
		if usual < 0.6*c.usual || usual > 1.4*c.usual || campaign != c.campaign {
			t.Errorf("%s: %.1f and a campaign of %.1f messages/s, want about %.1f and %.1f", c.name, usual, campaign, c.usual, c.campaign)
		}
	}
	sum := 0.0
	for minute := range 24 * 60 {
		usual, _ := rateAt("day", 10, at(float64(minute)/60))
		sum += usual / (24 * 60)
	}
	if sum < 9.8 || sum > 10.2 {
		t.Errorf("a day's mean is %.2f messages/s, want 10", sum)
	}
}
