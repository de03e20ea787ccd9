package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"

	"github.com/google/uuid"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
)

// CollapseID is what a device folds the pushes of one message by, so that one
// that is sent again replaces the first: 32 characters that are safe in a URL,
// within the bounds of APNs (64 bytes) and Web Push (32).
func CollapseID(m *message.Message) string {
	sum := sha256.Sum256([]byte(m.ID))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// pushNamespace makes our UUIDs differ from all others'.
var pushNamespace = uuid.MustParse("8c9f8a3e-6f0b-5b0e-9c69-2d9d7d0f3c55")

// PushUUID names the push of a message to one of its tokens: the same for each
// try.
func PushUUID(m *message.Message) string {
	var token redact.Personal
	if len(m.Tokens) > 0 {
		token = m.Tokens[0]
	}
	return uuid.NewSHA1(pushNamespace, []byte(m.ID+"\x00"+token.Reveal())).String()
}

// KeyText is a key given as text or as the path of a file that holds it: what
// begins as the text would is the text.
func KeyText(given redact.Secret, begins string) ([]byte, error) {
	text := strings.TrimSpace(given.Reveal())
	if strings.HasPrefix(text, begins) {
		return []byte(text), nil
	}
	return os.ReadFile(text)
}

// DataText is a value of a push's data as text: what is not text, as JSON.
func DataText(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(encoded)
}

// OneTarget is an error unless m goes to exactly one token, or to a topic
// where the provider has topics.
func OneTarget(name string, m *message.Message, topics bool) error {
	switch {
	case len(m.Tokens) == 1 && m.Topic == "" && m.Tokens[0] != "":
		return nil
	case len(m.Tokens) == 0 && m.Topic != "" && topics:
		return nil
	case m.Topic != "" && !topics:
		return &Error{Provider: name, Class: Permanent, Message: "it has no topics: send to tokens, or by FCM"}
	}
	return &Error{Provider: name, Class: Permanent, Message: "a push goes to one token or one topic"}
}
