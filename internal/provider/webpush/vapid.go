package webpush

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A signature is good for twelve hours of the 24 that RFC 8292 allows, and
// used for half of that.
const (
	signatureLasts = 12 * time.Hour
	signatureUsed  = 6 * time.Hour
	maxOrigins     = 1000 // signatures that are kept; endpoints are strangers' words
)

// vapid says to push services who we are: a signature for each origin.
type vapid struct {
	key     *ecdsa.PrivateKey
	public  string
	subject string
	now     func() time.Time

	mu     sync.Mutex
	signed map[string]signature
}

type signature struct {
	header string
	at     time.Time
}

func newVAPID(c Config) (*vapid, error) {
	switch {
	case c.PrivateKey == "":
		return nil, errors.New("webpush: the private key is missing: set VAPID_PRIVATE_KEY")
	case c.PublicKey == "":
		return nil, errors.New("webpush: the public key is missing: set VAPID_PUBLIC_KEY")
	case !strings.HasPrefix(c.Subject, "mailto:") && !strings.HasPrefix(c.Subject, "https:"):
		return nil, errors.New("webpush: the subject is missing: set VAPID_SUBJECT to a mailto: or https: URL that a push service can reach you by")
	}
	secret, err := decode(c.PrivateKey.Reveal())
	if err != nil {
		return nil, errors.New("webpush: VAPID_PRIVATE_KEY is not base64url")
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
	if err != nil {
		return nil, errors.New("webpush: VAPID_PRIVATE_KEY is not the 32 bytes of a P-256 key")
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, errors.New("webpush: VAPID_PRIVATE_KEY is not a P-256 key")
	}
	given, err := decode(c.PublicKey)
	if err != nil || string(given) != string(point) {
		return nil, errors.New("webpush: VAPID_PUBLIC_KEY is not that of VAPID_PRIVATE_KEY")
	}
	return &vapid{
		key: key, public: base64.RawURLEncoding.EncodeToString(point), subject: c.Subject, now: c.Now, signed: map[string]signature{},
	}, nil
}

// originOf is an endpoint's origin as RFC 6454, section 6.2, writes it: without a
// port that goes without saying.
func originOf(endpoint *url.URL) string {
	host := strings.ToLower(endpoint.Host)
	switch port := endpoint.Port(); {
	case endpoint.Scheme == "https" && port == "443", endpoint.Scheme == "http" && port == "80":
		host = strings.TrimSuffix(host, ":"+port)
	}
	return endpoint.Scheme + "://" + host
}

// authorization is the header for an endpoint.
func (v *vapid) authorization(endpoint *url.URL) (string, error) {
	origin := originOf(endpoint)
	now := v.now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if known, ok := v.signed[origin]; ok && now.Sub(known.at) < signatureUsed {
		return known.header, nil
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"aud": origin, "exp": now.Add(signatureLasts).Unix(), "sub": v.subject,
	}).SignedString(v.key)
	if err != nil {
		return "", errors.New("the VAPID key cannot sign")
	}
	if len(v.signed) >= maxOrigins {
		clear(v.signed)
	}
	header := "vapid t=" + token + ", k=" + v.public
	v.signed[origin] = signature{header, now}
	return header, nil
}
