package ecs

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// longestStartLag keeps a task PENDING for as long as a test may want.
const longestStartLag = 24 * time.Hour

// StartLag returns how long tasks take to start, give or take a fifth.
func (s *Server) StartLag() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startLag
}

// SetStartLag changes how long tasks take to start. A pending task starts no
// later than a new one would, so that a shorter lag ends a long one.
func (s *Server) SetStartLag(lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.startLag = lag
	now := time.Now()
	for _, t := range s.tasks {
		if at := now.Add(s.lag()); t.status == statusPending && at.Before(t.startAt) {
			t.startAt = at
		}
	}
	s.poke()
}

// controlJSON is what /_sandbox/ecs reads and writes.
type controlJSON struct {
	StartLag string `json:"startLag"` // a Go duration
}

// ServeControl is /_sandbox/ecs: GET shows how tasks start, PUT changes it.
func (s *Server) ServeControl(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
	case http.MethodPut:
		if err := s.putControl(w, r); err != nil {
			writeControl(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
	default:
		writeControl(w, http.StatusMethodNotAllowed, map[string]string{"error": "GET shows how tasks start, PUT changes it"})
		return
	}
	writeControl(w, http.StatusOK, controlJSON{s.StartLag().String()})
}

func (s *Server) putControl(w http.ResponseWriter, r *http.Request) error {
	const mostBytes = 1 << 10
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBytes))
	decoder.DisallowUnknownFields()
	var in controlJSON
	if err := decoder.Decode(&in); err != nil {
		return err
	}
	if in.StartLag == "" {
		return errors.New(`startLag is missing; write one like {"startLag":"5s"}`)
	}
	lag, err := time.ParseDuration(in.StartLag)
	if err != nil || lag < 0 || lag > longestStartLag {
		return fmt.Errorf("startLag: %q is no duration from 0s to 24h; write one like 5s", in.StartLag)
	}
	s.SetStartLag(lag)
	return nil
}

func writeControl(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) //nolint:errchkjson // plain structs encode; a client that has gone cannot be told
}
