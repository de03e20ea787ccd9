package message

import (
	"regexp"
	"strings"

	"github.com/novaura/acs-operator/internal/redact"
)

// The bounds of a push.
const (
	MaxTokens = 500  // of one message
	maxToken  = 4096 // bytes; a Web Push subscription is the longest
)

// topicName is what FCM takes after "/topics/", up to maxTopicName bytes.
var topicName = regexp.MustCompile(`^[A-Za-z0-9_.~%-]+$`)

const maxTopicName = 900

// readPush reads the fields that only a push has.
func (m *Message) readPush(f fields, r *reader) {
	m.Title = redact.Personal(r.text(f, "title"))
	m.Tokens = r.list(f, "tokens")
	m.Topic = r.text(f, "topic")
	m.Platform = Platform(r.text(f, "platform"))
}

// normalizePush checks a push to be sent. A token that stands twice is one,
// and `to` alone is one token.
func (m *Message) normalizePush() *Invalid {
	if m.To != "" && len(m.Tokens) == 0 && m.Topic == "" {
		m.Tokens, m.To = []redact.Personal{m.To}, ""
	}
	m.Topic = strings.TrimPrefix(m.Topic, "/topics/")
	switch {
	case m.To != "":
		return invalidf(BadField, "to: a push goes to tokens, or to a topic, or to one token in `to`: name one of them")
	case len(m.Tokens) == 0 && m.Topic == "":
		return invalidf(MissingField, "tokens: a push needs them, or a topic")
	case len(m.Tokens) > 0 && m.Topic != "":
		return invalidf(BadField, "topic: a push goes to tokens or to a topic, not to both")
	case m.Topic != "" && (len(m.Topic) > maxTopicName || !topicName.MatchString(m.Topic)):
		return invalidf(BadField, "topic: not a name of letters, digits and -_.~%%")
	case len(m.Tokens) > MaxTokens:
		return invalidf(TooMany, "tokens: %d; a push has at most %d", len(m.Tokens), MaxTokens)
	case m.Title == "" && m.Body == "" && len(m.Data) == 0:
		return invalidf(MissingField, "body: a push needs it, or title, or data")
	}
	switch m.Platform {
	case "", Android, IOS, Web:
	default:
		return invalidf(BadField, "platform: not android, ios or web")
	}
	return m.normalizeTokens()
}

func (m *Message) normalizeTokens() *Invalid {
	seen := make(map[redact.Personal]bool, len(m.Tokens))
	var tokens []redact.Personal
	for _, token := range m.Tokens {
		token = redact.Personal(strings.TrimSpace(token.Reveal()))
		if token == "" || len(token) > maxToken || !printable(token.Reveal()) {
			return invalidf(BadAddress, "tokens: an entry is empty, longer than %d bytes, or has control characters", maxToken)
		}
		if !seen[token] {
			seen[token], tokens = true, append(tokens, token)
		}
	}
	m.Tokens = tokens
	return nil
}
