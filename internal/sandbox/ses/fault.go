package ses

import (
	"maps"
	"net/http"
	"slices"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
)

const internalFailure = "InternalFailure"

// faults are the errors of SendEmail, and those that all of AWS's services
// have, which Behavior.Errors may name:
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html and CommonErrors.html.
var faults = map[string]struct {
	status  int
	message string
}{
	internalFailure:                      {http.StatusInternalServerError, "The request processing has failed because of an unknown error."},
	"ServiceUnavailable":                 {http.StatusServiceUnavailable, "The request has failed due to a temporary failure of the server."},
	"TooManyRequestsException":           {http.StatusTooManyRequests, "Maximum sending rate exceeded."},
	"ThrottlingException":                {http.StatusTooManyRequests, "Rate exceeded"},
	"LimitExceededException":             {http.StatusBadRequest, "Daily message quota exceeded."},
	"AccessDeniedException":              {http.StatusForbidden, "User is not authorized to perform: ses:SendEmail"},
	"UnrecognizedClientException":        {http.StatusForbidden, "The security token included in the request is invalid."},
	"InvalidSignatureException":          {http.StatusForbidden, "The request signature we calculated does not match the signature you provided."},
	"ExpiredTokenException":              {http.StatusForbidden, "The security token included in the request is expired"},
	"AccountSuspendedException":          {http.StatusBadRequest, "Sending is suspended for this account."},
	"SendingPausedException":             {http.StatusBadRequest, "Sending is paused for this account."},
	"MailFromDomainNotVerifiedException": {http.StatusBadRequest, "The MAIL FROM domain is not verified."},
	"MessageRejected":                    {http.StatusBadRequest, "Email address is not verified. The following identities failed the check in region US-EAST-1"},
	"NotFoundException":                  {http.StatusNotFound, "Configuration set does not exist."},
	"BadRequestException":                {http.StatusBadRequest, "The request is not valid."},
}

func provider() behavior.Provider {
	return behavior.Provider{Name: "ses", HTTP: true, Codes: slices.Collect(maps.Keys(faults))}
}

// fail answers a send as the fault asks, and reports whether it did.
func (s *Server) fail(w http.ResponseWriter, fault behavior.Fault) bool {
	switch {
	case fault.HTML:
		s.Refuse()
		behavior.WriteGatewayPage(w)
	case fault.Internal:
		s.refuse(w, faults[internalFailure].status, internalFailure, faults[internalFailure].message)
	case fault.Code != "":
		s.refuse(w, faults[fault.Code].status, fault.Code, faults[fault.Code].message)
	default:
		return false
	}
	return true
}
