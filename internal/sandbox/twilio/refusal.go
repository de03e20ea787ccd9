package twilio

import (
	"net/http"
	"strconv"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
)

// Twilio's error codes (https://www.twilio.com/docs/api/errors).
const (
	codeInvalidParameter       = 20001
	codeAuthenticate           = 20003
	codePageTooLarge           = 20007
	codeNotFound               = 20404
	codeTooManyRequests        = 20429
	codeInternal               = 20500
	codeUnavailable            = 20503
	codeInvalidTo              = 21211
	codeInvalidFrom            = 21212
	codeNoPermission           = 21408
	codeNoBody                 = 21602
	codeNoFrom                 = 21603
	codeNoTo                   = 21604
	codeFromNotCapable         = 21606
	codeUnsubscribed           = 21610
	codeToUnreachable          = 21612
	codeToNotMobile            = 21614
	codeBodyTooLong            = 21617
	longestBody                = 1600 // characters
	mostFormBytes        int64 = 64 << 10
)

// A refusal is Twilio's error JSON.
type refusal struct {
	Code     int    `json:"code"`
	Message  string `json:"message"`
	MoreInfo string `json:"more_info"`
	Status   int    `json:"status"`

	gateway bool // answered by a gateway's page instead
}

// refusals are the status and the words of each code; a status of zero is 400.
var refusals = map[int]struct {
	status  int
	message string
}{
	codeInvalidParameter: {message: "Invalid parameter"},
	codeAuthenticate:     {http.StatusUnauthorized, "Authenticate"},
	codePageTooLarge:     {message: "Page size must be between 1 and 1000"},
	codeNotFound:         {http.StatusNotFound, "The requested resource was not found"},
	codeTooManyRequests:  {http.StatusTooManyRequests, "Too Many Requests"},
	codeInternal:         {http.StatusInternalServerError, "An internal server error has occurred"},
	codeUnavailable:      {http.StatusServiceUnavailable, "Service Unavailable"},
	codeInvalidTo:        {message: "Invalid 'To' Phone Number"},
	codeInvalidFrom:      {message: "Invalid 'From' Phone Number"},
	codeNoPermission:     {message: "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"},
	codeNoBody:           {message: "Message body is required."},
	codeNoFrom:           {message: "A 'From' phone number is required."},
	codeNoTo:             {message: "A 'To' phone number is required."},
	codeFromNotCapable:   {message: "The 'From' phone number provided is not a valid message-capable Twilio phone number"},
	codeUnsubscribed:     {message: "Attempt to send to unsubscribed recipient"},
	codeToUnreachable:    {message: "Message cannot be sent with the current combination of 'To' and/or 'From' parameters"},
	codeToNotMobile:      {message: "'To' number is not a valid mobile number"},
	codeBodyTooLong:      {message: "The concatenated message body exceeds the 1600 character limit"},
}

// forced are refused for no reason of the stand-in's own, but can be asked for
// by Behavior.Errors.
var forced = map[int]struct {
	status  int
	message string
}{
	20005: {http.StatusForbidden, "Account not active"},
	21608: {message: "The phone number is unverified. Trial accounts cannot send messages to unverified numbers"},
	21611: {http.StatusTooManyRequests, "This 'From' number has exceeded the maximum number of queued messages"},
	21659: {message: "'From' is not a Twilio phone number or short code country mismatch"},
	21660: {message: "Mismatch between the 'From' number and the account"},
	21703: {message: "The Messaging Service does not have a phone number available to send a message"},
	30002: {http.StatusForbidden, "Account suspended"},
	30034: {message: "Message from an Unregistered Number"},
}

// provider is Twilio with the codes that Behavior.Errors may name.
func provider() behavior.Provider {
	of := behavior.Provider{Name: "twilio", HTTP: true}
	for code := range refusals {
		of.Codes = append(of.Codes, strconv.Itoa(code))
	}
	for code := range forced {
		of.Codes = append(of.Codes, strconv.Itoa(code))
	}
	return of
}

// refuseBy returns the refusal that a fault asks for, or nil.
func refuseBy(fault behavior.Fault) *refusal {
	switch {
	case fault.HTML:
		return &refusal{gateway: true}
	case fault.Internal:
		return refuse(codeInternal)
	case fault.Code != "":
		code, _ := strconv.Atoi(fault.Code) // one of provider's, which are numbers
		return refuse(code)
	}
	return nil
}

func refuse(code int) *refusal {
	known, found := refusals[code]
	if !found {
		known = forced[code]
	}
	if known.status == 0 {
		known.status = http.StatusBadRequest
	}
	return &refusal{
		Code: code, Message: known.message, Status: known.status,
		MoreInfo: "https://www.twilio.com/docs/errors/" + strconv.Itoa(code),
	}
}

// refuseNumber names the number as Twilio does, its last four characters
// hidden: a client must not rely on an error to be free of personal data.
func refuseNumber(code int, number string) *refusal {
	const hidden = "XXXX"
	refused := refuse(code)
	refused.Message += ": " + number[:max(0, len(number)-len(hidden))] + hidden
	return refused
}
