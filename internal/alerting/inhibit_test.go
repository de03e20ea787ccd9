package alerting

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// inhibiting has a cause that is about what waits on a queue, a consequence of
// it, and one of the whole service.
const inhibiting = `{alert: Cause, expr: queue.visible > 100, receivers: [ops]}
{alert: Consequence, expr: queue.visible > 10, keepFiringFor: 1m, receivers: [ops], inhibitedBy: [Cause, Outage]}
{alert: Outage, expr: service.running == 0, receivers: [ops]}
{alert: Idle, expr: service.desired > 0, receivers: [ops], inhibitedBy: [Cause]}`

// names plays steps every 15 s, and lists which alerts were told, as
// "30s Cause a firing".
func (s *story) names(from, to time.Duration, waiting ...float64) (told []string) {
	for after := from; after <= to; after += 15 * time.Second {
		s.at(after, waiting...)
		for _, n := range s.last.Notifications {
			for _, a := range n.Alerts {
				told = append(told, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s", after, a.Alert, a.Queue, a.State)), " "))
			}
		}
	}
	return told
}

func TestAnInhibitedAlertIsNotTold(t *testing.T) {
	for name, tc := range map[string]struct {
		play func(*story) []string
		want []string
	}{
		"while the cause fires for the same queue": {
			func(s *story) []string { return s.names(0, 20*minute, 101, 0) }, []string{"30s Cause a firing"},
		},
		"but that of another queue is": {
			func(s *story) []string { return s.names(0, 20*minute, 101, 11) }, []string{"30s Cause a firing", "30s Consequence b firing"},
		},
		"it is told three minutes after the cause is over, where it fires on": {
			func(s *story) []string {
				return append(s.names(0, 10*minute, 101, 0), s.names(10*minute+15*sec, 20*minute, 11, 0)...)
			},
			[]string{"30s Cause a firing", "10m30s Cause a resolved", "13m30s Consequence a firing", "13m30s Idle firing"},
		},
		"it is not told where it is over with the cause, whatever keepFiringFor": {
			func(s *story) []string {
				return append(s.names(0, 10*minute, 101, 0), s.names(10*minute+15*sec, 20*minute, 0, 0)...)
			},
			[]string{"30s Cause a firing", "10m30s Cause a resolved", "13m30s Idle firing"},
		},
		"who was told that it fires is told that it is resolved": {
			func(s *story) []string {
				told := s.names(0, minute, 11, 0)
				told = append(told, s.names(75*sec, 10*minute, 101, 0)...)
				return append(told, s.names(10*minute+15*sec, 20*minute, 0, 0)...)
			},
			[]string{
				"30s Consequence a firing", "30s Idle firing", "1m45s Cause a firing", "11m45s Cause a resolved", "15m30s Consequence a resolved",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.play(play(t, timings, inhibiting)); !slices.Equal(got, tc.want) {
				t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

func TestAnInhibitedAlertIsShownWithWhatInhibitsIt(t *testing.T) {
	t.Parallel()
	s := play(t, timings, inhibiting)
	s.at(0, 101, 11)
	got := map[string][]string{}
	for _, a := range s.last.Alerts {
		got[strings.TrimSpace(a.Alert+" "+a.Queue)] = a.InhibitedBy
	}
	for alert, want := range map[string][]string{
		"Cause a": nil, "Consequence a": {"Cause"}, "Consequence b": nil, "Idle": {"Cause"}, // about the whole service
	} {
		if !slices.Equal(got[alert], want) {
			t.Errorf("%s: inhibited by %v, want %v", alert, got[alert], want)
		}
	}
}

func TestACauseThatNobodyHearsOfInhibitsNothing(t *testing.T) {
	t.Parallel()
	s := play(t, timings, `{alert: Consequence, expr: queue.visible > 10, receivers: [ops], inhibitedBy: [EmergencyStop]}`)
	s.alerts = config.WithBuiltIn(s.alerts) // the built-in rules have no receivers
	s.now = start
	five := &scaling.Sample{Value: 50, Time: start}
	s.step(Input{
		Policy: s.scaling, Observation: scaling.Observation{Time: start, Queues: map[string]scaling.Queue{"a": {Visible: five}}},
		Decision: scaling.Decision{Steps: []scaling.Step{{Rule: "emergencyStop"}}},
	})
	stopped := false
	for _, a := range s.last.Alerts {
		stopped = stopped || a.Alert == "EmergencyStop" && a.State == Firing
		if len(a.InhibitedBy) > 0 {
			t.Errorf("%s is inhibited by %v", a.Alert, a.InhibitedBy)
		}
	}
	if !stopped {
		t.Error("EmergencyStop does not fire")
	}
}
