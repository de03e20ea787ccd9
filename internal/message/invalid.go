package message

import "fmt"

// Reason is why a message cannot be understood: a code for error_code.
type Reason string

// The reasons.
const (
	TooLarge       Reason = "too_large"       // more than SQS carries
	NotUTF8        Reason = "not_utf8"        // not text
	NotJSON        Reason = "not_json"        // neither a JSON object nor a form of Twilio's
	TooDeep        Reason = "too_deep"        // nested beyond any use
	DuplicateKey   Reason = "duplicate_key"   // two readers would read two messages
	BadField       Reason = "bad_field"       // a field of another JSON type or form
	BadID          Reason = "bad_id"          // too long, or with control characters
	UnknownType    Reason = "unknown_type"    // not message_send, message_received or message_status
	UnknownChannel Reason = "unknown_channel" // not sms, email or push
	WrongChannel   Reason = "wrong_channel"   // a channel that is not its queue's
	MissingField   Reason = "missing_field"   // a field that the type needs
	BadAddress     Reason = "bad_address"     // neither a telephone number with a country code nor a mail address
	BodyTooLong    Reason = "body_too_long"   // more than MaxSMSBody characters
	BadTimes       Reason = "bad_times"       // expires_at is not after not_before
	LoneSurrogate  Reason = "lone_surrogate"  // half a character: no text, and nothing that could be sent unchanged
	BadHeader      Reason = "bad_header"      // a mail header that may not be set, or not so
	TooMany        Reason = "too_many"        // more recipients, tokens, headers or attachments than there may be
	SNSSetup       Reason = "sns_setup"       // what SNS or SES says while it is set up: no message
)

// Invalid is the error of a message that cannot be understood. Neither Reason
// nor Detail holds personal data.
type Invalid struct { //nolint:errname // message.Invalid says it
	Reason Reason
	Detail string // for people: the field, and what is wrong with it
	// Known is what could be understood: never nil, never hashed, without the
	// body, each field cut to a length and a form that a database takes. Its
	// ID is the key under which the refusal is recorded; the body's own id is
	// not one (see OwnID), so that a corrected message may come under it.
	Known *Message
	// OwnID is the id that the body names itself by, if any.
	OwnID string
}

func (i *Invalid) Error() string { return fmt.Sprintf("%s: %s", i.Reason, i.Detail) }

func invalidf(reason Reason, format string, args ...any) *Invalid {
	return &Invalid{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
