package outbox

import (
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
)

// ReadMIME fills what a person sees of a mail: subject, text (or HTML where
// there is none), the names of attachments. Who it is from and to is the
// envelope's word.
func (m *Message) ReadMIME(raw io.Reader) error {
	parsed, err := mail.ReadMessage(raw)
	if err != nil {
		return err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if err != nil {
		return err
	}
	m.Title = subject
	return m.readPart(textproto.MIMEHeader(parsed.Header), parsed.Body, 0)
}

func (m *Message) readPart(header textproto.MIMEHeader, body io.Reader, depth int) error {
	const deepest = 10
	if depth > deepest {
		return errors.New("nested too deep")
	}
	kind, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain" // RFC 2045, 5.2
	}
	if strings.HasPrefix(kind, "multipart/") {
		return m.readParts(multipart.NewReader(body, parameters["boundary"]), depth)
	}
	if disposition, named, err := mime.ParseMediaType(header.Get("Content-Disposition")); err == nil && disposition == "attachment" {
		m.Attachments = append(m.Attachments, named["filename"])
		return nil
	}
	text, err := io.ReadAll(decoded(header, body))
	if err != nil {
		return err
	}
	if kind == "text/plain" || m.Body == "" {
		m.Body = string(text)
	}
	return nil
}

func (m *Message) readParts(parts *multipart.Reader, depth int) error {
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := m.readPart(part.Header, part, depth+1); err != nil {
			return err
		}
	}
}

func decoded(header textproto.MIMEHeader, body io.Reader) io.Reader {
	switch strings.ToLower(header.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	}
	return body
}
