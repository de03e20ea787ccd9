package webpush

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
	"github.com/novaura/acs-operator/internal/provider/providertest"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/sandbox/behavior"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/webpush"
)

func push(token string) *message.Message {
	return &message.Message{ID: "a", Channel: message.Push, Type: message.Send, Tokens: []redact.Personal{redact.Personal(token)}, Title: "Hi", Body: "Your code is 1234"}
}

func open(t *testing.T, public, private string, hosts ...string) *Client {
	t.Helper()
	client, err := New(Config{
		PublicKey: public, PrivateKey: redact.Secret(private), Subject: "mailto:hello@example.com", AllowedHosts: hosts, Timeout: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func keys(t *testing.T) (public, private string) {
	t.Helper()
	public, private, err := sandbox.NewVAPID()
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

func host(base string) string { return strings.TrimPrefix(base, "http://") }

// subscribe is a subscription at a base, by a stand-in that need not serve it.
func subscribe(t *testing.T, server *sandbox.Server, base string) string {
	t.Helper()
	token, err := server.Subscribe(base, "secret-endpoint")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAStoryWithAPushServiceAndABrowser(t *testing.T) {
	t.Parallel()
	public, private := keys(t)
	server := sandbox.New(sandbox.Options{PublicKey: public})
	base := providertest.Start(t, server).URL
	client := open(t, public, private, host(base))
	token := subscribe(t, server, base)
	if _, err := client.Send(t.Context(), push(token)); err != nil {
		t.Fatal(err)
	}
	if got := server.Recent(1)[0]; got.Key != "a" || got.Title != "Hi" || got.Body != "Your code is 1234" {
		t.Errorf("the browser opened %+v", got)
	}
	server.Control().Set(behavior.Behavior{LostAnswerRate: 1})
	_, err := client.Send(t.Context(), push(token))
	providertest.Check(t, err, provider.InDoubt, "secret-endpoint", "1234")
	if server.Effects("a") != 1 {
		t.Errorf("%d effects: a push with the same topic replaces the first", server.Effects("a"))
	}
	server.Control().Set(behavior.Behavior{})
	server.Kill("secret-endpoint")
	_, err = client.Send(t.Context(), push(token))
	providertest.Check(t, err, provider.Suppress, "secret-endpoint")

	large := push(token)
	large.Body = redact.Personal(strings.Repeat("x", 4000))
	_, err = client.Send(t.Context(), large)
	providertest.Check(t, err, provider.Permanent)

	otherPublic, otherPrivate := keys(t)
	_, err = open(t, otherPublic, otherPrivate, host(base)).Send(t.Context(), push(token))
	providertest.Check(t, err, provider.Config, otherPrivate)
}

func TestMisbehavingServers(t *testing.T) {
	t.Parallel()
	public, private := keys(t)
	server := sandbox.New(sandbox.Options{})
	providertest.Misbehave(t, func(t *testing.T, base string) provider.Sender {
		client := open(t, public, private, host(base))
		client.timeout = time.Second
		return at{client, subscribe(t, server, base)}
	}, push("replaced"), "secret-endpoint", "1234")
}

// at sends everything to one subscription: the endpoint is in the token.
type at struct {
	*Client

	token string
}

func (a at) Send(ctx context.Context, _ *message.Message) (provider.Receipt, error) {
	return a.Client.Send(ctx, push(a.token))
}

func TestStatusesHaveClasses(t *testing.T) {
	t.Parallel()
	public, private := keys(t)
	client := open(t, public, private)
	at := func(text string) *url.URL { parsed, _ := url.Parse(text); return parsed }
	mozilla, stranger, windows := at("https://updates.push.services.mozilla.com/x"), at("https://evil.example/x"), at("https://wns2-bn1p.notify.windows.com/x")
	for name, tc := range map[string]struct {
		status   int
		endpoint *url.URL
		want     provider.Class
	}{
		"a subscription that ended":              {410, mozilla, provider.Suppress},
		"one that never was":                     {404, mozilla, provider.Suppress},
		"a push too large":                       {413, mozilla, provider.Permanent},
		"too many":                               {429, mozilla, provider.Throttled},
		"too many, by a stranger":                {429, stranger, provider.Transient},
		"Windows' word for too many":             {406, windows, provider.Throttled},
		"the same word of another":               {406, mozilla, provider.Permanent},
		"our key, by a service that is known":    {401, mozilla, provider.Config},
		"our key, by a stranger":                 {401, stranger, provider.Permanent},
		"403 by a stranger stops not all pushes": {403, stranger, provider.Permanent},
		"a bad request":                          {400, mozilla, provider.Permanent},
		"a redirect":                             {301, mozilla, provider.Permanent},
		"a redirect for the moment":              {307, mozilla, provider.Transient},
		"a server's error":                       {500, mozilla, provider.InDoubt},
		"a busy server":                          {503, mozilla, provider.InDoubt},
	} {
		got := client.refusal(once.Answer{Status: tc.status}, tc.endpoint)
		if got.Credentials != (got.Class == provider.Config) {
			t.Errorf("%s: credentials refused: %t", name, got.Credentials)
		}
		if got.Class != tc.want || got.Alone != (tc.status == 429 || tc.status == 307 || tc.endpoint == windows) {
			t.Errorf("%s: got %v, alone %t, want %v", name, got.Class, got.Alone, tc.want)
		}
	}
}

// A subscription that was made with an older key is refused as a wrong key is. It
// must not stop the others, whom the same service takes.
func TestASubscriptionOfAnotherKeyIsRefusedAloneWhereTheServiceTakesOurs(t *testing.T) {
	t.Parallel()
	public, private := keys(t)
	server := sandbox.New(sandbox.Options{})
	var status atomic.Int32
	base := providertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) })).URL
	client := open(t, public, private, host(base))
	now := time.Now()
	client.currentTime = func() time.Time { return now }
	send := func(code int32) error {
		status.Store(code)
		_, err := client.Send(t.Context(), push(subscribe(t, server, base)))
		return err
	}
	for _, code := range []int32{401, 403} {
		client.accepted.Clear()
		providertest.Check(t, send(code), provider.Config)
		if err := send(201); err != nil {
			t.Fatal(err)
		}
		providertest.Check(t, send(code), provider.Permanent)
		now = now.Add(keyTrusted)
		providertest.Check(t, send(code), provider.Config)
	}
}

// One browser's push service that is away says nothing of another's.
func TestAServiceThatIsAwayIsSoAlone(t *testing.T) {
	t.Parallel()
	public, private := keys(t)
	server := sandbox.New(sandbox.Options{})
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	_, err := open(t, public, private, host(away.URL)).Send(t.Context(), push(subscribe(t, server, away.URL)))
	providertest.Check(t, err, provider.Transient, "secret-endpoint")
	if !provider.AsError(err).Alone {
		t.Error("other services would wait for it")
	}
}

func TestOnlyAServiceThatIsKnownIsWaitedForWithoutEnd(t *testing.T) {
	t.Parallel()
	public, private := keys(t)
	client := open(t, public, private)
	refused, noName := errors.New("connection refused"), &net.DNSError{IsNotFound: true}
	for name, tc := range map[string]struct {
		endpoint string
		err      error
		want     bool
	}{
		"a service":                  {"https://updates.push.services.mozilla.com/x", refused, true},
		"a stranger":                 {"https://evil.example/x", refused, false},
		"a name that is not there":   {"https://evil.notify.windows.com/x", noName, false},
		"a resolver that is not now": {"https://fcm.googleapis.com/x", &net.DNSError{IsTemporary: true}, true},
	} {
		endpoint, err := url.Parse(tc.endpoint)
		if err != nil {
			t.Fatal(err)
		}
		got := client.lost(&provider.Error{Class: provider.Transient, Away: true, Err: tc.err}, endpoint)
		if got.Away != tc.want || !got.Alone {
			t.Errorf("%s: got away %t, alone %t", name, got.Away, got.Alone)
		}
	}
}

func TestAnEndpointReachesNothingWithinOurWalls(t *testing.T) {
	t.Parallel()
	public, private := keys(t)
	server := sandbox.New(sandbox.Options{})
	client := open(t, public, private)
	for _, base := range []string{
		"http://example.com", "https://127.0.0.1", "https://localhost", "https://169.254.169.254", "https://10.0.0.1", "https://[::1]",
		"https://[::ffff:10.0.0.1]", "https://example.com:8443", "https://user@example.com", "file:///etc/passwd", "https://0.0.0.0",
	} {
		_, err := client.Send(t.Context(), push(subscribe(t, server, base)))
		if class := provider.AsError(err).Class; err == nil || class != provider.Permanent && class != provider.Suppress {
			t.Errorf("%s: got %v", base, err)
		}
	}
	for address, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1111": true, "192.168.1.1": false, "100.64.0.1": false, "198.18.0.1": false, "fd00::1": false,
		"fe80::1": false, "64:ff9b::a00:1": false, "224.0.0.1": false, "255.255.255.255": false, "::": false, "2002:a00:1::": false,
	} {
		if got := isPublic(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is public: got %t", address, got)
		}
	}
}

func TestATokenThatIsNoSubscriptionIsSuppressed(t *testing.T) {
	t.Parallel()
	public, private := keys(t)
	client := open(t, public, private)
	for _, token := range []string{"abc-secret", `{"endpoint":"https://example.com/secret"}`, `{"keys":{"p256dh":"secret"}}`} {
		_, err := client.Send(t.Context(), push(token))
		providertest.Check(t, err, provider.Suppress, "secret")
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	public, private := keys(t)
	other, _ := keys(t)
	for want, c := range map[string]Config{
		"VAPID_PRIVATE_KEY":               {PublicKey: public, Subject: "mailto:x@example.com"},
		"VAPID_PUBLIC_KEY: ":              {},
		"VAPID_SUBJECT":                   {PublicKey: public, PrivateKey: redact.Secret(private)},
		"not that of VAPID_PRIVATE_KEY":   {PublicKey: other, PrivateKey: redact.Secret(private), Subject: "mailto:x@example.com"},
		"not the 32 bytes of a P-256 key": {PublicKey: other, PrivateKey: "AAAA", Subject: "mailto:x@example.com"},
	} {
		if want == "VAPID_PUBLIC_KEY: " {
			want, c = "VAPID_PUBLIC_KEY", Config{PrivateKey: redact.Secret(private)}
		}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q named", err, want)
		}
	}
}

func TestTheAudienceIsTheEndpointsOrigin(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		"https://Push.example.com/x": "https://push.example.com", "https://push.example.com:443/x": "https://push.example.com",
		"https://push.example.com:8443/x": "https://push.example.com:8443", "http://127.0.0.1:80/x": "http://127.0.0.1", "https://[2001:db8::1]:443/x": "https://[2001:db8::1]",
	} {
		parsed, err := url.Parse(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if got := originOf(parsed); got != want {
			t.Errorf("%s: got %s, want %s", endpoint, got, want)
		}
	}
}
