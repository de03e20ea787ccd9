package reconcile

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/store"
)

// The lease's times. A holder writes until its lease, less the margin, is
// over by its own monotonic clock, counted from before it asked; the database
// lets no other in before the lease is over by its clock. So neither clock's
// setting matters, only that both run at about the same pace for half a
// minute. A write that begins at the last moment ends within the margin.
const (
	leaseName   = "controller"
	leaseLength = 30 * time.Second
	leaseMargin = 10 * time.Second
	writeBound  = 8 * time.Second // one write to ECS, retries included; below leaseMargin
	renewEvery  = 8 * time.Second
	renewBound  = 5 * time.Second
)

// Role is what a controller may do.
type Role string

// The roles. An unconfirmed holder had the lease last and cannot reach the
// database: it goes on, out only. A standby watches.
const (
	Leading     Role = "leading"
	Unconfirmed Role = "unconfirmed"
	Standby     Role = "standby"
)

// Standing is who leads, as one controller knows it.
type Standing struct {
	Role   Role   `json:"role"`
	Self   string `json:"self"`             // this controller
	Holder string `json:"holder,omitempty"` // who led when the lease was last read; empty: nobody, or not known
	Epoch  int64  `json:"epoch,omitempty"`
	// Since is when this holder's lead began, and Read when the lease was
	// last read; zero: never.
	Since   time.Time `json:"since,omitzero"`
	Read    time.Time `json:"read,omitzero"`
	Problem string    `json:"problem,omitempty"` // why the lease could not be read the last time
}

// Leases is what a Leader needs of the store.
type Leases interface {
	AcquireLeadership(ctx context.Context, name, holder string, ttl time.Duration) (store.Leadership, error)
	ReleaseLeadership(ctx context.Context, name, holder string) error
}

// Leader keeps, or seeks, the lease. Its methods may be called from many
// goroutines.
//
//	           lapsed, or released by its holder
//	standby ──────────────────────────────────▶ leading ◀──────────────┐
//	   ▲                                           │ database gone     │ database back,
//	   │           another holds it                ▼                   │ nobody led since
//	   └───────────────────────────────────── unconfirmed ─────────────┘
type Leader struct {
	leases Leases
	self   string
	logger *slog.Logger
	turned chan struct{} // a token when the role may have changed

	mu       sync.Mutex
	standing Standing
	mine     bool      // the lease was ours when it was last read
	deadline time.Time // of writing; monotonic
	problem  error
}

// NewLeader returns a standby that is called holder.
func NewLeader(leases Leases, holder string, logger *slog.Logger) *Leader {
	return &Leader{
		leases: leases, self: holder, logger: logger, turned: make(chan struct{}, 1),
		standing: Standing{Self: holder, Problem: "the lease was not read yet"},
	}
}

// Holder names this process as a holder: host, process, and a part that no
// other has.
func Holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "controller"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:6])
}

// Standing is who leads, now.
func (l *Leader) Standing() Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.standing
	switch {
	case l.mine && time.Now().Before(l.deadline):
		s.Role = Leading
	case l.mine && l.problem != nil:
		s.Role = Unconfirmed
	default: // not ours; or this process was asleep, and must read before it writes
		s.Role = Standby
	}
	return s
}

// Await notes why the lease cannot be sought yet.
func (l *Leader) Await(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problem, l.standing.Problem = why, why.Error()
}

// Run keeps or seeks the lease until ctx ends, and then releases it, so that
// a standby need not wait for it to lapse.
func (l *Leader) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			l.release(ctx)
			return
		case <-timer.C:
		}
		l.renew(ctx)
		timer.Reset(l.pause())
	}
}

// pause is the time to the next look: sooner when the last one failed.
func (l *Leader) pause() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problem != nil {
		return renewEvery / 4
	}
	return renewEvery
}

func (l *Leader) renew(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, renewBound)
	defer cancel()
	asked := time.Now()
	row, err := l.leases.AcquireLeadership(bounded, leaseName, l.self, leaseLength)
	if ctx.Err() != nil && err != nil {
		return
	}
	before := l.Standing()
	l.take(row, err, asked)
	after := l.Standing()
	if before.Role == after.Role && before.Holder == after.Holder && before.Epoch == after.Epoch && before.Problem == after.Problem {
		return
	}
	level := slog.LevelInfo
	if after.Problem != "" {
		level = slog.LevelWarn
	}
	l.logger.Log(ctx, level, "leader lease", "role", after.Role, "holder", after.Holder, "epoch", after.Epoch, "problem", after.Problem)
	select {
	case l.turned <- struct{}{}:
	default:
	}
}

// take learns from one answer.
func (l *Leader) take(row store.Leadership, err error, asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problem = err; err != nil {
		l.standing.Problem = err.Error()
		return
	}
	l.standing = Standing{Self: l.self, Holder: row.Holder, Epoch: row.Epoch, Since: row.Since, Read: time.Now()}
	if l.mine = row.Holder == l.self; l.mine {
		l.deadline = asked.Add(leaseLength - leaseMargin)
	}
}

func (l *Leader) release(ctx context.Context) {
	l.mu.Lock()
	mine := l.mine
	l.mine = false
	l.mu.Unlock()
	if !mine {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewBound)
	defer cancel()
	if err := l.leases.ReleaseLeadership(bounded, leaseName, l.self); err != nil {
		l.logger.Warn("leader lease not released, it lapses by itself", "in", leaseLength.String(), "error", err)
		return
	}
	l.logger.Info("leader lease released")
}

// mayWrite is asked right before each write. Out only while unconfirmed.
func (l *Leader) mayWrite(out bool) error {
	s := l.Standing()
	switch {
	case s.Role == Leading, s.Role == Unconfirmed && out:
		return nil
	case s.Role == Unconfirmed:
		return fmt.Errorf("scale in: the lease cannot be confirmed: %s", s.Problem)
	}
	return fmt.Errorf("write the count: %s leads, not this controller", orNobody(s.Holder))
}

func orNobody(holder string) string {
	if holder == "" {
		return "nobody"
	}
	return holder
}
