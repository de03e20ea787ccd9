package apns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
)

// Apple refuses a token that is older than an hour, and throttles who changes
// it more than once in 20 minutes: all sends share one.
const (
	renewAfter  = 50 * time.Minute
	renewAtMost = 20 * time.Minute
)

// signer makes the provider token.
type signer struct {
	key           *ecdsa.PrivateKey
	keyID, teamID string
	now           func() time.Time

	mu     sync.Mutex
	signed redact.Secret
	issued time.Time
}

func newSigner(c Config) (*signer, error) {
	if c.Key == "" {
		return nil, errors.New("apns: the key is missing: set APNS_KEY to the .p8 file's text or path")
	}
	text, err := provider.KeyText(c.Key, "-----BEGIN")
	if err != nil {
		return nil, errors.New("apns: the key cannot be read: APNS_KEY is neither a PEM text nor the path of a file that can be read")
	}
	key, err := jwt.ParseECPrivateKeyFromPEM(text)
	if err != nil || key.Curve != elliptic.P256() {
		return nil, errors.New("apns: the key is not one: APNS_KEY is the .p8 file of an APNs authentication key")
	}
	return &signer{key: key, keyID: c.KeyID, teamID: c.TeamID, now: c.Now}, nil
}

// token is the one in use, renewed before it is an hour old.
func (s *signer) token() redact.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signed == "" || s.now().Sub(s.issued) >= renewAfter {
		s.sign()
	}
	return s.signed
}

// renew is another token than the one that was refused as expired, unless that
// one is so young that Apple would throttle the next: then this machine's
// clock is wrong, and a new one would be refused too.
func (s *signer) renew(refused redact.Secret) redact.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signed == refused && s.now().Sub(s.issued) >= renewAtMost {
		s.sign()
	}
	return s.signed
}

func (s *signer) sign() {
	now := s.now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": s.teamID, "iat": now.Unix()})
	token.Header["kid"] = s.keyID
	signed, err := token.SignedString(s.key)
	if err != nil {
		return // a P-256 key signs; an empty token is refused, and said
	}
	s.signed, s.issued = redact.Secret(signed), now
}
