package alerting

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

func variableNames() []string {
	var names []string
	for _, v := range config.Variables() {
		names = append(names, v.Name)
	}
	return names
}

const rule = `{alert: A, expr: queue.visible > 10, receivers: [ops]}`

const timings = "groupWait: 30s\n  groupInterval: 5m\n  repeatInterval: 4h"

func TestWhoIsToldWhat(t *testing.T) {
	for name, tc := range map[string]struct {
		play func(*story)
		want []string
	}{
		"the first word waits for groupWait": {
			func(s *story) { s.during(0, minute, 11, 0) }, []string{"30s first notification: a firing"},
		},
		"what fires within groupWait is told together": {
			func(s *story) { s.at(0, 11, 0); s.at(15*sec, 11, 11); s.during(30*sec, minute, 11, 11) },
			[]string{"30s first notification: a firing, b firing"},
		},
		"what is resolved within groupWait is never told": {
			func(s *story) { s.at(0, 11, 0); s.during(15*sec, 20*minute, 0, 0) }, nil,
		},
		"what fires later waits for groupInterval": {
			func(s *story) { s.during(0, minute, 11, 0); s.during(75*sec, 6*minute, 11, 11) },
			[]string{"30s first notification: a firing", "5m30s new alerts: a firing, b firing"},
		},
		"some resolved": {
			func(s *story) { s.during(0, minute, 11, 11); s.during(75*sec, 11*minute, 11, 0) },
			[]string{"30s first notification: a firing, b firing", "5m30s some resolved: a firing, b resolved"},
		},
		"all resolved": {
			func(s *story) { s.during(0, minute, 11, 11); s.during(75*sec, 30*minute, 0, 0) },
			[]string{"30s first notification: a firing, b firing", "5m30s all resolved: a resolved, b resolved"},
		},
		"what fires and is resolved between two looks is not told, not even as resolved": {
			func(s *story) {
				s.during(0, minute, 11, 0)
				s.during(75*sec, 2*minute, 11, 11)
				s.during(2*minute+15*sec, 11*minute, 11, 0)
			}, []string{"30s first notification: a firing"},
		},
		"unchanged, it is repeated after repeatInterval": {
			func(s *story) { s.during(0, 9*hour, 11, 0) },
			[]string{"30s first notification: a firing", "4h0m30s repeated: a firing", "8h0m30s repeated: a firing"},
		},
		"a bout that ends between two looks, and one that begins, is no change": {
			func(s *story) {
				s.during(0, minute, 11, 0)
				s.at(75*sec, 0, 0)
				s.during(90*sec, 20*minute, 11, 0)
			}, []string{"30s first notification: a firing"},
		},
		"a new bout after the word that all is resolved is a first one": {
			func(s *story) {
				s.during(0, minute, 11, 0)
				s.during(75*sec, 6*minute, 0, 0)
				s.during(6*minute+15*sec, 11*minute, 11, 0)
			}, []string{"30s first notification: a firing", "5m30s all resolved: a resolved", "10m30s first notification: a firing"},
		},
		"what a receiver does not take is told again at the next look": {
			func(s *story) {
				s.failing = true
				s.during(0, 6*minute, 11, 0)
				s.failing = false
				s.during(6*minute+15*sec, 20*minute, 11, 0)
			}, []string{"30s first notification: a firing", "5m30s first notification: a firing", "10m30s first notification: a firing"},
		},
		"a word of resolution that is not taken is told again": {
			func(s *story) {
				s.during(0, minute, 11, 0)
				s.failing = true
				s.during(75*sec, 40*minute, 0, 0)
				s.failing = false
				s.during(40*minute+15*sec, 60*minute, 0, 0)
				s.told = s.told[len(s.told)-1:]
			}, []string{"40m30s all resolved: a resolved"},
		},
		"a silence holds it back, and is over": {
			func(s *story) {
				s.silences = []Silence{{ID: "1", Matchers: []Matcher{{"queue", Equal, "a"}}, StartsAt: start, EndsAt: start.Add(7 * minute)}}
				s.during(0, 20*minute, 11, 0)
			}, []string{"10m30s first notification: a firing"},
		},
		"a silence of one leaves the others": {
			func(s *story) {
				s.silences = []Silence{{ID: "1", Matchers: []Matcher{{"queue", Equal, "a"}}, StartsAt: start, EndsAt: start.Add(hour)}}
				s.during(0, 20*minute, 11, 11)
			}, []string{"30s first notification: b firing"},
		},
		"a silence of what was told says nothing, even when it is resolved": {
			func(s *story) {
				s.during(0, minute, 11, 0)
				s.silences = []Silence{{ID: "1", Matchers: []Matcher{{"queue", Equal, "a"}}, StartsAt: start, EndsAt: start.Add(hour)}}
				s.during(75*sec, 10*minute, 11, 0)
				s.during(10*minute+15*sec, 30*minute, 0, 0)
			}, []string{"30s first notification: a firing"},
		},
		"what is unknown for a day is repeated, and not resolved": {
			func(s *story) {
				s.during(0, minute, 11, 0)
				for after := 2 * minute; after < 5*hour; after += minute {
					s.at(after, -1, -1)
				}
			}, []string{"30s first notification: a firing", "4h1m0s repeated: a firing"},
		},
		"steps that come late do not shift the rhythm": {
			func(s *story) {
				s.at(0, 11, 0)
				s.at(50*sec, 11, 0)
				s.at(5*minute+31*sec, 11, 11)
			}, []string{"50s first notification: a firing", "5m31s new alerts: a firing, b firing"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := play(t, timings, rule)
			tc.play(s)
			s.want(tc.want...)
		})
	}
}

func TestTheDecisionIsAlertmanagers(t *testing.T) {
	now := start.Add(4 * hour)
	entry := func(firing, resolved string) *Entry {
		return &Entry{Time: start.Add(time.Second), Firing: strings.Fields(firing), Resolved: strings.Fields(resolved)}
	}
	for name, tc := range map[string]struct {
		entry            *Entry
		firing, resolved string
		told             bool
		want             Reason
	}{
		"never told, and nothing fires":             {nil, "", "x", false, NothingFires},
		"never told, and something fires":           {nil, "x", "", true, FirstAlert},
		"told of a resolution, and it fires":        {entry("", "x"), "x", "", true, FirstAlert},
		"another one fires":                         {entry("x", ""), "x y", "", true, NewAlerts},
		"another one instead":                       {entry("x", ""), "y", "x", true, NewAlerts},
		"nothing fires any more":                    {entry("x y", ""), "", "x y", true, AllResolved},
		"nothing fires any more, and it was told":   {entry("", "x"), "", "x", false, NeverHeard},
		"one of two is resolved":                    {entry("x y", ""), "x", "y", true, SomeResolved},
		"one of two is resolved, as was told":       {entry("x", "y"), "x", "y", false, Unchanged},
		"the same":                                  {entry("x", ""), "x", "", false, Unchanged},
		"fewer, without a word of their resolution": {entry("x y", ""), "x", "", false, Unchanged},
	} {
		t.Run(name, func(t *testing.T) {
			told, why := decide(tc.entry, strings.Fields(tc.firing), strings.Fields(tc.resolved), 4*hour, now)
			if told != tc.told || why != tc.want {
				t.Errorf("got %v, %s; want %v, %s", told, why, tc.told, tc.want)
			}
		})
	}
	if told, why := decide(entry("x", ""), []string{"x"}, nil, 4*hour, now.Add(sec)); !told || why != Repeated {
		t.Errorf("after repeatInterval: got %v, %s", told, why)
	}
}

// Whatever happens: a recipient is never told twice within repeatInterval
// without a change, never of a resolution of what is unknown, and always, in
// the end, of what fires and of what is over.
func TestPropertyOfNotifications(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &story{t: t, now: start}
		s.scaling, s.alerts = fixedPolicies()
		var after, lastTold time.Duration
		lastWords, known := "", map[string]string{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			after += time.Duration(rapid.IntRange(1, 120).Draw(t, "seconds")) * sec
			waiting := rapid.SampledFrom([]float64{-1, 0, 11})
			a, b := waiting.Draw(t, "a"), waiting.Draw(t, "b")
			before := len(s.told)
			s.at(after, a, b)
			for _, now := range s.last.Alerts {
				unknown := now.Queue == "a" && a < 0 || now.Queue == "b" && b < 0
				if unknown && known[now.Queue] == string(Firing) && now.State != Firing {
					t.Fatalf("%s turned from firing to %s on what is unknown", now.Queue, now.State)
				}
				known[now.Queue] = string(now.State)
			}
			if len(s.told) == before {
				continue
			}
			_, words, _ := strings.Cut(s.told[len(s.told)-1], ": ")
			if words == lastWords && after-lastTold < 4*hour {
				t.Fatalf("told %q at %s and at %s", words, lastTold, after)
			}
			lastWords, lastTold = words, after
		}
		s.during(after+15*sec, after+20*minute, 0, 0)
		if len(s.told) > 0 && strings.Contains(s.told[len(s.told)-1], " firing") {
			t.Fatalf("the last word is %q, and all is over", s.told[len(s.told)-1])
		}
		s.during(after+21*minute, after+60*minute, 0, 0)
		if len(s.state.Alerts)+len(s.state.Groups) > 0 {
			t.Fatalf("this is left when all is over: %+v", s.state)
		}
	})
}

func fixedPolicies() (*config.ScalingPolicy, []*config.AlertPolicy) {
	parsed, err := config.Parse(config.File{Name: "p", Data: []byte(scalingYAML + "---\napiVersion: acs.novaura.io/v1\nkind: AlertPolicy\nmetadata: {name: alerts}\nspec:\n  " +
		timings + "\n  receivers: [{name: ops, webhook: {url: \"https://example.com\"}}]\n  rules:\n    - " + rule + "\n")})
	if err != nil {
		panic(err)
	}
	return parsed.Scaling[0], parsed.Alert
}

func TestAThousandRulesAreJudgedQuickly(t *testing.T) {
	lines := make([]string, 0, 1000)
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf(`{alert: A%d, for: 2m, expr: "queue.oldestAge > %d * queue.maxAge && service.running > 0", receivers: [ops]}`, i, i))
	}
	s := play(t, timings, strings.Join(lines, "\n"))
	old := &scaling.Sample{Value: 60 * 500, Time: start}
	in := Input{Policy: s.scaling, Observation: scaling.Observation{
		Time: start, Service: &scaling.Service{Running: 1}, Queues: map[string]scaling.Queue{"a": {OldestAge: old}, "b": {OldestAge: old}},
	}}
	began := time.Now()
	outcome, _ := Step(s.alerts, in, nil, State{}, start)
	if took := time.Since(began); took > 2*time.Second || len(outcome.Alerts) != 1000 {
		t.Errorf("1,000 rules on two queues took %s and gave %d alerts, want 1000", took, len(outcome.Alerts))
	}
}

func BenchmarkAThousandRules(b *testing.B) {
	lines := make([]string, 0, 1000)
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf(`{alert: A%d, for: 2m, expr: "queue.oldestAge > %d * queue.maxAge && service.running > 0", receivers: [ops]}`, i, i))
	}
	scalingPolicy, alerts := policies(b, timings, strings.Join(lines, "\n"))
	old := &scaling.Sample{Value: 60 * 500, Time: start}
	in := Input{Policy: scalingPolicy, Observation: scaling.Observation{
		Time: start, Service: &scaling.Service{Running: 1}, Queues: map[string]scaling.Queue{"a": {OldestAge: old}},
	}}
	for b.Loop() {
		Step(alerts, in, nil, State{}, start)
	}
}
