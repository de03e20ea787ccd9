// Package fcm stands in for Firebase Cloud Messaging on one machine: HTTP v1's
// messages:send, and the endpoint that access tokens come from.
//
// It imports behavior and outbox. Start with Server.
package fcm

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
	"github.com/novaura/acs-operator/internal/sandbox/outbox"
)

// Project is the one that the stand-in serves.
const Project = "local-project"

// TokenPath is where access tokens are fetched.
const TokenPath = "/oauth2/token" //nolint:gosec // a path

const (
	account    = "worker@local-project.iam.gserviceaccount.com"
	tokenLasts = time.Hour
	maxBody    = 64 << 10
	maxPayload = 4096
)

// Options are what a Server is started with.
type Options struct {
	Latency time.Duration // the first Behavior's
}

// Server is FCM as an http.Handler, and the outbox of its pushes. It serves
//
//	/v1/projects/{project}/messages:send
//	/oauth2/token
//	/_sandbox/fcm/dead-tokens/{token}       PUT and DELETE, as an app that goes and comes
type Server struct {
	*outbox.Box
	outbox.DeadTokens

	key    *rsa.PrivateKey
	mux    *http.ServeMux
	mu     sync.Mutex
	tokens map[string]time.Time // access tokens, and when they end
}

var _ http.Handler = (*Server)(nil)

// New returns a Server that behaves well, with a service account of its own.
func New(o Options) (*Server, error) {
	const bits = 2048
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Box: outbox.NewBox(provider(), "push", behavior.Behavior{Latency: o.Latency}), key: key,
		mux: http.NewServeMux(), tokens: map[string]time.Time{},
	}
	s.mux.HandleFunc("POST /v1/projects/{project}/{verb}", s.send)
	s.mux.HandleFunc("POST "+TokenPath, s.token)
	s.mux.Handle("/_sandbox/fcm/dead-tokens/{token}", &s.DeadTokens)
	return s, nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Credentials are the service account's key, as the Firebase console gives it
// out, for a server that is reached at base.
func (s *Server) Credentials(base string) (string, error) {
	encoded, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": Project, "private_key_id": "local", "client_email": account, "client_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})),
		"token_uri":   base + TokenPath,
	})
	return string(text), err
}

// token grants an access token for a signed assertion (RFC 7523).
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	_, err := jwt.Parse(r.PostFormValue("assertion"), func(*jwt.Token) (any, error) { return &s.key.PublicKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(account), jwt.WithExpirationRequired())
	if err != nil || r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
		return
	}
	token := "ya29." + rand.Text() + rand.Text()
	s.mu.Lock()
	s.tokens[token] = time.Now().Add(tokenLasts)
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(tokenLasts.Seconds())})
}

// RevokeTokens ends every access token.
func (s *Server) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

func (s *Server) authentic(r *http.Request) bool {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	return found && time.Now().Before(s.tokens[token])
}

// message is what is looked at of messages:send.
type message struct {
	Message struct {
		Token        string            `json:"token"`
		Topic        string            `json:"topic"`
		Data         map[string]string `json:"data"`
		Notification struct {
			Title string `json:"title"`
			Body  string `json:"body"`
		} `json:"notification"`
		Android struct {
			Notification struct {
				Tag string `json:"tag"`
			} `json:"notification"`
		} `json:"android"`
	} `json:"message"`
	ValidateOnly bool `json:"validate_only"`
}

func (s *Server) send(w http.ResponseWriter, r *http.Request) {
	if s.Control().Wait(r.Context()) != nil {
		return
	}
	switch {
	case r.PathValue("verb") != "messages:send":
		refuse(w, http.StatusNotFound, "NOT_FOUND", "", "")
		return
	case !s.authentic(r):
		s.refuse(w, http.StatusUnauthorized, "UNAUTHENTICATED", "", "")
		return
	case r.PathValue("project") != Project:
		s.refuse(w, http.StatusForbidden, "PERMISSION_DENIED", "", "")
		return
	case !s.Control().Allow():
		w.Header().Set("Retry-After", "1")
		s.refuse(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "")
		return
	}
	if s.fail(w, s.Control().Fault()) {
		return
	}
	s.accept(w, r)
}

func (s *Server) accept(w http.ResponseWriter, r *http.Request) {
	var in message
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || json.Unmarshal(body, &in) != nil || len(body) > 2*maxPayload {
		s.refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message")
		return
	}
	to := in.Message.Token
	switch {
	case (to == "") == (in.Message.Topic == ""):
		s.refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message")
		return
	case strings.ContainsAny(to, " \n"):
		s.refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.token")
		return
	case s.Dead(to):
		s.refuse(w, http.StatusNotFound, "NOT_FOUND", "UNREGISTERED", "")
		return
	}
	if to == "" {
		to = "/topics/" + in.Message.Topic
	}
	name := "projects/" + Project + "/messages/" + uuid.NewString()
	if !in.ValidateOnly {
		s.Accept(outbox.Message{
			ID: name, Key: in.Message.Data["acs_id"], To: to, Title: in.Message.Notification.Title, Body: in.Message.Notification.Body,
			Status: "sent", Collapse: in.Message.Android.Notification.Tag,
		})
		s.Control().LoseAnswer()
	}
	writeJSON(w, http.StatusOK, map[string]string{"name": name})
}

func (s *Server) refuse(w http.ResponseWriter, status int, word, code, field string) {
	s.Refuse()
	refuse(w, status, word, code, field)
}

// refuse answers as Google's APIs do (https://cloud.google.com/apis/design/errors).
func refuse(w http.ResponseWriter, status int, word, code, field string) {
	details := []any{}
	if code != "" {
		details = append(details, map[string]string{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
	}
	if field != "" {
		details = append(details, map[string]any{
			"@type":           "type.googleapis.com/google.rpc.BadRequest",
			"fieldViolations": []map[string]string{{"field": field, "description": "Invalid value"}},
		})
	}
	writeJSON(w, status, map[string]any{"error": map[string]any{"code": status, "message": http.StatusText(status), "status": word, "details": details}})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) //nolint:errchkjson // plain values encode; a client that has gone cannot be told
}
