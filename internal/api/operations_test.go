package api

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/novaura/acs-operator/internal/reconcile"
)

// patient is a controller with ailments.
type patient struct {
	loop
	dead     error
	standing reconcile.Standing
}

func (p patient) Alive() error                 { return p.dead }
func (p patient) Standing() reconcile.Standing { return p.standing }

func TestALostDatabaseIsUnreadyAndNeverUnhealthy(t *testing.T) {
	leading := reconcile.Standing{Role: reconcile.Leading}
	for name, tc := range map[string]struct {
		patient   patient
		database  error
		alive     int
		ready     int
		readySays string
	}{
		"a leader is ready":           {patient{running(), nil, leading}, nil, 200, 200, "leading"},
		"so is a standby":             {patient{running(), nil, reconcile.Standing{Role: reconcile.Standby}}, nil, 200, 200, "standby"},
		"without a database":          {patient{running(), nil, leading}, errors.New("refused"), 200, 503, "database: refused"},
		"without having read a lease": {patient{running(), nil, reconcile.Standing{Problem: "not yet"}}, nil, 200, 503, "lease: not yet"},
		"without a policy":            {patient{loop{}, nil, leading}, nil, 200, 503, "no policy"},
		"a loop that stands still":    {patient{running(), errors.New("no tick for 5m"), leading}, nil, 503, 200, "ready"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(Operations(OperationsOptions{Health: tc.patient, Database: past{err: tc.database}, Registry: prometheus.NewRegistry()}))
			defer server.Close()
			if status, body, _ := get(t, server.URL+"/healthz"); status != tc.alive {
				t.Errorf("healthz %d: %s, want %d", status, body, tc.alive)
			}
			if status, body, _ := get(t, server.URL+"/readyz"); status != tc.ready || !strings.Contains(body, tc.readySays) {
				t.Errorf("readyz %d: %s, want %d with %q", status, body, tc.ready, tc.readySays)
			}
		})
	}
}

func TestTheResourcesAreReadOnly(t *testing.T) {
	url := serve(t, running(), past{}).URL
	for path, want := range map[string]string{
		"/api/v1/policies":       `"name":"p"`,
		"/api/v1/policies/p":     `"reason":"because"`,
		"/api/v1/events":         "SuccessfulRescale",
		"/api/v1/events?policy=": "SuccessfulRescale",
		"/api/v1/leader":         `"role":"leading"`,
	} {
		if status, body, _ := get(t, url+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
		response, err := http.Post(url+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, response.StatusCode)
		}
	}
	if status, _, _ := get(t, url+"/api/v1/policies/none"); status != http.StatusNotFound {
		t.Errorf("a policy that is none: %d", status)
	}
}
