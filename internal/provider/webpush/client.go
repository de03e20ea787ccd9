// Package webpush sends pushes to browsers: encrypted by RFC 8291, signed by
// RFC 8292 (VAPID), delivered by RFC 8030.
//
// A token is the subscription as the browser's PushSubscription.toJSON gives
// it: an endpoint and two keys. The endpoint is a stranger's word, so what it
// may reach is bounded: see guard.go.
//
// It imports provider, once, message and redact. Start with Client.Send.
package webpush

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
	"github.com/novaura/acs-operator/internal/redact"
)

// Name is the provider's name in history and errors.
const Name = "webpush"

// DefaultTimeout is how long one call may take.
const DefaultTimeout = 15 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 10

// keptFor is how long a push service keeps a push without an expiry for a
// browser that is offline; services cut it to their own bound.
const keptFor = 28 * 24 * time.Hour

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
type Client struct {
	vapid       *vapid
	guard       guard
	timeout     time.Duration
	currentTime func() time.Time
	accepted    sync.Map // by service: when it last accepted a push with our key
}

// keyTrusted is how long an acceptance says that a service takes our key, and
// that one it refuses is the subscription's fault.
const keyTrusted = time.Minute

var _ provider.Sender = (*Client)(nil)

// New checks a configuration; its error names what is missing.
func New(c Config) (*Client, error) {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	vapid, err := newVAPID(c)
	if err != nil {
		return nil, err
	}
	return &Client{vapid: vapid, guard: newGuard(c.AllowedHosts), timeout: c.Timeout, currentTime: c.Now}, nil
}

// Name implements provider.Sender.
func (c *Client) Name() string { return Name }

// Send implements provider.Sender: one POST, never repeated.
func (c *Client) Send(ctx context.Context, m *message.Message) (provider.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := provider.OneTarget(Name, m, false); err != nil {
		return provider.Receipt{}, err
	}
	subscription, err := parseSubscription(m.Tokens[0])
	if err != nil {
		return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Suppress, Err: err}
	}
	client, err := c.guard.client(subscription.endpoint)
	if err != nil {
		return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Permanent, Err: err}
	}
	request, err := c.request(ctx, m, subscription)
	if err != nil {
		return provider.Receipt{}, err
	}
	answer, err := once.Do(client, request, Name, maxAnswer)
	if err != nil {
		if errors.Is(err, errNotPublic) {
			return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.Permanent, Err: errNotPublic}
		}
		return provider.Receipt{}, c.lost(provider.AsError(err), subscription.endpoint)
	}
	if answer.Status/100 != 2 {
		return provider.Receipt{}, c.refusal(answer, subscription.endpoint)
	}
	if service, known := c.service(subscription.endpoint); known {
		c.accepted.Store(service, c.currentTime())
	}
	return provider.Receipt{ID: provider.PushUUID(m), Status: "accepted"}, nil
}

// lost is a push that got no answer: that says nothing of other browsers'
// services. One that is known will be back; a stranger may never have been, nor a
// name that is not there.
func (c *Client) lost(err *provider.Error, endpoint *url.URL) *provider.Error {
	_, known := c.service(endpoint)
	noName := (*net.DNSError)(nil)
	notThere := errors.As(err, &noName) && noName.IsNotFound
	err.Alone, err.Away = true, err.Away && known && !notThere
	return err
}

// request is the push, encrypted and signed.
func (c *Client) request(ctx context.Context, m *message.Message, to subscription) (*http.Request, error) {
	plain, err := json.Marshal(payload(m))
	if err != nil {
		return nil, &provider.Error{Provider: Name, Class: provider.Permanent, Message: "the data is not JSON"}
	}
	if len(plain) > maxPlain {
		return nil, &provider.Error{Provider: Name, Class: provider.Permanent, Message: fmt.Sprintf("the push is too large: %d bytes, of %d", len(plain), maxPlain)}
	}
	body, err := encrypt(plain, to)
	if err != nil {
		return nil, &provider.Error{Provider: Name, Class: provider.Suppress, Err: err}
	}
	authorization, err := c.vapid.authorization(to.endpoint)
	if err != nil {
		return nil, &provider.Error{Provider: Name, Class: provider.Config, Err: err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &provider.Error{Provider: Name, Class: provider.Permanent, Err: once.WithoutURL(err)}
	}
	left := keptFor
	if !m.ExpiresAt.IsZero() {
		left = min(max(m.ExpiresAt.Sub(c.currentTime()), 0), keptFor)
	}
	urgency := "high"
	if m.Priority == message.Marketing {
		urgency = "normal"
	}
	for name, value := range map[string]string{
		"Authorization": authorization, "Content-Encoding": "aes128gcm", "Content-Type": "application/octet-stream",
		"TTL": strconv.Itoa(int(left / time.Second)), "Urgency": urgency, "Topic": provider.CollapseID(m),
	} {
		request.Header.Set(name, value)
	}
	return request, nil
}

// payload is what the site's service worker reads: title and body to show,
// data as it came, and a tag by which a push that is sent again replaces the
// first one on the screen.
func payload(m *message.Message) map[string]any {
	p := map[string]any{"acs_id": m.ID, "tag": provider.CollapseID(m)}
	if m.Title != "" {
		p["title"] = m.Title.Reveal()
	}
	if m.Body != "" {
		p["body"] = m.Body.Reveal()
	}
	if len(m.Data) > 0 {
		p["data"] = m.Data
	}
	return p
}

// Find implements provider.Sender: a push service cannot be asked.
func (c *Client) Find(context.Context, *message.Message, time.Time) ([]provider.Receipt, error) {
	return nil, provider.ErrNoLookup
}

// services are the push services of the browsers, by the end of their host
// names. What they say of our key is to be believed; another's word is a
// stranger's, and must not stop all pushes.
var services = []string{".googleapis.com", ".push.services.mozilla.com", ".notify.windows.com", ".push.apple.com"}

// service is whose an endpoint is; false: a stranger's.
func (c *Client) service(endpoint *url.URL) (name string, known bool) {
	for _, service := range services {
		if strings.HasSuffix("."+strings.ToLower(endpoint.Hostname()), service) {
			return service, true
		}
	}
	return strings.ToLower(endpoint.Host), c.guard.allowed(endpoint)
}

// keyTaken says that a service takes our key: it accepted a push just now.
func (c *Client) keyTaken(service string) bool {
	at, found := c.accepted.Load(service)
	return found && c.currentTime().Sub(at.(time.Time)) < keyTrusted //nolint:forcetypeassert // nothing else is stored
}

// refusal types an answer that is not 2xx. Services agree on the status alone
// (RFC 8030, 8292), so no body is read.
func (c *Client) refusal(answer once.Answer, endpoint *url.URL) *provider.Error {
	refused := &provider.Error{
		Provider: Name, HTTPStatus: answer.Status, Class: provider.InDoubt, RetryAfter: once.RetryAfter(answer.Header, c.currentTime()),
	}
	row, listed := statuses[answer.Status]
	switch {
	case answer.Status == http.StatusNotAcceptable && strings.HasSuffix(endpoint.Hostname(), ".notify.windows.com"):
		row = statuses[http.StatusTooManyRequests] // Windows' word for it
	case listed:
	case answer.Status/100 == 4:
		row = statusClass{class: provider.Permanent}
	case answer.Status == http.StatusFound, answer.Status == http.StatusSeeOther, answer.Status == http.StatusTemporaryRedirect:
		row = statusClass{class: provider.Transient, text: "the endpoint redirects for the moment"} // not followed: see guard.go
	case answer.Status/100 == 3:
		row = statusClass{class: provider.Permanent, text: "the endpoint redirects"}
	default:
		return refused
	}
	refused.Class, refused.Message = row.class, row.text
	refused.Alone = row.class == provider.Throttled || row.class == provider.Transient
	service, known := c.service(endpoint)
	switch {
	case row.class == provider.Config && known && c.keyTaken(service):
		refused.Class, refused.Message = provider.Permanent, "the subscription was made with another VAPID_PUBLIC_KEY"
	case known:
	case row.class == provider.Config:
		refused.Class = provider.Permanent
	case row.class == provider.Throttled:
		refused.Class = provider.Transient // a stranger may say so for ever: each counts as a try
	}
	refused.Credentials = refused.Class == provider.Config
	return refused
}

// statusClass says what an HTTP status means for a push.
type statusClass struct {
	class provider.Class
	text  string
}

var statuses = map[int]statusClass{
	http.StatusNotFound:              {provider.Suppress, "the subscription does not exist"},
	http.StatusGone:                  {provider.Suppress, "the subscription has ended"},
	http.StatusRequestEntityTooLarge: {provider.Permanent, "the push is too large for the service"},
	http.StatusTooManyRequests:       {provider.Throttled, "too many pushes"},
	http.StatusUnauthorized:          {provider.Config, "the VAPID signature is refused: check VAPID_PRIVATE_KEY and VAPID_SUBJECT, and this machine's clock"},
	http.StatusForbidden:             {provider.Config, "the VAPID key is refused: was the subscription made with another VAPID_PUBLIC_KEY?"},
	http.StatusRequestTimeout:        {provider.InDoubt, ""},
}
