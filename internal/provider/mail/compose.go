package mail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"mime"
	netmail "net/mail"
	"net/textproto"
	"path"
	"slices"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
)

// maxAttached is the most bytes that the attachments of a mail may have
// together: in base64 they stay below the 40 MB that SES takes.
const maxAttached = 25 << 20

// Composer makes mails for one provider. It is safe for concurrent use.
type Composer struct {
	Provider string  // in errors
	From     string  // of messages that name no sender
	Fetcher  Fetcher // nil: no attachments
}

// Check says whether the default sender is a mail address, or none.
func (c Composer) Check() error {
	if c.From == "" {
		return nil
	}
	if _, err := netmail.ParseAddress(c.From); err != nil {
		return fmt.Errorf("%s: the sender is not a mail address: set EMAIL_FROM to one, such as Novaura <hello@example.com>", c.Provider)
	}
	return nil
}

// Sender is who the mail is from; own says that this is our set-up's word and
// not the message's.
func (c Composer) Sender(m *message.Message) (from string, own bool, err error) {
	switch {
	case m.From != "":
		return m.From.Reveal(), false, nil
	case c.From != "":
		return encodedSender(c.From), true, nil
	}
	return "", true, &provider.Error{
		Provider: c.Provider, Class: provider.Config, Message: "the message names no sender: set EMAIL_FROM",
	}
}

// encodedSender is the set-up's sender as a message's own is: its name encoded by
// RFC 2047, which SES asks for.
func encodedSender(from string) string {
	parsed, err := netmail.ParseAddress(from)
	if err != nil || ascii(from) {
		return from
	}
	return parsed.String()
}

// Compose makes a mail of m: its text and HTML as alternatives, its headers,
// its attachments fetched. The Message-ID follows from m.ID, so that a mail
// that is sent again can be known as the same. An error is a *provider.Error.
func (c Composer) Compose(ctx context.Context, m *message.Message) (*gomail.Msg, error) {
	mail := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	sender, _, err := c.Sender(m)
	if err != nil {
		return nil, err
	}
	from, parseErr := netmail.ParseAddress(sender)
	if parseErr != nil {
		return nil, c.refuse("from is not a mail address")
	}
	mail.FromMailAddress(from)
	if err := c.address(mail, m); err != nil {
		return nil, err
	}
	mail.SetGenHeaderPreformatted(gomail.HeaderSubject, unstructured("Subject", m.Subject.Reveal()))
	mail.SetMessageIDWithValue(MessageID(m.ID, from.Address))
	mail.SetDate()
	for _, header := range Headers(m) {
		if why := header.problem(); why != "" {
			return nil, c.refuse(why)
		}
		mail.SetGenHeaderPreformatted(gomail.Header(header.Name), unstructured(header.Name, header.Value))
	}
	if err := c.content(mail, m); err != nil {
		return nil, err
	}
	return mail, c.attach(ctx, mail, m)
}

func (c Composer) refuse(why string) *provider.Error {
	return &provider.Error{Provider: c.Provider, Class: provider.Permanent, Message: why}
}

// Copies are who gets a copy of m, each once and not who is written to anyway: a
// server may deliver a mail as often as it is told a recipient.
func Copies(m *message.Message) (cc, bcc []redact.Personal) {
	seen := map[string]bool{}
	fresh := func(address redact.Personal) bool {
		bare := strings.ToLower(message.Bare(address).Reveal())
		defer func() { seen[bare] = true }()
		return !seen[bare]
	}
	fresh(m.To)
	for _, field := range []struct {
		from []redact.Personal
		to   *[]redact.Personal
	}{{m.Cc, &cc}, {m.Bcc, &bcc}} {
		for _, address := range field.from {
			if fresh(address) {
				*field.to = append(*field.to, address)
			}
		}
	}
	return cc, bcc
}

func (c Composer) address(mail *gomail.Msg, m *message.Message) error {
	cc, bcc := Copies(m)
	for _, field := range []struct {
		name      string
		addresses []redact.Personal
		set       func(...*netmail.Address)
	}{
		{"to", []redact.Personal{m.To}, func(to ...*netmail.Address) { mail.SetAddrHeaderFromMailAddress(gomail.HeaderTo, to...) }},
		{"cc", cc, mail.CcMailAddress},
		{"bcc", bcc, mail.BccMailAddress},
		{"reply_to", m.ReplyTo, mail.ReplyToMailAddress},
	} {
		parsed := make([]*netmail.Address, 0, len(field.addresses))
		for _, address := range field.addresses {
			one, err := netmail.ParseAddress(address.Reveal())
			if err != nil {
				return c.refuse(field.name + " is not a mail address")
			}
			parsed = append(parsed, one)
		}
		if len(parsed) > 0 {
			field.set(parsed...)
		}
	}
	return nil
}

func (c Composer) content(mail *gomail.Msg, m *message.Message) error {
	text, html := m.Body.Reveal(), m.HTML.Reveal()
	switch {
	case text == "" && html == "":
		return c.refuse("the mail has neither a text nor HTML")
	case html == "":
		mail.SetBodyString(gomail.TypeTextPlain, text)
	case text == "":
		mail.SetBodyString(gomail.TypeTextHTML, html)
	default:
		mail.SetBodyString(gomail.TypeTextPlain, text)
		mail.AddAlternativeString(gomail.TypeTextHTML, html)
	}
	return nil
}

func (c Composer) attach(ctx context.Context, mail *gomail.Msg, m *message.Message) error {
	if len(m.Attachments) > 0 && c.Fetcher == nil {
		return &provider.Error{
			Provider: c.Provider, Class: provider.Permanent,
			Message: "attachments are not allowed: set EMAIL_ATTACHMENT_PREFIXES to where they may lie, such as s3://bucket/folder/",
		}
	}
	left := int64(maxAttached)
	for _, attachment := range m.Attachments {
		content, err := c.Fetcher.Fetch(ctx, attachment.URL, left)
		if err != nil {
			return err
		}
		left -= int64(len(content))
		name := attachment.Filename
		if name == "" {
			name = path.Base(attachment.URL)
		}
		kind := attachment.ContentType
		if kind == "" {
			kind = mime.TypeByExtension(path.Ext(name))
		}
		if kind == "" {
			kind = "application/octet-stream"
		}
		mail.AttachReadSeeker(name, bytes.NewReader(content), named(kind, name))
	}
	return nil
}

// MessageID is the Message-ID that Compose gives m; empty: it has no sender.
func (c Composer) MessageID(m *message.Message) string {
	sender, _, err := c.Sender(m)
	if err != nil {
		return ""
	}
	from, err := netmail.ParseAddress(sender)
	if err != nil {
		return ""
	}
	return MessageID(m.ID, from.Address)
}

// MessageID is the Message-ID of the mail that m.ID stands for, without angle
// brackets: the same for each try, and telling nothing of the key.
func MessageID(id, from string) string {
	sum := sha256.Sum256([]byte(id))
	_, domain, _ := strings.Cut(from, "@")
	return hex.EncodeToString(sum[:16]) + "@" + domain
}

// A Header is one that the message names.
type Header struct{ Name, Value string }

// Headers are those that m names, in a fixed order.
func Headers(m *message.Message) []Header {
	headers := make([]Header, 0, len(m.Headers))
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		headers = append(headers, Header{textproto.CanonicalMIMEHeaderKey(name), m.Headers[name]})
	}
	return headers
}

// reserved headers are the mail's own structure or its transport's word.
var reserved = map[string]bool{
	"From": true, "To": true, "Cc": true, "Bcc": true, "Reply-To": true, "Sender": true, "Subject": true, "Date": true,
	"Message-Id": true, "Mime-Version": true, "Content-Type": true, "Content-Transfer-Encoding": true,
	"Content-Disposition": true, "Return-Path": true, "Received": true, "Dkim-Signature": true,
}

// problem is why a header cannot go out; empty: it can.
func (h Header) problem() string {
	switch {
	case reserved[h.Name]:
		return "headers: " + h.Name + " is the mail's own"
	case h.Name == "" || strings.ContainsFunc(h.Name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }):
		return "headers: a name is not one"
	case strings.ContainsFunc(h.Value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return "headers: the value of " + h.Name + " has a control character"
	}
	return ""
}
