package message

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/novaura/acs-operator/internal/redact"
)

// twilioParameters are the webhook parameters that are read
// (https://www.twilio.com/docs/messaging/guides/webhook-request).
var twilioParameters = map[string]bool{
	"MessageSid": true, "SmsSid": true, "From": true, "To": true, "Body": true,
	"SmsStatus": true, "MessageStatus": true, "ErrorCode": true, "OptOutType": true,
	EventIDParameter: true,
}

// EventIDParameter is the query parameter of a status callback's URL that
// carries our own id. Whoever puts callbacks on the queue passes it on with
// Twilio's parameters.
const EventIDParameter = "acs_id"

// Posted is the form that was posted to a gateway: one that takes forms for
// binary hands them on in base64.
func Posted(body string) string {
	if decoded, err := base64.StdEncoding.DecodeString(body); err == nil {
		return string(decoded)
	}
	return body
}

// twilioForm reads a form-encoded webhook; ok says that the body is one.
func twilioForm(body []byte) (form url.Values, ok bool) {
	text := bytes.TrimSpace(body)
	if len(text) == 0 || strings.IndexByte(`{["`, text[0]) >= 0 || !bytes.Contains(text, []byte("Sid=")) {
		return nil, false
	}
	form, err := url.ParseQuery(string(text))
	for name := range form {
		form.Set(name, strings.ToValidUTF8(form.Get(name), "\uFFFD")) // %FF is no UTF-8
	}
	return form, err == nil && (form.Has("MessageSid") || form.Has("SmsSid"))
}

// twilio reads a webhook's parameters: an inbound message has SmsStatus
// "received" or a body, a status callback has MessageStatus.
func (p *parser) twilio(form url.Values) *Invalid {
	m := p.known
	m.Channel = SMS
	m.ProviderID = first(form.Get("MessageSid"), form.Get("SmsSid"))
	m.From, m.To = redact.Personal(form.Get("From")), redact.Personal(form.Get("To"))
	status := strings.ToLower(first(form.Get("MessageStatus"), form.Get("SmsStatus")))
	if status == "received" || status == "receiving" || form.Has("Body") && !form.Has("MessageStatus") {
		m.Type = Received
		m.Body = redact.Personal(form.Get("Body"))
		m.OptOut = form.Get("OptOutType")
		p.ownID = m.ProviderID
		return nil
	}
	m.Type = Status
	m.ProviderStatus, m.ProviderCode = status, form.Get("ErrorCode")
	if id := form.Get(EventIDParameter); usableID(id) {
		m.EventID = id
	}
	p.ownID = m.ProviderID + "/" + status // Twilio repeats a callback, and sends one a status
	return nil
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
