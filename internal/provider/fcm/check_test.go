package fcm

import (
	"net/http"
	"testing"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/providertest"
)

func TestACheckFetchesAnAccessTokenAndSendsNothing(t *testing.T) {
	t.Parallel()
	server, tokens := stand(t)
	sends := providertest.Start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })).URL
	if err := open(t, server, tokens, sends).Check(t.Context()); err != nil {
		t.Errorf("all is well: %v", err)
	}
	refusing := providertest.Start(t, providertest.Answer(401, `{"error":"invalid_client"}`)).URL
	providertest.Check(t, open(t, server, refusing, sends).Check(t.Context()), provider.Config)
	providertest.Check(t, open(t, server, "http://127.0.0.1:1", sends).Check(t.Context()), provider.Transient)
}
