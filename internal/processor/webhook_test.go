package processor

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/store"
)

// signs is a Verifier that takes the signature "good" for one URL.
type signs struct {
	address string
	err     error
}

func (s signs) Verify(_ context.Context, address, form, signature string) (bool, error) {
	return s.err == nil && address == s.address && signature == "good" && strings.Contains(form, "MessageSid="), s.err
}

const hookURL = "https://hooks.example.com/twilio"

// posted is what a gateway made of a post.
func posted(body, event, signature string) consumer.Received {
	r := received(body)
	r.Webhook = &consumer.Webhook{URL: hookURL, Event: event, Signature: signature}
	return r
}

func verifying(s signs) func(*Options) { return func(o *Options) { o.Webhooks = s } }

const stop = "MessageSid=SM9&SmsStatus=received&From=%2B14155550123&To=%2B14155550100&Body=STOP"

func TestAPostIsBelievedOnlyWithItsSignature(t *testing.T) {
	t.Parallel()
	again := func(r consumer.Received) consumer.Received { r.ReceiveCount = 2; return r }
	good := signs{address: hookURL}
	for name, tc := range map[string]struct {
		hooks      Verifier
		post       consumer.Received
		action     consumer.Action
		reason     string
		suppressed bool
	}{
		"signed":                            {hooks: good, post: posted(stop, "", "good"), action: consumer.Delete, suppressed: true},
		"signed, handed on in base64":       {hooks: good, post: posted(base64.StdEncoding.EncodeToString([]byte(stop)), "", "good"), action: consumer.Delete, suppressed: true},
		"without a signature":               {hooks: good, post: posted(stop, "", ""), action: consumer.Delete, reason: unsigned},
		"without a URL":                     {hooks: good, post: func() consumer.Received { r := posted(stop, "", "good"); r.Webhook.URL = ""; return r }(), action: consumer.Delete, reason: unsigned},
		"a signature of another":            {hooks: good, post: posted(stop, "", "bad"), action: consumer.Retry, reason: forged},
		"a signature of another, once more": {hooks: good, post: again(posted(stop, "", "bad")), action: consumer.DeadLetter, reason: forged},
		"the token cannot be read":          {hooks: signs{err: errors.New("access denied")}, post: posted(stop, "", "good"), action: consumer.Retry, reason: unverified},
		"there is no token":                 {post: posted(stop, "", "good"), action: consumer.Retry, reason: unverified},
		"a send is refused, though signed": {hooks: good, action: consumer.DeadLetter, reason: "unknown_type",
			post: posted(`{"id":"a","type":"message_send","to":"`+person+`","body":"Hello","metadata":{"x":"MessageSid="}}`, "", "good")},
		"a send is refused, not signed": {hooks: good, action: consumer.DeadLetter, reason: forged,
			post: again(posted(`{"id":"a","type":"message_send","to":"`+person+`","body":"Hello"}`, "", "bad"))},
		"what is signed and not understood": {hooks: good, post: posted("MessageSid=SM9&MessageStatus=", "", "good"), action: consumer.DeadLetter, reason: "missing_field"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *Options) { o.Webhooks = tc.hooks })
			got := b.handle(tc.post)
			if got.Action != tc.action || got.Reason != tc.reason || (b.suppression() != "") != tc.suppressed || b.sender.sends != 0 {
				t.Errorf("got %+v, suppressed for %q, %d sends; want action %d, reason %q, suppressed %t",
					got, b.suppression(), b.sender.sends, tc.action, tc.reason, tc.suppressed)
			}
			events, err := b.store.Events(t.Context(), store.Filter{})
			if verified := tc.suppressed || tc.reason == "unknown_type" || tc.reason == "missing_field"; err != nil || len(events) > 0 != verified {
				t.Errorf("rows %+v, %v; want one: %t", events, err, verified)
			}
			if strings.Contains(b.logs.String(), "4155550123") {
				t.Errorf("the log tells a number:\n%s", b.logs)
			}
		})
	}
}

func TestAPostedReportFindsItsMessageByTheQuerysID(t *testing.T) {
	t.Parallel()
	for name, event := range map[string]string{"as it was in the query": "a%2F1", "decoded": "a/1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, verifying(signs{address: hookURL + "?acs_id=a%2F1"}))
			b.handle(received(`{"id":"a/1","type":"message_send","to":"` + person + `","body":"Hello"}`))
			got := b.handle(posted("MessageSid=SM1&MessageStatus=delivered&To=%2B14155550123", event, "good"))
			if row := b.event("a/1"); got.Action != consumer.Delete || row.Status != store.Delivered {
				t.Errorf("got %+v, row %s", got, row.Status)
			}
		})
	}
}
