// Package fcm sends pushes through Firebase Cloud Messaging, HTTP v1.
//
// It imports provider, message and redact. Start with Client.Send; the classes
// of refusals are a table in errors.go.
package fcm

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
)

// Name is the provider's name in history and errors.
const Name = "fcm"

// Defaults of Config.
const (
	DefaultBaseURL = "https://fcm.googleapis.com"
	DefaultTimeout = 15 * time.Second
)

// Config is what a Client needs to know.
type Config struct {
	Credentials redact.Secret    // FCM_CREDENTIALS: a service account's key, as JSON text or the path of a file of it
	BaseURL     string           // FCM_BASE_URL; empty: DefaultBaseURL
	Timeout     time.Duration    // of one call; 0: DefaultTimeout
	HTTPClient  *http.Client     // does the calls; nil: one with a pool of its own
	Now         func() time.Time // nil: time.Now
}

// Client is a provider.Sender. It is safe for concurrent use.
type Client struct{ config Config }

var _ provider.Sender = (*Client)(nil)

// New checks a configuration; its error names what is missing.
func New(c Config) (*Client, error) {
	if c.Credentials == "" {
		return nil, errors.New("fcm: the credentials are missing: set FCM_CREDENTIALS")
	}
	return &Client{config: c}, nil
}

// Name implements provider.Sender.
func (c *Client) Name() string { return Name }

// Send implements provider.Sender.
func (c *Client) Send(context.Context, *message.Message) (provider.Receipt, error) {
	return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Config, Message: "pushes are not sent yet"}
}

// Find implements provider.Sender: FCM cannot be asked.
func (c *Client) Find(context.Context, *message.Message, time.Time) ([]provider.Receipt, error) {
	return nil, provider.ErrNoLookup
}
