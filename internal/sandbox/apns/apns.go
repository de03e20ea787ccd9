// Package apns stands in for Apple's push service on one machine. It wants
// HTTP/2, with TLS or without.
//
// It imports behavior and outbox. Start with Server.
package apns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
	"github.com/novaura/acs-operator/internal/sandbox/outbox"
)

// Who may send, and for which app.
const (
	KeyID  = "LOCALKEY01"
	TeamID = "LOCALTEAM1"
	Topic  = "com.example.local"
)

const (
	maxPayload = 4096
	tokenLasts = time.Hour
)

// Options are what a Server is started with.
type Options struct {
	Latency time.Duration // the first Behavior's
}

// Server is APNs as an http.Handler, and the outbox of its pushes. It serves
//
//	/3/device/{token}
//	/_sandbox/apns/dead-tokens/{token}      PUT and DELETE, as an app that goes and comes
type Server struct {
	*outbox.Box
	outbox.DeadTokens

	key     *ecdsa.PrivateKey
	expires atomic.Int64 // provider tokens issued before this Unix time have expired
	mux     *http.ServeMux
}

var _ http.Handler = (*Server)(nil)

// New returns a Server that behaves well, with a signing key of its own.
func New(o Options) (*Server, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	s := &Server{Box: outbox.NewBox(provider(), "push", behavior.Behavior{Latency: o.Latency}), key: key, mux: http.NewServeMux()}
	s.mux.HandleFunc("POST /3/device/{token}", s.push)
	s.mux.Handle("/_sandbox/apns/dead-tokens/{token}", &s.DeadTokens)
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Key is the signing key as Apple gives it out: a .p8 file's text.
func (s *Server) Key() (string, error) {
	encoded, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})), nil
}

// ExpireTokens has every provider token that was issued before t refused as
// expired.
func (s *Server) ExpireTokens(t time.Time) { s.expires.Store(t.Unix()) }

// authorize is the reason why a provider token is refused; empty: it is good.
func (s *Server) authorize(r *http.Request) string {
	text, found := strings.CutPrefix(r.Header.Get("Authorization"), "bearer ")
	if !found {
		return "MissingProviderToken"
	}
	var claims struct {
		jwt.RegisteredClaims
	}
	token, err := jwt.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return &s.key.PublicKey, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(TeamID))
	if err != nil || token.Header["kid"] != KeyID || claims.IssuedAt == nil {
		return "InvalidProviderToken"
	}
	if time.Since(claims.IssuedAt.Time) > tokenLasts || claims.IssuedAt.Unix() < s.expires.Load() {
		return "ExpiredProviderToken"
	}
	return ""
}

var deviceToken = regexp.MustCompile(`^[0-9a-fA-F]{16,200}$`)

func (s *Server) push(w http.ResponseWriter, r *http.Request) {
	if s.Control().Wait(r.Context()) != nil {
		return
	}
	id := r.Header.Get("Apns-Id")
	if id == "" {
		id = uuid.NewString()
	}
	w.Header().Set("Apns-Id", id)
	if status, reason := s.admit(r); reason != "" {
		s.refuse(w, status, reason)
		return
	}
	if s.fail(w, s.Control().Fault()) {
		return
	}
	if status, reason := s.check(r); reason != "" {
		s.refuse(w, status, reason)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil {
		s.refuse(w, http.StatusRequestEntityTooLarge, "PayloadTooLarge")
		return
	}
	var payload struct {
		ACSID string `json:"acs_id"`
		APS   struct {
			Alert struct{ Title, Body string } `json:"alert"`
		} `json:"aps"`
	}
	if json.Unmarshal(body, &payload) != nil {
		s.refuse(w, http.StatusBadRequest, "PayloadEmpty")
		return
	}
	s.Accept(outbox.Message{
		ID: id, Key: payload.ACSID, To: r.PathValue("token"), From: r.Header.Get("Apns-Topic"), Title: payload.APS.Alert.Title,
		Body: payload.APS.Alert.Body, Status: "sent", Collapse: r.Header.Get("Apns-Collapse-Id"),
	})
	s.Control().LoseAnswer()
	w.WriteHeader(http.StatusOK)
}

// admit returns why a request is refused before the faults come: its provider
// token, its protocol, the rate limit. An empty reason admits it.
func (s *Server) admit(r *http.Request) (status int, reason string) {
	if reason := s.authorize(r); reason != "" {
		return http.StatusForbidden, reason
	}
	switch {
	case r.ProtoMajor != 2:
		return http.StatusBadRequest, "BadPath" // Apple closes the connection
	case !s.Control().Allow():
		return http.StatusTooManyRequests, "TooManyRequests"
	}
	return 0, ""
}

// check returns why a request is refused before its payload is read.
func (s *Server) check(r *http.Request) (status int, reason string) {
	const longestCollapseID = 64
	token := r.PathValue("token")
	switch {
	case r.Header.Get("Apns-Topic") != Topic:
		return http.StatusBadRequest, "DeviceTokenNotForTopic"
	case len(r.Header.Get("Apns-Collapse-Id")) > longestCollapseID:
		return http.StatusBadRequest, "BadCollapseId"
	case r.Header.Get("Apns-Push-Type") == "background" && r.Header.Get("Apns-Priority") == "10":
		return http.StatusBadRequest, "BadPriority"
	case !deviceToken.MatchString(token):
		return http.StatusBadRequest, "BadDeviceToken"
	case s.Dead(token):
		return http.StatusGone, "Unregistered"
	}
	return 0, ""
}

func (s *Server) refuse(w http.ResponseWriter, status int, reason string) {
	s.Refuse()
	body := map[string]any{"reason": reason}
	if status == http.StatusGone {
		body["timestamp"] = time.Now().UnixMilli()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // plain values encode; a client that has gone cannot be told
}
