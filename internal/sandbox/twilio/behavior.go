package twilio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// Behavior is how Twilio is to behave. Rates are shares from 0 (never) to 1
// (always). Latency holds for every call of the API, the rest for creates
// only: a client in doubt can still list what was accepted.
type Behavior struct {
	Latency        time.Duration // before a request is looked at
	Jitter         time.Duration // up to this much more, evenly spread
	ErrorRate      float64       // answered 500; nothing is accepted
	LostAnswerRate float64       // accepted, then the connection is cut
	RateLimit      float64       // creates per second, in bursts of up to a second's worth; more get a 429; 0: no limit
}

// behaving is a Behavior and the limiter that it needs.
type behaving struct {
	Behavior

	limiter *rate.Limiter // nil: no limit
}

// Behavior returns how the server behaves now.
func (s *Server) Behavior() Behavior { return s.behavior.Load().Behavior }

// SetBehavior holds from the next request on; Behavior{} ends all faults.
func (s *Server) SetBehavior(b Behavior) {
	s.setting.Lock()
	defer s.setting.Unlock()
	s.setBehavior(b)
}

func (s *Server) setBehavior(b Behavior) {
	next := &behaving{Behavior: b}
	current := s.behavior.Load()
	switch {
	case b.RateLimit <= 0:
	case current != nil && current.RateLimit == b.RateLimit: // what was used of the burst stays used
		next.limiter = current.limiter
	default:
		next.limiter = rate.NewLimiter(rate.Limit(b.RateLimit), max(1, int(b.RateLimit)))
	}
	s.behavior.Store(next)
}

func (b *behaving) allow() bool { return b.limiter == nil || b.limiter.Allow() }

// wait lasts as long as the latency has it, or until ctx ends.
func (b *behaving) wait(ctx context.Context) error {
	latency := b.Latency
	if b.Jitter > 0 {
		latency += rand.N(b.Jitter) //nolint:gosec // jitter needs no secrecy
	}
	if latency <= 0 {
		return nil
	}
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// behaviorJSON is Behavior at /_sandbox/twilio; durations are Go durations.
type behaviorJSON struct {
	Latency        string  `json:"latency"`
	Jitter         string  `json:"jitter"`
	ErrorRate      float64 `json:"errorRate"`
	LostAnswerRate float64 `json:"lostAnswerRate"`
	RateLimit      float64 `json:"rateLimit"`
}

func (b Behavior) wire() behaviorJSON {
	return behaviorJSON{b.Latency.String(), b.Jitter.String(), b.ErrorRate, b.LostAnswerRate, b.RateLimit}
}

// behavior checks every field, and names all that are wrong.
func (j behaviorJSON) behavior() (Behavior, error) {
	latency, latencyErr := parseWait("latency", j.Latency)
	jitter, jitterErr := parseWait("jitter", j.Jitter)
	errs := []error{latencyErr, jitterErr, checkShare("errorRate", j.ErrorRate), checkShare("lostAnswerRate", j.LostAnswerRate)}
	if j.RateLimit < 0 || j.RateLimit > math.MaxInt32 {
		errs = append(errs, fmt.Errorf("rateLimit: %v is no rate; write creates per second, or 0 for no limit", j.RateLimit))
	}
	return Behavior{latency, jitter, j.ErrorRate, j.LostAnswerRate, j.RateLimit}, errors.Join(errs...)
}

func parseWait(field, text string) (time.Duration, error) {
	const longest = 10 * time.Minute
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > longest {
		return 0, fmt.Errorf("%s: %q is no duration from 0s to 10m; write one like 250ms", field, text)
	}
	return wait, nil
}

func checkShare(field string, share float64) error {
	if share < 0 || share > 1 {
		return fmt.Errorf("%s: %v is no share; write 0 (never) to 1 (always)", field, share)
	}
	return nil
}

func (s *Server) getBehavior(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.Behavior().wire())
}

// putBehavior changes what the body names and leaves the rest as it is.
func (s *Server) putBehavior(w http.ResponseWriter, r *http.Request) {
	s.setting.Lock()
	defer s.setting.Unlock()
	wanted := s.Behavior().wire()
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostFormBytes))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&wanted)
	if err == nil {
		var b Behavior
		if b, err = wanted.behavior(); err == nil {
			s.setBehavior(b)
			writeJSON(w, http.StatusOK, b.wire())
			return
		}
	}
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}
