package message

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/novaura/acs-operator/internal/redact"
)

// The bounds of a message.
const (
	MaxBytes   = 1 << 20 // what SQS carries
	MaxID      = 255     // characters of an ID
	MaxSMSBody = 1600    // characters of a text: Twilio's bound
	maxAddress = 320     // characters of a mail address (RFC 3696), the longest there is
	maxWord    = 128     // characters of a provider's id, status or code
)

// Parse makes a Message of what stands on a queue: DESIGN's JSON object,
// Twilio's webhook parameters as a form or as JSON, what SES tells of a mail,
// or an envelope of SNS's or EventBridge's around any of these.
//
// The ID is acsID (the message attribute acs_id that a copy carries), else the
// body's own, else sqsID. A Twilio webhook's own id is its MessageSid (with
// the status, for a status), a notice of SES's is made of what it is about, an
// SNS envelope's is its MessageId. channel is the
// queue's; a body that names none gets it, and one that names another is
// invalid.
//
// Fields that are not in the schema are tolerated, since producers and workers
// are released on different days; they take no part in Hash.
//
// An error is always an *Invalid, which carries what could be understood.
func Parse(body []byte, acsID, sqsID string, channel Channel) (*Message, error) {
	p := parser{acsID: acsID, sqsID: sqsID, channel: channel, known: &Message{Channel: channel}}
	m, invalid := p.parse(body)
	if invalid != nil && (invalid.Reason == NotUTF8 || invalid.Reason == LoneSurrogate) {
		if heard := p.inbound(body); heard != nil {
			return heard, nil
		}
	}
	if invalid != nil {
		p.known.sanitize()
		p.known.ID = p.refusalID()
		invalid.Known, invalid.OwnID = p.known, clean(p.ownID, MaxID)
		return nil, invalid
	}
	return m, nil
}

// inbound is an inbound message with characters that are none, which stand as
// U+FFFD then: nothing of it is sent on, and a STOP is heard however it is
// garbled. nil: it is no inbound message, or there is more wrong with it.
func (p parser) inbound(body []byte) *Message {
	p.known, p.ownID, p.repairs = &Message{Channel: p.channel}, "", true
	m, invalid := p.parse(body)
	if invalid != nil || m.Type != Received {
		return nil
	}
	return m
}

// parser holds what Parse knows beside the body, and what it has understood
// when it gives up.
type parser struct {
	acsID, sqsID string
	channel      Channel
	ownID        string // by which the body names itself
	known        *Message
	repairs      bool // what is no character is replaced
}

func (p *parser) parse(body []byte) (*Message, *Invalid) {
	if len(body) > MaxBytes {
		return nil, invalidf(TooLarge, "the body is longer than %d bytes", MaxBytes)
	}
	if !p.repairs && !utf8.Valid(body) {
		return nil, invalidf(NotUTF8, "the body is not UTF-8")
	}
	if invalid := p.decode(body, true); invalid != nil {
		return nil, invalid
	}
	m := p.known
	if m.Channel != p.channel {
		return nil, m.otherChannel()
	}
	if invalid := m.normalize(); invalid != nil {
		return nil, invalid
	}
	if m.ID = first(p.acsID, p.ownID, p.sqsID); !usableID(m.ID) {
		return nil, invalidf(BadID, "id: none, longer than %d characters, or with control characters", MaxID)
	}
	m.OptOut = m.keyword()
	m.Hash = m.hash()
	return m, nil
}

// decode fills p.known from a body in any of the forms. An envelope may stand
// around the body, but not around an envelope.
func (p *parser) decode(body []byte, mayWrap bool) *Invalid {
	if p.repairs {
		body = repaired(body)
	}
	if form, ok := twilioForm(body); ok {
		return p.twilio(form)
	}
	fields, invalid := object(body)
	if invalid != nil {
		return invalid
	}
	switch {
	case fields.isSNSSetup():
		return invalidf(SNSSetup, "SNS asks for a confirmation, and a link in a message is not followed: "+
			"subscribe the queue's ARN with protocol sqs, or confirm with aws sns confirm-subscription")
	case mayWrap && fields.isEnvelope():
		return p.unwrap(fields)
	case mayWrap && fields.isBridged():
		return p.decode(fields.get("detail"), false)
	case fields.isSES():
		return p.ses(body)
	case fields.isTwilio():
		form, invalid := fields.form()
		if invalid != nil {
			return invalid
		}
		return p.twilio(form)
	default:
		return p.native(fields)
	}
}

// unwrap reads the message inside an SNS notification.
func (p *parser) unwrap(envelope fields) *Invalid {
	var r reader
	inner, id := r.text(envelope, "Message"), r.text(envelope, "MessageId")
	if r.invalid != nil {
		return r.invalid
	}
	if strings.HasPrefix(inner, sesValidation) {
		return invalidf(SNSSetup, "SES tried the topic out: it works, and this is no message")
	}
	if invalid := p.decode([]byte(inner), false); invalid != nil {
		return invalid
	}
	if p.ownID == "" {
		p.ownID = id
	}
	return nil
}

// native reads DESIGN's JSON object.
func (p *parser) native(f fields) *Invalid {
	var r reader
	m := p.known
	m.Type = Type(r.text(f, "type"))
	m.Channel = Channel(r.text(f, "channel"))
	if m.Channel == "" {
		m.Channel = p.channel
	}
	p.ownID = r.text(f, "id")
	m.From = redact.Personal(r.text(f, "from"))
	m.To = redact.Personal(r.text(f, "to"))
	m.Body = redact.Personal(r.text(f, "body"))
	m.Template = r.text(f, "template")
	m.Priority = Priority(r.text(f, "priority"))
	m.NotBefore = r.time(f, "not_before")
	m.ExpiresAt = r.time(f, "expires_at")
	r.into(f, "data", "an object", &m.Data)
	r.into(f, "metadata", "an object of strings", &m.Metadata)
	m.ProviderID = r.text(f, "provider_id")
	m.ProviderStatus = r.text(f, "provider_status")
	m.ProviderCode = r.text(f, "provider_code")
	m.Recipients = r.list(f, "recipients")
	m.EventID = r.text(f, "event_id")
	m.readMail(f, &r)
	m.readPush(f, &r)
	return r.invalid
}

// refusalID is the key under which a refusal is recorded.
func (p *parser) refusalID() string {
	if usableID(p.acsID) {
		return p.acsID
	}
	return p.sqsID
}

func usableID(id string) bool {
	return strings.TrimSpace(id) != "" && utf8.ValidString(id) && utf8.RuneCountInString(id) <= MaxID && printable(id) &&
		!strings.ContainsAny(id, "\uFFFE\uFFFF") // an attribute of SQS's takes all but these
}

// sanitize makes what was understood of an invalid message safe to keep: no
// control characters, no endless text; and addresses in their one form, by which
// a person is found who asks to be forgotten.
func (m *Message) sanitize() {
	m.From, m.To = anyForm(m.From), anyForm(m.To)
	m.From, m.To = redact.Personal(clean(m.From.Reveal(), maxAddress)), redact.Personal(clean(m.To.Reveal(), maxAddress))
	m.Type, m.Channel = Type(clean(string(m.Type), maxWord)), Channel(clean(string(m.Channel), maxWord))
	m.Priority = Priority(clean(string(m.Priority), maxWord))
	m.Template = clean(m.Template, maxWord)
	m.ProviderID = clean(m.ProviderID, maxWord)
	m.ProviderStatus, m.ProviderCode = clean(m.ProviderStatus, maxWord), clean(m.ProviderCode, maxWord)
	m.Body, m.OptOut, m.Data, m.Metadata = "", "", nil, nil
	m.Subject, m.HTML, m.Cc, m.Bcc, m.ReplyTo, m.Headers, m.Attachments = "", "", nil, nil, nil, nil, nil
	m.Title, m.Tokens, m.Topic, m.Recipients = "", nil, clean(m.Topic, maxWord), nil
	m.Platform, m.EventID = Platform(clean(string(m.Platform), maxWord)), clean(m.EventID, MaxID)
}

// anyForm is the one form of an address that may be of any channel.
func anyForm(address redact.Personal) redact.Personal {
	if number, ok := e164(address); ok {
		return number
	}
	return Bare(address)
}

// clean is text without what cannot be printed, cut at most runes.
func clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most])
	}
	return text
}

// printable reports that text has no control characters, line ends among them,
// and no format characters, which can make it look like another.
func printable(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool {
		if r >= ' ' && r < unicode.MaxASCII {
			return false // nearly all: the tables take longer
		}
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	}) < 0
}

// reader reads fields and remembers the first that is wrong, so that all the
// others are read none the less: what is known of a message is recorded.
type reader struct{ invalid *Invalid }

func (r *reader) wrong(name, want string) {
	if r.invalid == nil {
		r.invalid = invalidf(BadField, "%s: not %s", name, want)
	}
}

// text reads a string; absent and null are the empty one.
func (r *reader) text(f fields, name string) string {
	raw := f.get(name)
	if raw == nil || raw.Kind() == jsontext.KindNull {
		return ""
	}
	var short [256]byte
	if text, err := jsontext.AppendUnquote(short[:0], raw); err == nil { // an error: it is no string
		return string(text)
	}
	r.wrong(name, "a string")
	return ""
}

// list reads an array of strings; one string is a list of one.
func (r *reader) list(f fields, name string) (list []redact.Personal) {
	if raw := f.get(name); len(raw) > 0 && raw[0] == '"' {
		return []redact.Personal{redact.Personal(r.text(f, name))}
	}
	r.into(f, name, "an array of strings", &list)
	return list
}

// into decodes a field into target; absent and null leave it as it is.
func (r *reader) into(f fields, name, want string, target any) {
	raw := f.get(name)
	if raw == nil || string(raw) == "null" {
		return
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // a data value keeps all its digits
	if decoder.Decode(target) != nil {
		r.wrong(name, want)
	}
}

func (r *reader) time(f fields, name string) (at time.Time) {
	var text *string
	const want = "an RFC 3339 time such as 2026-01-05T08:00:00Z"
	r.into(f, name, want, &text)
	if text == nil {
		return at
	}
	at, err := time.Parse(time.RFC3339, *text)
	if err != nil {
		r.wrong(name, want)
	}
	return at
}
