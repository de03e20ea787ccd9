package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/novaura/acs-operator/internal/redact"
)

// The one record of RFC 8291, section 4: services take 4096 bytes, of which
// the header, the delimiter and the seal need some.
const (
	recordSize = 4096
	saltSize   = 16
	headerSize = saltSize + 4 + 1 + 65
	sealSize   = 16
	maxPlain   = recordSize - headerSize - sealSize - 1
)

// subscription is where a browser is reached, and what for it is encrypted.
type subscription struct {
	endpoint *url.URL
	key      *ecdh.PublicKey
	auth     []byte
}

// parseSubscription reads what PushSubscription.toJSON gives. Its error quotes
// nothing: the endpoint is a capability.
func parseSubscription(token redact.Personal) (subscription, error) {
	var decoded struct {
		Endpoint string `json:"endpoint"`
		Keys     struct {
			P256DH string `json:"p256dh"`
			Auth   string `json:"auth"`
		} `json:"keys"`
	}
	if json.Unmarshal([]byte(token.Reveal()), &decoded) != nil {
		return subscription{}, errors.New("the token is not a subscription: write the browser's PushSubscription as JSON text")
	}
	endpoint, err := url.Parse(decoded.Endpoint)
	if err != nil || endpoint.Host == "" {
		return subscription{}, errors.New("the subscription's endpoint is not a URL")
	}
	point, pointErr := decode(decoded.Keys.P256DH)
	auth, authErr := decode(decoded.Keys.Auth)
	if pointErr != nil || authErr != nil || len(auth) != 16 {
		return subscription{}, errors.New("the subscription's keys are not base64url of a point and of 16 bytes")
	}
	key, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return subscription{}, errors.New("the subscription's key is not a point of P-256")
	}
	return subscription{endpoint, key, auth}, nil
}

// decode reads base64url, padded or not, and plain base64 too: libraries
// differ.
func decode(text string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(text))
}

// encrypt seals plain for the subscription, with a key and a salt of its own.
func encrypt(plain []byte, to subscription) ([]byte, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails: it crashes the process instead
	return seal(plain, to, key, salt)
}

// seal is RFC 8291, section 3.4, in one record of RFC 8188.
func seal(plain []byte, to subscription, key *ecdh.PrivateKey, salt []byte) ([]byte, error) {
	shared, err := key.ECDH(to.key)
	if err != nil {
		return nil, errors.New("the subscription's key is not usable")
	}
	ours := key.PublicKey().Bytes()
	material, err := derive(shared, to.auth, "WebPush: info\x00"+string(to.key.Bytes())+string(ours), 32)
	if err != nil {
		return nil, err
	}
	contentKey, err := derive(material, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := derive(material, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(contentKey)
	if err != nil {
		return nil, err
	}
	sealer, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	body := make([]byte, 0, headerSize+len(plain)+1+sealSize)
	body = append(body, salt...)
	body = binary.BigEndian.AppendUint32(body, recordSize)
	body = append(body, byte(len(ours))) //nolint:gosec // a P-256 point has 65 bytes
	body = append(body, ours...)
	const lastRecord = 2 // the delimiter before the padding, of which there is none
	return sealer.Seal(body, nonce, append(append([]byte{}, plain...), lastRecord), nil), nil
}

func derive(secret, salt []byte, info string, length int) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, salt, info, length)
}
