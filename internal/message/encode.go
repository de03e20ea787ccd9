package message

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/internal/redact"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (2020-12) of DESIGN's JSON object. It says
// what JSON can: Parse also holds telephone numbers to their countries' plans,
// times to their order, and the channel to the queue's.
func Schema() []byte { return append([]byte(nil), schema...) }

// wire is a Message as producers write it.
type wire struct {
	ID             string            `json:"id,omitempty"`
	Channel        Channel           `json:"channel"`
	Type           Type              `json:"type"`
	From           string            `json:"from,omitempty"`
	To             string            `json:"to,omitempty"`
	Body           string            `json:"body,omitempty"`
	Template       string            `json:"template,omitempty"`
	Data           map[string]any    `json:"data,omitempty"`
	NotBefore      *time.Time        `json:"not_before,omitempty"`
	ExpiresAt      *time.Time        `json:"expires_at,omitempty"`
	Priority       Priority          `json:"priority,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	ProviderID     string            `json:"provider_id,omitempty"`
	ProviderStatus string            `json:"provider_status,omitempty"`
	ProviderCode   string            `json:"provider_code,omitempty"`
	Recipients     []string          `json:"recipients,omitempty"`
	EventID        string            `json:"event_id,omitempty"`
	Subject        string            `json:"subject,omitempty"`
	HTML           string            `json:"html,omitempty"`
	Cc             []string          `json:"cc,omitempty"`
	Bcc            []string          `json:"bcc,omitempty"`
	ReplyTo        []string          `json:"reply_to,omitempty"`
	Headers        map[string]string `json:"headers,omitempty"`
	Attachments    []wireAttachment  `json:"attachments,omitempty"`
	Title          string            `json:"title,omitempty"`
	Tokens         []string          `json:"tokens,omitempty"`
	Topic          string            `json:"topic,omitempty"`
	Platform       Platform          `json:"platform,omitempty"`
}

// wireAttachment is an Attachment as producers write it.
type wireAttachment struct {
	URL         string `json:"url"`
	Filename    string `json:"filename,omitempty"`
	ContentType string `json:"content_type,omitempty"`
}

func wireAttachments(attachments []Attachment) (wire []wireAttachment) {
	for _, a := range attachments {
		wire = append(wire, wireAttachment(a))
	}
	return wire
}

func texts(list []redact.Personal) (texts []string) {
	for _, one := range list {
		texts = append(texts, one.Reveal())
	}
	return texts
}

// Encode writes a message as Parse reads it, personal data revealed: the
// result is for a queue and for nothing else.
func Encode(m *Message) ([]byte, error) {
	body, err := json.Marshal(wire{
		m.ID, m.Channel, m.Type, m.From.Reveal(), m.To.Reveal(), m.Body.Reveal(), m.Template, m.Data,
		moment(m.NotBefore), moment(m.ExpiresAt), m.Priority, m.Metadata,
		m.ProviderID, m.ProviderStatus, m.ProviderCode, texts(m.Recipients), m.EventID,
		m.Subject.Reveal(), m.HTML.Reveal(), texts(m.Cc), texts(m.Bcc), texts(m.ReplyTo), m.Headers,
		wireAttachments(m.Attachments), m.Title.Reveal(), texts(m.Tokens), m.Topic, m.Platform,
	})
	if err != nil {
		return nil, fmt.Errorf("encode message %q: %w", m.ID, err)
	}
	return body, nil
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
