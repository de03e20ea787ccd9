package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/notify"
	"github.com/novaura/acs-operator/internal/provider/twilio"
	"github.com/novaura/acs-operator/internal/redact"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/twilio"
	"github.com/novaura/acs-operator/internal/store"
)

const alertsYAML = policyYAML + `---
apiVersion: acs.novaura.io/v1
kind: AlertPolicy
metadata: {name: alerts}
spec:
  groupWait: 30s
  groupInterval: 5m
  repeatInterval: 1h
  receivers:
    - {name: hook, webhook: {url: "https://hooks.example.com/"}}
    - {name: oncall, sms: {to: ["+14155550100"]}}
  rules:
    - {alert: ManyWaiting, expr: queue.visible > 1000, for: 1m, keepFiringFor: 1m, severity: critical, receivers: [hook, oncall], message: "{{ .queue.name }}: {{ .queue.visible }} wait"}
`

// wire answers the requests of receivers within a bubble: a webhook that
// remembers, and Twilio's stand-in.
type wire struct {
	twilio   *sandbox.Server
	began    time.Time
	registry *prometheus.Registry // made by alerted, of the run
	loop     *Loop                // the same
	removed  bool                 // the run follows no ScalingPolicy
	rules    string               // more lines of alertsYAML

	mu   sync.Mutex
	hook []string // "1m30s firing: q: 5000 wait"
	fail bool     // the webhook answers with 500
	hang bool     // it never answers
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "hooks.example.com" {
		answer := httptest.NewRecorder()
		w.twilio.ServeHTTP(answer, r)
		return answer.Result(), nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hang {
		w.mu.Unlock()
		<-r.Context().Done()
		w.mu.Lock()
		return nil, r.Context().Err()
	}
	if w.fail {
		return &http.Response{StatusCode: http.StatusInternalServerError, Body: http.NoBody}, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var told struct {
		NotificationReason string
		Alerts             []struct {
			Status      string
			Annotations map[string]string
		}
	}
	if err := json.Unmarshal(body, &told); err != nil {
		return nil, err
	}
	w.hook = append(w.hook, fmt.Sprintf("%s %s: %s, %s", time.Since(w.began).Round(time.Second), told.NotificationReason, told.Alerts[0].Status, told.Alerts[0].Annotations["summary"]))
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func (w *wire) notifier(t *testing.T) *notify.Notifier {
	t.Helper()
	client, err := twilio.New(twilio.Config{AccountSID: "AC1", AuthToken: redact.Secret("t"), From: "+15005550006", HTTPClient: &http.Client{Transport: w}})
	if err != nil {
		t.Fatal(err)
	}
	return notify.New(notify.Options{SMS: client, Transport: w})
}

// counted is what the counter of notifications says of an outcome.
func (w *wire) counted(t *testing.T, outcome string) (n float64) {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if family.GetName() == "acs_notifications_total" && label.GetValue() == outcome {
					n += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// orders are the silences that hold; nothing is held in doubt.
type orders []store.Silence

func (o orders) Silences(context.Context, time.Time) ([]store.Silence, error) { return o, nil }

func (orders) Events(context.Context, store.Filter) ([]store.Event, error) { return nil, nil }

// alerted runs a loop with alerts over the world for so long.
func alerted(t *testing.T, w *world, net *wire, o Orders, length time.Duration, meanwhile func()) *Loop {
	t.Helper()
	policies, err := config.Parse(config.File{Name: "policy.yaml", Data: []byte(alertsYAML + net.rules)})
	if err != nil {
		t.Fatal(err)
	}
	net.registry = prometheus.NewRegistry()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	leader := w.leader(ctx, "a")
	loop := New(Options{Services: w, Metrics: w, Memory: w, Leader: leader, Logger: logger, Notifier: net.notifier(t), Orders: o, Instruments: NewInstruments(net.registry)})
	loop.ApplyAlerts(policies.Alert)
	if !net.removed {
		loop.Apply(policies.Scaling)
	}
	net.loop = loop
	var running sync.WaitGroup
	running.Go(func() { leader.Run(ctx) })
	running.Go(meanwhile)
	loop.Run(ctx)
	running.Wait()
	return loop
}

func (w *world) wait(messages float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = messages
}

// One alert's life, as a webhook and a phone see it.
func TestAnAlertIsPendingFiresIsRepeatedAndIsResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, states: map[string][]byte{}}
		net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now()}
		alerted(t, w, net, nil, 3*time.Hour, func() {
			time.Sleep(time.Minute - time.Second) // between two ticks
			w.wait(5000)
			time.Sleep(2 * time.Hour)
			w.wait(0)
		})
		want := []string{
			"2m30s first notification: firing, q: 5000 wait", "1h2m30s repeated: firing, q: 5000 wait",
			"2h2m30s all resolved: resolved, q: 5000 wait",
		}
		if diff := cmp.Diff(want, net.hook); diff != "" {
			t.Errorf("the webhook (-want +got):\n%s", diff)
		}
		var texts []string
		for _, m := range net.twilio.Recent(10) {
			texts = append(texts, strings.SplitN(m.Body, ":", 2)[0])
		}
		if diff := cmp.Diff([]string{"[RESOLVED] ManyWaiting", "[FIRING] ManyWaiting", "[FIRING] ManyWaiting"}, texts); diff != "" {
			t.Errorf("the phone, newest first (-want +got):\n%s", diff)
		}
		if w.noticed("AlertFiring") == 0 || w.noticed("AlertResolved") == 0 {
			t.Error("there is no event of it")
		}
	})
}

func TestARestartNeitherForgetsNorRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, waiting: 5000, states: map[string][]byte{}}
		net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now()}
		alerted(t, w, net, nil, 4*time.Minute, func() {})
		time.Sleep(time.Minute)
		alerted(t, w, net, nil, 20*time.Minute, func() { time.Sleep(5*time.Minute - time.Second); w.wait(0) })
		want := []string{"1m30s first notification: firing, q: 5000 wait", "11m30s all resolved: resolved, q: 5000 wait"}
		if diff := cmp.Diff(want, net.hook); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAReceiverThatHangsHoldsUpNeitherTheLoopNorOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, waiting: 5000, states: map[string][]byte{}}
		net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now(), hang: true}
		loop := alerted(t, w, net, nil, 10*time.Minute, func() {})
		if got := len(net.twilio.Recent(10)); got != 1 {
			t.Errorf("the phone got %d texts, want 1", got)
		}
		if got := len(w.decisions); got < 40 {
			t.Errorf("got %d ticks in ten minutes, want 40", got)
		}
		if c := condition(t, loop, Notifying); c.Status != False || !strings.Contains(c.Message, "hook") {
			t.Errorf("got condition %+v", c)
		}
	})
}

func TestAReceiverThatFailsIsToldOnceItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, waiting: 5000, states: map[string][]byte{}}
		net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now(), fail: true}
		loop := alerted(t, w, net, nil, 30*time.Minute, func() {
			time.Sleep(20 * time.Minute)
			net.mu.Lock()
			defer net.mu.Unlock()
			net.fail = false
		})
		if len(net.hook) != 1 || !strings.Contains(net.hook[0], "first notification") {
			t.Errorf("got %q, want the first word once", net.hook)
		}
		if c := condition(t, loop, Notifying); c.Status != True {
			t.Errorf("got condition %+v", c)
		}
		if taken, failed := net.counted(t, "taken"), net.counted(t, "failed"); taken < 1 || failed < 1 {
			t.Errorf("counted %v taken and %v failed, want some of both", taken, failed)
		}
	})
}

func TestASilenceIsKeptAndShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, waiting: 5000, states: map[string][]byte{}}
		net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now()}
		silence := store.Silence{
			ID: "s1", Matchers: []byte(`[{"label":"alertname","op":"=","value":"ManyWaiting"}]`), StartsAt: time.Now().Add(-time.Hour), EndsAt: time.Now().Add(time.Hour),
		}
		loop := alerted(t, w, net, orders{silence}, 20*time.Minute, func() {})
		if len(net.hook)+len(net.twilio.Recent(10)) != 0 {
			t.Errorf("the webhook got %q, the phone %d texts", net.hook, len(net.twilio.Recent(10)))
		}
		alerts := loop.Views()[0].Alerts
		shown := alerts[slices.IndexFunc(alerts, func(a alerting.Alert) bool { return a.Alert == "ManyWaiting" })]
		if shown.State != alerting.Firing || !cmp.Equal(shown.SilencedBy, []string{"s1"}) {
			t.Errorf("got %+v", shown)
		}
	})
}

func TestMetricsThatVanishNeverResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, waiting: 5000, states: map[string][]byte{}}
		net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now()}
		loop := alerted(t, w, net, nil, 30*time.Minute, func() {
			time.Sleep(5 * time.Minute)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.metricsErr = errors.New("CloudWatch is down")
		})
		if len(net.hook) != 1 {
			t.Errorf("got %q, want the first word alone", net.hook)
		}
		states := map[string]alerting.Alert{}
		for _, a := range loop.Views()[0].Alerts {
			states[a.Alert] = a
		}
		if a := states["ManyWaiting"]; a.State != alerting.Firing || a.Unknown != "queue.visible is unknown" {
			t.Errorf("got %+v", a)
		}
		if a := states["MetricsUnknown"]; a.State != alerting.Firing || a.AlertPolicy != config.BuiltIn {
			t.Errorf("the built-in rule: got %+v", a)
		}
	})
}

// Whoever was told that something fires hears that it is over, also where it
// is because nobody asks any more.
func TestWhatIsRemovedWhileItFiresIsResolved(t *testing.T) {
	alertPolicies := func(t *testing.T, text string) []*config.AlertPolicy {
		policies, err := config.Parse(config.File{Name: "policy.yaml", Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		return policies.Alert
	}
	for name, remove := range map[string]func(t *testing.T, l *Loop){
		"the ScalingPolicy":          func(_ *testing.T, l *Loop) { l.Apply(nil) },
		"the AlertPolicy":            func(_ *testing.T, l *Loop) { l.ApplyAlerts(nil) },
		"both":                       func(_ *testing.T, l *Loop) { l.ApplyAlerts(nil); l.Apply(nil) },
		"the AlertPolicy, by and by": func(_ *testing.T, l *Loop) { l.ApplyAlerts(nil); l.ApplyAlerts(nil) },
		"the rule": func(t *testing.T, l *Loop) {
			l.ApplyAlerts(alertPolicies(t, strings.Replace(alertsYAML, "alert: ManyWaiting, expr: queue.visible > 1000", "alert: Other, expr: queue.visible > 1e9", 1)))
		},
		"the rule and its receiver": func(t *testing.T, l *Loop) {
			other := strings.Replace(alertsYAML, "alert: ManyWaiting, expr: queue.visible > 1000", "alert: Other, expr: queue.visible > 1e9", 1)
			l.ApplyAlerts(alertPolicies(t, strings.NewReplacer("name: hook", "name: another", "[hook,", "[another,").Replace(other)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{desired: 1, waiting: 5000, states: map[string][]byte{}}
				net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now()}
				loop := alerted(t, w, net, nil, time.Hour, func() {
					time.Sleep(3 * time.Minute)
					remove(t, net.loop)
				})
				want := []string{"1m30s first notification: firing, q: 5000 wait", "6m30s all resolved: resolved, q: 5000 wait"}
				if diff := cmp.Diff(want, net.hook); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if w.noticed("AlertResolved") == 0 {
					t.Error("there is no event of it")
				}
				if strings.Contains(name, "Scaling") && len(loop.runners) != 0 {
					t.Error("its runner works on")
				}
			})
		})
	}
}

func TestAPolicyThatIsBackBeforeLeaveIsTakenIsFollowedByOneRunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, waiting: 5000, states: map[string][]byte{}}
		net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now()}
		var ticks int
		loop := alerted(t, w, net, nil, 20*time.Minute, func() {
			time.Sleep(3 * time.Minute)
			net.loop.Apply(nil)
			time.Sleep(time.Minute)
			ticks = w.decided()
			time.Sleep(time.Minute)
			if w.decided() != ticks || len(net.loop.Views()) != 0 {
				t.Error("a policy that is gone is decided about, or shown")
			}
			net.loop.Apply([]*config.ScalingPolicy{policy(t)})
		})
		if got := w.decided() - ticks; got < 55 || got > 65 {
			t.Errorf("%d decisions in the fifteen minutes after it was back, want 60", got)
		}
		if len(net.hook) == 0 || !strings.Contains(net.hook[len(net.hook)-1], "firing") || len(loop.Views()) != 1 {
			t.Errorf("got %q", net.hook)
		}
	})
}

func TestAPolicyThatWasRemovedWhileNoControllerRanIsResolvedByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, waiting: 5000, states: map[string][]byte{}}
		net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now()}
		alerted(t, w, net, nil, 4*time.Minute, func() {})
		net.removed = true
		loop := alerted(t, w, net, nil, time.Hour, func() {})
		if len(net.hook) != 2 || !strings.Contains(net.hook[1], "all resolved") {
			t.Errorf("got %q, want it fired and resolved", net.hook)
		}
		if len(loop.runners) != 0 || !cmp.Equal(w.retained, []string{}) {
			t.Errorf("%d runners work on, and %q are kept", len(loop.runners), w.retained)
		}
	})
}

func TestAlertsThatCannotBeReadAreNotWrittenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, waiting: 5000, states: map[string][]byte{}}
		net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now()}
		alerted(t, w, net, nil, 4*time.Minute, func() {})
		w.unreadable(errors.New("statement timeout"))
		alerted(t, w, net, nil, 20*time.Minute, func() {
			time.Sleep(50 * time.Second)
			w.unreadable(nil)
			time.Sleep(time.Minute)
			w.wait(0)
		})
		want := []string{"1m30s first notification: firing, q: 5000 wait", "11m30s all resolved: resolved, q: 5000 wait"}
		if diff := cmp.Diff(want, net.hook); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestTheStatusOfAPolicyIsDroppedOnceLeaveIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, states: map[string][]byte{}}
		net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now()}
		alerted(t, w, net, nil, 3*time.Minute, func() {
			time.Sleep(time.Minute)
			if kept, _ := w.Statuses(t.Context()); len(kept) != 1 {
				t.Errorf("%d statuses while it is followed", len(kept))
			}
			net.loop.Apply(nil)
		})
		if kept, _ := w.Statuses(t.Context()); len(kept) != 0 {
			t.Error("its status stays until house is kept")
		}
	})
}

// A lease that lapsed while the database was away comes back under a new epoch. What was
// saved before is older than what is known here.
func TestTheEndOfADatabaseOutageIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, states: map[string][]byte{}}
		net := &wire{twilio: sandbox.New(sandbox.Options{}), began: time.Now(), rules: `    - {alert: DatabaseFailing, expr: controller.databaseFailing, for: 15s, keepFiringFor: 30s, receivers: [hook], message: "database: {{ .controller.databaseProblem }}"}
`}
		fail := func(err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.memoryErr, w.leaseErr = err, err
		}
		alerted(t, w, net, nil, 20*time.Minute, func() {
			time.Sleep(2*time.Minute - time.Second)
			fail(errors.New("connection refused"))
			time.Sleep(3 * time.Minute)
			fail(nil)
		})
		var told []string
		for _, line := range net.hook {
			if strings.Contains(line, "database") {
				told = append(told, strings.SplitN(line, ",", 2)[0])
			}
		}
		if want := []string{"2m45s first notification: firing", "7m45s all resolved: resolved"}; !cmp.Equal(told, want) {
			t.Errorf("got %q, want %q", told, want)
		}
	})
}
