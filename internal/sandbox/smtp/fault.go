package smtp

import (
	"maps"
	"slices"

	"github.com/emersion/go-smtp"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
)

const temporary = "451"

// faults are the replies to MAIL FROM that Behavior.Errors may name (RFC 5321,
// 4.2.3; RFC 3463; RFC 4954). 421 closes the connection.
var faults = map[string]*smtp.SMTPError{
	"421":     {Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Service not available, closing transmission channel"},
	"450":     {Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "Mailbox unavailable"},
	temporary: {Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Temporary service failure"},
	"452":     {Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "Insufficient system storage"},
	"454":     {Code: 454, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Throttling failure: Maximum sending rate exceeded."},
	"530":     {Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"},
	"535":     {Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Authentication credentials invalid"},
	"550":     {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Sender not allowed"},
	"552":     {Code: 552, EnhancedCode: smtp.EnhancedCode{5, 2, 2}, Message: "Exceeded storage allocation"},
	"554":     {Code: 554, EnhancedCode: smtp.EnhancedCode{5, 0, 0}, Message: "Transaction failed"},
}

func provider() behavior.Provider {
	return behavior.Provider{Name: "smtp", Codes: slices.Collect(maps.Keys(faults))}
}

// replyTo returns the reply that a fault asks for, or nil.
func replyTo(fault behavior.Fault) error {
	switch {
	case fault.Internal:
		return faults[temporary]
	case fault.Code != "":
		return faults[fault.Code]
	}
	return nil
}
