package store

import (
	"context"
	"time"
)

// Leadership is one row of controller_leases: who may write task counts, and
// until when by the database's clock.
type Leadership struct {
	Name   string // what is led
	Holder string // empty: released
	// Epoch counts the holds, from 1: it rises whenever the lease is taken
	// anew, by whomever.
	Epoch   int64
	Since   time.Time     // the hold's begin
	Expires time.Time     // by the database's clock
	Left    time.Duration // until Expires when it was read, by the same clock; 0 or less: lapsed
}

// The directions that a pause can forbid.
const (
	PauseIn   = "in"   // no scaling in
	PauseOut  = "out"  // no scaling out
	PauseBoth = "both" // no change at all
)

// EveryPolicy is the name of a pause that holds for all policies.
const EveryPolicy = "*"

// Pause is one row of controller_pauses: an order of a person, with an end.
type Pause struct {
	Policy    string    `json:"policy"`    // a policy's name, or EveryPolicy
	Direction string    `json:"direction"` // PauseIn, PauseOut or PauseBoth
	Author    string    `json:"author"`
	Reason    string    `json:"reason"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
}

// PolicyVersion is one row of controller_policies: an accepted version of a
// policy's spec.
type PolicyVersion struct {
	Policy     string
	Generation int64
	Hash       string // of Spec
	Spec       []byte // JSON
	AcceptedAt time.Time
}

// Snapshot is one row of controller_snapshots: the state before the decision
// at Time, from which the decisions after it can be replayed.
type Snapshot struct {
	Policy     string
	Time       time.Time
	Generation int64
	State      []byte // JSON
}

// PolicyStatus is one row of controller_statuses: a policy as its leader saw it last.
type PolicyStatus struct {
	Policy    string
	UpdatedAt time.Time
	Status    []byte // JSON
}

// Steering is what controllers and the people who run them agree on.
type Steering interface {
	// AcquireLeadership takes a lease that is free, lapsed or holder's own for
	// ttl from now by the database's clock, and returns the row as it stands:
	// the lease is holder's if, and only if, Holder says so.
	AcquireLeadership(ctx context.Context, name, holder string, ttl time.Duration) (Leadership, error)
	// ReleaseLeadership frees a lease that holder has; another's stays.
	ReleaseLeadership(ctx context.Context, name, holder string) error
	// Leadership reads a lease; ErrNotFound: nobody ever led.
	Leadership(ctx context.Context, name string) (Leadership, error)

	// SavePause pauses p.Policy for length from now by the database's clock,
	// in place of an earlier pause of it, and returns the row.
	SavePause(ctx context.Context, p Pause, length time.Duration) (Pause, error)
	// EndPause ends the pause of policy, and reports whether there was one.
	EndPause(ctx context.Context, policy string) (ended bool, err error)
	// Pauses lists the pauses that hold now.
	Pauses(ctx context.Context) ([]Pause, error)

	// AcceptPolicy records that v.Spec is what is followed from now on. It
	// returns the generation: one more than the last if v.Hash differs.
	AcceptPolicy(ctx context.Context, v PolicyVersion) (generation int64, err error)
	// PolicyVersion returns a version of a policy, or ErrNotFound.
	PolicyVersion(ctx context.Context, policy string, generation int64) (PolicyVersion, error)

	// SaveSnapshot keeps a state; SnapshotBefore returns the newest of a
	// policy at or before a time, or ErrNotFound.
	SaveSnapshot(ctx context.Context, s Snapshot) error
	SnapshotBefore(ctx context.Context, policy string, at time.Time) (Snapshot, error)
	// Trail lists a policy's decisions from a time to another, both included,
	// oldest first, with what folded into each; at most limit.
	Trail(ctx context.Context, policy string, from, to time.Time, limit int) ([]Decision, error)

	// SaveStatus keeps how a policy stands; Statuses lists all by name.
	SaveStatus(ctx context.Context, policy string, status []byte) error
	Statuses(ctx context.Context) ([]PolicyStatus, error)
	// RetainStatuses drops the statuses of policies other than these.
	RetainStatuses(ctx context.Context, policies []string) error

	// PruneController deletes decisions, notices, snapshots and ended pauses
	// that are older than before, at most limit of each, and counts them.
	// Snapshots are kept for two hours more, for the replay of what is left.
	PruneController(ctx context.Context, before time.Time, limit int) (deleted int64, err error)
}

// SnapshotsOutlive is how much longer than the decisions snapshots are kept.
const SnapshotsOutlive = 2 * time.Hour
