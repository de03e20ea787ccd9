package apns

import (
	"net/http"
	"testing"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/providertest"
)

func TestACheckConnectsAndSendsNothing(t *testing.T) {
	t.Parallel()
	server := stand(t)
	base := providertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		w.WriteHeader(http.StatusNotFound)
	})).URL
	if err := open(t, server, base).Check(t.Context()); err != nil {
		t.Errorf("any answer will do: %v", err)
	}
	providertest.Check(t, open(t, server, "http://127.0.0.1:1").Check(t.Context()), provider.Transient)
}
