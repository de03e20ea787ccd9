// Package apns sends pushes to Apple devices, over APNs' HTTP/2 API.
//
// It imports provider, once, message and redact. Start with Client.Send; the
// classes of refusals are a table in errors.go.
package apns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
	"github.com/novaura/acs-operator/internal/redact"
)

// Name is the provider's name in history and errors.
const Name = "apns"

// Defaults of Config.
const (
	DefaultBaseURL = "https://api.push.apple.com"
	DefaultTimeout = 15 * time.Second
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 10

// keptFor is how long Apple keeps a push without an expiry for a device that
// is offline: as long as FCM does by default. Without the header it may try
// once only.
const keptFor = 28 * 24 * time.Hour

// Config is what a Client needs to know.
type Config struct {
	Key    redact.Secret // APNS_KEY: the .p8 signing key, as PEM text or the path of a file of it
	KeyID  string        // APNS_KEY_ID: ten characters
	TeamID string        // APNS_TEAM_ID: ten characters
	Topic  string        // APNS_TOPIC: the app's bundle id
	// BaseURL is APNS_BASE_URL; empty: DefaultBaseURL, which takes the tokens of
	// released apps. Those of development builds are
	// https://api.sandbox.push.apple.com's. An http URL speaks HTTP/2 without TLS.
	BaseURL    string
	Timeout    time.Duration    // of one call; 0: DefaultTimeout
	HTTPClient *http.Client     // does the calls, by HTTP/2; nil: one with a pool of its own
	Now        func() time.Time // nil: time.Now
}

// Client is a provider.Sender. It is safe for concurrent use.
type Client struct {
	base        string
	topic       string
	signer      *signer
	timeout     time.Duration
	httpClient  *http.Client
	currentTime func() time.Time
	proven      atomic.Bool // a device's push was accepted with this set-up
}

var _ provider.Sender = (*Client)(nil)

// New checks a configuration; its error names what is missing.
func New(c Config) (*Client, error) {
	switch {
	case c.KeyID == "":
		return nil, errors.New("apns: the key's id is missing: set APNS_KEY_ID")
	case c.TeamID == "":
		return nil, errors.New("apns: the team's id is missing: set APNS_TEAM_ID")
	case c.Topic == "":
		return nil, errors.New("apns: the topic is missing: set APNS_TOPIC to the app's bundle id")
	}
	base, err := once.Base(Name, "APNS_BASE_URL", c.BaseURL, DefaultBaseURL)
	if err != nil {
		return nil, err
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	signer, err := newSigner(c)
	if err != nil {
		return nil, err
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Transport: newTransport(base.Scheme == "https")}
	}
	return &Client{
		base: base.String(), topic: c.Topic, signer: signer,
		timeout: c.Timeout, httpClient: once.NewClient(c.HTTPClient), currentTime: c.Now,
	}, nil
}

// newTransport speaks HTTP/2 alone, and finds out by a ping when a connection
// has died: a push would hang on it until its deadline.
func newTransport(secure bool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(secure)
	protocols.SetUnencryptedHTTP2(!secure)
	transport := once.NewTransport(protocols)
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}
	transport.IdleConnTimeout = time.Hour // Apple asks to keep connections open
	return transport
}

// Name implements provider.Sender.
func (c *Client) Name() string { return Name }

// Send implements provider.Sender: one POST. It is repeated once where Apple
// says that our own token has expired: that answer proves that nothing was
// accepted.
func (c *Client) Send(ctx context.Context, m *message.Message) (provider.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := provider.OneTarget(Name, m, false); err != nil {
		return provider.Receipt{}, err
	}
	if token := m.Tokens[0].Reveal(); len(token) < minToken || len(token) > maxToken || !deviceToken.MatchString(token) {
		return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Suppress, Message: "the token is not one of APNs': hexadecimal digits"}
	}
	body, err := json.Marshal(payload(m))
	if err != nil {
		return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Permanent, Message: "the data is not JSON"}
	}
	token := c.signer.token()
	sent, err := c.post(ctx, m, body, token)
	if provider.AsError(err).Code == "ExpiredProviderToken" && err != nil {
		return c.post(ctx, m, body, c.signer.renew(token))
	}
	return sent, err
}

// deviceToken is a token as apps give it; Apple does not fix its length.
var deviceToken = regexp.MustCompile(`^[0-9a-fA-F]+$`)

const minToken, maxToken = 16, 200 // bytes

func (c *Client) post(ctx context.Context, m *message.Message, body []byte, token redact.Secret) (provider.Receipt, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/3/device/"+m.Tokens[0].Reveal(), bytes.NewReader(body))
	if err != nil {
		return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Config, Err: once.WithoutURL(err)}
	}
	request.GetBody = nil // net/http's HTTP/2 repeats what it can read again, after some errors that prove nothing
	id := provider.PushUUID(m)
	for name, value := range c.headers(m) {
		request.Header.Set(name, value)
	}
	request.Header.Set("Authorization", "bearer "+token.Reveal())
	request.Header.Set("Apns-Id", id)
	answer, err := once.Do(c.httpClient, request, Name, maxAnswer)
	if err != nil {
		return provider.Receipt{}, err
	}
	if answer.Status != http.StatusOK {
		return provider.Receipt{}, refusal(answer, c.proven.Load(), c.currentTime())
	}
	c.proven.Store(true)
	if given := answer.Header.Get("Apns-Id"); given != "" {
		id = given
	}
	return provider.Receipt{ID: id, Status: "accepted"}, nil
}

func (c *Client) headers(m *message.Message) map[string]string {
	expires := m.ExpiresAt
	if expires.IsZero() {
		expires = c.currentTime().Add(keptFor)
	}
	headers := map[string]string{
		"Content-Type": "application/json", "Apns-Topic": c.topic, "Apns-Push-Type": "alert", "Apns-Priority": "10",
		"Apns-Collapse-Id": provider.CollapseID(m), "Apns-Expiration": strconv.FormatInt(expires.Unix(), 10),
	}
	if m.Priority == message.Marketing {
		headers["Apns-Priority"] = "5"
	}
	if silent(m) {
		headers["Apns-Push-Type"], headers["Apns-Priority"] = "background", "5" // 10 is refused for these
	}
	return headers
}

// silent pushes wake the app and show nothing.
func silent(m *message.Message) bool { return m.Title == "" && m.Body == "" }

// payload is aps, and the data beside it.
func payload(m *message.Message) map[string]any {
	p := map[string]any{"acs_id": m.ID}
	maps.Copy(p, m.Data)
	p["aps"] = map[string]any{
		"alert": map[string]string{"title": m.Title.Reveal(), "body": m.Body.Reveal()}, "sound": "default",
	}
	if silent(m) {
		p["aps"] = map[string]any{"content-available": 1}
	}
	return p
}

// Find implements provider.Sender: APNs cannot be asked.
func (c *Client) Find(context.Context, *message.Message, time.Time) ([]provider.Receipt, error) {
	return nil, provider.ErrNoLookup
}
