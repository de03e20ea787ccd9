// Package fcm sends pushes through Firebase Cloud Messaging, HTTP v1.
//
// It imports provider, once, message and redact. Start with Client.Send; the
// classes of refusals are a table in errors.go.
package fcm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
	"github.com/novaura/acs-operator/internal/redact"
)

// Name is the provider's name in history and errors.
const Name = "fcm"

// Defaults of Config.
const (
	DefaultBaseURL = "https://fcm.googleapis.com"
	DefaultTimeout = 15 * time.Second
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// Config is what a Client needs to know.
type Config struct {
	// Credentials is FCM_CREDENTIALS: a service account's key, as JSON text or
	// the path of a file of it. Its token_uri is where access tokens come from.
	Credentials redact.Secret
	BaseURL     string           // FCM_BASE_URL; empty: DefaultBaseURL
	Timeout     time.Duration    // of one call; 0: DefaultTimeout
	HTTPClient  *http.Client     // does the calls; nil: one with a pool of its own
	Now         func() time.Time // nil: time.Now
}

// Client is a provider.Sender. It is safe for concurrent use.
type Client struct {
	endpoint    string
	tokens      *tokens
	timeout     time.Duration
	httpClient  *http.Client
	currentTime func() time.Time
	proven      atomic.Bool // a device's push was accepted with this set-up
}

var _ provider.Sender = (*Client)(nil)

// New checks a configuration; its error names what is missing.
func New(c Config) (*Client, error) {
	base, err := once.Base(Name, "FCM_BASE_URL", c.BaseURL, DefaultBaseURL)
	if err != nil {
		return nil, err
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	tokens, project, err := newTokens(c.Credentials)
	if err != nil {
		return nil, err
	}
	return &Client{
		endpoint: base.String() + "/v1/projects/" + url.PathEscape(project) + "/messages:send",
		tokens:   tokens, timeout: c.Timeout, httpClient: once.NewClient(c.HTTPClient), currentTime: c.Now,
	}, nil
}

// Name implements provider.Sender.
func (c *Client) Name() string { return Name }

// Send implements provider.Sender: one POST, never repeated.
func (c *Client) Send(ctx context.Context, m *message.Message) (provider.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := provider.OneTarget(Name, m, true); err != nil {
		return provider.Receipt{}, err
	}
	body, err := json.Marshal(envelope{c.compose(m)})
	if err != nil {
		return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Permanent, Message: "the data is not JSON"}
	}
	token, err := c.tokens.get(ctx)
	if err != nil {
		return provider.Receipt{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Config, Err: once.WithoutURL(err)}
	}
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	request.Header.Set("Content-Type", "application/json")
	answer, err := once.Do(c.httpClient, request, Name, maxAnswer)
	if err != nil {
		return provider.Receipt{}, err
	}
	if answer.Status/100 != 2 {
		refused := refusal(answer, m, c.proven.Load(), c.currentTime())
		if answer.Status == http.StatusUnauthorized {
			c.tokens.drop(token)
		}
		return provider.Receipt{}, refused
	}
	sent, err := receipt(answer)
	if err == nil && len(m.Tokens) > 0 {
		c.proven.Store(true)
	}
	return sent, err
}

// receipt reads the name of the message: projects/{project}/messages/{id}. An
// answer of FCM's own that breaks off after its 200 has said enough.
func receipt(answer once.Answer) (provider.Receipt, error) {
	var accepted struct {
		Name string `json:"name"`
	}
	if answer.Broken != nil && strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		return provider.Receipt{Status: "accepted"}, nil
	}
	if err := json.Unmarshal(answer.Body, &accepted); answer.Broken != nil || err != nil || accepted.Name == "" {
		return provider.Receipt{}, &provider.Error{
			Provider: Name, Class: provider.InDoubt, HTTPStatus: answer.Status, Message: "the answer names no message",
			Err: errors.Join(answer.Broken, once.WithoutURL(err)),
		}
	}
	return provider.Receipt{ID: accepted.Name, Status: "accepted"}, nil
}

// Find implements provider.Sender: FCM cannot be asked.
func (c *Client) Find(context.Context, *message.Message, time.Time) ([]provider.Receipt, error) {
	return nil, provider.ErrNoLookup
}
