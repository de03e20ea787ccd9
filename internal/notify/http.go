package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// newClient posts to addresses that a policy names. It follows no redirect,
// and keeps off link-local addresses: 169.254.169.254 and 169.254.170.2 hand
// out the credentials of this very task.
func newClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		dialer := &net.Dialer{Timeout: 5 * time.Second, Control: notLinkLocal}
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second,
			ResponseHeaderTimeout: tryBound, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: atOnce, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: maxAnswer,
		}
	}
	return &http.Client{
		Transport: transport, Timeout: tryBound,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

var errForbidden = errors.New("the address is link-local, which receivers may not be")

func notLinkLocal(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if ip := at.Addr().Unmap(); ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return errForbidden
	}
	return nil
}

// post sends body as JSON, once. Every answer that is not 2xx is an *Error.
// Errors have neither the address, which may be a secret, nor more than the
// first words of the answer.
func (n *Notifier) post(ctx context.Context, address, bearer string, body any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return permanent(ClientError, fmt.Errorf("encode: %w", err))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(encoded))
	if err != nil {
		return permanent(ConfigError, errors.New("the address is not a URL"))
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "novaura-acs-controller")
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	answer, err := n.client.Do(request)
	if err != nil {
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err // its own words quote the address
		}
		if errors.Is(err, errForbidden) {
			return permanent(ConfigError, errForbidden)
		}
		return temporary(reasonOf(err), err)
	}
	defer func() { _ = answer.Body.Close() }()
	words, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // what is cut off says nothing more
	if answer.StatusCode/100 == 2 {
		return nil
	}
	return statusError(answer.StatusCode, retryAfter(answer.Header), short(string(words), 120))
}

func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
