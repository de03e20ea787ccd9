// Package outbox is what people would have received, by whatever channel: each
// stand-in of a provider keeps a Box, and one page shows them all.
//
// Addresses and bodies lie here in plain text, since showing them is the
// point; nothing in this room logs. It imports behavior. Start with Box; page.go
// serves /outbox.
package outbox

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
)

// A Message is what a provider accepted, as its recipient would see it.
type Message struct {
	ID          string    `json:"id"` // the provider's own
	Provider    string    `json:"provider"`
	Channel     string    `json:"channel"`
	Key         string    `json:"key,omitempty"` // our own id, where the wire carries it
	To          string    `json:"to"`
	From        string    `json:"from,omitempty"`
	Title       string    `json:"title,omitempty"` // of a push; the subject of a mail
	Body        string    `json:"body"`
	Status      string    `json:"status"`
	Segments    int       `json:"segments,omitempty"`
	Attachments []string  `json:"attachments,omitempty"` // names
	Created     time.Time `json:"created"`
	Doubled     bool      `json:"doubled"` // its recipient has it twice
	Folded      bool      `json:"folded"`  // it replaced the one before on the device: no second effect

	// Collapse is what a device folds by; empty: it does not.
	Collapse string `json:"-"`
}

// Totals are since the start.
type Totals struct {
	Accepted int64 `json:"accepted"` // messages that were taken
	Doubled  int64 `json:"doubled"`  // of those, the ones that their recipient had before
	Folded   int64 `json:"folded"`   // of those, the ones that a device folds into the one before
	Refused  int64 `json:"refused"`  // sends that were answered with an error
}

// A Source is one provider's stand-in, as the page sees it.
type Source interface {
	// Names are the provider's and its channel's.
	Names() (provider, channel string)
	Totals() Totals
	// Recent are the newest messages, at most limit, newest first.
	Recent(limit int) []Message
	Control() *behavior.Control
}

// Box is a Source with memory: the newest messages, and what of all came
// before. All methods may be called concurrently.
type Box struct {
	provider, channel string
	control           *behavior.Control

	mu       sync.Mutex
	messages []Message // oldest first
	seen     *Seen
	totals   Totals
}

var _ Source = (*Box)(nil)

const (
	keepMessages = 20_000
	keepSeen     = 1_000_000
)

// NewBox returns an empty Box of provider, which behaves as b says.
func NewBox(provider behavior.Provider, channel string, b behavior.Behavior) *Box {
	return &Box{provider: provider.Name, channel: channel, control: behavior.New(provider, b), seen: NewSeen(keepSeen)}
}

// Names implements Source.
func (b *Box) Names() (provider, channel string) { return b.provider, b.channel }

// Control implements Source.
func (b *Box) Control() *behavior.Control { return b.control }

// Accept takes m. The effect is that of its key at its recipient; without a
// key, that of its words.
func (b *Box) Accept(m Message) Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	m.Provider, m.Channel, m.Created = b.provider, b.channel, time.Now().UTC()
	if m.Key != "" {
		m.Doubled = b.seen.Add("key", m.Key, m.To)
	} else {
		m.Doubled = b.seen.Add("words", m.To, m.Title, m.Body)
	}
	if m.Collapse != "" && b.seen.Add("collapse", m.Collapse, m.To) && m.Doubled {
		m.Doubled, m.Folded = false, true
	}
	b.totals.Accepted++
	if m.Doubled {
		b.totals.Doubled++
	}
	if m.Folded {
		b.totals.Folded++
	}
	b.messages = append(b.messages, m)
	if len(b.messages) > keepMessages {
		b.messages[0] = Message{}
		b.messages = b.messages[1:]
	}
	return m
}

// Refuse counts a send that was answered with an error.
func (b *Box) Refuse() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.totals.Refused++
}

// SetStatus changes the status of a message that is kept.
func (b *Box) SetStatus(id, status string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range slices.Backward(b.messages) {
		if b.messages[i].ID == id {
			b.messages[i].Status = status
			return
		}
	}
}

// Totals implements Source.
func (b *Box) Totals() Totals {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.totals
}

// Recent implements Source.
func (b *Box) Recent(limit int) []Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	recent := slices.Clone(b.messages[max(0, len(b.messages)-limit):])
	slices.Reverse(recent)
	return recent
}

// Effects counts what the recipients of our id have had, of the messages that
// are kept: one is right. A push that a device folded is no effect.
func (b *Box) Effects(key string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	effects := 0
	for _, m := range b.messages {
		if m.Key == key && !m.Folded {
			effects++
		}
	}
	return effects
}

// wholeNumber reads a query's number.
func wholeNumber(text string, otherwise int) (int, error) {
	if text == "" {
		return otherwise, nil
	}
	return strconv.Atoi(text)
}
