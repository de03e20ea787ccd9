// Package message is the envelope that applications put on the queues: its
// types, its JSON Schema, how a body becomes a Message, and what other senders
// (Twilio webhooks, SNS) put there instead.
//
// It imports redact and pure libraries. Start with Message, then Parse, whose
// error is an *Invalid; Encode is its inverse, and Schema what producers check
// against.
package message

import (
	"time"

	"github.com/novaura/acs-operator/internal/redact"
)

// Channel is the way a message goes out or came in.
type Channel string

// The channels, one queue each.
const (
	SMS   Channel = "sms"
	Email Channel = "email"
	Push  Channel = "push"
)

// Type says what is to be done with a message.
type Type string

// The types of message.
const (
	Send     Type = "message_send"     // outbound: one effect at a provider
	Received Type = "message_received" // inbound: recorded, STOP/START/HELP acted on
	Status   Type = "message_status"   // delivery, bounce or complaint: updates an event
)

// Priority separates what a person waits for from what can wait.
type Priority string

// The priorities; a message without one is Transactional.
const (
	Transactional Priority = "transactional"
	Marketing     Priority = "marketing"
)

// Message is one communication event, decoded and normalised.
type Message struct {
	// ID is the idempotency key: two messages with one ID have one effect.
	// Never empty after Parse.
	ID       string
	Channel  Channel
	Type     Type
	From     redact.Personal // E.164, or a mail address; empty: the sender's default
	To       redact.Personal // one recipient
	Body     redact.Personal
	Template string
	Data     map[string]any
	// NotBefore and ExpiresAt bound when a send makes sense; zero: unbounded.
	NotBefore time.Time
	ExpiresAt time.Time
	Priority  Priority
	Metadata  map[string]string

	// What only a mail has; its text part is Body.
	Subject     redact.Personal
	HTML        redact.Personal
	Cc, Bcc     []redact.Personal
	ReplyTo     []redact.Personal
	Headers     map[string]string
	Attachments []Attachment

	// What only a push has. It goes to Tokens (at most 500, each an effect of
	// its own) or to a Topic; a provider is handed one token, or the topic.
	Title    redact.Personal
	Tokens   []redact.Personal
	Topic    string
	Platform Platform

	// ProviderID is the provider's own id of an inbound message or of the
	// message that a status is about (Twilio's MessageSid).
	ProviderID string
	// ProviderStatus is what a message_status reports: delivered,
	// undelivered, failed, sent …, and ProviderCode its error code.
	ProviderStatus string
	ProviderCode   string
	// Recipients are those that a message_status is about, where the provider
	// names them: one report on a mail may concern several.
	Recipients []redact.Personal
	// EventID is our own id of the message that a status is about, where the
	// provider hands it back (the SES tag acs_id, the query of Twilio's
	// callback).
	EventID string
	// OptOut is STOP, START or HELP where an inbound body or Twilio's
	// OptOutType says so, else empty.
	OptOut string
	// Hash is the SHA-256, in hex, of the content that an ID stands for:
	// the same ID with another Hash is refused.
	Hash string
}

// Attachment is a file that goes with a mail, by reference.
type Attachment struct {
	URL         string // s3://bucket/key, under an allowed prefix
	Filename    string // empty: the last part of the URL
	ContentType string // empty: by the file's name
}

// Platform says whose push tokens these are.
type Platform string

// The platforms; a push without one goes to FCM, which serves all three.
const (
	Android Platform = "android" // FCM
	IOS     Platform = "ios"     // APNs where it is configured, else FCM
	Web     Platform = "web"     // a Web Push subscription where VAPID is configured, else FCM
)
