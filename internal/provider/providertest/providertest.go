// Package providertest holds every provider over HTTP to the same promises
// when its server misbehaves: one call, never a repeat, the right class, no
// word about persons.
package providertest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
)

// Start serves HTTP/1.1, and HTTP/2 without TLS, until the test ends.
func Start(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// Answer is a handler of one answer.
func Answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

// Check holds an error to its class, and to silence about the secrets.
func Check(t *testing.T, err error, want provider.Class, secrets ...string) {
	t.Helper()
	typed := (*provider.Error)(nil)
	if !errors.As(err, &typed) {
		t.Fatalf("got %v, want a *provider.Error", err)
	}
	if typed.Class != want {
		t.Errorf("got %v, want class %v", err, want)
	}
	for _, secret := range secrets {
		if strings.Contains(fmt.Sprintf("%v %+v", err, *typed), secret) {
			t.Errorf("the error tells %q: %v", secret, err)
		}
	}
}

// Misbehave runs a sender against servers that misbehave. open makes one that
// talks to the base URL and gives up a call after a tenth of a second or so.
func Misbehave(t *testing.T, open func(t *testing.T, base string) provider.Sender, m *message.Message, secrets ...string) {
	t.Helper()
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    []provider.Class
	}{
		"a server that never answers is in doubt": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, []provider.Class{provider.InDoubt}},
		"a reset after the request is in doubt":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, []provider.Class{provider.InDoubt}},
		"a proxy's 502 in HTML is in doubt":       {Answer(502, "<html>Bad Gateway</html>"), []provider.Class{provider.InDoubt}},
		"a proxy's 503 in HTML is in doubt":       {Answer(503, "<html>Busy</html>"), []provider.Class{provider.InDoubt}},
		"a 504 is in doubt":                       {Answer(504, ""), []provider.Class{provider.InDoubt}},
		"a 500 is in doubt":                       {Answer(500, strings.Repeat("x", 8<<20)), []provider.Class{provider.InDoubt}},
		"a redirect is not followed":              {Answer(307, "", "Location", "/elsewhere"), []provider.Class{provider.Config, provider.Transient}},
		"429 is throttled":                        {Answer(429, ""), []provider.Class{provider.Throttled}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			server := Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				_, _ = io.Copy(io.Discard, r.Body) // or the server does not see who leaves
				tc.handler(w, r)
			}))
			_, err := open(t, server.URL).Send(t.Context(), m)
			class := provider.AsError(err).Class
			if len(tc.want) == 1 || err == nil || class != tc.want[len(tc.want)-1] {
				Check(t, err, tc.want[0], secrets...)
			}
			if calls.Load() != 1 {
				t.Errorf("%d calls, want one", calls.Load())
			}
		})
	}
	t.Run("what never left is transient", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		base := "http://" + listener.Addr().String()
		_ = listener.Close()
		_, err = open(t, base).Send(t.Context(), m)
		Check(t, err, provider.Transient, secrets...)
		if !provider.AsError(err).Away {
			t.Error("it would be a try of the message's")
		}
	})
}
