package twilio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twilio/twilio-go/client"

	"github.com/novaura/acs-operator/internal/provider"
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
		return nil, &provider.Error{Provider: Name, Class: provider.Config, Err: withoutURL(err)}
	}
	var trace progress
	request = request.WithContext(httptrace.WithClientTrace(c.ctx, trace.hooks()))
	answer, err := c.client.httpClient.Do(request)
	if err != nil {
		return nil, &provider.Error{Provider: Name, Class: trace.class(), Err: withoutURL(err)}
	}
	c.status = answer.StatusCode
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	_ = answer.Body.Close() // read to its end or broken: either way there is nothing to learn
	if answer.StatusCode/100 != 2 {
		return nil, c.refusal(answer, body)
	}
	if err != nil {
		return nil, &provider.Error{
			Provider: Name, Class: provider.InDoubt, HTTPStatus: c.status, Err: fmt.Errorf("read the answer: %w", withoutURL(err)),
		}
	}
	answer.Body = io.NopCloser(strings.NewReader(string(body)))
	return answer, nil
}

func (c *call) request(method, rawURL string, data url.Values) (*http.Request, error) {
	target, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	target.Scheme, target.Host = c.client.base.Scheme, c.client.base.Host
	target.Path = strings.TrimSuffix(c.client.base.Path, "/") + target.Path
	var body io.Reader = http.NoBody
	if method == http.MethodPost {
		body = strings.NewReader(data.Encode())
	} else {
		target.RawQuery = data.Encode()
	}
	request, err := http.NewRequestWithContext(c.ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	request.SetBasicAuth(c.client.accountSID, c.client.authToken.Reveal())
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "novaura-acs-processor twilio-go/"+client.LibraryVersion)
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return request, nil
}

// progress is how far a request came. The transport's goroutines report.
type progress struct{ traced, written atomic.Bool }

func (p *progress) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:      func(string) { p.traced.Store(true) },
		WroteHeaders: func() { p.written.Store(true) },
	}
}

// class of a request that got no answer. It was surely not accepted when a
// transport that reports its progress did not begin to write: the connection
// was refused, the name unknown, the handshake broken. All else is in doubt.
func (p *progress) class() provider.Class {
	if p.traced.Load() && !p.written.Load() {
		return provider.Transient
	}
	return provider.InDoubt
}

// withoutURL is the cause in an error of net/http or net/url, whose own words
// quote the URL: a lookup's has the recipient in it.
func withoutURL(err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		return wrapped.Err
	}
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return errors.New("not JSON")
	}
	if mismatch := (*json.UnmarshalTypeError)(nil); errors.As(err, &mismatch) {
		return fmt.Errorf("field %s is of another type", mismatch.Field)
	}
	return err
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 {
		const most = 24 * 60 * 60 // beyond a day it is a mistake, or no number
		return time.Duration(min(seconds, most) * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
