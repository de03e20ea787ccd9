// Package twilio stands in for Twilio's Messages API on one machine: create,
// fetch and list as https://www.twilio.com/docs/messaging/api/message-resource
// has them, faults on request, and an outbox page that shows what people would
// have received.
//
// Numbers and bodies lie here in plain text, since showing them is the point;
// nothing in this room logs. It imports message, for the segments of a body,
// behavior, outbox and later. Start with Server; create.go is the life of a
// request, callback.go what Twilio tells afterwards.
package twilio

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
	"github.com/novaura/acs-operator/internal/sandbox/later"
	"github.com/novaura/acs-operator/internal/sandbox/outbox"
)

const apiRoot = "/2010-04-01/Accounts/"

// Options are what a Server is started with.
type Options struct {
	// AccountSID and AuthToken are checked where they are set; otherwise any
	// basic authentication passes.
	AccountSID, AuthToken string
	// Latency is the first Behavior's: how long each request waits.
	Latency time.Duration
	// Keep is how many messages are remembered, the newest; 0: 50,000.
	Keep int
	// OnStatus is told the form of each status callback of each message, in
	// order, as if every message named a StatusCallback that leads there. It is
	// called while Run runs. nil: only the URLs that messages name are called.
	OnStatus func(context.Context, url.Values)
	// StatusCallback is a URL that leads to OnStatus: it is not called. Messages
	// that name it, or any other, tell our own id in its query (acs_id).
	StatusCallback string
}

// Behavior is how Twilio is to behave. Latency holds for every call of the
// API, the rest for creates only: a client in doubt can still list what was
// accepted.
type Behavior = behavior.Behavior

// Server is Twilio as an http.Handler. It serves
//
//	/2010-04-01/Accounts/{sid}/Messages…    the API
//	/outbox, /outbox.json?limit=100         the texts, newest first
//	/_sandbox/twilio                        Behavior, GET and PUT
//	/_sandbox/twilio/opt-outs/{number}      PUT and DELETE, as a STOP and a START
//
// It remembers the newest 50,000 messages. All methods may be called
// concurrently.
type Server struct {
	options  Options
	mux      *http.ServeMux
	memory   *memory
	control  *behavior.Control
	later    *later.Queue
	optedOut sync.Map // number → struct{}
	refused  atomic.Int64
}

var (
	_ http.Handler  = (*Server)(nil)
	_ outbox.Source = (*Server)(nil)
)

// Stats are totals since the start.
type Stats struct {
	Accepted int64 `json:"accepted"` // messages that were taken
	Doubled  int64 `json:"doubled"`  // of those, the ones that their recipient had before: by our own id (acs_id in the callback's query), or without one by To and Body
	Refused  int64 `json:"refused"`  // creates that were answered with an error
}

// New returns a Server that behaves well, with the latency of o.
func New(o Options) *Server {
	s := &Server{
		options: o, mux: http.NewServeMux(), memory: newMemory(cmp.Or(o.Keep, 50_000), 1_000_000, time.Now),
		control: behavior.New(provider(), Behavior{Latency: o.Latency}), later: later.New(mostCallbacks),
	}
	s.mux.HandleFunc("POST "+apiRoot+"{account}/Messages.json", s.api(http.StatusCreated, s.create))
	s.mux.HandleFunc("GET "+apiRoot+"{account}/Messages.json", s.api(http.StatusOK, s.list))
	s.mux.HandleFunc("GET "+apiRoot+"{account}/Messages/{file}", s.api(http.StatusOK, s.fetch))
	s.mux.HandleFunc("GET "+apiRoot+"{file}", s.api(http.StatusOK, ownAccount))
	s.mux.HandleFunc(apiRoot, s.api(http.StatusOK, notFound))
	shown := outbox.Handler(s)
	for _, path := range []string{"/outbox", "/outbox.json", "/_sandbox/twilio"} {
		s.mux.Handle(path, shown)
	}
	s.mux.HandleFunc("PUT /_sandbox/twilio/opt-outs/{number}", s.changeOptOut(s.OptOut))
	s.mux.HandleFunc("DELETE /_sandbox/twilio/opt-outs/{number}", s.changeOptOut(s.OptIn))
	return s
}

// ServeHTTP answers one request. It panics with http.ErrAbortHandler where the
// Behavior has the answer lost: net/http then cuts the connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Behavior returns how the server behaves now.
func (s *Server) Behavior() Behavior { return s.control.Get() }

// SetBehavior holds from the next request on; Behavior{} ends all faults.
func (s *Server) SetBehavior(b Behavior) { s.control.Set(b) }

// Stats returns the totals as they are now.
func (s *Server) Stats() Stats {
	accepted, doubled := s.memory.totals()
	return Stats{Accepted: accepted, Doubled: doubled, Refused: s.refused.Load()}
}

// OptOut has every text to the number refused with 21610, as if its owner had
// answered STOP. Twilio keeps this by sender; here it is one for all.
func (s *Server) OptOut(number string) { s.optedOut.Store(plainNumber(number), struct{}{}) }

// OptIn ends OptOut.
func (s *Server) OptIn(number string) { s.optedOut.Delete(plainNumber(number)) }

func (s *Server) changeOptOut(change func(string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		change(r.PathValue("number"))
		w.WriteHeader(http.StatusNoContent)
	}
}

// api is what the API's calls have in common: the wait, the credentials, JSON.
func (s *Server) api(status int, call func(*http.Request) (any, *refusal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, refused := s.admit(r, call)
		if refused == nil {
			writeJSON(w, status, answer)
			return
		}
		if r.Method == http.MethodPost {
			s.refused.Add(1)
		}
		if refused.gateway {
			behavior.WriteGatewayPage(w)
			return
		}
		if refused.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="Twilio API"`)
		}
		writeJSON(w, refused.Status, refused)
	}
}

func (s *Server) admit(r *http.Request, call func(*http.Request) (any, *refusal)) (any, *refusal) {
	if err := s.control.Wait(r.Context()); err != nil {
		return nil, refuse(codeUnavailable)
	}
	if !s.authentic(r) {
		return nil, refuse(codeAuthenticate)
	}
	return call(r)
}

// authentic tells whether the request has the account's credentials. An API
// key (SK…) names no account, so only a user that is one must match the path.
func (s *Server) authentic(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if !ok || user == "" || password == "" {
		return false
	}
	account, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, apiRoot), "/")
	account = strings.TrimSuffix(account, ".json")
	if strings.HasPrefix(user, "AC") && user != account {
		return false
	}
	return matches(s.options.AccountSID, user) && matches(s.options.AccountSID, account) && matches(s.options.AuthToken, password)
}

func matches(want, got string) bool {
	return want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1
}

func notFound(r *http.Request) (any, *refusal) {
	refused := refuse(codeNotFound)
	refused.Message = "The requested resource " + r.URL.Path + " was not found"
	return nil, refused
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) //nolint:errchkjson // plain structs encode; a client that has gone cannot be told
}
