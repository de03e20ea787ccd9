// Package reconcile is the controller's loop: every interval, from scratch, it
// observes a service and its queues, asks scaling.Decide, acts, and records.
// A missed tick, a restart or a hand-made change heals at the next one.
//
//	observe ──▶ decide ──▶ act ──▶ record
//	cloud       scaling    cloud   store
//
// It owns time and I/O; the rules are in internal/scaling. Start with Loop.
package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

// Services is what the loop needs of ECS: the counts as they are, and one
// verb to change them.
type Services interface {
	Describe(ctx context.Context, ref config.ServiceRef) (scaling.Service, error)
	SetDesired(ctx context.Context, ref config.ServiceRef, tasks int) error
}

// Metrics is what the loop needs of CloudWatch and SQS. What could be read is
// returned even beside an error, which names what could not.
type Metrics interface {
	Observe(ctx context.Context, p *config.ScalingPolicy, now time.Time) (map[string]scaling.Queue, error)
}

// Memory is what the loop needs of the store. The loop works on without it.
type Memory interface {
	SaveDecision(ctx context.Context, d store.Decision) error
	SaveState(ctx context.Context, policy string, state []byte) error
	LoadState(ctx context.Context, policy string) ([]byte, error)
	SaveNotice(ctx context.Context, n store.Notice) error
}

// Options are what a Loop is made of.
type Options struct {
	Services Services
	Metrics  Metrics
	Memory   Memory
	Logger   *slog.Logger
}

// Loop reconciles every policy it was given, each on its own goroutine and
// interval. Its methods may be called from many goroutines.
type Loop struct {
	options Options
	changed chan struct{} // a token when policies were applied

	mu      sync.Mutex
	runners map[string]*runner
	refusal *refusal // why the newest version of the policies was refused; nil: accepted
}

type refusal struct {
	reason string
	since  time.Time
}

// New returns a loop without policies.
func New(options Options) *Loop {
	return &Loop{options: options, changed: make(chan struct{}, 1), runners: map[string]*runner{}}
}

// Apply makes policies the ones that are followed: new ones start, changed
// ones go on with what they learned, those that are gone stop.
func (l *Loop) Apply(policies []*config.ScalingPolicy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusal = nil
	wanted := make(map[string]bool, len(policies))
	for _, p := range policies {
		wanted[p.Metadata.Name] = true
		if running, known := l.runners[p.Metadata.Name]; known {
			running.replace(p)
			continue
		}
		l.runners[p.Metadata.Name] = newRunner(p, l.options)
	}
	for name, running := range l.runners {
		if !wanted[name] {
			running.stop()
			delete(l.runners, name)
		}
	}
	l.poke()
}

// Refuse says that a newer version of the policies was not accepted; the
// running ones stay.
func (l *Loop) Refuse(ctx context.Context, reason error) {
	l.mu.Lock()
	l.refusal = &refusal{reason: reason.Error(), since: time.Now()}
	runners := l.sorted()
	l.mu.Unlock()
	l.options.Logger.Error("policy refused, the running one stays", "error", reason)
	for _, running := range runners {
		running.setCondition(PolicyAccepted, False, "InvalidPolicy", reason.Error())
		running.notice(ctx, Warning, "PolicyRefused", reason.Error())
	}
}

func (l *Loop) poke() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Run reconciles until ctx ends, and returns when every runner has. It is
// called once.
func (l *Loop) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		l.mu.Lock()
		for _, r := range l.runners {
			if r.start() {
				running.Go(func() { r.run(ctx) })
			}
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-l.changed:
		}
	}
}

// Views shows every policy as it stands, by name.
func (l *Loop) Views() []View {
	l.mu.Lock()
	runners := l.sorted()
	l.mu.Unlock()
	views := make([]View, 0, len(runners))
	for _, r := range runners {
		views = append(views, r.view())
	}
	return views
}

// Refusal is why the newest version of the policies was refused; empty: it
// was accepted.
func (l *Loop) Refusal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusal == nil {
		return ""
	}
	return l.refusal.reason
}

// Peek observes without deciding, for whoever looks at the page between two
// ticks; at most every two seconds, however many look.
func (l *Loop) Peek(ctx context.Context) {
	l.mu.Lock()
	runners := l.sorted()
	l.mu.Unlock()
	for _, r := range runners {
		r.peek(ctx)
	}
}
