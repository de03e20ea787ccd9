package twilio

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
)

// A refusalClass says what a code of Twilio's means for a create.
type refusalClass struct {
	class provider.Class
	text  string // our words: Twilio's quote the recipient
	// aboutSender: a refusal of the sender. It is the message's fault where
	// the message named the sender, and our set-up's where we did.
	aboutSender bool
	credentials bool          // they are refused
	wait        time.Duration // where Twilio names none
}

// codes are the refusals that mean something else than their HTTP status does,
// or that deserve words. Twilio keeps splitting codes and asks not to lean on
// them (changelog, July 2024): what is not here goes by its status.
//
// https://www.twilio.com/docs/api/errors
var codes = map[int]refusalClass{
	20003: {class: provider.Config, credentials: true, text: "the credentials are refused"},
	20404: {class: provider.Config, text: "the account or resource is unknown"},
	20429: {class: provider.Throttled, text: "too many requests"},
	30002: {class: provider.Config, text: "the account is suspended"},

	21610: {class: provider.Suppress, text: "the recipient has opted out"},

	21211: {class: provider.Permanent, text: "the recipient's number is not valid"},
	21214: {class: provider.Permanent, text: "the recipient's number cannot be reached"},
	21217: {class: provider.Permanent, text: "the recipient's number is not valid"},
	21265: {class: provider.Permanent, text: "the recipient is a short code"},
	21266: {class: provider.Permanent, text: "the recipient is the sender"},
	21408: {class: provider.Permanent, text: "the account may not send to this country"},
	21602: {class: provider.Permanent, text: "the body is missing"},
	21604: {class: provider.Permanent, text: "the recipient is missing"},
	21605: {class: provider.Permanent, text: "the body is too long"},
	21608: {class: provider.Permanent, text: "a trial account sends to verified numbers only"},
	21612: {class: provider.Permanent, text: "there is no route from this sender to this recipient"},
	21614: {class: provider.Permanent, text: "the recipient's number takes no texts"},
	21617: {class: provider.Permanent, text: "the body is too long"},
	21619: {class: provider.Permanent, text: "the body is missing"},

	21212: {class: provider.Config, aboutSender: true, text: "the sender is not valid"},
	21603: {class: provider.Config, aboutSender: true, text: "the sender is missing"},
	21606: {class: provider.Config, aboutSender: true, text: "the sender is not one of the account's that can text"},
	21659: {class: provider.Config, aboutSender: true, text: "the sender is not one of the account's"},
	21660: {class: provider.Config, aboutSender: true, text: "the sender is another account's"},
	21661: {class: provider.Config, aboutSender: true, text: "the sender cannot text"},
	21703: {class: provider.Config, aboutSender: true, text: "the messaging service has no sender"},
	21704: {class: provider.Config, aboutSender: true, text: "the messaging service has no sender for this"},
	21705: {class: provider.Config, aboutSender: true, text: "the messaging service is not valid"},
	30032: {class: provider.Config, aboutSender: true, text: "the toll-free sender is not verified"},
	30034: {class: provider.Config, aboutSender: true, text: "the sender is not registered for A2P 10DLC"},

	21611: {class: provider.Throttled, text: "the sender's queue at Twilio is full", wait: 30 * time.Second},
}

// refusal types an answer that is not 2xx: first by its HTTP status, then, for
// what Twilio itself refused (4xx), by its code.
func (c *call) refusal(answer once.Answer) *provider.Error {
	code, typed := errorCode(answer.Body)
	refused := &provider.Error{
		Provider: Name, Class: statusClass(answer.Status, typed), HTTPStatus: answer.Status,
		RetryAfter: once.RetryAfter(answer.Header, c.client.currentTime()), Credentials: answer.Status == http.StatusUnauthorized,
	}
	if answer.Status/100 == 3 {
		refused.Message = "redirected: TWILIO_BASE_URL is not Twilio's API"
	}
	if !typed {
		return refused
	}
	refused.Away = refused.Class == provider.Transient
	refused.Code = strconv.Itoa(code)
	refused.Message = "see https://www.twilio.com/docs/errors/" + refused.Code
	row, known := codes[code]
	if known {
		refused.Message = row.text
	}
	if known && answer.Status/100 == 4 && answer.Status != http.StatusTooManyRequests {
		refused.Class, refused.Credentials = row.class, row.credentials
		if row.aboutSender && !c.ownSender {
			refused.Class = provider.Permanent
		}
		if refused.RetryAfter == 0 {
			refused.RetryAfter = row.wait
		}
	}
	return refused
}

// statusClass is what an HTTP status alone proves. typed: the body is an error
// of Twilio's, so Twilio and not something before it has answered.
func statusClass(status int, typed bool) provider.Class {
	switch {
	case status == http.StatusTooManyRequests:
		return provider.Throttled
	case status == http.StatusServiceUnavailable && typed:
		return provider.Transient // refused as it came in
	case status == http.StatusRequestTimeout || status >= 500:
		return provider.InDoubt
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound:
		return provider.Config
	case status/100 == 4:
		return provider.Permanent
	case status/100 == 3:
		return provider.Config
	default:
		return provider.InDoubt
	}
}

// errorCode reads the code of Twilio's error JSON. Its words are not read:
// they quote numbers.
func errorCode(body []byte) (code int, ok bool) {
	var decoded struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(body, &decoded) != nil {
		return 0, false
	}
	return decoded.Code, decoded.Code != 0
}
