package fcm

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/providertest"
	"github.com/novaura/acs-operator/internal/redact"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/fcm"
)

const token = "cXyZ:APA91bToken"

var now = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

func push() *message.Message {
	return &message.Message{ID: "a", Channel: message.Push, Type: message.Send, Tokens: []redact.Personal{token}, Title: "Hi", Body: "Your code is 1234"}
}

// stand is one stand-in for the tests that need a token alone: its key is slow
// to make.
func stand(t *testing.T) (*sandbox.Server, string) {
	t.Helper()
	server, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return server, providertest.Start(t, server).URL
}

func open(t *testing.T, server *sandbox.Server, tokens, base string) *Client {
	t.Helper()
	credentials, err := server.Credentials(tokens)
	if err != nil {
		t.Fatal(err)
	}
	client, err := New(Config{Credentials: redact.Secret(credentials), BaseURL: base, Timeout: time.Second, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestAStoryWithFCMsStandIn(t *testing.T) {
	t.Parallel()
	server, base := stand(t)
	client := open(t, server, base, base)

	receipt, err := client.Send(t.Context(), push())
	if err != nil || !strings.HasPrefix(receipt.ID, "projects/"+sandbox.Project+"/messages/") {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	if got := server.Recent(1)[0]; got.Key != "a" || got.To != token || got.Title != "Hi" || got.Body != "Your code is 1234" {
		t.Errorf("got %+v", got)
	}

	b := server.Control().Get()
	b.LostAnswerRate = 1
	server.Control().Set(b)
	_, err = client.Send(t.Context(), push())
	providertest.Check(t, err, provider.InDoubt, token)
	if got := server.Effects("a"); got != 1 || server.Totals().Folded != 1 {
		t.Errorf("%d effects of one message that was sent again, %+v", got, server.Totals())
	}
	b.LostAnswerRate, b.RateLimit = 0, 0.0001
	server.Control().Set(b)
	_, _ = client.Send(t.Context(), push())
	_, err = client.Send(t.Context(), push())
	providertest.Check(t, err, provider.Throttled, token)
	b.RateLimit = 0
	server.Control().Set(b)

	server.Kill(token)
	_, err = client.Send(t.Context(), push())
	providertest.Check(t, err, provider.Suppress, token)

	topic := push()
	topic.Tokens, topic.Topic = nil, "news"
	if _, err = client.Send(t.Context(), topic); err != nil {
		t.Errorf("to a topic: %v", err)
	}
	if _, err := client.Find(t.Context(), topic, now); err != provider.ErrNoLookup {
		t.Errorf("got %v", err)
	}
}

func TestATokenThatIsRefusedIsFetchedAnewWhenItIsNotFresh(t *testing.T) {
	t.Parallel()
	server, base := stand(t)
	client := open(t, server, base, base)
	if _, err := client.Send(t.Context(), push()); err != nil {
		t.Fatal(err)
	}
	server.RevokeTokens()
	_, err := client.Send(t.Context(), push())
	providertest.Check(t, err, provider.Config)
	client.tokens.fetched = time.Now().Add(-2 * freshEnough)
	_, err = client.Send(t.Context(), push())
	providertest.Check(t, err, provider.Config)
	if _, err := client.Send(t.Context(), push()); err != nil {
		t.Errorf("after the refusal: %v", err)
	}
}

func TestMisbehavingServers(t *testing.T) {
	t.Parallel()
	server, tokens := stand(t)
	providertest.Misbehave(t, func(t *testing.T, base string) provider.Sender {
		client := open(t, server, tokens, base)
		if _, err := client.tokens.get(t.Context()); err != nil { // not a part of the call's time
			t.Fatal(err)
		}
		client.timeout = time.Second
		return client
	}, push(), token, "1234")
}

func TestNothingWasSentWithoutAnAccessToken(t *testing.T) {
	t.Parallel()
	server, _ := stand(t)
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    provider.Class
	}{
		"refused credentials are our set-up's":     {providertest.Answer(400, `{"error":"invalid_grant"}`), provider.Config},
		"one that redirects is our set-up's":       {providertest.Answer(307, "", "Location", "/elsewhere"), provider.Config},
		"a token endpoint that fails is transient": {providertest.Answer(502, "<html>"), provider.Transient},
		"one that throttles is transient":          {providertest.Answer(429, ""), provider.Transient},
		"one that answers nonsense is transient":   {providertest.Answer(200, "<html>"), provider.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sends := providertest.Start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a push was sent") }))
			_, err := open(t, server, providertest.Start(t, tc.handler).URL, sends.URL).Send(t.Context(), push())
			providertest.Check(t, err, tc.want)
			if got := provider.AsError(err).Credentials; got != strings.Contains(name, "credentials") {
				t.Errorf("credentials refused: %t", got)
			}
		})
	}
}

func refused(status int, word, code, field string) http.HandlerFunc {
	body := fmt.Sprintf(`{"error":{"code":%d,"message":"The token %s","status":%q,"details":[`, status, token, word)
	if code != "" {
		body += fmt.Sprintf(`{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":%q}`, code)
	}
	if field != "" {
		body += fmt.Sprintf(`,{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":%q}]}`, field)
	}
	return providertest.Answer(status, body+"]}}")
}

func TestAnswersHaveClasses(t *testing.T) {
	t.Parallel()
	server, tokens := stand(t)
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    provider.Class
		wait    time.Duration
		alone   bool
	}{
		"an app that is gone is suppressed":           {handler: refused(404, "NOT_FOUND", "UNREGISTERED", ""), want: provider.Suppress},
		"another project's token, or key, is refused": {handler: refused(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", ""), want: provider.Permanent},
		"a token that is none is suppressed":          {handler: refused(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.token"), want: provider.Suppress},
		"another invalid field is permanent":          {handler: refused(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.data"), want: provider.Permanent},
		"the project's APNs key is our set-up's":      {handler: refused(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", ""), want: provider.Config, alone: true},
		"refused credentials are our set-up's":        {handler: refused(401, "UNAUTHENTICATED", "", ""), want: provider.Config},
		"no permission is our set-up's":               {handler: refused(403, "PERMISSION_DENIED", "", ""), want: provider.Config},
		"a 404 without FCM's own code is refused":     {handler: refused(404, "NOT_FOUND", "", ""), want: provider.Permanent},
		"a 404 in HTML is our set-up's":               {handler: providertest.Answer(404, "<html>"), want: provider.Config},
		"a quota is throttled, for a minute":          {handler: refused(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", ""), want: provider.Throttled, wait: time.Minute},
		"an overload that FCM tells is transient":     {handler: refused(503, "UNAVAILABLE", "UNAVAILABLE", ""), want: provider.Transient, wait: 10 * time.Second},
		"an internal error is in doubt":               {handler: refused(500, "INTERNAL", "INTERNAL", ""), want: provider.InDoubt},
		"an answer that names no message is doubted":  {handler: providertest.Answer(200, "{}"), want: provider.InDoubt},
		"half an answer is doubted":                   {handler: providertest.Answer(200, `{"name":"pro`, "Content-Length", "500"), want: provider.InDoubt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := open(t, server, tokens, providertest.Start(t, tc.handler).URL)
			_, err := client.Send(t.Context(), push())
			providertest.Check(t, err, tc.want, token)
			if got := provider.AsError(err).Credentials; got != (strings.Contains(name, "key is our") || strings.Contains(name, "permission") || strings.Contains(name, "credentials")) {
				t.Errorf("credentials refused: %t", got)
			}
			if got := provider.AsError(err); got.RetryAfter != tc.wait || got.Alone != tc.alone {
				t.Errorf("retry after %v, alone %t, want %v, %t", got.RetryAfter, got.Alone, tc.wait, tc.alone)
			}
		})
	}
}

// FCM's 200 says that it has the push; only the name is missing. To send it again
// would be to send it twice.
func TestAnAcceptanceThatBreaksOffIsOne(t *testing.T) {
	t.Parallel()
	server, tokens := stand(t)
	half := providertest.Answer(200, `{"name":"pro`, "Content-Length", "500", "Content-Type", "application/json; charset=UTF-8")
	receipt, err := open(t, server, tokens, providertest.Start(t, half).URL).Send(t.Context(), push())
	if err != nil || receipt.Status != "accepted" {
		t.Errorf("got %+v, %v, want it accepted", receipt, err)
	}
}

// A token that lasts for a moment is used at once; one that is empty is no token.
func TestATokenThatHardlyLastsIsUsedAndFetchedOnce(t *testing.T) {
	t.Parallel()
	server, _ := stand(t)
	for name, tc := range map[string]struct {
		answer string
		sent   int32
		want   provider.Class
	}{
		"one of five seconds":       {`{"access_token":"x","expires_in":5,"token_type":"Bearer"}`, 1, -1},
		"one that is empty":         {`{"access_token":"","expires_in":3600,"token_type":"Bearer"}`, 0, provider.Transient},
		"an answer that has no one": {`{}`, 0, provider.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fetches, sent atomic.Int32
			tokens := providertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fetches.Add(1)
				providertest.Answer(200, tc.answer, "Content-Type", "application/json")(w, r)
			}))
			sends := providertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent.Add(1)
				providertest.Answer(200, `{"name":"projects/x/messages/1"}`)(w, r)
			}))
			_, err := open(t, server, tokens.URL, sends.URL).Send(t.Context(), push())
			if tc.want < 0 && err != nil || tc.want >= 0 && (err == nil || provider.AsError(err).Class != tc.want) {
				t.Errorf("got %v", err)
			}
			if fetches.Load() != 1 || sent.Load() != tc.sent {
				t.Errorf("%d fetches, %d sends, want one and %d", fetches.Load(), sent.Load(), tc.sent)
			}
		})
	}
}

// With another project's key every good token is refused: none may be given up
// for that.
func TestPitfall20ATokenIsGivenUpOnlyWhereTheKeyIsKnownToBeRight(t *testing.T) {
	t.Parallel()
	server, tokens := stand(t)
	var refuses atomic.Bool
	client := open(t, server, tokens, providertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !refuses.Load() {
			providertest.Answer(200, `{"name":"projects/x/messages/1"}`)(w, r)
			return
		}
		refused(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "")(w, r)
	})).URL)
	if _, err := client.Send(t.Context(), push()); err != nil {
		t.Fatal(err)
	}
	refuses.Store(true)
	_, err := client.Send(t.Context(), push())
	providertest.Check(t, err, provider.Suppress, token)
}

func TestThePayloadFoldsOnEveryPlatform(t *testing.T) {
	t.Parallel()
	server, tokens := stand(t)
	var got map[string]any
	base := providertest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &got)
		_, _ = w.Write([]byte(`{"name":"projects/x/messages/1"}`))
	})).URL
	m := push()
	m.Data = map[string]any{"order": "42", "count": 3}
	m.ExpiresAt = now.Add(90 * time.Second)
	if _, err := open(t, server, tokens, base).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	id := provider.CollapseID(m)
	want := map[string]any{"message": map[string]any{
		"token": token, "notification": map[string]any{"title": "Hi", "body": "Your code is 1234"},
		"data":    map[string]any{"acs_id": "a", "order": "42", "count": "3"},
		"android": map[string]any{"priority": "high", "ttl": "90s", "notification": map[string]any{"tag": id}},
		"apns":    map[string]any{"headers": map[string]any{"apns-collapse-id": id, "apns-priority": "10", "apns-expiration": "1767600090"}},
		"webpush": map[string]any{"headers": map[string]any{"Topic": id, "Urgency": "high", "TTL": "90"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	server, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	good, _ := server.Credentials("http://127.0.0.1")
	for want, c := range map[string]Config{
		"FCM_CREDENTIALS":          {},
		"path of a file":           {Credentials: "/nowhere"},
		"name no project":          {Credentials: `{"type":"service_account"}`},
		"not a service account":    {Credentials: `{"project_id":"x","type":"authorized_user"}`},
		"FCM_BASE_URL to an https": {},
	} {
		if want == "FCM_BASE_URL to an https" {
			want, c = "FCM_BASE_URL", Config{Credentials: redact.Secret(good), BaseURL: "fcm.googleapis.com"}
		}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q named", err, want)
		}
	}
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Credentials: redact.Secret(file)}); err != nil {
		t.Errorf("from a file: %v", err)
	}
}
