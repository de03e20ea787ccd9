// Package behavior is how a provider's stand-in is to behave: slow, failing,
// losing answers, limiting rates. Every provider has one, set at
// /_sandbox/<provider> or from a test.
//
// It imports nothing of this project. Start with Control.
package behavior

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Behavior is how a provider is to behave. Rates are shares from 0 (never) to
// 1 (always). Latency holds for every call, the rest for sends only.
type Behavior struct {
	Latency        time.Duration // before a request is looked at
	Jitter         time.Duration // up to this much more, evenly spread
	ErrorRate      float64       // answered by an error of the provider's own; nothing is accepted
	LostAnswerRate float64       // accepted, then the connection is cut
	RateLimit      float64       // sends per second, in bursts of up to a second's worth; more are throttled; 0: no limit
}

// Control holds a Behavior. All methods may be called concurrently.
type Control struct {
	current atomic.Pointer[behaving]
	setting sync.Mutex // one change at a time
}

// behaving is a Behavior and the limiter that it needs.
type behaving struct {
	Behavior

	limiter *rate.Limiter // nil: no limit
}

// New behaves as b has it.
func New(b Behavior) *Control {
	c := &Control{}
	c.Set(b)
	return c
}

// Get returns what holds now.
func (c *Control) Get() Behavior { return c.current.Load().Behavior }

// Set holds from the next request on; Behavior{} ends all faults.
func (c *Control) Set(b Behavior) {
	c.setting.Lock()
	defer c.setting.Unlock()
	c.set(b)
}

func (c *Control) set(b Behavior) {
	next := &behaving{Behavior: b}
	current := c.current.Load()
	switch {
	case b.RateLimit <= 0:
	case current != nil && current.RateLimit == b.RateLimit: // what was used of the burst stays used
		next.limiter = current.limiter
	default:
		next.limiter = rate.NewLimiter(rate.Limit(b.RateLimit), max(1, int(b.RateLimit)))
	}
	c.current.Store(next)
}

// Allow takes one send from the rate limit.
func (c *Control) Allow() bool {
	b := c.current.Load()
	return b.limiter == nil || b.limiter.Allow()
}

// Fails is true where this send is to fail before anything is accepted.
func (c *Control) Fails() bool { return chance(c.current.Load().ErrorRate) }

// LosesAnswer is true where this send's answer is to get lost.
func (c *Control) LosesAnswer() bool { return chance(c.current.Load().LostAnswerRate) }

// LoseAnswer cuts the connection of an HTTP request where that is to be.
func (c *Control) LoseAnswer() {
	if c.LosesAnswer() {
		panic(http.ErrAbortHandler)
	}
}

// Wait lasts as long as the latency has it, or until ctx ends.
func (c *Control) Wait(ctx context.Context) error {
	b := c.current.Load()
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

// chance is true in the given share of calls.
func chance(share float64) bool {
	return share > 0 && rand.Float64() < share //nolint:gosec // a fault needs no secrecy
}

// JSON is a Behavior on the wire; durations are Go durations.
type JSON struct {
	Latency        string  `json:"latency"`
	Jitter         string  `json:"jitter"`
	ErrorRate      float64 `json:"errorRate"`
	LostAnswerRate float64 `json:"lostAnswerRate"`
	RateLimit      float64 `json:"rateLimit"`
}

// Wire is b as JSON.
func (b Behavior) Wire() JSON {
	return JSON{b.Latency.String(), b.Jitter.String(), b.ErrorRate, b.LostAnswerRate, b.RateLimit}
}

// behavior checks every field, and names all that are wrong.
func (j JSON) behavior() (Behavior, error) {
	latency, latencyErr := parseWait("latency", j.Latency)
	jitter, jitterErr := parseWait("jitter", j.Jitter)
	errs := []error{latencyErr, jitterErr, checkShare("errorRate", j.ErrorRate), checkShare("lostAnswerRate", j.LostAnswerRate)}
	if j.RateLimit < 0 || j.RateLimit > math.MaxInt32 {
		errs = append(errs, fmt.Errorf("rateLimit: %v is no rate; write sends per second, or 0 for no limit", j.RateLimit))
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

// ServeHTTP is /_sandbox/<provider>: GET tells the Behavior, PUT changes what
// the body names and leaves the rest as it is.
func (c *Control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		writeJSON(w, http.StatusOK, c.Get().Wire())
	case http.MethodPut:
		c.put(w, r)
	default:
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "GET tells how the provider behaves, PUT changes it"})
	}
}

func (c *Control) put(w http.ResponseWriter, r *http.Request) {
	const mostBytes = 64 << 10
	c.setting.Lock()
	defer c.setting.Unlock()
	wanted := c.Get().Wire()
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBytes))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&wanted)
	if err == nil {
		var b Behavior
		if b, err = wanted.behavior(); err == nil {
			c.set(b)
			writeJSON(w, http.StatusOK, b.Wire())
			return
		}
	}
	writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) //nolint:errchkjson // plain structs encode; a client that has gone cannot be told
}
