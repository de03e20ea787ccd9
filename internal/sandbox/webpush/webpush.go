// Package webpush stands in for a browser's push service, and for the browser:
// it gives out subscriptions, and opens what is sent to them.
//
// It imports behavior and outbox. Start with Server.
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
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"crypto/ecdsa"
	"crypto/elliptic"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
	"github.com/novaura/acs-operator/internal/sandbox/outbox"
)

const (
	path     = "/webpush/"
	maxBody  = 4096
	saltSize = 16
)

// Options are what a Server is started with.
type Options struct {
	Latency time.Duration // the first Behavior's
	// PublicKey is the VAPID key that subscriptions are made with, base64url;
	// empty: any.
	PublicKey string
}

// Server is a push service as an http.Handler, and the outbox of its pushes.
// It serves
//
//	/webpush/{id}                           a subscription's endpoint
//	/_sandbox/webpush/dead-tokens/{token}   PUT and DELETE of an id, as a subscription that ends and comes back
type Server struct {
	*outbox.Box
	outbox.DeadTokens

	publicKey string
	mux       *http.ServeMux
	browsers  sync.Map // id → *browser
}

var _ http.Handler = (*Server)(nil)

// browser is what only the browser knows of a subscription.
type browser struct {
	key  *ecdh.PrivateKey
	auth []byte
}

// New returns a Server that behaves well.
func New(o Options) *Server {
	s := &Server{Box: outbox.NewBox(provider(), "push", behavior.Behavior{Latency: o.Latency}), publicKey: o.PublicKey, mux: http.NewServeMux()}
	s.mux.HandleFunc("POST "+path+"{id}", s.push)
	s.mux.Handle("/_sandbox/webpush/dead-tokens/{token}", &s.DeadTokens)
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Subscribe gives out a subscription as a browser's PushSubscription.toJSON
// does, for a server that is reached at base. id names it.
func (s *Server) Subscribe(base, id string) (string, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	b := &browser{key: key, auth: make([]byte, saltSize)}
	_, _ = rand.Read(b.auth) // never fails: it crashes the process instead
	s.browsers.Store(id, b)
	text, err := json.Marshal(map[string]any{
		"endpoint": base + path + id, "expirationTime": nil,
		"keys": map[string]string{
			"p256dh": base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()), "auth": base64.RawURLEncoding.EncodeToString(b.auth),
		},
	})
	return string(text), err
}

func (s *Server) push(w http.ResponseWriter, r *http.Request) {
	if s.Control().Wait(r.Context()) != nil {
		return
	}
	id := r.PathValue("id")
	known, found := s.browsers.Load(id)
	switch {
	case !s.authentic(r):
		s.refuse(w, http.StatusUnauthorized)
	case !s.Control().Allow():
		w.Header().Set("Retry-After", "1")
		s.refuse(w, http.StatusTooManyRequests)
	case s.fail(w, s.Control().Fault()):
	case r.Header.Get("TTL") == "" || r.Header.Get("Content-Encoding") != "aes128gcm":
		s.refuse(w, http.StatusBadRequest)
	case !found:
		s.refuse(w, http.StatusNotFound)
	case s.Dead(id):
		s.refuse(w, http.StatusGone)
	default:
		s.accept(w, r, id, known.(*browser)) //nolint:forcetypeassert // the map holds nothing else
	}
}

func (s *Server) accept(w http.ResponseWriter, r *http.Request, id string, to *browser) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.refuse(w, http.StatusRequestEntityTooLarge)
		return
	}
	plain, err := to.open(body)
	if err != nil {
		s.refuse(w, http.StatusBadRequest) // a real service cannot look; its browser would drop the push
		return
	}
	var shown struct {
		ACSID       string `json:"acs_id"`
		Title, Body string
	}
	if json.Unmarshal(plain, &shown) != nil {
		shown.Body = string(plain)
	}
	location := path + "message/" + uuid.NewString()
	s.Accept(outbox.Message{ID: location, Key: shown.ACSID, To: id, Title: shown.Title, Body: shown.Body, Status: "sent", Collapse: r.Header.Get("Topic")})
	s.Control().LoseAnswer()
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusCreated)
}

// authentic checks the VAPID signature (RFC 8292): it is of the key beside it,
// for this origin, and has not ended.
func (s *Server) authentic(r *http.Request) bool {
	rest, found := strings.CutPrefix(r.Header.Get("Authorization"), "vapid t=")
	token, public, both := strings.Cut(rest, ", k=")
	point, err := base64.RawURLEncoding.DecodeString(public)
	if !found || !both || err != nil || s.publicKey != "" && s.publicKey != public {
		return false
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return false
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	_, err = jwt.Parse(token, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(scheme+"://"+r.Host), jwt.WithExpirationRequired())
	return err == nil
}

func (s *Server) refuse(w http.ResponseWriter, status int) {
	s.Refuse()
	w.WriteHeader(status)
}

// open is what a browser does with a push (RFC 8291 and 8188): one record.
func (b *browser) open(body []byte) ([]byte, error) {
	const fixed = saltSize + 4 + 1
	if len(body) < fixed || len(body) < fixed+int(body[fixed-1]) {
		return nil, errors.New("no header")
	}
	salt, size := body[:saltSize], binary.BigEndian.Uint32(body[saltSize:])
	point, sealed := body[fixed:fixed+int(body[fixed-1])], body[fixed+int(body[fixed-1]):]
	if len(sealed) > int(size) {
		return nil, errors.New("more than one record")
	}
	sender, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	shared, err := b.key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	info := "WebPush: info\x00" + string(b.key.PublicKey().Bytes()) + string(point)
	material, err := hkdf.Key(sha256.New, shared, b.auth, info, 32)
	if err != nil {
		return nil, err
	}
	key, keyErr := hkdf.Key(sha256.New, material, salt, "Content-Encoding: aes128gcm\x00", 16)
	nonce, nonceErr := hkdf.Key(sha256.New, material, salt, "Content-Encoding: nonce\x00", 12)
	if err := errors.Join(keyErr, nonceErr); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	opener, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := opener.Open(nil, nonce, sealed, nil)
	if err != nil {
		return nil, err
	}
	plain = []byte(strings.TrimRight(string(plain), "\x00"))
	if len(plain) == 0 || plain[len(plain)-1] != 2 {
		return nil, errors.New("no delimiter of a last record")
	}
	return plain[:len(plain)-1], nil
}

// NewVAPID makes a key pair as VAPID_PUBLIC_KEY and VAPID_PRIVATE_KEY have it.
func NewVAPID() (public, private string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	point, pointErr := key.PublicKey.Bytes()
	secret, secretErr := key.Bytes()
	return base64.RawURLEncoding.EncodeToString(point), base64.RawURLEncoding.EncodeToString(secret), errors.Join(pointErr, secretErr)
}
