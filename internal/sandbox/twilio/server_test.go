package twilio

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twilio/twilio-go/client"
	openapi "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/novaura/acs-operator/internal/sandbox/outbox"
)

const (
	account = "AC00000000000000000000000000000001"
	token   = "secret"
	anna    = "+14155550123"
	ben     = "+14155550124"
	sender  = "+14155550100"
)

// noon is where the clock of every test stands at first.
var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// sandbox is a Server on a socket, with a clock that is turned by hand.
type sandbox struct {
	*Server

	t       *testing.T
	url     string
	elapsed atomic.Int64 // since noon
}

func start(t *testing.T) *sandbox {
	t.Helper()
	s := &sandbox{Server: New(Options{AccountSID: account, AuthToken: token}), t: t}
	s.memory.now = func() time.Time { return noon.Add(time.Duration(s.elapsed.Load())) }
	listening := httptest.NewServer(s.Server)
	t.Cleanup(listening.Close)
	s.url = listening.URL
	return s
}

func (s *sandbox) pass(d time.Duration) { s.elapsed.Add(int64(d)) }

// call makes one request with the account's credentials, and decodes the answer into out.
func (s *sandbox) call(method, path string, form url.Values, out any) (status int) {
	s.t.Helper()
	answer, err := http.DefaultClient.Do(s.request(method, path, form))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer.StatusCode
}

func (s *sandbox) request(method, path string, form url.Values) *http.Request {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(account, token)
	return r
}

const messagesPath = apiRoot + account + "/Messages.json"

func text(to, body string) url.Values {
	return url.Values{"To": {to}, "From": {sender}, "Body": {body}}
}

// send creates a message, which must be accepted.
func (s *sandbox) send(to, body string) resource {
	s.t.Helper()
	var created resource
	if status := s.call(http.MethodPost, messagesPath, text(to, body), &created); status != http.StatusCreated {
		s.t.Fatalf("create: got status %d, want 201", status)
	}
	return created
}

// bodies lists with a raw query, and returns the bodies of the page.
func (s *sandbox) bodies(query string) (bodies []string, p page) {
	s.t.Helper()
	if status := s.call(http.MethodGet, messagesPath+"?"+query, nil, &p); status != http.StatusOK {
		s.t.Fatalf("list %s: got status %d, want 200", query, status)
	}
	for _, m := range p.Messages {
		bodies = append(bodies, m.Body)
	}
	return bodies, p
}

func TestAMessageLooksAsTwilioShowsIt(t *testing.T) {
	s := start(t)
	created := s.send("+1 (415) 555-0123", "Hello")
	path := apiRoot + account + "/Messages/" + created.SID
	read := func() map[string]any {
		got := map[string]any{}
		s.call(http.MethodGet, path+".json", nil, &got)
		return got
	}
	want := map[string]any{
		"account_sid": account, "api_version": "2010-04-01", "body": "Hello", "direction": "outbound-api",
		"date_created": "Mon, 05 Jan 2026 12:00:00 +0000", "date_sent": nil, "date_updated": "Mon, 05 Jan 2026 12:00:00 +0000",
		"error_code": nil, "error_message": nil, "from": sender, "to": anna, "messaging_service_sid": nil,
		"num_media": "0", "num_segments": "1", "price": nil, "price_unit": "USD", "sid": created.SID, "status": "queued",
		"subresource_uris": map[string]any{"media": path + "/Media.json"}, "uri": path + ".json",
	}
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("queued (-want +got):\n%s", diff)
	}
	s.pass(time.Second)
	want["status"], want["date_sent"] = "sent", "Mon, 05 Jan 2026 12:00:00 +0000"
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("after a second (-want +got):\n%s", diff)
	}
	s.pass(time.Hour)
	want["status"], want["date_updated"] = "delivered", "Mon, 05 Jan 2026 12:00:02 +0000"
	if diff := cmp.Diff(want, read()); diff != "" {
		t.Errorf("after an hour (-want +got):\n%s", diff)
	}
	if len(created.SID) != 34 || !strings.HasPrefix(created.SID, "SM") {
		t.Errorf("got sid %q, want SM and 32 hexadecimal digits", created.SID)
	}
}

func TestAMessagingServicePicksItsSenderWhenItSends(t *testing.T) {
	s := start(t)
	form := url.Values{"To": {anna}, "MessagingServiceSid": {"MG1"}, "Body": {"Hello"}}
	var created resource
	s.call(http.MethodPost, messagesPath, form, &created)
	if created.Status != "accepted" || created.From != nil || created.NumSegments != "0" || *created.MessagingServiceSID != "MG1" {
		t.Errorf("got %+v, want an accepted message without sender and segments", created)
	}
	if bodies, _ := s.bodies("From=" + url.QueryEscape(poolNumber)); len(bodies) != 0 {
		t.Errorf("listed %q by a sender that is not picked yet", bodies)
	}
	s.pass(sentAfter)
	if _, p := s.bodies("From=" + url.QueryEscape(poolNumber)); len(p.Messages) != 1 || *p.Messages[0].From != poolNumber || p.Messages[0].NumSegments != "1" {
		t.Errorf("got %+v, want one message from %s", p.Messages, poolNumber)
	}
}

func TestWhatCannotBeSentIsRefusedWithTwiliosCode(t *testing.T) {
	s := start(t)
	s.OptOut(ben)
	for name, tc := range map[string]struct {
		form url.Values
		code int
	}{
		"no To":                       {url.Values{"From": {sender}, "Body": {"x"}}, 21604},
		"a To that is no number":      {text("hello", "x"), 21211},
		"a To without country":        {text("4155550123", "x"), 21211},
		"no From":                     {url.Values{"To": {anna}, "Body": {"x"}}, 21603},
		"a From that is none":         {url.Values{"To": {anna}, "From": {"+1"}, "Body": {"x"}}, 21212},
		"no Body":                     {url.Values{"To": {anna}, "From": {sender}}, 21602},
		"a Body of 1601 characters":   {text(anna, strings.Repeat("é", 1601)), 21617},
		"a number that opted out":     {text(ben, "x"), 21610},
		"Twilio's blocked number":     {text("+15005550004", "x"), 21610},
		"Twilio's landline":           {text("+15005550009", "x"), 21614},
		"Twilio's From without a SMS": {url.Values{"To": {anna}, "From": {"+15005550007"}, "Body": {"x"}}, 21606},
	} {
		t.Run(name, func(t *testing.T) {
			var got refusal
			status := s.call(http.MethodPost, messagesPath, tc.form, &got)
			more := fmt.Sprintf("https://www.twilio.com/docs/errors/%d", tc.code)
			if status != 400 || got.Code != tc.code || got.Status != 400 || got.MoreInfo != more || got.Message == "" {
				t.Errorf("got HTTP %d %+v, want 400 and code %d", status, got, tc.code)
			}
		})
	}
	if got := s.Stats(); got.Accepted != 0 || got.Refused != 11 {
		t.Errorf("got %+v, want 11 refused and none accepted", got)
	}
	s.OptIn(ben)
	s.send(ben, strings.Repeat("é", 1600))
}

func TestCredentialsMustBeThereAndTheAccountsOwn(t *testing.T) {
	s := start(t)
	for name, tc := range map[string]struct{ user, password, path string }{
		"none":                 {"", "", messagesPath},
		"another token":        {account, "other", messagesPath},
		"another user":         {"AC2", token, messagesPath},
		"another account":      {account, token, apiRoot + "AC2/Messages.json"},
		"both of another name": {"AC2", token, apiRoot + "AC2/Messages.json"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.request(http.MethodPost, tc.path, text(anna, "x"))
			r.Header.Del("Authorization")
			if tc.user != "" {
				r.SetBasicAuth(tc.user, tc.password)
			}
			recorder := httptest.NewRecorder()
			s.ServeHTTP(recorder, r)
			var got refusal
			if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil || recorder.Code != 401 || got.Code != 20003 {
				t.Errorf("got HTTP %d %s, want 401 and code 20003", recorder.Code, recorder.Body)
			}
		})
	}
}

func TestAnUnknownResourceIsNotFound(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/Messages/SM0.json", "/Messages/SM0", "/Calls.json", ""} {
		var got refusal
		if status := s.call(http.MethodGet, apiRoot+account+path, nil, &got); status != 404 || got.Code != 20404 {
			t.Errorf("%s: got HTTP %d %+v, want 404 and code 20404", path, status, got)
		}
	}
}

func TestAListIsCutByRecipientSenderAndDay(t *testing.T) {
	s := start(t)
	s.send(anna, "monday")
	s.pass(24 * time.Hour)
	s.send(ben, "tuesday")
	s.pass(24 * time.Hour)
	s.send(anna, "wednesday")
	s.pass(time.Minute)
	s.send(anna, "queued")
	for query, want := range map[string][]string{
		"":                                      {"queued", "wednesday", "tuesday", "monday"},
		"To=%2B14155550123":                     {"queued", "wednesday", "monday"},
		"To=%2B14155550199":                     nil,
		"From=%2B14155550100":                   {"queued", "wednesday", "tuesday", "monday"},
		"From=%2B14155550101":                   nil,
		"To=%2B14155550124&From=%2B14155550100": {"tuesday"},
		"DateSent=2026-01-06":                   {"tuesday"},
		"DateSent>=2026-01-06":                  {"wednesday", "tuesday"},
		"DateSent%3E=2026-01-06T23:59:59Z":      {"wednesday", "tuesday"},
		"DateSent%3C=2026-01-06":                {"tuesday", "monday"},
		"DateSent>=2026-01-06&DateSent<=2026-01-06&To=%2B14155550123": nil,
	} {
		if got, _ := s.bodies(query); !cmp.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	for query, code := range map[string]int{"PageSize=1001": 20007, "PageSize=0": 20007, "Page=-1": 20001, "DateSent=today": 20001} {
		var got refusal
		if status := s.call(http.MethodGet, messagesPath+"?"+query, nil, &got); status != 400 || got.Code != code {
			t.Errorf("%s: got HTTP %d %+v, want 400 and code %d", query, status, got, code)
		}
	}
}

func TestPagesShowEachMessageOnceWhileOthersArrive(t *testing.T) {
	s := start(t)
	for i := range 5 {
		s.send(anna, fmt.Sprint(i))
	}
	got, p := s.bodies("PageSize=2&To=%2B14155550123")
	for p.NextPageURI != nil {
		s.send(anna, "late")
		uri, err := url.Parse(*p.NextPageURI)
		if err != nil {
			t.Fatal(err)
		}
		var more []string
		more, p = s.bodies(uri.RawQuery)
		got = append(got, more...)
	}
	if want := []string{"4", "3", "2", "1", "0"}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if p.Page != 2 || p.Start != 4 || p.End != 4 || p.PreviousPageURI == nil {
		t.Errorf("got page %d from %d to %d, want page 2 from 4 to 4 with a previous one", p.Page, p.Start, p.End)
	}
}

// redirect sends what is meant for api.twilio.com to the sandbox.
type redirect struct{ host string }

func (r redirect) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.URL.Scheme, request.URL.Host = "http", r.host
	return http.DefaultTransport.RoundTrip(request)
}

func TestTwiliosOwnClientUnderstandsEveryAnswer(t *testing.T) {
	s := start(t)
	base := &client.Client{
		Credentials: client.NewCredentials(account, token),
		HTTPClient:  &http.Client{Transport: redirect{strings.TrimPrefix(s.url, "http://")}},
	}
	base.SetAccountSid(account)
	api := openapi.NewApiServiceWithClient(base)
	var sid string
	for i := range 5 {
		created, err := api.CreateMessage((&openapi.CreateMessageParams{}).SetTo(anna).SetFrom(sender).SetBody(fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		sid = *created.Sid
	}
	s.pass(time.Minute)
	if fetched, err := api.FetchMessage(sid, nil); err != nil || *fetched.Status != "delivered" || *fetched.Body != "4" {
		t.Errorf("fetch: got %+v, %v; want the last message, delivered", fetched, err)
	}
	params := (&openapi.ListMessageParams{}).SetTo(anna).SetFrom(sender).SetDateSentAfter(noon).SetPageSize(2)
	if listed, err := api.ListMessage(params); err != nil || len(listed) != 5 || *listed[0].Sid != sid {
		t.Errorf("list: got %d messages, %v; want 5, the newest first", len(listed), err)
	}
	_, err := api.CreateMessage((&openapi.CreateMessageParams{}).SetTo("nobody").SetFrom(sender).SetBody("x"))
	if typed := (*client.TwilioRestError)(nil); !errors.As(err, &typed) || typed.Code != 21211 || typed.Status != 400 {
		t.Errorf("got %v, want code 21211", err)
	}
}

func TestTheOutboxShowsTheNewestTextsAndTheTotals(t *testing.T) {
	s := start(t)
	s.send(anna, "first")
	s.send(anna, "<script>alert(1)</script>")
	s.send(anna, "first")
	var got struct {
		Totals   outbox.Totals
		Messages []outbox.Message
	}
	s.call(http.MethodGet, "/outbox.json?limit=2", nil, &got)
	if got.Totals != (outbox.Totals{Accepted: 3, Doubled: 1}) || len(got.Messages) != 2 {
		t.Fatalf("got %+v, want 2 of 3 messages, one of them doubled", got)
	}
	first, second := got.Messages[0], got.Messages[1]
	if !first.Doubled || second.Doubled || first.To != anna || first.Status != "queued" || second.Body != "<script>alert(1)</script>" {
		t.Errorf("got %+v, want the doubled one first", got.Messages)
	}
}

func TestThePageLoadsNothingFromElsewhere(t *testing.T) {
	s := start(t)
	answer, err := http.Get(s.url + "/outbox")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	html, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") || !strings.Contains(string(html), "/outbox.json") {
		t.Errorf("got HTTP %d %s, want the page", answer.StatusCode, answer.Header.Get("Content-Type"))
	}
	for _, elsewhere := range []string{"http://", "https://", "innerHTML", "src="} {
		if strings.Contains(string(html), elsewhere) {
			t.Errorf("the page contains %q", elsewhere)
		}
	}
	if !strings.Contains(answer.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error("the page has no strict Content-Security-Policy")
	}
}
