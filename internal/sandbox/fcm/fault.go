package fcm

import (
	"maps"
	"net/http"
	"slices"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
)

const internal = "INTERNAL"

// faults are the codes that Behavior.Errors may name, with the HTTP status and
// the word that go with each:
// https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode. The last two
// are Google's own, without a code of FCM's.
var faults = map[string]struct {
	status     int
	word, code string
}{
	internal:                 {http.StatusInternalServerError, "INTERNAL", "INTERNAL"},
	"UNAVAILABLE":            {http.StatusServiceUnavailable, "UNAVAILABLE", "UNAVAILABLE"},
	"QUOTA_EXCEEDED":         {http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"},
	"THIRD_PARTY_AUTH_ERROR": {http.StatusUnauthorized, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"},
	"SENDER_ID_MISMATCH":     {http.StatusForbidden, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"},
	"UNREGISTERED":           {http.StatusNotFound, "NOT_FOUND", "UNREGISTERED"},
	"INVALID_ARGUMENT":       {http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT"},
	"UNAUTHENTICATED":        {http.StatusUnauthorized, "UNAUTHENTICATED", ""},
	"PERMISSION_DENIED":      {http.StatusForbidden, "PERMISSION_DENIED", ""},
}

func provider() behavior.Provider {
	return behavior.Provider{Name: "fcm", HTTP: true, Codes: slices.Collect(maps.Keys(faults))}
}

// fail answers a send as the fault asks, and reports whether it did.
func (s *Server) fail(w http.ResponseWriter, fault behavior.Fault) bool {
	if fault.Internal {
		fault.Code = internal
	}
	switch {
	case fault.HTML:
		s.Refuse()
		behavior.WriteGatewayPage(w)
	case fault.Code != "":
		known := faults[fault.Code]
		s.refuse(w, known.status, known.word, known.code, "")
	default:
		return false
	}
	return true
}
