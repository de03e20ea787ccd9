package processor

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

// When a circuit breaker opens, and what it lets through while it is open.
const (
	breakerWindow = 30 // seconds
	breakerCalls  = 20 // the fewest calls in the window that say anything
	probeEvery    = 10 * time.Second
	// admitEvery is how soon another message is received where the one before was
	// no probe: a delivery report, or a message that must not be sent now.
	admitEvery = 250 * time.Millisecond
	admitAgain = time.Second // the longest pause before it is asked again
)

// circuit is what a breaker is for.
type circuit struct {
	channel  message.Channel
	provider string
}

// breaker stops the calls of a provider that fails. It opens when most of at
// least breakerCalls calls within breakerWindow failed by the provider's fault, or
// when as many in a row did: a busy worker need not fail for half of the window.
// While it is open one call every probeEvery is let through, the probe; when the
// provider answers one, the breaker closes.
//
//	         most calls fail
//	closed ──────────────────▶ open ──▶ a probe every 10 s, all others wait
//	   ▲                         │
//	   └─────────────────────────┘ a probe is answered
//
// The calls struct's mu guards it. The known libraries (gobreaker, failsafe-go)
// take no clock, and know nothing of a probe that turns out not to be one.
type breaker struct {
	seconds [breakerWindow]struct {
		at            int64 // Unix time
		calls, failed int
	}
	row      int             // calls that failed since the last one that did not
	rowAt    time.Time       // the first of these
	openedAt time.Time       // zero: it is closed
	closedAt time.Time       // end of the newest outage; zero: there was none, or it lasts
	beganAt  time.Time       // start of the newest outage
	probeAt  time.Time       // no probe before
	last     *provider.Error // the newest failure
}

// count counts one call.
func (b *breaker) count(now time.Time, failed bool) {
	second := &b.seconds[now.Unix()%breakerWindow]
	if second.at != now.Unix() {
		second.at, second.calls, second.failed = now.Unix(), 0, 0
	}
	second.calls++
	if !failed {
		b.row = 0
		return
	}
	if second.failed++; b.row == 0 {
		b.rowAt = now
	}
	b.row++
}

// trips says that it is time to open, after so many calls of which so many failed.
func (b *breaker) trips(now time.Time, calls, failed int) bool {
	return calls >= breakerCalls && 2*failed > calls ||
		b.row >= breakerCalls && now.Sub(b.rowAt) <= breakerWindow*time.Second
}

// share is how many calls there were in the window, and how many failed.
func (b *breaker) share(now time.Time) (calls, failed int) {
	for _, second := range b.seconds {
		if now.Unix()-second.at < breakerWindow {
			calls, failed = calls+second.calls, failed+second.failed
		}
	}
	return calls, failed
}

// blocks says that no call may begin now.
func (b *breaker) blocks(now time.Time) bool {
	return b != nil && !b.openedAt.IsZero() && now.Before(b.probeAt)
}

// begin asks for leave to call. A call that is a probe says so.
func (c *calls) begin(of circuit, now time.Time) (probe, allowed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.breakers[of]
	switch {
	case b == nil || b.openedAt.IsZero():
		return false, true
	case b.blocks(now):
		return false, false
	}
	b.probeAt = now.Add(probeEvery)
	return true, true
}

// blocked says that no call of a provider may begin now, why, and after how
// long to come again: the longer it fails, the later, lest all that waits
// goes round and round.
func (c *calls) blocked(of circuit, now time.Time) (why *provider.Error, after time.Duration, blocked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.breakers[of]
	if !b.blocks(now) {
		return nil, 0, false
	}
	return b.last, min(max(now.Sub(b.openedAt), probeEvery), longestAway), true
}

// open says that a provider was failing at a time, by its breaker's newest outage.
func (c *calls) open(of circuit, at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.breakers[of]
	return b != nil && !b.beganAt.IsZero() && !at.Before(b.beganAt) && (b.closedAt.IsZero() || at.Before(b.closedAt))
}

// A turnover is a breaker that has just opened or closed.
type turnover struct {
	opened        bool
	calls, failed int           // in the window, or in a row
	lasted        time.Duration // how long it was open
	last          *provider.Error
}

// judge moves a breaker by the answer to a call; nil: it stays. Only a probe
// closes it: calls that began before it opened may be answered late.
func (c *calls) judge(of circuit, now time.Time, probe bool, err *provider.Error) *turnover {
	b := c.breakers[of]
	if b == nil {
		b = &breaker{}
		c.breakers[of] = b
	}
	fault := err != nil && err.ProviderFault()
	if !fault && err != nil && !err.Answered() {
		return nil // nobody was called
	}
	if fault {
		b.last = err
	}
	b.count(now, fault)
	calls, failed := b.share(now)
	switch {
	case b.openedAt.IsZero() && b.trips(now, calls, failed):
		b.openedAt, b.beganAt, b.closedAt, b.probeAt = now, now, time.Time{}, now.Add(probeEvery)
		if 2*failed <= calls { // much was accepted before those in a row
			calls, failed = b.row, b.row
		}
		return &turnover{opened: true, calls: calls, failed: failed, last: b.last}
	case !b.openedAt.IsZero() && probe && !fault:
		lasted := now.Sub(b.openedAt)
		*b = breaker{beganAt: b.beganAt, closedAt: now, last: b.last}
		return &turnover{lasted: lasted, last: b.last}
	}
	return nil
}

// Admit says how many of up to n messages of a queue may be received now, or how
// soon to ask again. While all providers of its channel fail, one message is
// received when a probe is due. It is for consumer.Options.Admit.
func (p *Processor) Admit(queue consumer.Queue, n int) (admitted int, again time.Duration) {
	return p.calls.admit(queue.Name, p.circuits(message.Channel(queue.Channel)), n, p.Now())
}

func (c *calls) admit(queue string, circuits []circuit, n int, now time.Time) (admitted int, again time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var due time.Time
	for _, of := range circuits {
		b := c.breakers[of]
		if b == nil || b.openedAt.IsZero() {
			return n, 0
		}
		if due.IsZero() || b.probeAt.Before(due) {
			due = b.probeAt
		}
	}
	if due.IsZero() { // nobody is configured
		return n, 0
	}
	if next := c.admitted[queue].Add(admitEvery); next.After(due) {
		due = next
	}
	if wait := due.Sub(now); wait > 0 {
		return 0, min(wait, admitAgain)
	}
	c.admitted[queue] = now
	return 1, 0
}

// all is a router that can name those it routes to.
type all interface{ All() []provider.Sender }

// circuits are those of a channel's providers.
func (p *Processor) circuits(channel message.Channel) (circuits []circuit) {
	sender := p.Senders[channel]
	senders := []provider.Sender{sender}
	if many, ok := sender.(all); ok {
		senders = many.All()
	}
	for _, one := range senders {
		if one != nil {
			circuits = append(circuits, circuit{channel, one.Name()})
		}
	}
	return circuits
}

// providerFailing is the code of a message that waits until its provider works.
const providerFailing = "provider_failing"

func (s *send) circuit() circuit { return circuit{s.m.Channel, s.sender.Name()} }

// blocked gives a message back, unspent, whose provider fails now; nil: it may
// be sent. One in doubt stays so.
func (s *send) blocked(ctx context.Context, doubtful bool) *consumer.Outcome {
	why, after, blocked := s.calls.blocked(s.circuit(), s.Now())
	if !blocked {
		return nil
	}
	text := fmt.Sprintf("%s fails, and messages wait until it works: last %s", s.sender.Name(), why)
	settlement := unspent(&provider.Error{Class: provider.Transient, Code: providerFailing})
	if settlement.Error, settlement.Reason = text, ""; doubtful {
		settlement.Status = store.Processing
	}
	outcome := s.back(ctx, settlement, consumer.Outcome{
		Action: consumer.Retry, After: after/2 + s.jitter(after/2), Reason: providerFailing, Limited: true,
	})
	return &outcome
}

// comeBack gives a message back whose provider's breaker has opened meanwhile.
func (s *send) comeBack(ctx context.Context) consumer.Outcome {
	if blocked := s.blocked(ctx, false); blocked != nil {
		return *blocked
	}
	return s.release(ctx, providerFailing, s.jitter(probeEvery)) // a probe is due just now
}

// ask calls a provider once, counts the answer, and says where a breaker opens or
// closes by it.
func (s *send) ask(ctx context.Context, m *message.Message, probe bool) (receipt provider.Receipt, took time.Duration, refusal *provider.Error) {
	bounded, cancel := context.WithTimeout(ctx, s.ProviderTimeout)
	defer cancel()
	began := s.Now()
	receipt, err := s.sender.Send(bounded, m)
	took = s.Now().Sub(began)
	if err != nil {
		refusal = provider.AsError(err)
	}
	if ctx.Err() != nil && refusal != nil && refusal.ProviderFault() {
		return receipt, took, refusal // we ended the call ourselves, which says nothing of the provider
	}
	if turned := s.calls.answered(s.received.Queue.Name, s.circuit(), s.Now(), took, probe, refusal); turned != nil {
		s.logTurnover(ctx, *turned)
	}
	return receipt, took, refusal
}

// logTurnover says once that a provider fails, and once that it works again.
func (s *send) logTurnover(ctx context.Context, t turnover) {
	attrs := []slog.Attr{slog.String("provider", s.sender.Name()), slog.String("channel", string(s.m.Channel))}
	if !t.opened {
		s.Logger.LogAttrs(ctx, slog.LevelInfo, "the provider works again: circuit breaker closed",
			append(attrs, slog.String("was_open", t.lasted.Round(time.Second).String()))...)
		return
	}
	const hundred = 100 // percent
	share := math.Round(hundred * float64(t.failed) / float64(t.calls))
	s.Logger.LogAttrs(ctx, slog.LevelError, "the provider fails: circuit breaker opened", append(attrs,
		slog.Int("calls", t.calls), slog.Int("failed_percent", int(share)), slog.String("code", t.last.Code), slog.Int("http_status", t.last.HTTPStatus),
		slog.String("effect", "messages of this provider wait, and none is lost; one is tried every "+probeEvery.String()),
		slog.Any("error", t.last))...)
}
