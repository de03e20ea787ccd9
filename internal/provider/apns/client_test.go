package apns

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/providertest"
	"github.com/novaura/acs-operator/internal/redact"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/apns"
)

const token = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"

func push() *message.Message {
	return &message.Message{ID: "a", Channel: message.Push, Type: message.Send, Tokens: []redact.Personal{token}, Title: "Hi", Body: "Your code is 1234"}
}

func open(t *testing.T, server *sandbox.Server, base string) *Client {
	t.Helper()
	key, err := server.Key()
	if err != nil {
		t.Fatal(err)
	}
	client, err := New(Config{
		Key: redact.Secret(key), KeyID: sandbox.KeyID, TeamID: sandbox.TeamID, Topic: sandbox.Topic, BaseURL: base, Timeout: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func stand(t *testing.T) *sandbox.Server {
	t.Helper()
	server, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func TestAStoryWithAPNsStandIn(t *testing.T) {
	t.Parallel()
	server := stand(t)
	client := open(t, server, providertest.Start(t, server).URL)
	receipt, err := client.Send(t.Context(), push())
	if err != nil || receipt.ID != provider.PushUUID(push()) {
		t.Fatalf("got %+v, %v, want our own id", receipt, err)
	}
	if got := server.Recent(1)[0]; got.Key != "a" || got.To != token || got.Title != "Hi" || got.Body != "Your code is 1234" || got.From != sandbox.Topic {
		t.Errorf("got %+v", got)
	}
	b := server.Control().Get()
	b.LostAnswerRate = 1
	server.Control().Set(b)
	_, err = client.Send(t.Context(), push())
	providertest.Check(t, err, provider.InDoubt, token)
	b.LostAnswerRate = 0
	server.Control().Set(b)
	if got := server.Effects("a"); got != 1 || server.Totals().Accepted != 2 {
		t.Errorf("%d effects, %+v: want one, of two that were accepted", got, server.Totals())
	}

	silent := push()
	silent.ID, silent.Title, silent.Body, silent.Data = "s", "", "", map[string]any{"sync": true}
	if _, err := client.Send(t.Context(), silent); err != nil {
		t.Errorf("a silent push: %v", err)
	}

	server.Kill(token)
	_, err = client.Send(t.Context(), push())
	providertest.Check(t, err, provider.Suppress, token)

	topic := push()
	topic.Tokens, topic.Topic = nil, "news"
	_, err = client.Send(t.Context(), topic)
	providertest.Check(t, err, provider.Permanent)
	none := push()
	none.Tokens[0] = "not hexadecimal/../"
	_, err = client.Send(t.Context(), none)
	providertest.Check(t, err, provider.Suppress, "hexadecimal/..")
}

func TestAnExpiredProviderTokenIsRenewedOnceAndSharedByAll(t *testing.T) {
	t.Parallel()
	server := stand(t)
	client := open(t, server, providertest.Start(t, server).URL)
	var skew atomic.Int64
	client.signer.now = func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	skew.Store(int64(-30 * time.Minute))
	if _, err := client.Send(t.Context(), push()); err != nil {
		t.Fatal(err)
	}
	first := client.signer.token()
	skew.Store(0)
	server.ExpireTokens(time.Now().Add(-time.Minute))
	var sends sync.WaitGroup
	for range 20 {
		sends.Go(func() {
			if _, err := client.Send(t.Context(), push()); err != nil {
				t.Error(err)
			}
		})
	}
	sends.Wait()
	if got := server.Totals().Refused; got > 20 || client.signer.token() == first {
		t.Errorf("%d refused, want at most one a send", got)
	}
	server.ExpireTokens(time.Now().Add(time.Hour)) // whatever we sign: our clock is wrong
	refused := server.Totals().Refused
	_, err := client.Send(t.Context(), push())
	providertest.Check(t, err, provider.Config)
	if got := server.Totals().Refused - refused; got != 2 {
		t.Errorf("asked %d times, want twice", got)
	}
}

func TestTheProviderTokenLastsFiftyMinutes(t *testing.T) {
	t.Parallel()
	client := open(t, stand(t), "http://127.0.0.1:1")
	at := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	client.signer.now = func() time.Time { return at }
	first := client.signer.token()
	at = at.Add(49 * time.Minute)
	if client.signer.token() != first {
		t.Error("renewed after 49 minutes")
	}
	at = at.Add(time.Minute)
	if client.signer.token() == first {
		t.Error("not renewed after 50 minutes")
	}
}

func TestMisbehavingServers(t *testing.T) {
	t.Parallel()
	server := stand(t)
	providertest.Misbehave(t, func(t *testing.T, base string) provider.Sender {
		client := open(t, server, base)
		client.timeout = time.Second
		return client
	}, push(), token, "1234")
}

func TestReasonsHaveClasses(t *testing.T) {
	t.Parallel()
	server := stand(t)
	for name, tc := range map[string]struct {
		status int
		body   string
		want   provider.Class
		wait   time.Duration
	}{
		"an app that is gone":       {410, `{"reason":"Unregistered","timestamp":1}`, provider.Suppress, 0},
		"a 410 without a reason":    {410, ``, provider.Suppress, 0},
		"a push too large":          {413, `{"reason":"PayloadTooLarge"}`, provider.Permanent, 0},
		"an unknown reason":         {400, `{"reason":"Whatever"}`, provider.Permanent, 0},
		"a wrong key":               {403, `{"reason":"InvalidProviderToken"}`, provider.Config, 0},
		"a wrong certificate":       {403, `{"reason":"BadCertificate"}`, provider.Config, 0},
		"a token that expired":      {403, `{"reason":"ExpiredProviderToken"}`, provider.Config, 0},
		"a reason yet to be known":  {403, `{"reason":"NewKeyTrouble"}`, provider.Config, 0},
		"a topic not allowed":       {400, `{"reason":"TopicDisallowed"}`, provider.Config, 0},
		"a device that has many":    {429, `{"reason":"TooManyRequests"}`, provider.Throttled, time.Minute},
		"a token renewed too often": {429, `{"reason":"TooManyProviderTokenUpdates"}`, provider.Throttled, 20 * time.Minute},
		"Apple's overload":          {503, `{"reason":"ServiceUnavailable"}`, provider.Transient, 15 * time.Second},
		"a server that shuts down":  {503, `{"reason":"Shutdown"}`, provider.Transient, 0},
		"Apple's own error":         {500, `{"reason":"InternalServerError"}`, provider.InDoubt, 0},
		"a 404 in HTML":             {404, `<html>`, provider.Config, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, server, providertest.Start(t, providertest.Answer(tc.status, tc.body)).URL).Send(t.Context(), push())
			providertest.Check(t, err, tc.want, token)
			if got := provider.AsError(err).Credentials; got != (tc.status == 403 || strings.Contains(tc.body, "Disallowed")) {
				t.Errorf("credentials refused: %t", got)
			}
			if got := provider.AsError(err); got.RetryAfter != tc.wait || got.Alone != (got.Code == "TooManyRequests") {
				t.Errorf("retry after %v, alone %t, want %v", got.RetryAfter, got.Alone, tc.wait)
			}
		})
	}
}

// With the other environment's APNS_BASE_URL, or another app's APNS_TOPIC, every
// good token is refused: none may be given up for that.
func TestPitfall20ATokenIsGivenUpOnlyWhereTheSetUpIsKnownToBeRight(t *testing.T) {
	t.Parallel()
	server := stand(t)
	for reason, status := range map[string]int{"BadDeviceToken": 400, "DeviceTokenNotForTopic": 400, "Unregistered": 410} {
		var refuses atomic.Bool
		client := open(t, server, providertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if refuses.Load() {
				providertest.Answer(status, `{"reason":"`+reason+`"}`)(w, r)
			}
		})).URL)
		refuses.Store(true)
		_, err := client.Send(t.Context(), push())
		unproven := provider.AsError(err).Class
		refuses.Store(false)
		if _, err := client.Send(t.Context(), push()); err != nil {
			t.Fatal(err)
		}
		refuses.Store(true)
		_, err = client.Send(t.Context(), push())
		providertest.Check(t, err, provider.Suppress, token)
		if want := map[string]provider.Class{"Unregistered": provider.Suppress}[reason]; unproven != max(want, provider.Permanent) {
			t.Errorf("%s before anything was accepted: %s", reason, unproven)
		}
	}
}

func TestManySendsShareFewConnections(t *testing.T) {
	t.Parallel()
	server := stand(t)
	var peers sync.Map
	client := open(t, server, providertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peers.Store(r.RemoteAddr, true)
		server.ServeHTTP(w, r)
	})).URL)
	var sends sync.WaitGroup
	for n := range 200 {
		sends.Go(func() {
			m := push()
			m.ID = fmt.Sprint(n)
			if _, err := client.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	sends.Wait()
	used := 0
	peers.Range(func(any, any) bool { used++; return true })
	if used > 4 {
		t.Errorf("%d connections for 200 sends over HTTP/2", used)
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	key, _ := stand(t).Key()
	good := Config{Key: redact.Secret(key), KeyID: "K", TeamID: "T", Topic: "com.example"}
	for want, change := range map[string]func(*Config){
		"APNS_KEY ":      func(c *Config) { c.Key = "" },
		"path of a file": func(c *Config) { c.Key = "/nowhere" },
		".p8 file":       func(c *Config) { c.Key = "-----BEGIN nonsense" },
		"APNS_KEY_ID":    func(c *Config) { c.KeyID = "" },
		"APNS_TEAM_ID":   func(c *Config) { c.TeamID = "" },
		"APNS_TOPIC":     func(c *Config) { c.Topic = "" },
		"APNS_BASE_URL":  func(c *Config) { c.BaseURL = "api.push.apple.com" },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q named", err, want)
		}
	}
}
