package message

import (
	"mime"
	"net/mail"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/novaura/acs-operator/internal/redact"
)

// The bounds of a mail.
const (
	MaxMailRecipients = 50  // to, cc and bcc together: SES's bound
	maxSubject        = 500 // characters
	maxHeaders        = 15  // SES's bound
	maxLocalPart      = 64  // RFC 5321, bytes
	maxHeaderName     = 126 // SES's bound, bytes
	maxHeaderValue    = 870 // SES's bound, bytes
	maxAttachments    = 20
	maxFilename       = 255
)

var (
	// A local part and a domain as they may stand in a header and in an SMTP
	// command without any quoting.
	localPart  = regexp.MustCompile("^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+$")
	mailDomain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	s3Object   = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+$`)
)

// ownHeaders are written from the message's own fields or by the provider: to
// set them would be to send another mail than the history says.
var ownHeaders = map[string]bool{
	"from": true, "sender": true, "to": true, "cc": true, "bcc": true, "reply-to": true, "subject": true, "date": true,
	"message-id": true, "return-path": true, "received": true, "mime-version": true, "dkim-signature": true,
}

// readMail reads the fields that only a mail has.
func (m *Message) readMail(f fields, r *reader) {
	m.Subject = redact.Personal(r.text(f, "subject"))
	m.HTML = redact.Personal(r.text(f, "html"))
	m.Cc, m.Bcc, m.ReplyTo = r.list(f, "cc"), r.list(f, "bcc"), r.list(f, "reply_to")
	r.into(f, "headers", "an object of strings", &m.Headers)
	var attachments []wireAttachment
	r.into(f, "attachments", `an array of objects such as {"url":"s3://bucket/key"}`, &attachments)
	for _, a := range attachments {
		m.Attachments = append(m.Attachments, Attachment(a))
	}
}

// normalizeMail checks a mail to be sent, and brings its addresses into one
// form. What it lets through can stand in a header as it is.
func (m *Message) normalizeMail() *Invalid {
	switch {
	case m.To == "":
		return invalidf(MissingField, "to: a message_send needs it")
	case strings.TrimSpace(m.Subject.Reveal()) == "":
		return invalidf(MissingField, "subject: a mail needs it")
	case strings.TrimSpace(m.Body.Reveal()) == "" && strings.TrimSpace(m.HTML.Reveal()) == "":
		return invalidf(MissingField, "body: a mail needs it, or html")
	case !printable(m.Subject.Reveal()) || utf8.RuneCountInString(m.Subject.Reveal()) > maxSubject:
		return invalidf(BadField, "subject: a line end or another control character, or longer than %d characters", maxSubject)
	case 1+len(m.Cc)+len(m.Bcc) > MaxMailRecipients:
		return invalidf(TooMany, "cc, bcc: with to, more than %d recipients", MaxMailRecipients)
	case len(m.ReplyTo) > MaxMailRecipients:
		return invalidf(TooMany, "reply_to: more than %d", MaxMailRecipients)
	}
	if invalid := m.normalizeMailboxes(); invalid != nil {
		return invalid
	}
	if invalid := m.checkHeaders(); invalid != nil {
		return invalid
	}
	return m.checkAttachments()
}

func (m *Message) normalizeMailboxes() *Invalid {
	for _, field := range []struct {
		name string
		list []redact.Personal
	}{{"cc", m.Cc}, {"bcc", m.Bcc}, {"reply_to", m.ReplyTo}} {
		for i, one := range field.list {
			var ok bool
			if field.list[i], ok = mailbox(one); !ok {
				return invalidf(BadAddress, "%s: an entry is not a mail address such as a@example.com", field.name)
			}
		}
	}
	var ok bool
	if m.To, ok = mailbox(m.To); !ok {
		return invalidf(BadAddress, "to: not one mail address such as a@example.com")
	}
	if m.From == "" {
		return nil
	}
	if m.From, ok = mailbox(m.From); !ok {
		return invalidf(BadAddress, "from: not one mail address such as a@example.com")
	}
	return nil
}

// mailbox is one mail address, with its display name where it has one, as it
// may stand in a header: the domain in lower case and ASCII (an international
// one in its xn-- form), the name encoded by RFC 2047. A local part that would
// need quoting or SMTPUTF8 is refused: few servers take it, and quoting is
// where headers are injected.
func mailbox(text redact.Personal) (redact.Personal, bool) {
	name, bare, ok := parseMailbox(text)
	switch {
	case !ok:
		return "", false
	case name == "":
		return redact.Personal(bare), true
	}
	return redact.Personal((&mail.Address{Name: name, Address: bare}).String()), true
}

func parseMailbox(text redact.Personal) (name, bare string, ok bool) {
	parsed, err := mail.ParseAddress(text.Reveal())
	if err != nil || !printable(parsed.Name) {
		return "", "", false
	}
	at := strings.LastIndexByte(parsed.Address, '@')
	local, domain := parsed.Address[:at], parsed.Address[at+1:]
	if domain, err = idna.Lookup.ToASCII(domain); err != nil {
		return "", "", false
	}
	domain = strings.ToLower(domain)
	ok = len(local) <= maxLocalPart && localPart.MatchString(local) && mailDomain.MatchString(domain) && len(domain) < 254
	return parsed.Name, local + "@" + domain, ok
}

// Bare is a mail address without its display name, as history and the
// suppression list know it; what is no mail address is returned as it is.
func Bare(address redact.Personal) redact.Personal {
	if _, bare, ok := parseMailbox(address); ok {
		return redact.Personal(bare)
	}
	return address
}

func (m *Message) checkHeaders() *Invalid {
	if len(m.Headers) > maxHeaders {
		return invalidf(TooMany, "headers: more than %d", maxHeaders)
	}
	seen := map[string]bool{}
	for name, value := range m.Headers {
		lower := strings.ToLower(name)
		switch {
		case !headerName.MatchString(name) || len(name) > maxHeaderName:
			return invalidf(BadHeader, "headers: a name that is none, or longer than %d bytes", maxHeaderName)
		case ownHeaders[lower] || strings.HasPrefix(lower, "content-") || strings.HasPrefix(lower, "x-ses-"):
			return invalidf(BadHeader, "headers: %s has a field of its own, or is the provider's to set", name)
		case seen[lower]:
			return invalidf(BadHeader, "headers: %s stands twice", name)
		case !printable(value) || value == "" || len(value) > maxHeaderValue:
			return invalidf(BadHeader, "headers: the value of %s is empty, has a line end or another control character, or is longer than %d bytes", name, maxHeaderValue)
		}
		seen[lower] = true
	}
	return nil
}

func (m *Message) checkAttachments() *Invalid {
	if len(m.Attachments) > maxAttachments {
		return invalidf(TooMany, "attachments: more than %d", maxAttachments)
	}
	for _, a := range m.Attachments {
		_, _, err := mime.ParseMediaType(first(a.ContentType, "text/plain"))
		switch {
		case !s3Object.MatchString(a.URL) || !printable(a.URL):
			return invalidf(BadField, "attachments: a url that is not s3://bucket/key")
		case !printable(a.Filename) || strings.ContainsAny(a.Filename, `/\"`) || utf8.RuneCountInString(a.Filename) > maxFilename:
			return invalidf(BadField, "attachments: a filename with a slash, a quote or a control character, or longer than %d characters", maxFilename)
		case err != nil || !printable(a.ContentType):
			return invalidf(BadField, "attachments: a content_type that is not one, such as application/pdf")
		}
	}
	return nil
}
