package apns

import (
	"maps"
	"net/http"
	"slices"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
)

const internal = "InternalServerError"

// faults are the reasons that Behavior.Errors may name, with their statuses:
// https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns.
var faults = map[string]int{
	internal:                 http.StatusInternalServerError,
	"ServiceUnavailable":     http.StatusServiceUnavailable,
	"Shutdown":               http.StatusServiceUnavailable,
	"TooManyRequests":        http.StatusTooManyRequests,
	"InvalidProviderToken":   http.StatusForbidden,
	"ExpiredProviderToken":   http.StatusForbidden,
	"MissingProviderToken":   http.StatusForbidden,
	"BadCertificate":         http.StatusForbidden,
	"Forbidden":              http.StatusForbidden,
	"BadTopic":               http.StatusBadRequest,
	"TopicDisallowed":        http.StatusBadRequest,
	"DeviceTokenNotForTopic": http.StatusBadRequest,
	"BadDeviceToken":         http.StatusBadRequest,
	"Unregistered":           http.StatusGone,
	"PayloadTooLarge":        http.StatusRequestEntityTooLarge,
	"IdleTimeout":            http.StatusBadRequest,
}

func provider() behavior.Provider {
	return behavior.Provider{Name: "apns", HTTP: true, Codes: slices.Collect(maps.Keys(faults))}
}

// fail answers a push as the fault asks, and reports whether it did.
func (s *Server) fail(w http.ResponseWriter, fault behavior.Fault) bool {
	if fault.Internal {
		fault.Code = internal
	}
	switch {
	case fault.HTML:
		s.Refuse()
		behavior.WriteGatewayPage(w)
	case fault.Code != "":
		s.refuse(w, faults[fault.Code], fault.Code)
	default:
		return false
	}
	return true
}
