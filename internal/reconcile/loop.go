// Package reconcile is the controller's loop: every interval, from scratch, it
// observes a service and its queues, asks scaling.Decide, acts, and records.
// A missed tick, a restart or a hand-made change heals at the next one.
//
//	observe ──▶ decide ──▶ act ──▶ record
//	cloud       scaling    cloud   store
//
// Of several controllers one acts (leader.go); the others watch. It owns time
// and I/O; the rules are in internal/scaling. Start with Loop.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
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

// Rivals is what the loop needs of Application Auto Scaling: whether a service
// is registered there. An error means that this is not known.
type Rivals interface {
	Registered(ctx context.Context, ref config.ServiceRef) (bool, error)
}

// Memory is what the loop needs of the store. The loop works on without it.
type Memory interface {
	SaveDecision(ctx context.Context, d store.Decision) error
	SaveState(ctx context.Context, policy string, state []byte) error
	LoadState(ctx context.Context, policy string) ([]byte, error)
	SaveNotice(ctx context.Context, n store.Notice) error
	Pauses(ctx context.Context) ([]store.Pause, error)
	AcceptPolicy(ctx context.Context, v store.PolicyVersion) (generation int64, err error)
	SaveSnapshot(ctx context.Context, s store.Snapshot) error
	SaveStatus(ctx context.Context, policy string, status []byte) error
	Statuses(ctx context.Context) ([]store.PolicyStatus, error)
	RetainStatuses(ctx context.Context, policies []string) error
	CountDue(ctx context.Context, within time.Duration) (map[string]int, error)
	PruneController(ctx context.Context, before time.Time, limit int) (int64, error)
}

// Options are what a Loop is made of.
type Options struct {
	Services Services
	Metrics  Metrics
	Memory   Memory
	Rivals   Rivals  // nil: nobody else steers
	Leader   *Leader // run by its owner
	// Retention is how long decisions and events are kept; 0: 14 days.
	Retention   time.Duration
	Instruments *Instruments // nil: nothing is measured
	Notifier    Notifier     // nil: alerts are logged and shown, and told to nobody
	Orders      Orders       // nil: no silences
	Workers     Workers      // nil: workers report nothing
	Logger      *slog.Logger

	alerts *alertRules // shared by the runners
	watch  *watch      // the same
	began  time.Time   // what intervals are counted from
}

// Loop reconciles every policy it was given, each on its own goroutine and
// interval: what is slow for one never delays another. Its methods may be
// called from many goroutines.
type Loop struct {
	options Options
	changed chan struct{} // a token when policies were applied

	mu      sync.Mutex
	runners map[string]*runner
	refusal *refusal // why the newest version of the policies was refused; nil: accepted
}

// New returns a loop without policies.
func New(options Options) *Loop {
	if options.Retention == 0 {
		options.Retention = 14 * 24 * time.Hour
	}
	options.alerts, options.began = &alertRules{policies: config.WithBuiltIn(nil)}, time.Now()
	options.watch = &watch{workers: options.Workers}
	return &Loop{options: options, changed: make(chan struct{}, 1), runners: map[string]*runner{}}
}

// Apply makes policies the ones that are followed: new ones start, changed
// ones go on with what they learned, those that are gone stop once whoever was
// told of their alerts has heard that they are over.
func (l *Loop) Apply(policies []*config.ScalingPolicy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	after := l.refusal
	l.refusal = nil
	wanted := make(map[string]bool, len(policies))
	for _, p := range policies {
		wanted[p.Metadata.Name] = true
		if running, known := l.runners[p.Metadata.Name]; known {
			running.replace(p)
			running.readmit(after)
			continue
		}
		r := newRunner(p, l.options)
		r.logger.Info("policy followed", "generation", p.Metadata.Generation)
		l.runners[p.Metadata.Name] = r
	}
	for name, running := range l.runners {
		if !wanted[name] {
			running.leave()
		}
	}
	l.poke()
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
	running.Go(func() { l.keepHouse(ctx) })
	for {
		l.mu.Lock()
		for _, r := range l.runners {
			if r.start() {
				running.Go(func() { l.keep(ctx, r) })
			}
		}
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-l.changed:
		case <-l.options.Leader.turned:
			l.mu.Lock()
			for _, r := range l.runners {
				r.poke()
			}
			l.mu.Unlock()
		}
	}
}

// keep runs r until ctx ends, or its policy is gone and has been taken leave of.
func (l *Loop) keep(ctx context.Context, r *runner) {
	for {
		r.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if l.drop(r) {
			break
		}
	}
	if l.Standing().Role != Leading {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	if err := l.retain(bounded); err != nil && ctx.Err() == nil {
		r.logger.Warn("the status of a policy that is gone is not dropped yet, trying again later", "error", err)
	}
}

// drop forgets r, unless its policy is back.
func (l *Loop) drop(r *runner) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !r.isGone() {
		return false
	}
	delete(l.runners, r.name)
	return true
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

// Standing is who leads.
func (l *Loop) Standing() Standing { return l.options.Leader.Standing() }

// Refusal is why the newest version of the policies was refused; empty: it
// was accepted.
func (l *Loop) Refusal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusal == nil {
		return ""
	}
	return l.refusal.message
}

// Alive names the policies whose loop has stood still for far longer than a
// tick can take; nil: none.
func (l *Loop) Alive() error {
	l.mu.Lock()
	runners := l.sorted()
	l.mu.Unlock()
	var errs []error
	for _, r := range runners {
		if idle, limit := r.idle(); idle > limit {
			errs = append(errs, fmt.Errorf("policy %s: no tick for %s, one is due every %s",
				r.name, idle.Round(time.Second), r.current().Spec.Interval))
		}
	}
	return errors.Join(errs...)
}

// Peek observes without deciding, for whoever looks at the page between two
// ticks; at most every two seconds, however many look, and for two seconds at
// the most, however slow a policy's service is.
func (l *Loop) Peek(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, peekEvery)
	defer cancel()
	l.mu.Lock()
	runners := l.sorted()
	l.mu.Unlock()
	var looking sync.WaitGroup
	defer looking.Wait()
	for _, r := range runners {
		looking.Go(func() { r.peek(bounded) })
	}
}

const (
	pruneEvery = 10 * time.Minute
	pruneBatch = 500 // rows of a table, so that no statement holds locks for long
)

// retain drops the statuses of policies that are gone.
func (l *Loop) retain(ctx context.Context) error {
	names, err := l.takeOver(ctx)
	if err != nil {
		return err
	}
	return l.options.Memory.RetainStatuses(ctx, names)
}

// takeOver takes leave of policies that were removed while no controller ran,
// or by one that ended before it had, and names all that are at work.
func (l *Loop) takeOver(ctx context.Context) ([]string, error) {
	statuses, err := l.options.Memory.Statuses(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	working := slices.Sorted(maps.Keys(l.runners))
	l.mu.Unlock()
	for _, one := range statuses {
		if slices.Contains(working, one.Policy) {
			continue
		}
		r := parting(one.Policy, l.options)
		state, err := r.loadAlerts(ctx)
		if err != nil {
			return nil, err
		}
		if state.Owes() {
			l.takeLeave(r)
			working = append(working, one.Policy)
		}
	}
	return working, nil
}

// takeLeave has r run, unless its policy is followed meanwhile.
func (l *Loop) takeLeave(r *runner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.runners[r.name]; !known {
		l.runners[r.name] = r
		l.poke()
	}
}

// keepHouse deletes old history while this controller leads, and drops the
// statuses of policies that are gone.
func (l *Loop) keepHouse(ctx context.Context) {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if l.Standing().Role != Leading {
			continue
		}
		if err := l.clean(ctx); err != nil && ctx.Err() == nil {
			l.options.Logger.Warn("history not pruned, trying again later", "error", err)
		}
	}
}

func (l *Loop) clean(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	err := l.retain(bounded)
	before := time.Now().Add(-l.options.Retention)
	for err == nil {
		var deleted int64
		if deleted, err = l.options.Memory.PruneController(bounded, before, pruneBatch); deleted == 0 {
			return err
		}
	}
	return err
}
