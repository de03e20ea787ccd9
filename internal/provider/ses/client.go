// Package ses sends mails through Amazon SES, API version 2.
//
// It imports provider, mail, message and redact. Start with Client.Send; the
// classes of refusals are a table in errors.go.
package ses

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/mail"
)

// Name is the provider's name in history and errors.
const Name = "ses"

// DefaultTimeout is how long one call may take.
const DefaultTimeout = 20 * time.Second

// Config is what a Client needs to know.
type Config struct {
	AWS              aws.Config    // region, credentials, endpoint; its retries are not used for sends
	From             string        // EMAIL_FROM: the sender of messages that name none
	ConfigurationSet string        // SES_CONFIGURATION_SET: where events go; empty: the account's default
	Attachments      mail.Fetcher  // nil: messages with attachments are refused
	Timeout          time.Duration // of one call; 0: DefaultTimeout
}

// Client is a provider.Sender. It is safe for concurrent use.
type Client struct{ config Config }

var _ provider.Sender = (*Client)(nil)

// New checks a configuration; its error names what is missing.
func New(c Config) (*Client, error) {
	if c.AWS.Region == "" {
		return nil, errors.New("ses: the region is missing: set AWS_REGION")
	}
	return &Client{config: c}, nil
}

// Name implements provider.Sender.
func (c *Client) Name() string { return Name }

// Send implements provider.Sender.
func (c *Client) Send(context.Context, *message.Message) (provider.Receipt, error) {
	return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Config, Message: "mails are not sent yet"}
}

// Find implements provider.Sender: SES cannot be asked.
func (c *Client) Find(context.Context, *message.Message, time.Time) ([]provider.Receipt, error) {
	return nil, provider.ErrNoLookup
}
