// Package behavior is how a provider's stand-in behaves: slow, failing, losing
// answers, limiting rates. Every provider has one Control, set at
// /_sandbox/<provider> or from a test.
//
// It imports nothing of this project. Start with Control; wire.go is what
// /_sandbox/<provider> reads and writes.
package behavior

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Behavior is how a provider behaves. Rates are shares from 0 (never) to 1
// (always). Latency holds for every call, the rest for sends only.
type Behavior struct {
	Latency        time.Duration // before a request is looked at
	Jitter         time.Duration // up to this much more, evenly spread
	ErrorRate      float64       // answered by the provider's internal error; nothing is accepted
	Errors         Shares        // answered by an error code of the provider; nothing is accepted
	HTML           float64       // answered by a gateway's HTML page (502); nothing is accepted
	LostAnswerRate float64       // accepted, then the connection is cut
	RateLimit      float64       // sends per second, in bursts of up to a second's worth; more are throttled; 0: no limit
}

// Provider is what a Control needs to know of its provider.
type Provider struct {
	Name  string
	Codes []string // the error codes that Behavior.Errors may name
	HTTP  bool     // answers over HTTP, so that a gateway's page can stand in for an answer
}

// Control holds a Behavior. All methods may be called concurrently.
type Control struct {
	provider Provider
	current  atomic.Pointer[behaving]
	setting  sync.Mutex // one change at a time
}

// behaving is a Behavior and the limiter that it needs.
type behaving struct {
	Behavior

	limiter *rate.Limiter // nil: no limit
}

// New returns a Control of provider that behaves as b says.
func New(provider Provider, b Behavior) *Control {
	c := &Control{provider: provider}
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

// A Fault is how a send fails before anything is accepted. The zero value lets
// it pass.
type Fault struct {
	Code     string // answered by this error code of the provider
	Internal bool   // answered by the provider's internal error
	HTML     bool   // answered by WriteGatewayPage
}

// Fault draws how this send fails.
func (c *Control) Fault() Fault {
	b := c.current.Load()
	drawn := rand.Float64() //nolint:gosec // a fault needs no secrecy
	if drawn -= b.HTML; drawn < 0 {
		return Fault{HTML: true}
	}
	if drawn -= b.ErrorRate; drawn < 0 {
		return Fault{Internal: true}
	}
	return Fault{Code: b.Errors.Pick(drawn)}
}

// WriteGatewayPage answers as a proxy in front of a provider does when the
// provider does not answer: HTTP 502 with a page that the provider did not
// write.
func WriteGatewayPage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusBadGateway)
	_, _ = io.WriteString(w, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"+
		"<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
}

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
