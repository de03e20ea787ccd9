package alerting

import (
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

const sec, minute, hour = time.Second, time.Minute, time.Hour

// A step is so long after the start, with so many messages on queue a; -1 is
// unknown.
type moments []struct {
	after   time.Duration
	waiting float64
	want    string
}

func TestTheLifeOfAnAlert(t *testing.T) {
	for name, tc := range map[string]struct {
		rule  string
		steps moments
	}{
		"without for, it fires at once": {`{alert: A, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 5, ""}, {15 * sec, 11, "a firing"},
		}},
		"with for, it is pending until the condition has held for so long": {`{alert: A, for: 30s, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 11, "a pending"}, {15 * sec, 11, "a pending"}, {30 * sec, 11, "a firing"},
		}},
		"one sample that does not hold resets what is pending": {`{alert: A, for: 30s, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 11, "a pending"}, {15 * sec, 10, ""}, {30 * sec, 11, "a pending"}, {45 * sec, 11, "a pending"}, {60 * sec, 11, "a firing"},
		}},
		"without keepFiringFor, it is resolved at once": {`{alert: A, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 11, "a firing"}, {15 * sec, 0, "a resolved"},
		}},
		"keepFiringFor counts from the first sample that does not hold": {`{alert: A, keepFiringFor: 30s, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 11, "a firing"}, {15 * sec, 0, "a firing"}, {30 * sec, 0, "a firing"}, {45 * sec, 0, "a resolved"},
		}},
		"a sample that holds starts keepFiringFor anew": {`{alert: A, keepFiringFor: 30s, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 11, "a firing"}, {15 * sec, 0, "a firing"}, {30 * sec, 11, "a firing"}, {45 * sec, 0, "a firing"}, {60 * sec, 0, "a firing"}, {75 * sec, 0, "a resolved"},
		}},
		"what is unknown does not fire": {`{alert: A, for: 30s, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 11, "a pending"}, {15 * sec, -1, "a pending"}, {30 * sec, -1, "a pending"}, {10 * minute, -1, "a pending"},
		}},
		"time that is unknown does not count for for": {`{alert: A, for: 30s, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 11, "a pending"}, {15 * sec, -1, "a pending"}, {10 * minute, -1, "a pending"}, {10*minute + 15*sec, 11, "a pending"}, {10*minute + 30*sec, 11, "a firing"},
		}},
		"what is unknown does not resolve": {`{alert: A, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 11, "a firing"}, {15 * sec, -1, "a firing"}, {24 * hour, -1, "a firing"}, {24*hour + 15*sec, 0, "a resolved"},
		}},
		"time that is unknown does not count for keepFiringFor": {`{alert: A, keepFiringFor: 30s, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 11, "a firing"}, {15 * sec, 0, "a firing"}, {10 * minute, -1, "a firing"}, {10*minute + 15*sec, 0, "a firing"}, {10*minute + 30*sec, 0, "a resolved"},
		}},
		"what was never judged is said to be unknown": {`{alert: A, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, -1, "a unknown"}, {15 * sec, 0, ""},
		}},
		"resolved, it is shown for a quarter of an hour": {`{alert: A, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 11, "a firing"}, {15 * sec, 0, "a resolved"}, {15 * minute, 0, "a resolved"}, {16 * minute, 0, ""},
		}},
		"it fires anew": {`{alert: A, expr: queue.visible > 10, receivers: [ops]}`, moments{
			{0, 11, "a firing"}, {15 * sec, 0, "a resolved"}, {30 * sec, 11, "a firing"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := play(t, "groupWait: 0s", tc.rule)
			for _, step := range tc.steps {
				s.at(step.after, step.waiting, 0)
				if got := s.phases(); got != step.want {
					t.Errorf("after %s: got %q, want %q", step.after, got, step.want)
				}
			}
		})
	}
}

func TestAnAlertSaysWhatIsUnknown(t *testing.T) {
	s := play(t, "groupWait: 0s", `{alert: A, expr: queue.visible > 10, receivers: [ops], message: "{{ .queue.visible }} wait"}`)
	s.at(0, 11, 0)
	s.at(15*sec, -1, 0)
	if a := s.last.Alerts[0]; a.Unknown != "queue.visible is unknown" || a.Message != "11 wait" {
		t.Errorf("got %q and message %q, want the last one that is known", a.Unknown, a.Message)
	}
	s.at(30*sec, 12, 0)
	if a := s.last.Alerts[0]; a.Unknown != "" || a.Message != "12 wait" {
		t.Errorf("got %q and message %q", a.Unknown, a.Message)
	}
}

func TestASampleThatIsTooOldIsUnknown(t *testing.T) {
	s := play(t, "groupWait: 0s", `{alert: A, expr: queue.visible > 10, receivers: [ops]}`)
	s.at(0, 11, 0)
	s.now = start.Add(hour)
	old := &scaling.Sample{Time: start.Add(hour - 6*minute)}
	s.step(Input{Policy: s.scaling, Observation: scaling.Observation{Time: s.now, Queues: map[string]scaling.Queue{"a": {Visible: old}, "b": {Visible: old}}}})
	if got := s.phases(); got != "a firing, b unknown" {
		t.Errorf("got %q", got)
	}
}

func TestAnAlertIsToldOfWhateverEndsIt(t *testing.T) {
	t.Run("its rule is gone", func(t *testing.T) {
		s := play(t, "groupWait: 0s", `{alert: A, expr: queue.visible > 10, receivers: [ops]}`)
		s.at(0, 11, 0)
		_, s.alerts = policies(t, "groupWait: 0s", `{alert: B, expr: queue.visible > 10, receivers: [ops]}`)
		s.during(15*sec, 6*minute, 0, 0)
		s.want("0s first notification: a firing", "5m0s all resolved: a resolved")
	})
	t.Run("its queue is gone", func(t *testing.T) {
		s := play(t, "groupWait: 0s", `{alert: A, expr: queue.visible > 10, receivers: [ops]}`)
		s.at(0, 0, 11)
		s.scaling.Spec.Queues = s.scaling.Spec.Queues[:1]
		s.during(15*sec, 6*minute, 0, 0)
		s.want("0s first notification: b firing", "5m0s all resolved: b resolved")
	})
}

func TestAServiceRuleIsJudgedOnce(t *testing.T) {
	s := play(t, "groupWait: 0s", `{alert: A, expr: service.running < 2, receivers: [ops]}`)
	s.at(0, 0, 0)
	if got := s.phases(); got != "firing" || s.last.Alerts[0].Policy != "worker" {
		t.Errorf("got %q of policy %q", got, s.last.Alerts[0].Policy)
	}
}

func TestEveryVariableHasAValue(t *testing.T) {
	s := play(t, "groupWait: 0s", `{alert: A, expr: service.running < 2, receivers: [ops]}`)
	yes, five, n := true, &scaling.Sample{Value: 5, Time: start, Period: 60}, 1
	held := 2.0
	in := Input{
		Policy: s.scaling, Decision: scaling.Decision{Queues: []scaling.QueueNeed{{Queue: "a", Known: true, ArrivalKnown: true}}},
		Observation: scaling.Observation{
			Time: start, Service: &scaling.Service{Rollout: &yes, Protected: &n, FailedStarts: &n, Stops: &n, RolloutRunning: &n},
			Queues: map[string]scaling.Queue{"a": {
				Visible: five, InFlight: five, Delayed: five, OldestAge: five, Sent: five, Received: five, Deleted: five, Failed: five,
				DeadLettered: five, CredentialsRefused: five, ProviderLimited: &yes, OldestWaiting: five, Parked: five, DeadLetters: five,
				Retried: five, OldestUnsettled: five, Providers: []scaling.Provider{{Name: "twilio", Time: start, Calls: 20, Failed: 20}},
			}},
		},
		Controller: Controller{
			PolicyAccepted: &yes, TargetReadable: &yes, TargetWritable: &yes, MetricsReadable: &yes, HistoryWritable: &yes, NotifierWorking: &yes,
			InDoubt: &held, DatabaseLatency: &held,
		},
		Messages: map[string]Messages{"a": {}},
	}
	values := in.queueValues(in.values(), 0, start)
	for _, v := range variableNames() {
		if values[v] == nil {
			t.Errorf("%s has no value", v)
		}
		delete(values, v)
	}
	if len(values) > 0 {
		t.Errorf("these are no variables: %v", values)
	}
}

func TestAnEmptyQueueHasAnAgeOfZero(t *testing.T) {
	s := play(t, "groupWait: 0s", `{alert: A, expr: queue.oldestAge < 1, receivers: [ops]}`)
	empty := &scaling.Sample{Time: start}
	s.step(Input{Policy: s.scaling, Observation: scaling.Observation{Time: start, Queues: map[string]scaling.Queue{
		"a": {Visible: empty, InFlight: empty}, "b": {Visible: &scaling.Sample{Value: 1, Time: start}, InFlight: empty},
	}}})
	if got := s.phases(); got != "a firing, b unknown" {
		t.Errorf("got %q", got)
	}
}

func TestShippedRulesNeedNoWorkersThatPublish(t *testing.T) {
	for name, tc := range map[string]struct {
		refused *scaling.Sample
		want    Phase // of CredentialsRejected; empty: nothing is said of it
	}{
		"nothing is published":     {},
		"none is refused":          {refused: &scaling.Sample{Time: start, Period: 60}},
		"three are":                {refused: &scaling.Sample{Value: 3, Time: start, Period: 60}, want: Pending},
		"what was said is too old": {refused: &scaling.Sample{Value: 3, Time: start.Add(-time.Hour), Period: 60}},
	} {
		s := play(t, "", `{alert: A, expr: queue.known, receivers: [ops]}`)
		s.alerts = config.WithBuiltIn(nil)
		known := &scaling.Sample{Time: start}
		q := scaling.Queue{Visible: known, InFlight: known, CredentialsRefused: tc.refused}
		s.step(Input{Policy: s.scaling, Observation: scaling.Observation{Time: start, Queues: map[string]scaling.Queue{"a": q}}})
		var got Phase
		for _, a := range s.last.Alerts {
			if a.Alert == "CredentialsRejected" {
				got = a.State
			}
		}
		if got != tc.want {
			t.Errorf("%s: CredentialsRejected is %q, want %q", name, got, tc.want)
		}
	}
}

func TestSilencesMatchLabels(t *testing.T) {
	a := Alert{Alert: "OldestMessageTooOld", Severity: "critical", Policy: "worker", Queue: "texts"}
	for text, want := range map[string]bool{
		"alertname=OldestMessageTooOld": true, "OldestMessageTooOld": true, "alert=OldestMessageTooOld": true, `queue="texts"`: true, "queue=mails": false,
		"queue!=mails": true, `alertname=~"Oldest.*"`: true, "alertname=~Oldest": false, "alertname!~Oldest": true, "severity = critical": true, "queue=": false,
	} {
		m, err := ParseMatcher(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := (Silence{Matchers: []Matcher{m}}).Matches(a); got != want {
			t.Errorf("%s: got %v (%v)", text, got, m)
		}
	}
	for text, want := range map[string]string{
		"": "not a matcher", "a b": "not a matcher", "colour=red": "not a label", "queue=~(": "regular expression",
		"queue=~" + strings.Repeat("(a|b)", 60): "has 300 characters, and may have 255",
	} {
		if _, err := ParseMatcher(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestASilenceHasBounds(t *testing.T) {
	t.Parallel()
	sound := Silence{Matchers: []Matcher{{"queue", Equal, "a"}}, StartsAt: start, EndsAt: start.Add(hour), CreatedBy: "me", Comment: "why"}
	many, wordy := sound, sound
	for range 20 {
		many.Matchers = append(many.Matchers, sound.Matchers[0])
	}
	wordy.Comment = strings.Repeat("x", 1001)
	for want, s := range map[string]Silence{"20 matchers": many, "1000 characters": wordy} {
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if err := sound.Check(); err != nil {
		t.Error(err)
	}
}
