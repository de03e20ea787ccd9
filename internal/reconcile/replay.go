package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

// Past is what a replay needs of the store.
type Past interface {
	SnapshotBefore(ctx context.Context, policy string, at time.Time) (store.Snapshot, error)
	Trail(ctx context.Context, policy string, from, to time.Time, limit int) ([]store.Decision, error)
	PolicyVersion(ctx context.Context, policy string, generation int64) (store.PolicyVersion, error)
}

// Replayed is a decision made again.
type Replayed struct {
	Snapshot   time.Time        `json:"snapshot"` // the state that the replay began from
	Ticks      int              `json:"ticks"`    // decisions made on the way, this one included
	Generation int64            `json:"generation"`
	Decision   scaling.Decision `json:"decision"`
	// Same says that every state on the way, and this one, has the hash that
	// was recorded.
	Same bool `json:"same"`
}

// replayLimit bounds the rows of a replay: an hour of minutes, each of which
// may have changed its mind at every second.
const replayLimit = 3700

var errNoDecision = errors.New("no decision was recorded by then")

// Replay makes the newest decision of a policy at or before a time again, by
// the code as it is now, from the nearest snapshot.
func Replay(ctx context.Context, past Past, policy string, at time.Time) (Replayed, error) {
	var out Replayed
	snapshot, err := past.SnapshotBefore(ctx, policy, at)
	if err != nil {
		return out, err
	}
	p, err := policyOf(ctx, past, policy, snapshot.Generation)
	if err != nil {
		return out, err
	}
	var state scaling.State
	if err := json.Unmarshal(snapshot.State, &state); err != nil {
		return out, fmt.Errorf("read the snapshot of %s: %w", snapshot.Time.Format(time.RFC3339Nano), err)
	}
	rows, err := past.Trail(ctx, policy, snapshot.Time, at, replayLimit)
	if err != nil {
		return out, err
	}
	out = Replayed{Snapshot: snapshot.Time, Generation: snapshot.Generation, Same: true}
	for _, row := range rows {
		ticks, err := ticksOf(row)
		if err != nil {
			return out, err
		}
		for _, tick := range ticks {
			if now := tick.Observation.Time; now.Before(snapshot.Time) || now.After(at) {
				continue
			}
			if state, err = out.again(p, state, tick); err != nil {
				return out, err
			}
		}
	}
	if out.Ticks == 0 {
		return out, fmt.Errorf("replay %s at %s: %w", policy, at.Format(time.RFC3339), errNoDecision)
	}
	return out, nil
}

// again makes one decision, and returns the state after it.
func (out *Replayed) again(p *config.ScalingPolicy, before scaling.State, tick Tick) (scaling.State, error) {
	decision, after := scaling.Decide(p, tick.Observation, before, tick.Observation.Time)
	if tick.Discarded {
		after = before
	}
	encoded, err := json.Marshal(after)
	if err != nil {
		return before, fmt.Errorf("encode the state: %w", err)
	}
	out.Same = out.Same && hashOf(encoded) == tick.StateHash
	out.Decision = decision
	out.Ticks++
	return after, nil
}

func policyOf(ctx context.Context, past Past, policy string, generation int64) (*config.ScalingPolicy, error) {
	version, err := past.PolicyVersion(ctx, policy, generation)
	if err != nil {
		return nil, err
	}
	p := &config.ScalingPolicy{Metadata: config.Metadata{Name: policy, Generation: generation}}
	if err := json.Unmarshal(version.Spec, &p.Spec); err != nil {
		return nil, fmt.Errorf("read generation %d of policy %q: %w", generation, policy, err)
	}
	return p, nil
}
