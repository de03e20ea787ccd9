package twilio

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio signs with it
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	envelope "github.com/novaura/acs-operator/internal/message"
)

const (
	mostCallbacks = 200_000 // that wait
	// callbackTimeout is Twilio's own
	// (https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides).
	callbackTimeout = 15 * time.Second
	callbacksAtOnce = 16
	queuedTold      = 100 * time.Millisecond // after the answer of the create, as a rule
)

// Run tells the statuses of messages until ctx ends.
func (s *Server) Run(ctx context.Context) { s.later.Run(ctx, callbacksAtOnce) }

// setCallback takes the callback's URL of a message. Our own id is in its query;
// the URL of options leads to OnStatus, and is not called.
func (m *message) setCallback(address, ours string) {
	m.callback = address
	parsed, err := url.Parse(address)
	if err != nil {
		return
	}
	m.key = parsed.Query().Get(envelope.EventIDParameter)
	if parsed.RawQuery = ""; ours != "" && parsed.String() == ours {
		m.callback = ""
	}
}

// stages are the statuses of a message, and when after the one before each
// comes. A stage begins when the one before has been told: so they arrive in
// order.
var stages = []struct {
	status string
	after  time.Duration
}{{"queued", queuedTold}, {"sent", sentAfter - queuedTold}, {"delivered", deliveredAfter - sentAfter}}

// schedule tells what becomes of m, to whom it may concern.
func (s *Server) schedule(m *message) {
	if m.callback != "" || s.options.OnStatus != nil {
		s.stage(m, 0)
	}
}

func (s *Server) stage(m *message, n int) {
	if n == len(stages) {
		return
	}
	s.later.After(stages[n].after, func(ctx context.Context) {
		form := m.form(stages[n].status)
		if s.options.OnStatus != nil {
			s.options.OnStatus(ctx, form)
		}
		if m.callback != "" {
			s.call(ctx, m.callback, form)
		}
		s.stage(m, n+1)
	})
}

// form is a status callback
// (https://www.twilio.com/docs/messaging/guides/track-outbound-message-status).
func (m *message) form(status string) url.Values {
	form := url.Values{
		"MessageSid": {m.sid}, "SmsSid": {m.sid}, "MessageStatus": {status}, "SmsStatus": {status},
		"AccountSid": {m.account}, "To": {m.to}, "From": {m.from}, "ApiVersion": {"2010-04-01"},
	}
	if m.service != "" {
		form.Set("MessagingServiceSid", m.service)
	}
	if status == "delivered" {
		form.Set("RawDlrDoneDate", m.created.Add(deliveredAfter).UTC().Format("0601021504"))
	}
	return form
}

// call posts a callback, signed, once: Twilio's repeats are not modelled.
func (s *Server) call(ctx context.Context, target string, form url.Values) {
	ctx, cancel := context.WithTimeout(ctx, callbackTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return // a URL that is none: Twilio would warn in its console
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("User-Agent", "TwilioProxy/1.1")
	request.Header.Set("X-Twilio-Signature", Signature(s.options.AuthToken, target, form))
	answer, err := http.DefaultClient.Do(request)
	if err == nil {
		_ = answer.Body.Close()
	}
}

// Signature is what Twilio puts into X-Twilio-Signature: an HMAC-SHA1 of the
// URL and the form's names and values, sorted by name
// (https://www.twilio.com/docs/usage/webhooks/webhooks-security).
func Signature(authToken, target string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(authToken))
	_, _ = mac.Write([]byte(target))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			_, _ = mac.Write([]byte(name + value))
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
