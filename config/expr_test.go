package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func rule(t *testing.T, lines string) *Rule {
	t.Helper()
	policies, err := Parse(File{Name: "policy.yaml", Data: []byte(`apiVersion: acs.novaura.io/v1
kind: AlertPolicy
metadata: {name: alerts}
spec:
  receivers: [{name: ops, webhook: {url: "https://example.com"}}]
  rules:
    - alert: A
      receivers: [ops]
      ` + strings.Join(strings.Split(lines, "\n"), "\n      ") + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	return policies.Alert[0].Rules()[0]
}

// moment is a queue that waits, on a service that runs; failed is unknown.
func moment() Values {
	return Values{
		"queue.name": "texts", "queue.visible": 120.0, "queue.inFlight": 0.0, "queue.oldestAge": 301.0, "queue.maxAge": 60.0, "queue.known": true,
		"service.running": 3.0, "service.rollout": false, "decision.limitedBy": "maxTasks",
	}
}

func TestWhatAConditionComesTo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		expr string
		want Verdict
		why  string
	}{
		"an age against five times the objective":           {`queue.oldestAge > 5 * queue.maxAge`, Holds, ""},
		"five times from the other side":                    {`queue.maxAge * 5 < queue.oldestAge`, Holds, ""},
		"an age against a duration":                         {`queue.oldestAge > duration("5m")`, Holds, ""},
		"a duration against an age":                         {`duration("5m2s") < queue.oldestAge`, HoldsNot, ""},
		"an age and a duration added":                       {`queue.maxAge + duration("4m") < queue.oldestAge`, Holds, ""},
		"an age against plain seconds":                      {`queue.oldestAge >= 301`, Holds, ""},
		"a number against a whole number":                   {`queue.inFlight == 0 && queue.visible != 0`, Holds, ""},
		"a number against a fraction":                       {`queue.visible / service.running <= 40.0`, Holds, ""},
		"whole numbers divide as whole numbers":             {`7 / 2 == 3`, Holds, ""},
		"text and lists":                                    {`queue.name in ["texts", "mails"] && decision.limitedBy.startsWith("max")`, Holds, ""},
		"a macro over a list":                               {`["a", "texts"].exists(n, n == queue.name)`, Holds, ""},
		"what is unknown is neither":                        {`queue.failed > 0`, Unknown, "queue.failed is unknown"},
		"two unknown values are both named":                 {`queue.failed > 0 && service.pending > 0`, Unknown, "queue.failed, service.pending are unknown"},
		"arithmetic with what is unknown":                   {`queue.visible + queue.parked > 0`, Unknown, "queue.parked is unknown"},
		"not unknown is unknown":                            {`!(queue.failed > 0)`, Unknown, "queue.failed is unknown"},
		"false and unknown is false":                        {`queue.failed > 0 && queue.visible < 0`, HoldsNot, ""},
		"true or unknown is true":                           {`queue.failed > 0 || queue.visible > 0`, Holds, ""},
		"a division of whole numbers by zero is unknown":    {`1 / 0 > 1`, Unknown, "the condition cannot be worked out: division by zero"},
		"a choice turns on what it chooses by":              {`queue.known ? queue.visible > 100 : queue.failed > 0`, Holds, ""},
		"a choice by what is unknown is unknown":            {`queue.providerLimited ? true : false`, Unknown, "queue.providerLimited is unknown"},
		"an unknown number is not equal to, nor differs":    {`queue.parked != 0`, Unknown, "queue.parked is unknown"},
		"nothing named holds for ever":                      {`true`, Holds, ""},
		"an empty fleet with an empty queue is no infinity": {`queue.inFlight / 0.0 > 1`, HoldsNot, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verdict, why := rule(t, "expr: '"+tc.expr+"'").Judge(moment())
			if verdict != tc.want || why != tc.why {
				t.Errorf("%s: got %v %q, want %v %q", tc.expr, verdict, why, tc.want, tc.why)
			}
		})
	}
}

func TestAMessagePrintsForPeople(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ lines, want string }{
		"the guide's": {
			"expr: queue.oldestAge > 60\nmessage: '{{ .queue.name }}: oldest message {{ .queue.oldestAge }}, {{ .service.running }} tasks running'",
			"texts: oldest message 5m1s, 3 tasks running",
		},
		"without a message, the condition and its values": {
			"expr: queue.oldestAge > 5 * queue.maxAge", "queue.oldestAge > 5 * queue.maxAge: queue.maxAge 1m0s, queue.oldestAge 5m1s",
		},
		"what is unknown is said":          {"expr: queue.oldestAge > 60\nmessage: '{{ .queue.failed }} failed'", "unknown failed"},
		"an unknown condition is not true": {"expr: queue.known\nmessage: '{{ if .queue.providerLimited }}limited{{ else }}free{{ end }}'", "free"},
		"a number is compared": {
			"expr: queue.known\nmessage: '{{ if and (gt .queue.visible 100) (le .queue.inFlight 0.5) }}many{{ else if gt .queue.visible 10 }}some{{ end }}'", "many",
		},
		"an age is compared":                 {"expr: queue.known\nmessage: '{{ if ge .queue.oldestAge 301 }}old{{ end }}'", "old"},
		"text is compared":                   {`expr: queue.known` + "\n" + `message: '{{ if eq .decision.limitedBy "schedule" "maxTasks" }}at most{{ end }}'`, "at most"},
		"nothing is true of what is unknown": {"expr: queue.known\nmessage: '{{ if lt .queue.failed 1 }}below{{ else if ge .queue.failed 1 }}above{{ else }}unknown{{ end }}'", "unknown"},
		"an unknown number is formatted":     {"expr: queue.known\nmessage: '{{ printf \"%.1f\" .queue.failed }}'", "unknown"},
		"a branch":                           {"expr: queue.known\nmessage: '{{ if .service.rollout }}deploying{{ else }}{{ printf \"%.1f\" .queue.visible }}{{ end }}'", "120.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := rule(t, tc.lines).Text(moment()); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestNumbersPrintShort(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		Age(0).String(): "0s", Age(0.85).String(): "850ms", Age(42.4).String(): "42s", Age(432).String(): "7m12s", Age(11100).String(): "3h5m",
		Amount(3).String(): "3", Amount(0.254).String(): "0.25", Amount(1.26).String(): "1.3", Amount(1200000.4).String(): "1200000",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestARuleIsJudgedPerQueueWhereItNamesOne(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]bool{
		`queue.visible > 0`: true, `service.running == 0`: false, `service.running == 0 && (true || queue.visible > 0)`: true, `decision.reason == "queue.visible"`: false,
	} {
		if got := rule(t, "expr: '"+expr+"'"); got.PerQueue != want {
			t.Errorf("%s: got per queue %v", expr, got.PerQueue)
		}
	}
}

func TestAnExpressionHasABoundedCost(t *testing.T) {
	t.Parallel()
	list := "[" + strings.Repeat("1,", 60) + "1]"
	for name, expr := range map[string]string{
		"lists within lists":                    list + ".all(a, " + list + ".all(b, " + list + ".all(c, a + b + c + int(queue.visible) > 0)))",
		"a text that grows":                     `queue.name` + strings.Repeat(`+ queue.name`, 70) + ` == "x"`,
		"an expression as long as it may be":    strings.Repeat("queue.visible>1||", 57) + "queue.known",
		"brackets within brackets":              strings.Repeat("(", 499) + "1" + strings.Repeat(")", 499),
		"not not not":                           strings.Repeat("!", 900) + "queue.known",
		"choices within choices":                strings.Repeat("queue.known?", 70) + "true" + strings.Repeat(":true", 70),
		"a regular expression of repetitions":   `queue.name.matches("` + strings.Repeat("(a{1000})?", 90) + `")`,
		"regular expressions within each other": `queue.name.matches("((((((a{10}){10}){10}){10}){10}){10})")`,
		"macros within macros":                  strings.Repeat("[1,2,3,4,5,6,7,8,9].exists(a,", 30) + "true" + strings.Repeat(")", 30),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			compiled, wrong := compileExpr(expr)
			if len(wrong) == 0 {
				compiled.judge(moment())
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s (%v)", took, wrong)
			}
		})
	}
}

func TestVariablesHaveANameAUnitAndWords(t *testing.T) {
	t.Parallel()
	for _, v := range Variables() {
		if (v.Unit != "") != (v.Kind == KindNumber) || v.Doc == "" || strings.Count(v.Name, ".") != 1 {
			t.Errorf("%+v is not complete", v)
		}
	}
	if groups := variableGroups(); !slices.Equal(groups, []string{"queue", "service", "policy", "decision", "controller"}) {
		t.Errorf("got groups %v", groups)
	}
}

func BenchmarkJudge(b *testing.B) {
	compiled, wrong := compileExpr(`queue.oldestAge > 5 * queue.maxAge && service.running > 0`)
	if wrong != nil {
		b.Fatal(wrong)
	}
	values := moment()
	for b.Loop() {
		compiled.judge(values)
	}
}
