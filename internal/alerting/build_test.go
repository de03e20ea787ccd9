package alerting

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

var start = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

const scalingYAML = `apiVersion: acs.novaura.io/v1
kind: ScalingPolicy
metadata: {name: worker}
spec:
  target: {cluster: c, service: s}
  queues: [{name: a, maxAge: 60s}, {name: b, maxAge: 60s}]
`

// policies is one ScalingPolicy of two queues, and an AlertPolicy with the
// rules and timings given.
func policies(t testing.TB, timings, rules string) (*config.ScalingPolicy, []*config.AlertPolicy) {
	t.Helper()
	parsed, err := config.Parse(config.File{Name: "policy.yaml", Data: []byte(scalingYAML + `---
apiVersion: acs.novaura.io/v1
kind: AlertPolicy
metadata: {name: alerts}
spec:
  ` + timings + `
  receivers: [{name: ops, webhook: {url: "https://example.com"}}]
  rules:
    - ` + strings.Join(strings.Split(rules, "\n"), "\n    - ") + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Scaling[0], parsed.Alert
}

// reporter is what a story needs of a test, rapid's too.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

// story plays one rule over time.
type story struct {
	t        reporter
	scaling  *config.ScalingPolicy
	alerts   []*config.AlertPolicy
	state    State
	now      time.Time
	failing  bool // the receiver takes nothing
	silences []Silence
	told     []string
	last     Outcome
}

func play(t testing.TB, timings, rules string) *story {
	t.Helper()
	s := &story{t: t, now: start}
	s.scaling, s.alerts = policies(t, timings, rules)
	return s
}

// at steps with so many messages waiting on queue a, and b; below 0 is
// unknown. What it told is appended to told, as "30s first notification: a
// firing".
func (s *story) at(after time.Duration, waiting ...float64) {
	s.t.Helper()
	s.now = start.Add(after)
	obs := scaling.Observation{Time: s.now, Service: &scaling.Service{Desired: 1, Running: 1}, Queues: map[string]scaling.Queue{}}
	for i, name := range []string{"a", "b"}[:len(waiting)] {
		if waiting[i] >= 0 {
			obs.Queues[name] = scaling.Queue{Visible: &scaling.Sample{Value: waiting[i], Time: s.now}}
		}
	}
	s.step(Input{Policy: s.scaling, Observation: obs})
}

func (s *story) step(in Input) {
	s.t.Helper()
	s.last, s.state = Step(s.alerts, in, s.silences, s.state, s.now)
	for _, n := range s.last.Notifications {
		parts := make([]string, 0, len(n.Alerts))
		for _, a := range n.Alerts {
			parts = append(parts, a.Queue+" "+string(a.State))
		}
		s.told = append(s.told, fmt.Sprintf("%s %s: %s", s.now.Sub(start), n.Reason, strings.Join(parts, ", ")))
		if !s.failing {
			s.state = s.state.Confirm(n)
		}
	}
	s.restart()
}

// restart takes the state through JSON, as the database does.
func (s *story) restart() {
	encoded, err := json.Marshal(s.state)
	if err != nil {
		s.t.Fatal(err)
	}
	s.state = State{}
	if err := json.Unmarshal(encoded, &s.state); err != nil {
		s.t.Fatal(err)
	}
}

// during steps every 15 s from from to to.
func (s *story) during(from, to time.Duration, waiting ...float64) {
	s.t.Helper()
	for after := from; after <= to; after += 15 * time.Second {
		s.at(after, waiting...)
	}
}

// phases is where every alert stands, as "a firing".
func (s *story) phases() string {
	var parts []string
	for _, a := range s.last.Alerts {
		parts = append(parts, strings.TrimSpace(a.Queue+" "+string(a.State)))
	}
	return strings.Join(parts, ", ")
}

func (s *story) want(told ...string) {
	s.t.Helper()
	if got, want := strings.Join(s.told, "\n"), strings.Join(told, "\n"); got != want {
		s.t.Errorf("told\n%s\nwant\n%s", got, want)
	}
}
