package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
)

var start = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

// firing is a notification of one alert; resolved of the same, over.
func firing() alerting.Notification {
	return alerting.TestNotification("alerts", "ops", 0, start)
}

func resolved() alerting.Notification {
	n := alerting.Notification{Key: firing().Key, Alert: alerting.TestAlert, Policy: "worker", Reason: alerting.AllResolved}
	n.Alerts = []alerting.Alert{{Alert: alerting.TestAlert, State: alerting.Resolved, ResolvedAt: start.Add(time.Hour), Message: "it was bad", Queue: "texts"}}
	return n
}

// web answers requests in turn, the last answer again and again; it remembers
// bodies.
type web struct {
	answers []func(*http.Request) (*http.Response, error)
	bodies  []string
	headers []http.Header
	at      []time.Time
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	w.bodies, w.headers, w.at = append(w.bodies, string(body)), append(w.headers, r.Header), append(w.at, time.Now())
	if err != nil {
		return nil, err
	}
	return w.answers[min(len(w.bodies), len(w.answers))-1](r)
}

func status200(code int, header ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		answer := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("words"))}
		if len(header) == 2 {
			answer.Header.Set(header[0], header[1])
		}
		return answer, nil
	}
}

func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func cut(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }

func receivers() map[string]config.Receiver {
	return map[string]config.Receiver{
		"webhook":   {Name: "ops", Webhook: &config.WebhookReceiver{URL: "https://hooks.example.com/x"}},
		"slack":     {Name: "ops", Slack: &config.SlackReceiver{WebhookURL: config.SecretRef{Value: "https://hooks.slack.com/secret-path"}}},
		"pagerduty": {Name: "ops", PagerDuty: &config.PagerDutyReceiver{RoutingKey: config.SecretRef{Env: "KEY"}}},
	}
}

func TestEveryReceiverBearsAServerThatMisbehaves(t *testing.T) {
	type answers = []func(*http.Request) (*http.Response, error)
	for name, tc := range map[string]struct {
		answers answers
		calls   int
		want    Reason // empty: it is taken
	}{
		"it takes it":                           {answers{status200(200)}, 1, ""},
		"it takes it with 202":                  {answers{status200(202)}, 1, ""},
		"it fails twice":                        {answers{status200(500), status200(503), status200(200)}, 3, ""},
		"it cuts the connection, then takes it": {answers{cut, status200(200)}, 2, ""},
		"it hangs, then takes it":               {answers{hang, status200(200)}, 2, ""},
		"it asks for a pause":                   {answers{status200(429, "Retry-After", "7"), status200(200)}, 2, ""},
		"it refuses":                            {answers{status200(400)}, 1, ClientError},
		"it knows no such address":              {answers{status200(404)}, 1, ClientError},
		"it does not know us":                   {answers{status200(403)}, 1, AuthError},
		"it sends us elsewhere":                 {answers{status200(302, "Location", "http://169.254.170.2/")}, 1, ClientError},
		"it fails for ever":                     {answers{status200(500)}, 0, ServerError},
		"it hangs for ever":                     {answers{hang}, 0, TimedOut},
	} {
		for kind, receiver := range receivers() {
			t.Run(kind+": "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := &web{answers: tc.answers}
					n := New(Options{Transport: server, Secret: func(string) (string, bool) { return "routing-secret", true }})
					began := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
					defer cancel()
					err := n.Send(ctx, receiver, firing())
					if typed := (*Error)(nil); tc.want == "" && err != nil || tc.want != "" && (!errors.As(err, &typed) || typed.Reason != tc.want) {
						t.Errorf("got %v, want reason %q", err, tc.want)
					}
					if tc.calls > 0 && len(server.bodies) != tc.calls {
						t.Errorf("got %d calls, want %d", len(server.bodies), tc.calls)
					}
					if took := time.Since(began); took > 5*time.Minute {
						t.Errorf("it took %s", took)
					}
					if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "hooks")) {
						t.Errorf("the address is in the error: %v", err)
					}
				})
			})
		}
	}
}

func TestAPauseThatIsAskedForIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &web{answers: []func(*http.Request) (*http.Response, error){status200(429, "Retry-After", "7"), status200(200)}}
		if err := New(Options{Transport: server}).Send(t.Context(), receivers()["webhook"], firing()); err != nil {
			t.Fatal(err)
		}
		if pause := server.at[1].Sub(server.at[0]); pause < 7*time.Second {
			t.Errorf("got a pause of %s, want 7s", pause)
		}
	})
}

func TestTheWebhookIsAlertmanagers(t *testing.T) {
	server := &web{answers: []func(*http.Request) (*http.Response, error){status200(200)}}
	receiver := receivers()["webhook"]
	receiver.Webhook.BearerToken = &config.SecretRef{Value: "token"}
	n := New(Options{Transport: server, PageURL: "https://acs.example.com"})
	for _, what := range []alerting.Notification{firing(), resolved()} {
		if err := n.Send(t.Context(), receiver, what); err != nil {
			t.Fatal(err)
		}
	}
	var got struct {
		Version, GroupKey, Status, Receiver, ExternalURL string
		GroupLabels, CommonLabels, CommonAnnotations     map[string]string
		Alerts                                           []struct {
			Status, Fingerprint string
			Labels, Annotations map[string]string
			StartsAt, EndsAt    time.Time
		}
	}
	if err := json.Unmarshal([]byte(server.bodies[0]), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "4" || got.Status != "firing" || got.Receiver != "ops" || got.GroupKey == "" || len(got.Alerts) != 1 ||
		got.CommonLabels["alertname"] != alerting.TestAlert || !got.Alerts[0].StartsAt.Equal(start) || !got.Alerts[0].EndsAt.IsZero() || len(got.Alerts[0].Fingerprint) != 16 {
		t.Errorf("got %+v", got)
	}
	if err := json.Unmarshal([]byte(server.bodies[1]), &got); err != nil {
		t.Fatal(err)
	}
	if got.Status != "resolved" || got.Alerts[0].Status != "resolved" || got.Alerts[0].EndsAt.IsZero() || got.Alerts[0].Labels["queue"] != "texts" {
		t.Errorf("got %+v", got)
	}
	if got := server.headers[0].Get("Authorization"); got != "Bearer token" {
		t.Errorf("got authorization %q", got)
	}
}

func TestPagerDutyResolvesWhatItTriggered(t *testing.T) {
	server := &web{answers: []func(*http.Request) (*http.Response, error){status200(202)}}
	n := New(Options{Transport: server, Secret: func(string) (string, bool) { return "key", true }})
	var events [2]pagerDutyEvent
	for i, what := range []alerting.Notification{firing(), resolved()} {
		if err := n.Send(t.Context(), receivers()["pagerduty"], what); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(server.bodies[i]), &events[i]); err != nil {
			t.Fatal(err)
		}
	}
	if events[0].EventAction != "trigger" || events[1].EventAction != "resolve" || events[0].DedupKey != events[1].DedupKey || events[0].RoutingKey != "key" ||
		events[0].Payload == nil || events[0].Payload.Severity != "info" || events[1].Payload != nil {
		t.Errorf("got %+v and %+v", events[0], events[1])
	}
}

func TestAReceiverSaysWhatItLacks(t *testing.T) {
	person := []redact.Personal{"+14155550100"}
	for name, receiver := range map[string]config.Receiver{
		"TWILIO_ACCOUNT_SID": {Name: "ops", SMS: &config.SMSReceiver{To: person}},
		"EMAIL_PROVIDER":     {Name: "ops", Email: &config.EmailReceiver{To: person}},
		"SNS":                {Name: "ops", SNS: &config.SNSReceiver{TopicARN: "arn"}},
		"HOOK_URL":           {Name: "ops", Slack: &config.SlackReceiver{WebhookURL: config.SecretRef{Env: "HOOK_URL"}}},
	} {
		err := New(Options{}).Send(t.Context(), receiver, firing())
		if typed := (*Error)(nil); !errors.As(err, &typed) || typed.Reason != ConfigError || !strings.Contains(err.Error(), name) || typed.Receiver != "ops" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestLinkLocalAddressesAreRefused(t *testing.T) {
	receiver := config.Receiver{Name: "ops", Webhook: &config.WebhookReceiver{URL: "http://169.254.170.2/v2/credentials"}}
	err := New(Options{}).Send(t.Context(), receiver, firing())
	if typed := (*Error)(nil); !errors.As(err, &typed) || typed.Reason != ConfigError || !strings.Contains(err.Error(), "link-local") {
		t.Errorf("got %v", err)
	}
}

func TestALoopbackReceiverIsReachedOverTheWire(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
	}))
	defer server.Close()
	receiver := config.Receiver{Name: "ops", Webhook: &config.WebhookReceiver{URL: server.URL}}
	if err := New(Options{}).Send(t.Context(), receiver, firing()); err != nil || !strings.Contains(got, `"version":"4"`) {
		t.Errorf("got %v and body %s", err, got)
	}
}

// phone is a provider with memory; errors are given in turn.
type phone struct {
	errs  []error
	sent  []*message.Message
	found []provider.Receipt
}

func (*phone) Name() string { return "phone" }

func (p *phone) Send(_ context.Context, m *message.Message) (provider.Receipt, error) {
	p.sent = append(p.sent, m)
	if at := len(p.sent) - 1; at < len(p.errs) && p.errs[at] != nil {
		return provider.Receipt{}, p.errs[at]
	}
	return provider.Receipt{ID: "1"}, nil
}

func (p *phone) Find(context.Context, *message.Message, time.Time) ([]provider.Receipt, error) {
	return p.found, nil
}

func TestTexts(t *testing.T) {
	of := func(class provider.Class) error { return &provider.Error{Provider: "phone", Class: class} }
	for name, tc := range map[string]struct {
		phone phone
		sent  int
		want  Reason
	}{
		"it is taken":                               {phone{}, 1, ""},
		"throttled, it is tried again":              {phone{errs: []error{of(provider.Throttled)}}, 2, ""},
		"in doubt and not found, it is tried again": {phone{errs: []error{of(provider.InDoubt)}}, 2, ""},
		"in doubt and found, it is not sent twice":  {phone{errs: []error{of(provider.InDoubt)}, found: []provider.Receipt{{ID: "1"}}}, 1, ""},
		"a wrong number is not tried again":         {phone{errs: []error{of(provider.Permanent)}}, 1, ClientError},
		"wrong credentials are not tried again":     {phone{errs: []error{of(provider.Config)}}, 1, AuthError},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				receiver := config.Receiver{Name: "ops", SMS: &config.SMSReceiver{To: []redact.Personal{"+14155550100", "+14155550101"}}}
				what := firing()
				what.Index = 1
				err := New(Options{SMS: &tc.phone}).Send(t.Context(), receiver, what)
				if typed := (*Error)(nil); tc.want == "" && err != nil || tc.want != "" && (!errors.As(err, &typed) || typed.Reason != tc.want) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
				if len(tc.phone.sent) != tc.sent || tc.phone.sent[0].To != "+14155550101" {
					t.Errorf("got %d texts to %v, want %d", len(tc.phone.sent), tc.phone.sent[0].To.Reveal(), tc.sent)
				}
			})
		})
	}
}

// Mailboxes show one mail of those that share a Message-ID, which follows from the id.
func TestEveryMailHasAnIDThatItsTriesShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		post := &phone{errs: []error{&provider.Error{Provider: "phone", Class: provider.Transient}}}
		receiver := config.Receiver{Name: "ops", Email: &config.EmailReceiver{To: []redact.Personal{"oncall@example.com"}}}
		n, later := New(Options{Email: post}), firing()
		later.Time = later.Time.Add(4 * time.Hour)
		for _, what := range []alerting.Notification{firing(), later} {
			if err := n.Send(t.Context(), receiver, what); err != nil {
				t.Fatal(err)
			}
		}
		if len(post.sent) != 3 || post.sent[0].ID == "" || post.sent[0].ID != post.sent[1].ID || post.sent[1].ID == post.sent[2].ID {
			t.Errorf("got %d mails: %+v", len(post.sent), post.sent)
		}
	})
}

func TestTheBudgetOfAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		phone := &phone{}
		n := New(Options{SMS: phone})
		receiver := config.Receiver{Name: "ops", SMS: &config.SMSReceiver{To: []redact.Personal{"+14155550100"}, MaxPerHour: 3}}
		var last error
		for range 5 {
			last = n.Send(t.Context(), receiver, firing())
		}
		if typed := (*Error)(nil); len(phone.sent) != 3 || !errors.As(last, &typed) || typed.Reason != BudgetExhausted {
			t.Errorf("got %d texts and %v, want 3 and a spent budget", len(phone.sent), last)
		}
		time.Sleep(21 * time.Minute)
		if err := n.Send(t.Context(), receiver, firing()); err != nil {
			t.Errorf("a third of an hour later: %v", err)
		}
	})
}

// states is a memory; broken, it fails.
type states struct {
	kept   map[string][]byte
	broken bool
}

func (s *states) SaveState(_ context.Context, name string, state []byte) error {
	if s.broken {
		return errors.New("the database is away")
	}
	s.kept[name] = state
	return nil
}

func (s *states) LoadState(_ context.Context, name string) ([]byte, error) {
	if state, known := s.kept[name]; known && !s.broken {
		return state, nil
	}
	return nil, errors.New("not found")
}

func TestTheBudgetGoesOnWithAnotherLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, phone := &states{kept: map[string][]byte{}}, &phone{}
		first, second := New(Options{SMS: phone, Memory: memory}), New(Options{SMS: phone, Memory: memory})
		tell := func(n *Notifier, most, times int) (texts int) {
			before := len(phone.sent)
			receiver := config.Receiver{Name: "ops", SMS: &config.SMSReceiver{To: []redact.Personal{"+14155550100"}, MaxPerHour: most}}
			for range times {
				_ = n.Send(t.Context(), receiver, firing())
				time.Sleep(time.Second)
			}
			return len(phone.sent) - before
		}
		for _, step := range []struct {
			what               string
			by                 *Notifier
			most, times, texts int
			broken             bool
		}{
			{"the first leader spends two of three", first, 3, 2, 2, false},
			{"the second has one left", second, 3, 5, 1, false},
			{"the first, leading again, has none", first, 3, 5, 0, false},
			{"a larger allowance counts at once", first, 5, 5, 2, false},
			{"a memory that is away holds up no text", New(Options{SMS: phone, Memory: memory}), 3, 5, 3, true},
		} {
			if memory.broken = step.broken; tell(step.by, step.most, step.times) != step.texts {
				t.Errorf("%s: got %d texts in all, want %d of this step", step.what, len(phone.sent), step.texts)
			}
		}
	})
}

func TestATextIsShortAndPlain(t *testing.T) {
	n := firing()
	n.Alerts[0].Message = "12 → 40 tasks: " + strings.Repeat("very long ", 60)
	n.Alerts = append(n.Alerts, n.Alerts[0], n.Alerts[0])
	text := texted(n)
	if utf8.RuneCountInString(text) > textLimit || len(text) != utf8.RuneCountInString(text) || !strings.HasSuffix(text, "... (since 08:00 UTC) +2 more") ||
		!strings.HasPrefix(text, "[FIRING:3] TestOfReceiver: 12 -> 40") {
		t.Errorf("got %d characters: %s", len(text), text)
	}
	if got := texted(resolved()); got != "[RESOLVED] TestOfReceiver: texts: it was bad (resolved at 09:00 UTC)" {
		t.Errorf("got %q", got)
	}
}

// linked is a notification of a rule with a runbook.
func linked(message string) alerting.Notification {
	n := firing()
	n.Alerts[0].Message, n.Alerts[0].RunbookURL = message, "https://example.com/runbook.md#deadletters"
	return n
}

func TestANoticeSaysSinceWhenHowLongAndWhatToDo(t *testing.T) {
	t.Parallel()
	over := resolved()
	over.Alerts[0].Since, over.Alerts[0].RunbookURL = start.Add(-5*time.Minute), "https://example.com/runbook.md#deadletters"
	reminder := linked("it is bad")
	reminder.Reason = alerting.Repeated
	for name, tc := range map[string]struct{ got, want string }{
		"a text": {texted(linked("it is bad")), "[FIRING] TestOfReceiver: it is bad (since 08:00 UTC) example.com/runbook.md#deadletters"},
		"a text without room for the link": {
			texted(linked(strings.Repeat("x", 240))), "[FIRING] TestOfReceiver: " + strings.Repeat("x", 240) + " (since 08:00 UTC)",
		},
		"a text of what is over": {
			texted(over), "[RESOLVED] TestOfReceiver: texts: it was bad (resolved at 09:00 UTC after 1h5m) example.com/runbook.md#deadletters",
		},
		"at length": {
			written(reminder, "https://page.example.com"),
			`FIRING  info  it is bad (since 08:00 UTC)

Scaling policy test, alert policy alerts. This is a reminder: nothing has changed since the last notification.
What to do: https://example.com/runbook.md#deadletters
The controller's page: https://page.example.com
`,
		},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, tc.got, tc.want)
		}
	}
}

func TestEveryFormatLinksToTheRunbook(t *testing.T) {
	for kind, want := range map[string]string{
		"webhook": `"runbook_url":"https://example.com/runbook.md#deadletters"`, "slack": `https://example.com/runbook.md#deadletters`,
		"pagerduty": `"links":[{"href":"https://example.com/runbook.md#deadletters","text":"Runbook"}]`,
	} {
		synctest.Test(t, func(t *testing.T) {
			server := &web{answers: []func(*http.Request) (*http.Response, error){status200(200)}}
			n := New(Options{Transport: server, Secret: func(string) (string, bool) { return "key", true }})
			if err := n.Send(t.Context(), receivers()[kind], linked("it is bad")); err != nil || !strings.Contains(server.bodies[0], want) {
				t.Errorf("%s: got %v and %v, want %s", kind, err, server.bodies, want)
			}
		})
	}
}

func TestAHangingReceiverHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hanging := config.Receiver{Name: "hanging", Webhook: &config.WebhookReceiver{URL: "https://a.example.com"}}
		n := New(Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "a.example.com" {
				return hang(r)
			}
			return status200(200)(r)
		})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := make(chan error, 20)
		for range 20 {
			go func() { done <- n.Send(ctx, hanging, firing()) }()
		}
		synctest.Wait()
		began := time.Now()
		if err := n.Send(ctx, receivers()["webhook"], firing()); err != nil || time.Since(began) > time.Second {
			t.Errorf("the other took %s: %v", time.Since(began), err)
		}
		for range 20 {
			if err := <-done; err == nil {
				t.Error("a receiver that hangs took something")
			}
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// topic is SNS.
type topic struct {
	errs []error
	got  []*sns.PublishInput
}

func (p *topic) Publish(_ context.Context, in *sns.PublishInput, _ ...func(*sns.Options)) (*sns.PublishOutput, error) {
	p.got = append(p.got, in)
	if at := len(p.got) - 1; at < len(p.errs) {
		return nil, p.errs[at]
	}
	return &sns.PublishOutput{}, nil
}

func TestSNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		receiver := config.Receiver{Name: "ops", SNS: &config.SNSReceiver{TopicARN: "arn:aws:sns:us-east-1:123456789012:alerts"}}
		p := &topic{errs: []error{io.ErrUnexpectedEOF, &smithy.GenericAPIError{Code: "Throttling", Fault: smithy.FaultClient}}}
		if err := New(Options{SNS: p}).Send(t.Context(), receiver, firing()); err != nil || len(p.got) != 3 {
			t.Errorf("got %d calls and %v", len(p.got), err)
		}
		var texts map[string]string
		if err := json.Unmarshal([]byte(*p.got[0].Message), &texts); err != nil || !strings.Contains(texts["sqs"], `"version":"4"`) || texts["default"] == "" {
			t.Errorf("got %v and %v", texts, err)
		}
		refused := &topic{errs: []error{&smithy.GenericAPIError{Code: "AuthorizationError", Fault: smithy.FaultClient}}}
		err := New(Options{SNS: refused}).Send(t.Context(), receiver, firing())
		if typed := (*Error)(nil); !errors.As(err, &typed) || typed.Reason != ClientError || len(refused.got) != 1 {
			t.Errorf("got %d calls and %v", len(refused.got), err)
		}
	})
}
