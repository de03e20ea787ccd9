// Package webpush sends pushes to browsers: encrypted by RFC 8291, signed by
// RFC 8292 (VAPID), delivered by RFC 8030.
//
// It imports provider, message and redact. Start with Client.Send; the classes
// of refusals are a table in errors.go.
package webpush

import (
	"context"
	"errors"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
)

// Name is the provider's name in history and errors.
const Name = "webpush"

// DefaultTimeout is how long one call may take.
const DefaultTimeout = 15 * time.Second

// Config is what a Client needs to know.
type Config struct {
	PublicKey  string        // VAPID_PUBLIC_KEY: base64url of the 65 bytes of a P-256 point
	PrivateKey redact.Secret // VAPID_PRIVATE_KEY: base64url of its 32 bytes
	Subject    string        // VAPID_SUBJECT: a mailto: or https: URL that a push service can reach us by
	// AllowedHosts is WEBPUSH_ALLOWED_HOSTS: hosts (host or host:port) that may be
	// plain http or have a private address. An endpoint comes from a user, so
	// every other must be https and public.
	AllowedHosts []string
	Timeout      time.Duration    // of one call; 0: DefaultTimeout
	Now          func() time.Time // nil: time.Now
}

// Client is a provider.Sender. It is safe for concurrent use.
type Client struct{ config Config }

var _ provider.Sender = (*Client)(nil)

// New checks a configuration; its error names what is missing.
func New(c Config) (*Client, error) {
	if c.PrivateKey == "" {
		return nil, errors.New("webpush: the private key is missing: set VAPID_PRIVATE_KEY")
	}
	return &Client{config: c}, nil
}

// Name implements provider.Sender.
func (c *Client) Name() string { return Name }

// Send implements provider.Sender.
func (c *Client) Send(context.Context, *message.Message) (provider.Receipt, error) {
	return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Config, Message: "pushes are not sent yet"}
}

// Find implements provider.Sender: a push service cannot be asked.
func (c *Client) Find(context.Context, *message.Message, time.Time) ([]provider.Receipt, error) {
	return nil, provider.ErrNoLookup
}
