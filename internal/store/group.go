package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Group bounds.
const (
	groupSize  = 100              // the most claims or settlements in one statement
	groupCalls = 2                // statements of a kind under way at once
	groupBound = 10 * time.Second // of one statement: it serves many callers and ends with none of them
)

// Grouped returns m with concurrent claims sharing statements, and concurrent
// settlements too: what comes while a statement is under way goes with the
// next, so that a lone message waits for nothing and a busy worker asks the
// database once for dozens (group commit). A second statement starts beside the
// first only when it is full: two halves cost the database a third more. Answers
// and errors are each caller's own. A statement that the database refuses for what
// one caller put into it is repeated for each alone.
//
// A caller whose context ends does not wait for the answer; the statement goes
// on, and its lease or fence tells what came of it, as after a crash.
func Grouped(m Messages) Messages {
	g := &grouped{Messages: m}
	g.settle.do = m.Settle
	return g
}

type grouped struct {
	Messages

	settle group[Settlement, error]
	mu     sync.Mutex
	claims map[claimKey]*group[Claim, ClaimResult]
}

// claimKey is what all claims of one statement have in common.
type claimKey struct {
	owner string
	lease time.Duration
}

// Claim implements Messages.
func (g *grouped) Claim(ctx context.Context, owner string, lease time.Duration, claims []Claim) ([]ClaimResult, error) {
	return g.claimer(claimKey{owner, lease}).join(ctx, claims)
}

// claimer is one for a worker's life: its owner and lease never change.
func (g *grouped) claimer(key claimKey) *group[Claim, ClaimResult] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.claims == nil {
		g.claims = map[claimKey]*group[Claim, ClaimResult]{}
	}
	if g.claims[key] == nil {
		g.claims[key] = &group[Claim, ClaimResult]{do: func(ctx context.Context, claims []Claim) ([]ClaimResult, error) {
			return g.Messages.Claim(ctx, key.owner, key.lease, claims)
		}}
	}
	return g.claims[key]
}

// Settle implements Messages.
func (g *grouped) Settle(ctx context.Context, settlements []Settlement) ([]error, error) {
	return g.settle.join(ctx, settlements)
}

// group lets concurrent calls of do share one.
type group[In, Out any] struct {
	do func(context.Context, []In) ([]Out, error)

	mu      sync.Mutex
	waiting []*part[In, Out]
	calls   int // under way
}

// part is one caller's share of a call.
type part[In, Out any] struct {
	in   []In
	out  []Out
	err  error
	done chan struct{} // closed when out and err are final
}

func (g *group[In, Out]) join(ctx context.Context, in []In) ([]Out, error) {
	if len(in) == 0 || ctx.Err() != nil {
		return nil, ctx.Err()
	}
	p := &part[In, Out]{in: in, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, p)
	if g.calls == 0 || g.calls < groupCalls && g.items() >= groupSize {
		g.calls++
		go g.run(context.WithoutCancel(ctx)) // ends when nothing waits; each call of it is bounded
	}
	g.mu.Unlock()
	select {
	case <-p.done:
		return p.out, p.err
	case <-ctx.Done():
		g.mu.Lock()
		defer g.mu.Unlock()
		g.waiting = slices.DeleteFunc(g.waiting, func(other *part[In, Out]) bool { return other == p }) // unless it is under way
		return nil, ctx.Err()
	}
}

// items is how many claims or settlements wait. Call it with mu held.
func (g *group[In, Out]) items() (n int) {
	for _, p := range g.waiting {
		n += len(p.in)
	}
	return n
}

// run makes calls until nothing waits.
func (g *group[In, Out]) run(ctx context.Context) {
	for {
		g.mu.Lock()
		parts := g.take()
		if len(parts) == 0 {
			g.calls--
		}
		g.mu.Unlock()
		if len(parts) == 0 {
			return
		}
		g.call(ctx, parts)
	}
}

// take is the next call's parts: at least one, then no more than groupSize
// items. Call it with mu held.
func (g *group[In, Out]) take() []*part[In, Out] {
	n, items := 0, 0
	for n < len(g.waiting) && (n == 0 || items+len(g.waiting[n].in) <= groupSize) {
		items += len(g.waiting[n].in)
		n++
	}
	parts := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return parts
}

// call asks for all parts at once, and for each alone where that is refused.
func (g *group[In, Out]) call(ctx context.Context, parts []*part[In, Out]) {
	all := make([][]In, len(parts))
	for i, p := range parts {
		all[i] = p.in
	}
	in := slices.Concat(all...)
	bounded, cancel := context.WithTimeout(ctx, groupBound)
	out, err := g.do(bounded, in)
	cancel()
	switch {
	case err == nil:
		for _, p := range parts {
			p.out, out = out[:len(p.in):len(p.in)], out[len(p.in):]
			close(p.done)
		}
	case len(parts) > 1 && !errors.Is(err, context.DeadlineExceeded):
		for _, p := range parts {
			g.call(ctx, []*part[In, Out]{p})
		}
	default:
		for _, p := range parts {
			p.err = err
			close(p.done)
		}
	}
}
