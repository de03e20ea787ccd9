// Package twilio sends texts through Twilio's REST API and asks it what it
// has. It keeps twilio-go's request and response types, and puts a client of
// its own under them: twilio-go's has no context, takes a redirect for success,
// and sends a request again in one error path.
//
// It imports provider, once, message and redact. Start with Client.Send; the classes
// of refusals are a table in errors.go.
package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
	"github.com/novaura/acs-operator/internal/redact"
)

// Name is the provider's name in history and errors.
const Name = "twilio"

// Defaults of Config.
const (
	DefaultBaseURL = "https://api.twilio.com"
	// DefaultTimeout outlives the 26 s that Twilio may take to give up, so
	// that its own answer is heard.
	DefaultTimeout = 30 * time.Second
)

// Config is what a Client needs to know.
type Config struct {
	AccountSID string
	AuthToken  redact.Secret
	// From is the sender of messages that name none: a number, a short code
	// or a name. With MessagingServiceSID too, From comes first.
	From                string
	MessagingServiceSID string
	BaseURL             string        // empty: DefaultBaseURL; a path is kept as a prefix
	Timeout             time.Duration // of one call; 0: DefaultTimeout
	// StatusCallbackURL is where Twilio reports deliveries; empty: where its
	// console says. The message's ID goes in its query as acs_id, so that a
	// report finds a message whose answer was never heard.
	StatusCallbackURL string
	// HTTPClient does the calls; nil: one with a pool of its own. Its
	// CheckRedirect is replaced: a send never follows a redirect.
	HTTPClient *http.Client
	Now        func() time.Time // nil: time.Now
}

// Client is a provider.Sender. It is safe for concurrent use.
type Client struct {
	accountSID  string
	header      http.Header // of every call, the credentials among it; shared, and so never changed
	postHeader  http.Header // the same, with the form's type
	from        string
	serviceSID  string
	base        string   // without a slash at its end
	callback    *url.URL // nil: none
	timeout     time.Duration
	httpClient  *http.Client
	currentTime func() time.Time
}

var _ provider.Sender = (*Client)(nil)

// New checks a configuration; its error names what is missing.
func New(c Config) (*Client, error) {
	switch {
	case c.AccountSID == "":
		return nil, errors.New("twilio: the account SID is missing: set TWILIO_ACCOUNT_SID")
	case strings.ContainsAny(c.AccountSID, "/?#% "):
		return nil, errors.New("twilio: the account SID is not one: TWILIO_ACCOUNT_SID has AC and 32 hexadecimal digits")
	case c.AuthToken == "":
		return nil, errors.New("twilio: the auth token is missing: set TWILIO_AUTH_TOKEN")
	}
	base, err := once.Base(Name, "TWILIO_BASE_URL", c.BaseURL, DefaultBaseURL)
	if err != nil {
		return nil, err
	}
	callback, err := callbackURL(c.StatusCallbackURL)
	if err != nil {
		return nil, err
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	header := headerOf(c.AccountSID, c.AuthToken)
	postHeader := header.Clone()
	postHeader.Set("Content-Type", "application/x-www-form-urlencoded")
	return &Client{
		accountSID: c.AccountSID, header: header, postHeader: postHeader, from: c.From, serviceSID: c.MessagingServiceSID,
		base: strings.TrimSuffix(base.Scheme+"://"+base.Host+base.EscapedPath(), "/"), callback: callback, timeout: c.Timeout, httpClient: once.NewClient(c.HTTPClient), currentTime: c.Now,
	}, nil
}

// callbackURL is nil for an empty text.
func callbackURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // none is an answer
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http" || strings.Contains(parsed.Host, "_") {
		return nil, errors.New("twilio: the status callback's URL is not one: set TWILIO_STATUS_CALLBACK_URL to an http or https URL whose host has no underscore")
	}
	return parsed, nil
}

// Name implements provider.Sender.
func (c *Client) Name() string { return Name }

// Send implements provider.Sender: one POST, never repeated.
func (c *Client) Send(ctx context.Context, m *message.Message) (provider.Receipt, error) {
	params, own, err := c.params(m)
	if err != nil {
		return provider.Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	call := &call{ctx: ctx, client: c, ownSender: own}
	created, err := call.api().CreateMessage(params)
	if err != nil {
		return provider.Receipt{}, call.typed(err)
	}
	if value(created.Sid) == "" {
		return provider.Receipt{}, &provider.Error{
			Provider: Name, Class: provider.InDoubt, HTTPStatus: call.status, Message: "the answer names no message",
		}
	}
	return provider.Receipt{ID: *created.Sid, Status: value(created.Status)}, nil
}

// params is m as Twilio's form; own says that the sender is our set-up's and
// not the message's.
func (c *Client) params(m *message.Message) (params *api.CreateMessageParams, own bool, err error) {
	params = new(api.CreateMessageParams).SetTo(m.To.Reveal()).SetBody(m.Body.Reveal())
	switch {
	case m.From != "":
		own = m.From.Reveal() == c.from // named by the message, and ours all the same: applications often name it
		params.SetFrom(m.From.Reveal())
	case c.from != "":
		own = true
		params.SetFrom(c.from)
	case c.serviceSID != "":
		own = true
		params.SetMessagingServiceSid(c.serviceSID)
	default:
		return nil, true, &provider.Error{
			Provider: Name, Class: provider.Config,
			Message: "the message names no sender: set TWILIO_FROM_NUMBER or TWILIO_MESSAGING_SERVICE_SID",
		}
	}
	if c.callback != nil {
		params.SetStatusCallback(c.callbackOf(m.ID))
	}
	if !m.ExpiresAt.IsZero() {
		params.SetValidityPeriod(validity(m.ExpiresAt.Sub(c.currentTime())))
	}
	return params, own, nil
}

// callbackOf is the callback's URL with a message's own id.
func (c *Client) callbackOf(id string) string {
	address := *c.callback
	query := address.Query()
	query.Set(message.EventIDParameter, id)
	address.RawQuery = query.Encode()
	return address.String()
}

// validity is Twilio's ValidityPeriod: how long it may hold a message in its
// own queue, 1 to 36000 seconds.
func validity(left time.Duration) int {
	const most = 36000
	return min(max(int(left/time.Second), 1), most)
}

func (c *call) api() *api.ApiService {
	return api.NewApiService(&client.RequestHandler{Client: c}) // not NewRequestHandler: that reads the environment
}

// typed is what twilio-go made of an answer: our own error, or one of reading
// a body that was not what a 2xx should have.
func (c *call) typed(err error) error {
	if typed := (*provider.Error)(nil); errors.As(err, &typed) {
		return typed
	}
	return &provider.Error{
		Provider: Name, Class: provider.InDoubt, HTTPStatus: c.status,
		Err: fmt.Errorf("read the answer: %w", once.WithoutURL(err)),
	}
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
