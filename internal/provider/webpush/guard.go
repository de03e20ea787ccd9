package webpush

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/novaura/acs-operator/internal/provider/once"
)

// errNotPublic is what the guard says of an endpoint within our own walls.
var errNotPublic = errors.New("the endpoint is not https on port 443 of a public address: if it is to be trusted, name its host in WEBPUSH_ALLOWED_HOSTS")

// guard decides what an endpoint may reach. Who can subscribe can name any
// URL, and must not make this worker call what only it can reach: the cloud's
// metadata, a database, a neighbour (server-side request forgery).
//
// The address is looked at as it is dialled, after the name was resolved: a
// name that answers twice in two ways gains nothing.
type guard struct {
	trusted map[string]bool // host, or host:port
	public  *http.Client
	any     *http.Client // for what is trusted
}

func newGuard(allowed []string) guard {
	g := guard{trusted: map[string]bool{}, any: once.NewClient(nil)}
	for _, host := range allowed {
		if host = strings.ToLower(strings.TrimSpace(host)); host != "" {
			g.trusted[host] = true
		}
	}
	transport := once.NewTransport(once.HTTP1())
	transport.Proxy = nil // a proxy would dial in our place, unguarded
	dialer := net.Dialer{Timeout: 10 * time.Second, ControlContext: publicOnly}
	transport.DialContext = dialer.DialContext
	g.public = once.NewClient(&http.Client{Transport: transport})
	return g
}

// client is the one that may call the endpoint.
func (g guard) client(endpoint *url.URL) (*http.Client, error) {
	if g.allowed(endpoint) && (endpoint.Scheme == "https" || endpoint.Scheme == "http") {
		return g.any, nil
	}
	if endpoint.Scheme != "https" || endpoint.User != nil || endpoint.Port() != "" && endpoint.Port() != "443" {
		return nil, errNotPublic
	}
	return g.public, nil
}

func (g guard) allowed(endpoint *url.URL) bool {
	return g.trusted[strings.ToLower(endpoint.Host)] || g.trusted[strings.ToLower(endpoint.Hostname())]
}

// publicOnly refuses to dial what is not public.
func publicOnly(_ context.Context, _, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil || !isPublic(target.Addr().Unmap()) {
		return errNotPublic
	}
	return nil
}

// special are the blocks that are not of the public internet, or that lead
// out of it by translation; those that netip knows by name are not here.
//
// https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "fec0::/10",
)

func prefixes(texts ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		parsed[i] = netip.MustParsePrefix(text)
	}
	return parsed
}

func isPublic(address netip.Addr) bool {
	if !address.IsGlobalUnicast() || address.IsPrivate() {
		return false
	}
	for _, block := range special {
		if block.Contains(address) {
			return false
		}
	}
	return true
}
