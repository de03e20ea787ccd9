package apns

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
)

// A refusalClass says what a reason of Apple's means for a push.
type refusalClass struct {
	class provider.Class
	text  string
	wait  time.Duration // where Apple names none
	// setUp: a set-up that is wrong has each good token refused like this. So it
	// says nothing of a token before another one was accepted.
	setUp bool
	alone bool // it is about the device, and no reason to keep others waiting
	// credentials says that the key or its token is refused.
	credentials bool
}

// reasons are Apple's; what is not here goes by its HTTP status.
//
// https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
var reasons = map[string]refusalClass{
	"Unregistered":           {class: provider.Suppress, text: "the token is not active any more"},
	"ExpiredToken":           {class: provider.Suppress, text: "the token has expired"},
	"BadDeviceToken":         {class: provider.Suppress, setUp: true, text: "the token is not one, or is the other environment's: APNS_BASE_URL must fit the app's build"},
	"DeviceTokenNotForTopic": {class: provider.Suppress, setUp: true, text: "the token is another app's than APNS_TOPIC"},

	"PayloadEmpty":       {class: provider.Permanent, text: "the push is empty"},
	"PayloadTooLarge":    {class: provider.Permanent, text: "the push is too large: 4096 bytes are allowed"},
	"BadCollapseId":      {class: provider.Permanent, text: "the collapse id is not valid"},
	"BadExpirationDate":  {class: provider.Permanent, text: "the expiry is not valid"},
	"BadMessageId":       {class: provider.Permanent, text: "the id is not valid"},
	"BadPriority":        {class: provider.Permanent, text: "the priority is not valid"},
	"InvalidPushType":    {class: provider.Permanent, text: "the push type is not valid"},
	"MissingDeviceToken": {class: provider.Permanent, text: "the token is missing"},
	"DuplicateHeaders":   {class: provider.Permanent, text: "a header stands twice"},

	"BadTopic":                           {class: provider.Config, text: "APNS_TOPIC is not valid"},
	"MissingTopic":                       {class: provider.Config, text: "APNS_TOPIC is missing"},
	"TopicDisallowed":                    {class: provider.Config, credentials: true, text: "the key may not send to APNS_TOPIC"},
	"BadCertificate":                     {class: provider.Config, credentials: true, text: "the certificate is not valid"},
	"BadCertificateEnvironment":          {class: provider.Config, credentials: true, text: "the certificate is the other environment's"},
	"InvalidProviderToken":               {class: provider.Config, credentials: true, text: "the key is refused: check APNS_KEY, APNS_KEY_ID and APNS_TEAM_ID"},
	"MissingProviderToken":               {class: provider.Config, credentials: true, text: "the key is missing"},
	"ExpiredProviderToken":               {class: provider.Config, credentials: true, text: "our token has expired: is this machine's clock right?"},
	"UnrelatedKeyIdInToken":              {class: provider.Config, credentials: true, text: "the key is not the first one of this connection"},
	"BadEnvironmentKeyIdInToken":         {class: provider.Config, credentials: true, text: "the key is the other environment's"},
	"Forbidden":                          {class: provider.Config, credentials: true, text: "the key may not do this"},
	"BadPath":                            {class: provider.Config, text: "APNS_BASE_URL is not APNs"},
	"MethodNotAllowed":                   {class: provider.Config, text: "APNS_BASE_URL is not APNs"},
	"InvalidProviderTokenForEnvironment": {class: provider.Config, credentials: true, text: "the key is the other environment's"},

	"TooManyRequests":             {class: provider.Throttled, alone: true, text: "too many pushes to one device", wait: time.Minute},
	"TooManyProviderTokenUpdates": {class: provider.Throttled, text: "our token is renewed too often: do other programs use the same key?", wait: renewAtMost},

	"ServiceUnavailable": {class: provider.Transient, text: "Apple is overloaded", wait: 15 * time.Second},
	"Shutdown":           {class: provider.Transient, text: "the server shuts down"},
	"IdleTimeout":        {class: provider.Transient, text: "the connection was idle"},
}

// refusal types an answer that is not 200: by its reason where it refuses, and
// otherwise by its status. proven says that our set-up has had a push accepted.
func refusal(answer once.Answer, proven bool, now time.Time) *provider.Error {
	var decoded struct {
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(answer.Body, &decoded) // what is not JSON has no reason
	refused := &provider.Error{
		Provider: Name, Class: statusClass(answer.Status), HTTPStatus: answer.Status, Code: decoded.Reason, Message: statusText(answer.Status),
		RetryAfter: once.RetryAfter(answer.Header, now), Credentials: answer.Status == http.StatusForbidden || answer.Status == http.StatusUnauthorized,
	}
	row, known := reasons[decoded.Reason]
	refusing := answer.Status/100 == 4 && answer.Status != http.StatusRequestTimeout || answer.Status == http.StatusServiceUnavailable
	if known && refusing {
		refused.Class, refused.Message, refused.Alone, refused.Credentials = row.class, row.text, row.alone, row.credentials
		if row.setUp && !proven {
			refused.Class = provider.Permanent
		}
		refused.Away = row.class == provider.Transient
		if refused.RetryAfter == 0 {
			refused.RetryAfter = row.wait
		}
	}
	return refused
}

// statusText is what to do about a status that comes without a reason of Apple's
// that is known.
func statusText(status int) string {
	if statusClass(status) == provider.Config {
		return "this is no answer of APNs' that is known: is APNS_BASE_URL right, and nothing between us and it?"
	}
	return ""
}

// statusClass is what an HTTP status alone proves.
func statusClass(status int) provider.Class {
	switch {
	case status == http.StatusGone:
		return provider.Suppress
	case status == http.StatusTooManyRequests:
		return provider.Throttled
	case status == http.StatusForbidden, status == http.StatusUnauthorized, status == http.StatusNotFound,
		status == http.StatusMethodNotAllowed, status/100 == 3:
		return provider.Config
	case status/100 == 4 && status != http.StatusRequestTimeout:
		return provider.Permanent
	default:
		return provider.InDoubt
	}
}
