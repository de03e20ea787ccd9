package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/sandbox/sqs"
)

// The outbox's page asks so for slow and failing providers.
func TestEveryProviderCanBeMadeSlowAndFailing(t *testing.T) {
	p, err := newProviders(t.Context(), "http://127.0.0.1:1", "123456789012", sqs.New(sqs.Options{Account: "123456789012", Region: region}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.mail.Close() })
	mux := http.NewServeMux()
	p.routes(mux)
	for _, source := range p.sources() {
		name, _ := source.Names()
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest(http.MethodPut, "/_sandbox/"+name, strings.NewReader(`{"errorRate":0.5}`)))
		if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), `"errorRate":0.5`) {
			t.Errorf("%s: %d %s", name, answer.Code, answer.Body)
		}
	}
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodPut, "/_sandbox/twilio/opt-outs/+14155550123", nil))
	if answer.Code >= http.StatusBadRequest {
		t.Errorf("an opt-out: %d %s", answer.Code, answer.Body)
	}
}
