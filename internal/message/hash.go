package message

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// content is what an ID stands for. Times, priority and metadata are not
// here: a producer's retry may compute its deadline anew and carry another
// trace id, and is still the same message. Names and order are part of the
// hash: fields may be added with omitempty, never renamed.
type content struct {
	Channel        Channel        `json:"channel"`
	Type           Type           `json:"type"`
	From           string         `json:"from,omitempty"`
	To             string         `json:"to,omitempty"`
	Body           string         `json:"body,omitempty"`
	Template       string         `json:"template,omitempty"`
	Data           map[string]any `json:"data,omitempty"`
	ProviderID     string         `json:"provider_id,omitempty"`
	ProviderStatus string         `json:"provider_status,omitempty"`

	Subject     string            `json:"subject,omitempty"`
	HTML        string            `json:"html,omitempty"`
	Cc          []string          `json:"cc,omitempty"`
	Bcc         []string          `json:"bcc,omitempty"`
	ReplyTo     []string          `json:"reply_to,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Attachments []wireAttachment  `json:"attachments,omitempty"`
	Title       string            `json:"title,omitempty"`
	Tokens      []string          `json:"tokens,omitempty"`
	Topic       string            `json:"topic,omitempty"`
	Platform    Platform          `json:"platform,omitempty"`
	Recipients  []string          `json:"recipients,omitempty"`
}

// hash is the SHA-256, in hex, of the canonical JSON of a message's content:
// the names of Data are sorted, the addresses normalised.
func (m *Message) hash() string {
	canonical, err := json.Marshal(content{
		m.Channel, m.Type, m.From.Reveal(), m.To.Reveal(), m.Body.Reveal(), m.Template, m.Data,
		m.ProviderID, m.ProviderStatus, m.Subject.Reveal(), m.HTML.Reveal(), texts(m.Cc), texts(m.Bcc),
		texts(m.ReplyTo), m.Headers, wireAttachments(m.Attachments), m.Title.Reveal(), texts(m.Tokens), m.Topic,
		m.Platform, texts(m.Recipients),
	})
	if err != nil {
		panic("hash a message: " + err.Error()) // Data came from JSON
	}
	return hexSHA256(canonical)
}

// BodyHash is the SHA-256, in hex, of the body alone, of the HTML where there
// is no other; empty for an empty one.
func (m *Message) BodyHash() string {
	body := first(m.Body.Reveal(), m.HTML.Reveal())
	if body == "" {
		return ""
	}
	return hexSHA256([]byte(body))
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
