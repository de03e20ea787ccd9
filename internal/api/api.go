// Package api is the controller's HTTP side: health, the resources as JSON,
// and the page that shows them live.
//
//	GET /                 the page
//	GET /healthz          200 while the loop turns
//	GET /readyz           200 when policies are loaded, the database answers and the lease is read
//	GET /api/v1/state     everything the page shows, with history
//	GET /api/v1/stream    the same as server-sent events, every two seconds
//	GET /api/v1/decisions a policy's recorded decisions, newest first
//	GET /api/v1/policies  the policies: spec, conditions, last observation and decision
//	GET /api/v1/policies/NAME
//	GET /api/v1/events    what happened to the policies, newest first
//	GET /api/v1/leader    who leads, and what this controller may do
//	GET /api/v1/alerts    the alerts of every policy, the most urgent first
//	GET /api/v1/silences  the silences that hold, are to come, or ended today
//
// It reads, and changes nothing. Addresses are masked.
package api

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/store"
)

//go:embed page
var pageFiles embed.FS

const (
	streamEvery = 2 * time.Second
	readBound   = 5 * time.Second
	recentRows  = 40
)

// Policies is what the page needs of the loop.
type Policies interface {
	Views() []reconcile.View
	Refusal() string
	Standing() reconcile.Standing
	Alive() error
	Peek(ctx context.Context)
}

// History is what the page needs of the store.
type History interface {
	Events(ctx context.Context, f store.Filter) ([]store.Event, error)
	Notices(ctx context.Context, limit int) ([]store.Notice, error)
	Decisions(ctx context.Context, f store.DecisionFilter) ([]store.Decision, error)
	Silences(ctx context.Context, endingAfter time.Time) ([]store.Silence, error)
	Ready(ctx context.Context) error
}

// Options are what the API is made of.
type Options struct {
	Policies Policies
	History  History
	Links    map[string]string // name to URL, shown on the page: a dashboard, a runbook
	Version  string
	Logger   *slog.Logger
}

type server struct{ Options }

// Handler returns the API and the page. It is safe for concurrent use; its
// streams end with their requests.
func Handler(options Options) http.Handler {
	s := server{options}
	mux := http.NewServeMux()
	health := OperationsOptions{Health: options.Policies, Database: options.History}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, options.Policies.Alive(), "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answer(w, health.ready(r.Context()), "ready") })
	mux.HandleFunc("GET /api/v1/state", s.state)
	mux.HandleFunc("GET /api/v1/stream", s.stream)
	mux.HandleFunc("GET /api/v1/decisions", s.decisions)
	mux.HandleFunc("GET /api/v1/policies", s.policies)
	mux.HandleFunc("GET /api/v1/policies/{name}", s.policy)
	mux.HandleFunc("GET /api/v1/events", s.events)
	mux.HandleFunc("GET /api/v1/leader", s.leader)
	mux.HandleFunc("GET /api/v1/alerts", s.alerts)
	mux.HandleFunc("GET /api/v1/silences", s.silences)
	page, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic(err) // the files are part of the binary
	}
	mux.Handle("GET /", http.FileServerFS(page))
	return secured(mux)
}

// secured sets what keeps a page that shows operations from being framed or
// made to load anything from elsewhere.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// State is everything the page shows.
type State struct {
	Time      time.Time          `json:"time"`
	Version   string             `json:"version"`
	Links     map[string]string  `json:"links,omitempty"`
	Refusal   string             `json:"refusal,omitempty"`
	Leader    reconcile.Standing `json:"leader"`
	Policies  []reconcile.View   `json:"policies"`
	Decisions []Decision         `json:"decisions"`
	Notices   []Notice           `json:"notices"`
	Messages  []Message          `json:"messages"`
	Problem   string             `json:"problem,omitempty"` // why history is missing
}

// Decision is one recorded decision, ticks without change folded.
type Decision struct {
	Policy    string    `json:"policy"`
	Time      time.Time `json:"time"`
	LastTime  time.Time `json:"lastTime"`
	Count     int       `json:"count"`
	Current   int       `json:"current"`
	Desired   int       `json:"desired"`
	LimitedBy string    `json:"limitedBy,omitempty"`
	Reason    string    `json:"reason"`
	Changed   bool      `json:"changed"`
}

// Notice is one event of the controller.
type Notice struct {
	Policy    string    `json:"policy"`
	Type      string    `json:"type"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message"`
	Count     int       `json:"count"`
	FirstTime time.Time `json:"firstTime"`
	LastTime  time.Time `json:"lastTime"`
}

// Message is one communication event; the address is a mask.
type Message struct {
	ID        string    `json:"id"`
	Channel   string    `json:"channel"`
	Type      string    `json:"type"`
	Status    string    `json:"status"`
	To        string    `json:"to"`
	Attempts  int       `json:"attempts"`
	ErrorCode string    `json:"errorCode,omitempty"`
	Error     string    `json:"error,omitempty"`
	UpdatedAt time.Time `json:"updatedAt"`
}

func (s server) collect(ctx context.Context) State {
	ctx, cancel := context.WithTimeout(ctx, readBound)
	defer cancel()
	state := State{Time: time.Now(), Version: s.Version, Links: s.Links, Refusal: s.Policies.Refusal(), Leader: s.Policies.Standing(), Policies: s.Policies.Views()}
	state.Decisions, state.Notices, state.Messages = []Decision{}, []Notice{}, []Message{}
	if err := s.history(ctx, &state); err != nil {
		state.Problem = "history: " + err.Error()
	}
	return state
}

func (s server) history(ctx context.Context, state *State) error {
	events, err := s.History.Events(ctx, store.Filter{Limit: recentRows})
	if err != nil {
		return err
	}
	for _, e := range events {
		state.Messages = append(state.Messages, messageOf(e))
	}
	notices, err := s.History.Notices(ctx, recentRows)
	if err != nil {
		return err
	}
	for _, n := range notices {
		state.Notices = append(state.Notices, noticeOf(n))
	}
	for _, view := range state.Policies {
		decisions, err := s.History.Decisions(ctx, store.DecisionFilter{Policy: view.Policy.Metadata.Name, Limit: recentRows})
		if err != nil {
			return err
		}
		state.Decisions = append(state.Decisions, Decisions(decisions)...)
	}
	return nil
}

func noticeOf(n store.Notice) Notice {
	return Notice{n.Policy, n.Type, n.Reason, n.Message, n.Count, n.FirstTime, n.LastTime}
}

func messageOf(e store.Event) Message {
	to := e.To
	if e.Type == "message_received" {
		to = e.From
	}
	return Message{
		ID: e.ID, Channel: e.Channel, Type: e.Type, Status: string(e.Status), To: to.String(), Attempts: e.Attempts,
		ErrorCode: e.ErrorCode, Error: e.Error, UpdatedAt: e.UpdatedAt,
	}
}

// Decisions are recorded decisions as the API shows them; never nil.
func Decisions(rows []store.Decision) []Decision {
	decisions := make([]Decision, 0, len(rows))
	for _, d := range rows {
		decisions = append(decisions, Decision{d.Policy, d.Time, d.LastTime, d.Count, d.Current, d.Desired, d.LimitedBy, d.Reason, d.Changed})
	}
	return decisions
}

func (s server) state(w http.ResponseWriter, r *http.Request) { writeJSON(w, s.collect(r.Context())) }

// stream sends the state without its history, which the page grows by itself
// from what comes.
func (s server) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	flush := http.NewResponseController(w)
	for {
		s.Policies.Peek(r.Context())
		state := s.collect(r.Context())
		for i := range state.Policies {
			history := state.Policies[i].History
			state.Policies[i].History = history[max(0, len(history)-3):]
		}
		encoded, err := json.Marshal(state)
		if err != nil {
			s.Logger.Error("state not encoded", "error", err)
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", encoded); err != nil || flush.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(streamEvery):
		}
	}
}

func (s server) decisions(w http.ResponseWriter, r *http.Request) {
	policy := r.URL.Query().Get("policy")
	if policy == "" {
		http.Error(w, "name a policy: /api/v1/decisions?policy=NAME", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readBound)
	defer cancel()
	rows, err := s.History.Decisions(ctx, store.DecisionFilter{Policy: policy, Limit: limitOf(r)})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, Decisions(rows))
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
