// Package smtp sends mails through any SMTP server.
//
// It imports provider, mail, message and redact. Start with Client.Send.
package smtp

import (
	"context"
	"errors"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/mail"
	"github.com/novaura/acs-operator/internal/redact"
)

// Name is the provider's name in history and errors.
const Name = "smtp"

// DefaultTimeout is how long one mail may take, from dialling to the answer.
const DefaultTimeout = 25 * time.Second

// Config is what a Client needs to know.
type Config struct {
	// URL is SMTP_URL: smtp://user:password@host:587 (STARTTLS where it is
	// offered, and always with a password) or smtps://…:465 (TLS from the start).
	URL         redact.Secret
	From        string        // EMAIL_FROM: the sender of messages that name none
	Attachments mail.Fetcher  // nil: messages with attachments are refused
	Timeout     time.Duration // of one mail; 0: DefaultTimeout
}

// Client is a provider.Sender. It is safe for concurrent use.
type Client struct{ config Config }

var _ provider.Sender = (*Client)(nil)

// New checks a configuration; its error names what is missing.
func New(c Config) (*Client, error) {
	if c.URL == "" {
		return nil, errors.New("smtp: the server is missing: set SMTP_URL, such as smtp://user:password@mail.example.com:587")
	}
	return &Client{config: c}, nil
}

// Name implements provider.Sender.
func (c *Client) Name() string { return Name }

// Send implements provider.Sender.
func (c *Client) Send(context.Context, *message.Message) (provider.Receipt, error) {
	return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Config, Message: "mails are not sent yet"}
}

// Find implements provider.Sender: a server cannot be asked.
func (c *Client) Find(context.Context, *message.Message, time.Time) ([]provider.Receipt, error) {
	return nil, provider.ErrNoLookup
}

// Close ends the connections that wait for the next mail.
func (c *Client) Close() error { return nil }
