// Package once makes one HTTP request, once: it never repeats a call and never
// follows a redirect, it knows how far a request came that got no answer, and
// it reads no more of an answer than it should.
//
// It imports provider. Start with Do.
package once

import (
	"cmp"
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

	"github.com/novaura/acs-operator/internal/provider"
)

// conns is how many connections wait for the next send: as many as a worker
// has sends at once.
const conns = 256

// buffer is the size of a connection's two buffers, in bytes: a send and its
// answer fit, and hundreds of connections take half of what they would.
const buffer = 2 << 10

// NewTransport keeps connections by the protocols that are wanted.
//
// HTTP/1.1 is the choice for sends: there net/http repeats a POST by itself
// just where not one byte of it was written, while its HTTP/2 also does so
// after some of a server's errors.
func NewTransport(protocols *http.Protocols) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		MaxIdleConns:          conns,
		MaxIdleConnsPerHost:   conns,
		ReadBufferSize:        buffer,
		WriteBufferSize:       buffer,
		IdleConnTimeout:       30 * time.Second, // below the minute after which balancers drop
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		Protocols:             protocols,
	}
}

// HTTP1 is HTTP/1.1 alone.
func HTTP1() *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return protocols
}

// NewClient is a copy of given, or a client with a pool of HTTP/1.1
// connections, that hands a redirect back instead of following it.
func NewClient(given *http.Client) *http.Client {
	if given == nil {
		given = &http.Client{Transport: NewTransport(HTTP1())}
	}
	copied := *given
	copied.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &copied
}

// Base is a provider's base URL: text, or standard where it is empty, without a
// slash at its end. An error names the provider and the variable.
func Base(name, variable, text, standard string) (*url.URL, error) {
	base, err := url.Parse(strings.TrimSuffix(cmp.Or(text, standard), "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, fmt.Errorf("%s: the base URL is not one: set %s to an http or https URL", name, variable)
	}
	return base, nil
}

// An Answer is what came back, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// Broken is why Body is not whole; nil: it is, up to the limit.
	Broken error
}

// Do makes the request with a client of NewClient's, and reads at most limit
// bytes of the answer. An error means that there was no answer: its class is
// Transient where nothing can have been accepted, else InDoubt.
func Do(client *http.Client, request *http.Request, name string, limit int64) (Answer, error) {
	response, err := RoundTrip(client, request)
	if err != nil {
		return Answer{}, Unanswered(name, err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit))
	_ = response.Body.Close() // read to its end or broken: either way there is nothing to learn
	if err != nil {
		err = fmt.Errorf("read the answer: %w", WithoutURL(err))
	}
	return Answer{Status: response.StatusCode, Header: response.Header, Body: body, Broken: err}, nil
}

// A LostError is a request that got no answer.
type LostError struct {
	// Unsent: a transport that reports its progress did not begin to write
	// (the connection was refused, the name unknown, the handshake broken), or
	// the server says over HTTP/2 that it did nothing with the request.
	Unsent bool
	Err    error // without the URL
}

func (e *LostError) Error() string { return e.Err.Error() }

func (e *LostError) Unwrap() error { return e.Err }

// RoundTrip makes the request. An error is a *LostError.
func RoundTrip(client *http.Client, request *http.Request) (*http.Response, error) {
	var trace progress
	request = request.WithContext(httptrace.WithClientTrace(request.Context(), trace.hooks()))
	response, err := client.Do(request)
	if err != nil {
		if unprocessed(err) {
			return nil, &LostError{Unsent: true, Err: errUnprocessed}
		}
		return nil, &LostError{Unsent: trace.traced.Load() && !trace.written.Load(), Err: plain(WithoutURL(err))}
	}
	return response, nil
}

// plain is the cause in net/http's words of HTTP/2, which go on to tell
// programmers what to do.
func plain(err error) error {
	_, after, found := strings.Cut(err.Error(), "cannot retry err [")
	cause, _, whole := strings.Cut(after, "] after Request.Body")
	if !found || !whole {
		return err
	}
	return errors.New(cause)
}

// errUnprocessed stands for net/http's words, which tell programmers what to do.
var errUnprocessed = errors.New("the server closed the connection, or the stream, and says that it did not process the request")

// unprocessed are net/http's words where a server says that it did not process a
// request: GOAWAY with a last stream before it (RFC 9113, 6.8), or its stream
// refused (8.7). net/http has no other sign of them. Words that change leave the
// request in doubt, which is safe.
func unprocessed(err error) bool {
	text := err.Error()
	for _, sign := range []string{
		"http2: Transport received Server's graceful shutdown GOAWAY", "http2: Transport received GOAWAY from server ErrCode", "; REFUSED_STREAM; received from peer",
	} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// Unanswered types an error of RoundTrip's; what is not one is in doubt.
func Unanswered(name string, err error) *provider.Error {
	typed := &provider.Error{Provider: name, Class: provider.InDoubt, Err: WithoutURL(err)}
	if lost := (*LostError)(nil); errors.As(err, &lost) {
		typed.Err = lost.Err
		if lost.Unsent {
			typed.Class, typed.Away = provider.Transient, true
		}
	}
	return typed
}

// progress is how far a request came. The transport's goroutines report. From
// the moment at which it has a connection it may be written: that it was not yet
// when an answer, or the end, came proves nothing. net/http looks for another
// connection only where nothing was written on the one before.
type progress struct{ traced, written atomic.Bool }

func (p *progress) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { p.traced.Store(true); p.written.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { p.written.Store(true) },
	}
}

// WithoutURL is the cause in an error of net/http, net/url or encoding/json,
// whose own words quote a URL or a body: an address can stand in either.
func WithoutURL(err error) error {
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

// RetryAfter reads the header of that name: seconds, or a date. At most a day:
// what is more is a mistake.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	const most = 24 * 60 * 60
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 {
		return time.Duration(min(seconds, most) * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return min(at.Sub(now), most*time.Second)
	}
	return 0
}
