package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/emf"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/processor"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

// failing is a provider that answers 500 to all.
type failing struct{}

func (failing) Name() string { return "twilio" }

func (failing) Send(context.Context, *message.Message) (provider.Receipt, error) {
	return provider.Receipt{}, &provider.Error{Provider: "twilio", Class: provider.InDoubt, HTTPStatus: 500, Code: "20500"}
}

func (failing) Find(context.Context, *message.Message, time.Time) ([]provider.Receipt, error) {
	return nil, provider.ErrNoLookup
}

var events = consumer.Queue{Name: "events", Channel: "sms"}

// outage are the services of a worker whose provider has just failed 25 messages.
func (d *desk) outage() *services {
	d.t.Helper()
	logger := slog.New(slog.DiscardHandler)
	handler := processor.New(processor.Options{
		Store: d.db, Owner: "w1", Senders: map[message.Channel]provider.Sender{message.SMS: failing{}}, Logger: logger,
	})
	for i := range 25 {
		body := `{"type":"message_send","to":"+14155550123","body":"Hello"}`
		r := consumer.Received{Queue: events, MessageID: "m" + string(rune('a'+i)), Body: body, ReceiveCount: 1}
		handler.Prepare(d.t.Context(), []consumer.Received{r})[0](d.t.Context())
	}
	consumers := []*consumer.Consumer{consumer.New(consumer.Options{Queue: events, Handler: handler})}
	return &services{
		db: d.db, handler: handler, consumers: consumers, problems: handler.Unclaimable, logger: logger,
		reporter: reporter{owner: "w1", handler: handler, consumers: consumers, policyHash: func() string { return "" }, db: d.db, logger: logger},
	}
}

func TestTheDoctorTellsWhatRunningWorkersSayOfAProvider(t *testing.T) {
	d := newDesk(t)
	d.env["TWILIO_ACCOUNT_SID"], d.env["TWILIO_AUTH_TOKEN"], d.env["TWILIO_FROM_NUMBER"] = "AC"+strings.Repeat("0", 32), "t", "+14155550100"
	if got := d.diagnose(1)["provider sms"]; got.Verdict != warned || !strings.Contains(got.Detail, "no worker has reported within 2m0s") {
		t.Errorf("without a worker: got %+v", got)
	}
	beside := d.outage()
	beside.reporter.rounds = []round{beside.reporter.look(time.Now())}
	beside.reporter.report(t.Context(), time.Now())
	got := d.diagnose(1)["provider sms"]
	if got.Verdict != failed || !strings.HasPrefix(got.Detail, "twilio failed 100 % of 20 calls since ") ||
		!strings.HasSuffix(got.Detail, "Z: HTTP 500, code 20500") || got.Do != "see the provider's status page; messages wait, none is lost" {
		t.Errorf("in an outage: got %+v", got)
	}
}

func TestWhatTheDoctorMakesOfReports(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 5, 3, 4, 10, 0, time.UTC)
	fault := func(count int) store.Failure {
		return store.Failure{Class: "in doubt", Code: "20500", HTTPStatus: 500, Count: count, ProviderFault: true}
	}
	for name, tc := range map[string]struct {
		reports []store.ProviderReport
		verdict verdict
		detail  string
	}{
		"two workers are added up": {
			reports: []store.ProviderReport{
				{Provider: "twilio", Calls: 70, Failed: 69, FailedAt: since.Add(time.Second), Failures: []store.Failure{fault(69)}},
				{Provider: "twilio", Calls: 70, Failed: 68, FailedAt: since, Failures: []store.Failure{fault(68)}},
			},
			verdict: failed, detail: "twilio failed 98 % of 140 calls since 03:04:10Z: HTTP 500, code 20500",
		},
		"a failure now and then is none": {
			reports: []store.ProviderReport{{Provider: "ses", Calls: 200, Failed: 2, Mean: 90 * time.Millisecond, Failures: []store.Failure{fault(2)}}},
			verdict: fine, detail: "ses: 200 calls in the last minute, 1 % failed, 90ms each",
		},
		"rejected credentials": {
			reports: []store.ProviderReport{{Provider: "ses", Calls: 3, Failures: []store.Failure{{Class: "config", Code: "AccessDenied", HTTPStatus: 403, Count: 3, Message: "the role may not send", Credentials: true}}}},
			verdict: failed, detail: "ses rejected our credentials in 3 of 3 calls: HTTP 403, code AccessDenied (the role may not send)",
		},
		"throttled": {
			reports: []store.ProviderReport{{Provider: "twilio", Calls: 10, Failures: []store.Failure{{Class: "throttled", Code: "20429", HTTPStatus: 429, Count: 8}}}},
			verdict: warned, detail: "twilio answered 80 % of 10 calls so: throttled, HTTP 429, code 20429",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sum store.ProviderReport
			for _, one := range tc.reports {
				sum = merge(sum, one)
			}
			if got := onProvider("provider", sum); got.Verdict != tc.verdict || got.Detail != tc.detail || (got.Do == "") != (tc.verdict == fine) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAReportCountsTheLastMinute(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	beside := d.outage()
	r := &beside.reporter
	began := time.Now()
	r.rounds = []round{{at: began, stats: []consumer.Stats{{}}}}
	for i := range 20 {
		at := began.Add(time.Duration(i+1) * 5 * time.Second)
		r.report(t.Context(), at)
		r.rounds[len(r.rounds)-1].stats[0] = consumer.Stats{Received: 10 * (i + 1), BusySeconds: float64(i + 1)}
	}
	if got := r.of(events, 0); got.Received != 120 || got.BusySeconds != 12 || got.Window != time.Minute || got.Channel != "sms" || got.Worker != "w1" {
		t.Errorf("got %+v", got)
	}
	saved, err := d.db.Reports(t.Context(), time.Minute)
	if err != nil || len(saved) != 1 || len(saved[0].Providers) != 1 || saved[0].Providers[0].OpenedAt.IsZero() || saved[0].Claims.Calls != 25 {
		t.Errorf("got %+v and error %v", saved, err)
	}
}

// unwritable answers, and takes no writes.
type unwritable struct {
	store.Store
	err error
}

func (u *unwritable) Ready(context.Context) error { return nil }

func (u *unwritable) SaveReports(context.Context, []store.Report) error { return u.err }

func TestADatabaseThatCannotBeWrittenToMakesAWorkerUnready(t *testing.T) {
	t.Parallel()
	db := &unwritable{err: errors.New("database or disk is full")}
	beside := &services{
		db: db, problems: func() []string { return nil },
		reporter: reporter{db: db, handler: processor.New(processor.Options{}), logger: slog.New(slog.DiscardHandler)},
	}
	at := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	for i := range 3 {
		beside.reporter.report(t.Context(), at.Add(time.Duration(i)*reportEvery))
	}
	err := beside.ready(t.Context())
	if want := "the database cannot be written to since 2026-01-05T08:00:00Z: database or disk is full"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	db.err = nil
	beside.reporter.report(t.Context(), at)
	if err := beside.ready(t.Context()); err != nil {
		t.Errorf("when it is writable again: %v", err)
	}
}

func TestAReporterEndsInTimeAlthoughItsDatabaseHangs(t *testing.T) {
	t.Parallel()
	r := reporter{db: hung{}, handler: processor.New(processor.Options{}), logger: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	r.run(ctx)
	if took := time.Since(began); took > 2*reportBound {
		t.Errorf("it took %s", took)
	}
}

// hung answers when its caller gives up.
type hung struct{ store.Store }

func (hung) SaveReports(ctx context.Context, _ []store.Report) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestTheMetricsTellOfAProviderThatFails(t *testing.T) {
	t.Parallel()
	beside := newDesk(t).outage()
	now := beside.totals(beside.consumers[0])
	metrics := workMetrics(now, totals{})
	for name, want := range map[string]float64{
		"ProviderCalls": 20, "ProviderErrors": 20, "ProviderThrottled": 0, "ProviderRejected": 0, "BreakerOpen": 1, "ClaimsFailed": 0, "Retried": 0,
	} {
		if !slices.Contains(metrics, emf.Metric{Name: name, Unit: emf.Count, Value: want}) {
			t.Errorf("%s is not %v: %+v", name, want, metrics)
		}
	}
	answer := httptest.NewRecorder()
	beside.metrics().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`acs_worker_provider_calls_total{class="in_doubt",provider="twilio",queue="events"} 20`, `acs_worker_breaker_open{channel="sms",provider="twilio"} 1`,
		`acs_worker_claims_total{queue="events"} 25`, `acs_worker_claim_errors_total{queue="events"} 0`, `acs_worker_processed_total{queue="events"} 0`,
		`acs_worker_failed_total{queue="events"} 0`, `acs_worker_retried_total{queue="events"} 0`, `acs_worker_dead_lettered_total{queue="events"} 0`,
		`acs_worker_busy_seconds_total{queue="events"} 0`, `acs_worker_slot_seconds_total{queue="events"} 0`, `acs_worker_in_flight{queue="events"} 0`,
		`acs_worker_oldest_message_age_seconds{queue="events"} 0`,
	} {
		if !strings.Contains(answer.Body.String(), line+"\n") {
			t.Errorf("%s is missing in\n%s", line, answer.Body)
		}
	}
}
