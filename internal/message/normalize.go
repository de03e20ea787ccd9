package message

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/novaura/acs-operator/internal/redact"
)

// normalize brings a decoded message into its one form, or says why it has
// none.
func (m *Message) normalize() *Invalid {
	if invalid := m.checkKind(); invalid != nil {
		return invalid
	}
	if m.Type == Received { // no database takes a NUL, and a STOP with one is a STOP
		m.Body = redact.Personal(strings.ReplaceAll(m.Body.Reveal(), "\x00", "\uFFFD"))
	}
	for _, field := range [...]struct{ name, text string }{
		{"from", m.From.Reveal()},
		{"to", m.To.Reveal()},
		{"template", m.Template},
		{"provider_id", m.ProviderID},
		{"provider_status", m.ProviderStatus},
		{"provider_code", m.ProviderCode},
		{"event_id", m.EventID},
	} {
		most := maxAddress
		if field.name == "to" && m.Channel == Push {
			most = maxToken
		}
		if !printable(field.text) || utf8.RuneCountInString(field.text) > most {
			return invalidf(BadField, "%s: control characters, or longer than %d characters", field.name, most)
		}
	}
	for _, field := range [...]struct {
		name string
		text redact.Personal
	}{{"body", m.Body}, {"html", m.HTML}, {"title", m.Title}} {
		if strings.IndexByte(field.text.Reveal(), 0) >= 0 {
			return invalidf(BadField, "%s: a NUL character", field.name)
		}
	}
	switch m.Type {
	case Send:
		return m.normalizeSend()
	case Received:
		return m.normalizeReceived()
	case Status:
		return m.normalizeStatus()
	}
	return nil
}

// otherChannel is what is wrong with a channel that is not the queue's.
func (m *Message) otherChannel() *Invalid {
	switch m.Channel {
	case SMS, Email, Push:
		return invalidf(WrongChannel, "channel: %s, on the queue of another channel", m.Channel)
	}
	return invalidf(UnknownChannel, "channel: not sms, email or push")
}

// checkKind checks type and priority.
func (m *Message) checkKind() *Invalid {
	switch m.Type {
	case Send, Received, Status:
	default:
		return invalidf(UnknownType, "type: not message_send, message_received or message_status")
	}
	switch m.Priority {
	case "":
		m.Priority = Transactional
	case Transactional, Marketing:
	default:
		return invalidf(BadField, "priority: not transactional or marketing")
	}
	return nil
}

func (m *Message) normalizeSend() *Invalid {
	if !m.NotBefore.IsZero() && !m.ExpiresAt.IsZero() && !m.ExpiresAt.After(m.NotBefore) {
		return invalidf(BadTimes, "expires_at: not after not_before")
	}
	switch m.Channel {
	case Email:
		return m.normalizeMail()
	case Push:
		return m.normalizePush()
	case SMS:
	}
	if m.To == "" {
		return invalidf(MissingField, "to: a message_send needs it")
	}
	if strings.TrimSpace(m.Body.Reveal()) == "" {
		return invalidf(MissingField, "body: a message_send needs it")
	}
	if n := utf8.RuneCountInString(m.Body.Reveal()); n > MaxSMSBody {
		return invalidf(BodyTooLong, "body: %d characters; a text has at most %d", n, MaxSMSBody)
	}
	number, ok := e164(m.To)
	if !ok {
		return invalidf(BadAddress, "to: not a telephone number with its country code, such as +442071838750")
	}
	m.To = number
	if m.From, ok = smsSender(m.From); !ok {
		return invalidf(BadAddress, "from: not a telephone number with its country code, a short code or a sender name")
	}
	return nil
}

// normalizeReceived keeps an inbound message whatever its addresses look
// like: carriers have short codes and names there.
func (m *Message) normalizeReceived() *Invalid {
	if m.From == "" {
		return invalidf(MissingField, "from: a message_received needs it")
	}
	m.normalizeAddresses()
	return nil
}

func (m *Message) normalizeStatus() *Invalid {
	if m.ProviderID == "" {
		return invalidf(MissingField, "provider_id: a message_status needs it")
	}
	if m.ProviderStatus == "" {
		return invalidf(MissingField, "provider_status: a message_status needs it")
	}
	m.ProviderStatus = strings.ToLower(m.ProviderStatus)
	m.normalizeAddresses()
	if m.Channel == Email {
		m.normalizeReport()
	}
	return nil
}

// normalizeAddresses brings addresses that came in into their one form where
// they have one.
func (m *Message) normalizeAddresses() {
	if m.Channel == Email {
		m.From, m.To = Bare(m.From), Bare(m.To)
		for i, one := range m.Recipients {
			m.Recipients[i] = Bare(one)
		}
	}
	if m.Channel != SMS {
		return
	}
	for _, address := range []*redact.Personal{&m.From, &m.To} {
		if number, ok := e164(*address); ok {
			*address = number
		}
	}
}

var (
	shortCode  = regexp.MustCompile(`^[0-9]{3,8}$`)
	senderName = regexp.MustCompile(`^[A-Za-z0-9 &+_-]{1,11}$`) // Twilio's alphanumeric sender ID
)

// smsSender is who a text is from: nobody named, a number, a short code, or a
// name with a letter in it.
func smsSender(from redact.Personal) (redact.Personal, bool) {
	text := strings.TrimSpace(from.Reveal())
	if text == "" || shortCode.MatchString(text) ||
		senderName.MatchString(text) && strings.ContainsFunc(text, isLetter) {
		return redact.Personal(text), true
	}
	return e164(from)
}
