package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

// loop is a loop with one policy, or none.
type loop struct{ views []reconcile.View }

func (l loop) Views() []reconcile.View { return l.views }
func (loop) Refusal() string           { return "" }
func (loop) Standing() reconcile.Standing {
	return reconcile.Standing{Role: reconcile.Leading, Self: "a", Holder: "a"}
}
func (loop) Alive() error         { return nil }
func (loop) Peek(context.Context) {}

// past is a history with one message; err makes every read fail.
type past struct{ err error }

func (p past) Events(context.Context, store.Filter) ([]store.Event, error) {
	return []store.Event{{ID: "m1", Channel: "sms", Type: "message_send", Status: store.Sent, To: "+14155550123"}}, p.err
}

func (p past) Notices(_ context.Context, limit int) ([]store.Notice, error) {
	notices := []store.Notice{{Reason: "SuccessfulRescale"}, {Reason: "ResumeRequested", Policy: store.EveryPolicy}, {Reason: "AlertFiring", Policy: "p"}}
	return notices[:min(limit, len(notices))], p.err
}

func (p past) Decisions(_ context.Context, f store.DecisionFilter) ([]store.Decision, error) {
	return []store.Decision{{Policy: f.Policy, Desired: 3, Reason: "because"}}, p.err
}

func (past) Silences(context.Context, time.Time) ([]store.Silence, error) {
	return []store.Silence{{ID: "s1", Matchers: []byte(`[{"label":"queue","op":"=","value":"q"}]`), Author: "ann", Comment: "moving"}}, nil
}

func (p past) Ready(context.Context) error { return p.err }

func serve(t *testing.T, l loop, p past) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(Handler(Options{Policies: l, History: p, Version: "v1", Logger: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	return server
}

func running() loop {
	return loop{[]reconcile.View{{
		Policy:   &config.ScalingPolicy{Metadata: config.Metadata{Name: "p"}},
		Decision: &scaling.Decision{Desired: 3, Reason: "because"},
		History:  make([]reconcile.Point, 10),
	}}}
}

func get(t *testing.T, url string) (int, string, http.Header) {
	t.Helper()
	recorder := httptest.NewRecorder()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := recorder.Body.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, recorder.Body.String(), response.Header
}

func TestTheStateShowsThePolicyItsDecisionsAndMaskedMessages(t *testing.T) {
	status, body, _ := get(t, serve(t, running(), past{}).URL+"/api/v1/state")
	var state State
	if err := json.Unmarshal([]byte(body), &state); status != http.StatusOK || err != nil {
		t.Fatal(status, body, err)
	}
	if len(state.Policies) != 1 || len(state.Policies[0].History) != 10 || state.Decisions[0].Reason != "because" || state.Notices[0].Reason != "SuccessfulRescale" {
		t.Errorf("state %s", body)
	}
	if strings.Contains(body, "5550123") || state.Messages[0].To != "…23" {
		t.Errorf("an address is shown in %s", body)
	}
}

func TestWithoutADatabaseTheStateStillShowsThePolicies(t *testing.T) {
	_, body, _ := get(t, serve(t, running(), past{err: errors.New("connection refused")}).URL+"/api/v1/state")
	var state State
	if err := json.Unmarshal([]byte(body), &state); err != nil || len(state.Policies) != 1 || !strings.Contains(state.Problem, "connection refused") {
		t.Errorf("%s: %v", body, err)
	}
}

func TestHealthAndReadinessAreToldApart(t *testing.T) {
	for name, tc := range map[string]struct {
		loop loop
		past past
		path string
		want int
	}{
		"a process that serves is healthy":          {loop{}, past{err: errors.New("down")}, "/healthz", http.StatusOK},
		"without a policy it is not ready":          {loop{}, past{}, "/readyz", http.StatusServiceUnavailable},
		"without a database it is not ready":        {running(), past{err: errors.New("down")}, "/readyz", http.StatusServiceUnavailable},
		"with both it is ready":                     {running(), past{}, "/readyz", http.StatusOK},
		"what is not there is not found":            {running(), past{}, "/api/v2/state", http.StatusNotFound},
		"the page is served":                        {running(), past{}, "/", http.StatusOK},
		"and so is what it loads":                   {running(), past{}, "/vendor/uPlot.iife.min.js", http.StatusOK},
		"decisions of no policy are a mistake":      {running(), past{}, "/api/v1/decisions", http.StatusBadRequest},
		"decisions without a database are an error": {running(), past{err: errors.New("down")}, "/api/v1/decisions?policy=p", http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			if got, body, _ := get(t, serve(t, tc.loop, tc.past).URL+tc.path); got != tc.want {
				t.Errorf("GET %s: %d %s, want %d", tc.path, got, body, tc.want)
			}
		})
	}
}

func TestTheEventsOfAPolicyAreItsOwnAndThoseOfAllHoweverManyOthersThereAre(t *testing.T) {
	_, body, _ := get(t, serve(t, running(), past{}).URL+"/api/v1/events?policy=p&limit=2")
	var notices []Notice
	if err := json.Unmarshal([]byte(body), &notices); err != nil || len(notices) != 2 || notices[0].Reason != "ResumeRequested" || notices[1].Reason != "AlertFiring" {
		t.Errorf("got %s, %v", body, err)
	}
}

func TestThePageMayNotBeFramedNorLoadFromElsewhere(t *testing.T) {
	_, body, header := get(t, serve(t, running(), past{}).URL+"/")
	if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'self'") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy %q", policy)
	}
	if strings.Contains(body, "http://") && !strings.Contains(body, "http://www.w3.org/2000/svg") || strings.Contains(body, "https://") {
		t.Error("the page names another host")
	}
}

func TestTheStreamSendsTheStateWithTheNewestPointsOnly(t *testing.T) {
	server := serve(t, running(), past{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var state State
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &state); err != nil || len(state.Policies[0].History) != 3 {
		t.Errorf("%s: %v", line, err)
	}
}
