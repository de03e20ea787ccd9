package twilio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
)

var now = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

const number = "+14155550123"

func text() *message.Message {
	return &message.Message{ID: "a", Channel: message.SMS, Type: message.Send, To: number, Body: "Hello"}
}

// open starts a server with one answer and a client of it.
func open(t *testing.T, handler http.HandlerFunc, change func(*Config)) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c := Config{
		AccountSID: "AC1", AuthToken: "s3cr3t", From: "+14155550100", BaseURL: server.URL, Now: func() time.Time { return now },
	}
	if change != nil {
		change(&c)
	}
	client, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

func refusal(status, code int) http.HandlerFunc {
	return answer(status, fmt.Sprintf(`{"code":%d,"message":"The 'To' number %s is wrong","status":%d}`, code, number, status))
}

func TestSendPostsTwiliosFormOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change  func(*Config)
		message func(*message.Message)
		want    url.Values
	}{
		"with our sender": {want: url.Values{"To": {number}, "From": {"+14155550100"}, "Body": {"Hello"}}},
		"with the message's own": {
			message: func(m *message.Message) { m.From = "12345" },
			want:    url.Values{"To": {number}, "From": {"12345"}, "Body": {"Hello"}},
		},
		"with a messaging service": {
			change: func(c *Config) { c.From, c.MessagingServiceSID = "", "MG1" },
			want:   url.Values{"To": {number}, "MessagingServiceSid": {"MG1"}, "Body": {"Hello"}},
		},
		"no longer in Twilio's queue than it is of use": {
			message: func(m *message.Message) { m.ExpiresAt = now.Add(90 * time.Second) },
			want:    url.Values{"To": {number}, "From": {"+14155550100"}, "Body": {"Hello"}, "ValidityPeriod": {"90"}},
		},
		"and ten hours at most": {
			message: func(m *message.Message) { m.ExpiresAt = now.Add(900 * time.Hour) },
			want:    url.Values{"To": {number}, "From": {"+14155550100"}, "Body": {"Hello"}, "ValidityPeriod": {"36000"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			client := open(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				user, password, _ := r.BasicAuth()
				if r.Method != http.MethodPost || r.URL.Path != "/prefix/2010-04-01/Accounts/AC1/Messages.json" || user != "AC1" || password != "s3cr3t" {
					t.Errorf("%s %s as %s:%s", r.Method, r.URL, user, password)
				}
				if err := r.ParseForm(); err != nil || r.PostForm.Encode() != tc.want.Encode() {
					t.Errorf("got form %v, want %v", r.PostForm, tc.want)
				}
				w.WriteHeader(http.StatusCreated)
				_, _ = fmt.Fprint(w, `{"sid":"SM1","status":"queued"}`)
			}, func(c *Config) {
				c.BaseURL += "/prefix/"
				if tc.change != nil {
					tc.change(c)
				}
			})
			m := text()
			if tc.message != nil {
				tc.message(m)
			}
			receipt, err := client.Send(t.Context(), m)
			if err != nil || receipt.ID != "SM1" || receipt.Status != "queued" || calls.Load() != 1 {
				t.Errorf("got %+v, %v after %d calls", receipt, err, calls.Load())
			}
		})
	}
}

func TestAnswersHaveClasses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		from    string // of the message
		want    provider.Class
		wait    time.Duration
	}{
		"a wrong number is permanent":                         {handler: refusal(400, 21211), want: provider.Permanent},
		"an unknown code of a 400 is permanent":               {handler: refusal(400, 29999), want: provider.Permanent},
		"a 400 without a code is permanent":                   {handler: answer(400, "<html>"), want: provider.Permanent},
		"who opted out is suppressed":                         {handler: refusal(400, 21610), want: provider.Suppress},
		"refused credentials are our set-up's":                {handler: refusal(401, 20003), want: provider.Config},
		"credentials that a proxy refuses, or Twilio in HTML": {handler: answer(401, "<html>"), want: provider.Config},
		"credentials that may not do this":                    {handler: refusal(403, 20003), want: provider.Config},
		"403 is our set-up's":                                 {handler: refusal(403, 29999), want: provider.Config},
		"an unknown account is our set-up's":                  {handler: refusal(404, 20404), want: provider.Config},
		"a sender of ours that is refused is our set-up's":    {handler: refusal(400, 21606), want: provider.Config},
		"another one that the message names is its own fault": {handler: refusal(400, 21606), from: "12345", want: provider.Permanent},
		"ours is our set-up's, though the message names it":   {handler: refusal(400, 21606), from: "+14155550100", want: provider.Config},
		"429 is throttled":                                    {handler: refusal(429, 20429), want: provider.Throttled},
		"429 without a code too":                              {handler: answer(429, ""), want: provider.Throttled},
		"429 stays throttled whatever its code":               {handler: refusal(429, 21211), want: provider.Throttled},
		"Retry-After in seconds":                              {handler: answer(429, "", "Retry-After", "7"), want: provider.Throttled, wait: 7 * time.Second},
		"Retry-After as a date":                               {handler: answer(429, "", "Retry-After", now.Add(time.Minute).Format(http.TimeFormat)), want: provider.Throttled, wait: time.Minute},
		"Retry-After without sense":                           {handler: answer(429, "", "Retry-After", "-1"), want: provider.Throttled},
		"Retry-After beyond a day is a day":                   {handler: answer(429, "", "Retry-After", "9e99"), want: provider.Throttled, wait: 24 * time.Hour},
		"a full queue is throttled, with a wait":              {handler: refusal(400, 21611), want: provider.Throttled, wait: 30 * time.Second},
		"Twilio's own 503 is transient":                       {handler: refusal(503, 20503), want: provider.Transient},
		"a 503 of something before Twilio is in doubt":        {handler: answer(503, "<html>busy</html>"), want: provider.InDoubt},
		"a 500 is in doubt, with Twilio's words or without":   {handler: refusal(500, 20500), want: provider.InDoubt},
		"a 502 that is not JSON is in doubt":                  {handler: answer(502, "<html>"), want: provider.InDoubt},
		"a 504 is in doubt":                                   {handler: answer(504, ""), want: provider.InDoubt},
		"a 500 with a code of a refusal stays in doubt":       {handler: refusal(500, 21211), want: provider.InDoubt},
		"408 is in doubt":                                     {handler: answer(408, ""), want: provider.InDoubt},
		"a redirect is our set-up's":                          {handler: answer(307, "", "Location", "/elsewhere"), want: provider.Config},
		"a 304 is our set-up's":                               {handler: answer(304, ""), want: provider.Config},
		"a 201 without a body is in doubt":                    {handler: answer(201, ""), want: provider.InDoubt},
		"a 201 with half a body is in doubt":                  {handler: answer(201, `{"sid":"SM`), want: provider.InDoubt},
		"a 201 that names no message is in doubt":             {handler: answer(201, `{}`), want: provider.InDoubt},
		"a 201 whose body breaks off is in doubt":             {handler: answer(201, `{"sid":"SM1"`, "Content-Length", "500"), want: provider.InDoubt},
		"a connection closed after the request is in doubt":   {handler: hangUp, want: provider.InDoubt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			client := open(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				tc.handler(w, r)
			}, nil)
			m := text()
			m.From = redact.Personal(tc.from)
			_, err := client.Send(t.Context(), m)
			check(t, err, tc.want)
			if got := provider.AsError(err).Credentials; got != strings.Contains(name, "credentials") {
				t.Errorf("credentials refused: %t", got)
			}
			if got := provider.AsError(err).RetryAfter; got != tc.wait {
				t.Errorf("retry after %v, want %v", got, tc.wait)
			}
			if calls.Load() != 1 {
				t.Errorf("%d calls, want one", calls.Load())
			}
		})
	}
}

func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// check holds an error to its class, its type, and to silence about persons
// and secrets.
func check(t *testing.T, err error, want provider.Class) {
	t.Helper()
	var typed *provider.Error
	if !errors.As(err, &typed) {
		t.Fatalf("got %v, want a *provider.Error", err)
	}
	if typed.Class != want {
		t.Errorf("got %v, want class %v", err, want)
	}
	for _, secret := range []string{"4155550123", "s3cr3t", "Hello"} {
		if strings.Contains(fmt.Sprintf("%v %+v", err, *typed), secret) {
			t.Errorf("the error tells %q: %v", secret, err)
		}
	}
}

func TestWhatNeverLeftIsTransient(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := "http://" + listener.Addr().String()
	_ = listener.Close()
	plain := httptest.NewServer(answer(201, `{"sid":"SM1"}`))
	t.Cleanup(plain.Close)
	for name, base := range map[string]string{
		"a refused connection":   refused,
		"a name that is unknown": "http://twilio.invalid",
		"a broken TLS handshake": strings.Replace(plain.URL, "http:", "https:", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := open(t, nil, func(c *Config) { c.BaseURL = base })
			_, err := client.Send(t.Context(), text())
			check(t, err, provider.Transient)
		})
	}
	t.Run("a context that ended before", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := open(t, answer(201, `{"sid":"SM1"}`), nil).Send(ctx, text())
		if class := provider.AsError(err).Class; class != provider.Transient && class != provider.InDoubt {
			t.Errorf("got %v", err)
		}
	})
}

func TestACallThatIsCutOffIsInDoubt(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(c *Config, cancel func()){
		"by its timeout": func(c *Config, _ func()) { c.Timeout = 50 * time.Millisecond },
		"by its caller":  func(_ *Config, cancel func()) { go cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			arrived := make(chan struct{})
			client := open(t, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // or the server does not see who leaves
				close(arrived)
				<-r.Context().Done()
			}, func(c *Config) { cut(c, func() { <-arrived; cancel() }) })
			_, err := client.Send(ctx, text())
			check(t, err, provider.InDoubt)
		})
	}
}

// A transport that does not report its progress proves nothing.
type silent struct{}

func (silent) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("broken") }

func TestATransportThatTellsNothingLeavesDoubt(t *testing.T) {
	t.Parallel()
	client := open(t, nil, func(c *Config) { c.HTTPClient = &http.Client{Transport: silent{}} })
	_, err := client.Send(t.Context(), text())
	check(t, err, provider.InDoubt)
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(answer(201, `{"sid":"SM1"}`))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client := open(t, nil, func(c *Config) { c.BaseURL = server.URL })
	const slots = 8
	for range 5 {
		var sends sync.WaitGroup
		for range slots {
			sends.Go(func() {
				if _, err := client.Send(t.Context(), text()); err != nil {
					t.Error(err)
				}
			})
		}
		sends.Wait()
	}
	if got := connections.Load(); got > 2*slots {
		t.Errorf("%d connections for 5 times %d sends", got, slots)
	}
}

func TestASendWithoutASenderNamesTheVariable(t *testing.T) {
	t.Parallel()
	client := open(t, answer(201, `{"sid":"SM1"}`), func(c *Config) { c.From = "" })
	_, err := client.Send(t.Context(), text())
	check(t, err, provider.Config)
	if !strings.Contains(err.Error(), "TWILIO_FROM_NUMBER") {
		t.Errorf("got %v", err)
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Config{
		"TWILIO_ACCOUNT_SID": {AuthToken: "x"},
		"AC and 32":          {AccountSID: "AC/../x", AuthToken: "x"},
		"TWILIO_AUTH_TOKEN":  {AccountSID: "AC1"},
		"TWILIO_BASE_URL":    {AccountSID: "AC1", AuthToken: "x", BaseURL: "api.twilio.com"},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s named", err, want)
		}
	}
}

func TestCodesHaveWords(t *testing.T) {
	t.Parallel()
	for code, row := range codes {
		if row.text == "" || row.class == provider.InDoubt {
			t.Errorf("code %d: %+v", code, row)
		}
	}
}

func TestTheCallbackNamesOurID(t *testing.T) {
	t.Parallel()
	var callback string
	client := open(t, func(w http.ResponseWriter, r *http.Request) {
		callback = r.FormValue("StatusCallback")
		answer(http.StatusCreated, `{"sid":"SM1"}`)(w, r)
	}, func(c *Config) { c.StatusCallbackURL = "https://hooks.example.com/twilio?key=1" })
	if _, err := client.Send(t.Context(), text()); err != nil {
		t.Fatal(err)
	}
	if callback != "https://hooks.example.com/twilio?acs_id=a&key=1" {
		t.Errorf("got %s", callback)
	}
	_, err := New(Config{AccountSID: "AC1", AuthToken: "x", From: number, StatusCallbackURL: "https://my_hooks.example.com"})
	if err == nil || !strings.Contains(err.Error(), "TWILIO_STATUS_CALLBACK_URL") {
		t.Errorf("an underscore: got %v", err)
	}
}
