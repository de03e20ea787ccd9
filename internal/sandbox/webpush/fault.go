package webpush

import (
	"net/http"
	"strconv"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
)

// faults are the statuses that Behavior.Errors may name (RFC 8030, 5): web push
// has no error codes beside them.
var faults = []int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone,
	http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
	http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

func provider() behavior.Provider {
	of := behavior.Provider{Name: "webpush", HTTP: true}
	for _, status := range faults {
		of.Codes = append(of.Codes, strconv.Itoa(status))
	}
	return of
}

// fail answers a push as the fault asks, and reports whether it did.
func (s *Server) fail(w http.ResponseWriter, fault behavior.Fault) bool {
	switch {
	case fault.HTML:
		s.Refuse()
		behavior.WriteGatewayPage(w)
	case fault.Internal:
		s.refuse(w, http.StatusInternalServerError)
	case fault.Code != "":
		status, _ := strconv.Atoi(fault.Code) // one of faults
		s.refuse(w, status)
	default:
		return false
	}
	return true
}
