package ses

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/providertest"
)

func TestACheckReadsTheAccountAndSendsNothing(t *testing.T) {
	t.Parallel()
	check := func(handler http.HandlerFunc) error {
		return open(t, providertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.Path != "/v2/email/account" {
				t.Errorf("%s %s", r.Method, r.URL.Path)
			}
			handler(w, r)
		})).URL, nil).Check(t.Context())
	}
	if err := check(providertest.Answer(200, `{"SendingEnabled":true}`)); err != nil {
		t.Errorf("all is well: %v", err)
	}
	if err := check(refused(403, "AccessDeniedException", "arn")); !errors.Is(err, provider.ErrNoCheck) {
		t.Errorf("a role that may send and not ask: %v", err)
	}
	err := check(providertest.Answer(200, `{"SendingEnabled":false}`))
	providertest.Check(t, err, provider.Config)
	if !strings.Contains(err.Error(), "paused") {
		t.Errorf("got %v", err)
	}
	providertest.Check(t, check(refused(403, "UnrecognizedClientException", "The security token is invalid")), provider.Config)
	providertest.Check(t, check(refused(500, "InternalFailure", "")), provider.InDoubt)
}
