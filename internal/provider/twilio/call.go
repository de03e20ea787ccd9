package twilio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
	"github.com/novaura/acs-operator/internal/redact"
)

// maxAnswer bounds what is read of an answer: a page of 200 messages fits.
const maxAnswer = 4 << 20

// call is one request: the client under twilio-go's generated code, which
// knows no context, so each call brings its own.
type call struct {
	ctx       context.Context //nolint:containedctx // twilio-go's BaseClient takes none
	client    *Client
	ownSender bool // the sender is of our set-up, so a refusal of it is too
	status    int  // of the answer; 0: none
}

var _ client.BaseClient = (*call)(nil)

// AccountSid is part of twilio-go's BaseClient.
func (c *call) AccountSid() string { return c.client.accountSID }

// SetTimeout is part of twilio-go's BaseClient, and does nothing: the context
// has the deadline.
func (c *call) SetTimeout(time.Duration) {}

// SetOauth is part of twilio-go's BaseClient, and does nothing.
func (c *call) SetOauth(client.OAuth) {}

// OAuth is part of twilio-go's BaseClient: basic authentication is used.
func (c *call) OAuth() client.OAuth { return nil }

// SendRequest does one request, once. Every error is a *provider.Error, and
// every answer that is not 2xx is an error.
func (c *call) SendRequest(
	method, rawURL string, data url.Values, _ map[string]any, _ ...byte,
) (*http.Response, error) {
	request, err := c.request(method, rawURL, data)
	if err != nil {
		return nil, &provider.Error{Provider: Name, Class: provider.Config, Err: once.WithoutURL(err)}
	}
	answer, err := once.Do(c.client.httpClient, request, Name, maxAnswer)
	if err != nil {
		return nil, err
	}
	c.status = answer.Status
	if answer.Status/100 != 2 {
		return nil, c.refusal(answer)
	}
	if answer.Broken != nil {
		return nil, &provider.Error{Provider: Name, Class: provider.InDoubt, HTTPStatus: c.status, Err: answer.Broken}
	}
	return &http.Response{StatusCode: answer.Status, Header: answer.Header, Body: io.NopCloser(bytes.NewReader(answer.Body))}, nil
}

func (c *call) request(method, rawURL string, data url.Values) (*http.Request, error) {
	address, err := c.client.own(rawURL)
	if err != nil {
		return nil, err
	}
	var body io.Reader = http.NoBody
	header := c.client.header
	if method == http.MethodPost {
		body = strings.NewReader(data.Encode())
		header = c.client.postHeader
	} else if query := data.Encode(); query != "" {
		address += "?" + query
	}
	request, err := http.NewRequestWithContext(c.ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	request.Header = header // net/http only reads it
	return request, nil
}

// headerOf is what all requests have.
func headerOf(accountSID string, token redact.Secret) http.Header {
	request := http.Request{Header: http.Header{
		"Accept":     {"application/json"},
		"User-Agent": {"novaura-acs-processor twilio-go/" + client.LibraryVersion},
	}}
	request.SetBasicAuth(accountSID, token.Reveal())
	return request.Header
}

// own is a URL of twilio-go's on the base that we are configured for.
func (c *Client) own(rawURL string) (string, error) {
	_, rest, absolute := strings.Cut(rawURL, "://")
	slash := strings.IndexByte(rest, '/')
	if !absolute || slash < 0 {
		return "", errors.New("twilio-go asked for a URL without a host or a path")
	}
	return c.base + rest[slash:], nil
}
