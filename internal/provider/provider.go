// Package provider is the seam to those who deliver: one interface, one
// taxonomy of errors. Each provider has a folder of its own.
//
// It imports message and redact. Start with Sender and Class.
package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/novaura/acs-operator/internal/message"
)

// Receipt is a provider's word that it has a message.
type Receipt struct {
	ID     string // the provider's own id (a Twilio SID)
	Status string // the provider's own word: queued, accepted, sent …
	// Created is when the provider took it, as Find tells it; zero: unknown.
	Created time.Time
}

// ErrNoLookup is Find's error where the provider cannot be asked what it has:
// what is in doubt there stays so.
var ErrNoLookup = errors.New("the provider cannot be asked what it accepted")

// Sender turns one message into one effect. Implementations are safe for
// concurrent use, never repeat a call by themselves, and bound each by the
// context's deadline.
type Sender interface {
	Name() string
	// Send asks the provider once. An error is an *Error.
	Send(ctx context.Context, m *message.Message) (Receipt, error)
	// Find looks for a message like m that the provider accepted at or after
	// since, for a send whose outcome is unknown; the newest first. None
	// means that the provider has no such message: it is an answer, and an
	// answer that is not complete is an error. ErrNoLookup: it has no way to
	// tell.
	Find(ctx context.Context, m *message.Message, since time.Time) ([]Receipt, error)
}

// Class says what an error means for the message and for the sender.
type Class int

// The classes, by what follows from each.
const (
	InDoubt   Class = iota // nobody knows whether it was accepted: resolve before anything is sent again
	Permanent              // this message will never go: record, dead-letter
	Suppress               // and its recipient must not be tried again
	Config                 // our set-up is wrong: hand back, pause, tell people
	Throttled              // nothing was accepted: slow down and repeat
	Transient              // nothing was accepted: repeat later
)

var classNames = [...]string{"in doubt", "permanent", "suppress", "config", "throttled", "transient"}

func (c Class) String() string { return classNames[c] }

// Error is a provider's refusal, or the lack of an answer.
type Error struct {
	Provider   string
	Class      Class
	HTTPStatus int           // 0: no answer
	Code       string        // the provider's own code
	Message    string        // the provider's words, without personal data
	RetryAfter time.Duration // 0: the provider named none
	// Away says that the provider cannot be reached or serves nobody now: the
	// message is not at fault, and it was no try of it. With Transient alone.
	Away bool
	// Alone says that the refusal is about this recipient: others need not wait.
	Alone bool
	// Credentials says that our credentials were refused, and no other part of our
	// set-up: Config, or where that may be about one message, Transient, Away and
	// Alone.
	Credentials bool
	Err         error // the cause; may be nil
}

// CredentialsRefused is what logs, health and metrics call a refusal of credentials.
const CredentialsRefused = "credentials refused"

// Kind is the class, or that the credentials were refused.
func (e *Error) Kind() string {
	if e.Credentials {
		return CredentialsRefused
	}
	return e.Class.String()
}

// ProviderFault says that the provider failed, and neither the message nor our
// set-up: it could not be reached, gave no answer or answered with a 5xx. A provider
// that throttles works.
func (e *Error) ProviderFault() bool {
	switch e.Class {
	case InDoubt:
		return !e.Alone
	case Transient:
		noReply := e.Code == "" && e.HTTPStatus == 0
		return !e.Alone && !e.Credentials && (e.Away || noReply || e.HTTPStatus >= http.StatusInternalServerError)
	case Permanent, Suppress, Config, Throttled:
	}
	return false
}

// Answered says that a provider answered at all: what it refused may also have
// been refused here, before any call.
func (e *Error) Answered() bool { return e.HTTPStatus != 0 || e.Code != "" }

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s", e.Provider, e.Kind())
	if e.HTTPStatus != 0 {
		text += fmt.Sprintf(", HTTP %d", e.HTTPStatus)
	}
	if e.Code != "" {
		text += ", code " + e.Code
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// AsError returns err as an *Error; what is not one is InDoubt, the only safe
// reading.
func AsError(err error) *Error {
	if typed := (*Error)(nil); errors.As(err, &typed) {
		return typed
	}
	return &Error{Provider: "unknown", Class: InDoubt, Err: err}
}

// ErrNoCheck is Check's error where a provider has nothing that could be asked
// without a message being sent.
var ErrNoCheck = errors.New("the provider cannot be asked without sending")

// Checker is a Sender that can be tried without an effect: nothing is sent.
type Checker interface {
	// Check asks the provider whether it takes our credentials, or where it
	// cannot be asked that, connects to it. ErrNoCheck: neither is possible.
	Check(ctx context.Context) error
}

// Check tries a Sender without an effect; ErrNoCheck where it cannot be tried.
func Check(ctx context.Context, sender Sender) error {
	if checker, ok := sender.(Checker); ok {
		return checker.Check(ctx)
	}
	return ErrNoCheck
}
