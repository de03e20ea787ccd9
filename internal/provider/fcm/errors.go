package fcm

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
)

// A refusalClass says what an error code of FCM's means for a push.
type refusalClass struct {
	class provider.Class
	text  string        // our words: FCM's may quote the token
	wait  time.Duration // where FCM names none
	// setUp: a set-up that is wrong has each good token refused like this. So it
	// says nothing of a token before another one was accepted.
	setUp bool
	alone bool // it is about devices of one platform, and no reason to keep others waiting
	// credentials says that they are refused, or may not send.
	credentials bool
}

// codes are FCM's own (details[].errorCode), and Google's (error.status) for
// what comes without. What is not here goes by its HTTP status.
//
// https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
var codes = map[string]refusalClass{
	"UNREGISTERED":       {class: provider.Suppress, text: "the token is not registered any more"},
	"NOT_FOUND":          {class: provider.Suppress, setUp: true, text: "the token is not known, or the project of FCM_CREDENTIALS is not"},
	"SENDER_ID_MISMATCH": {class: provider.Suppress, setUp: true, text: "the token is another project's than FCM_CREDENTIALS are for"},

	"INVALID_ARGUMENT": {class: provider.Permanent, text: "the push is not valid: too large (4096 bytes), or a reserved key in its data"},

	"THIRD_PARTY_AUTH_ERROR": {class: provider.Config, alone: true, credentials: true, text: "the project's APNs or Web Push key is missing or wrong: see its settings in the Firebase console"},
	"UNAUTHENTICATED":        {class: provider.Config, credentials: true, text: "the access token is refused"},
	"PERMISSION_DENIED":      {class: provider.Config, credentials: true, text: "the service account may not send: it needs cloudmessaging.messages.create on the project"},

	"QUOTA_EXCEEDED":     {class: provider.Throttled, text: "the quota is used up", wait: time.Minute},
	"RESOURCE_EXHAUSTED": {class: provider.Throttled, text: "the quota is used up", wait: time.Minute},
	"UNAVAILABLE":        {class: provider.Transient, text: "FCM is overloaded", wait: 10 * time.Second},
}

// answerError is Google's error JSON.
type answerError struct {
	Error struct {
		Status  string `json:"status"`
		Details []struct {
			ErrorCode       string `json:"errorCode"`
			FieldViolations []struct {
				Field string `json:"field"`
			} `json:"fieldViolations"`
			Violations []struct { // of a quota
				Subject     string `json:"subject"`
				Description string `json:"description"`
			} `json:"violations"`
		} `json:"details"`
	} `json:"error"`
}

// code is the most telling one; about says that the token itself is at fault.
func (e answerError) code() (code string, aboutToken bool) {
	code = e.Error.Status
	for _, detail := range e.Error.Details {
		if detail.ErrorCode != "" {
			code = detail.ErrorCode
		}
		for _, violation := range detail.FieldViolations {
			aboutToken = aboutToken || violation.Field == "message.token"
		}
	}
	return code, aboutToken
}

// deviceQuota says that the quota that is used up is one device's, and not the
// project's or a topic's.
func (e answerError) deviceQuota() bool {
	for _, detail := range e.Error.Details {
		for _, violation := range detail.Violations {
			if strings.Contains(strings.ToLower(violation.Subject+" "+violation.Description), "device") {
				return true
			}
		}
	}
	return false
}

// refusal types an answer that is not 2xx. The body may be anything: a proxy's
// HTML among it. proven says that our set-up has had a push accepted.
func refusal(answer once.Answer, m *message.Message, proven bool, now time.Time) *provider.Error {
	var decoded answerError
	_ = json.Unmarshal(answer.Body, &decoded) // what is not JSON has no code
	code, aboutToken := decoded.code()
	refused := &provider.Error{
		Provider: Name, Class: statusClass(answer.Status), HTTPStatus: answer.Status, Code: code, Message: statusText(answer.Status),
		RetryAfter: once.RetryAfter(answer.Header, now), Credentials: answer.Status == http.StatusUnauthorized,
	}
	row, known := codes[code]
	refusing := answer.Status/100 == 4 && answer.Status != http.StatusRequestTimeout || answer.Status == http.StatusServiceUnavailable
	if !known || !refusing {
		return refused
	}
	refused.Class, refused.Message, refused.Alone, refused.Credentials = row.class, row.text, row.alone, row.credentials
	refused.Away = row.class == provider.Transient
	if row.class == provider.Throttled && decoded.deviceQuota() {
		refused.Alone, refused.Message = true, "too many pushes to one device"
	}
	if refused.RetryAfter == 0 {
		refused.RetryAfter = row.wait
	}
	if row.setUp && !proven {
		refused.Class = provider.Permanent
	}
	if code == "INVALID_ARGUMENT" && aboutToken {
		refused.Class, refused.Message = provider.Suppress, "the token is not one"
	}
	if refused.Class == provider.Suppress && len(m.Tokens) == 0 {
		refused.Class, refused.Message = provider.Permanent, "the topic is not known"
	}
	return refused
}

// statusText is what to do about a status that comes without a code of FCM's.
func statusText(status int) string {
	if statusClass(status) == provider.Config {
		return "this is not FCM's own answer: is FCM_BASE_URL right, and nothing between us and it?"
	}
	return ""
}

// statusClass is what an HTTP status alone proves.
func statusClass(status int) provider.Class {
	switch {
	case status == http.StatusTooManyRequests:
		return provider.Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound, status/100 == 3:
		return provider.Config
	case status/100 == 4 && status != http.StatusRequestTimeout:
		return provider.Permanent
	default:
		return provider.InDoubt
	}
}
