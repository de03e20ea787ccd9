package reconcile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

const (
	snapshotEvery = time.Hour
	pendingLimit  = 100 // events kept while the database is away
)

// memory is what one leader knows of a policy.
type memory struct {
	epoch      int64 // the lead that it belongs to; 0: none
	state      scaling.State
	foreign    bool         // a count was read that was not ours, unconfirmed
	pause      *store.Pause // the last that was read
	snapshot   time.Time    // when the state was last kept whole
	generation int64        // the policy's, then
	gap        bool         // a decision since then was not recorded
	tried      *int         // the count of a write that failed or whose answer was lost, until the next look
	contest    contest      // how often someone else changed the count
}

// entry is one tick, to be recorded.
type entry struct {
	obs           scaling.Observation
	decision      scaling.Decision
	before, after scaling.State
	changed       bool
	discarded     bool // the write failed: the state stayed as before
}

// Record is what is kept of a decision; Tick what is kept of one that folds
// into the row of an equal one.
type Record struct {
	Tick

	Decision   scaling.Decision `json:"decision"`
	Generation int64            `json:"generation"`
}

// Tick is what a replay needs of one tick, and what it is held to.
type Tick struct {
	Observation scaling.Observation `json:"observation"`
	StateHash   string              `json:"stateHash"` // of the state after it
	Discarded   bool                `json:"discarded,omitempty"`
}

// hashOf is the SHA-256, in hex, of a state as it is saved.
func hashOf(state []byte) string {
	sum := sha256.Sum256(state)
	return hex.EncodeToString(sum[:])
}

// record writes all that a tick leaves behind, within one bound.
func (r *runner) record(ctx context.Context, p *config.ScalingPolicy, e entry) {
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	err := r.write(bounded, p, e)
	if ctx.Err() != nil {
		return
	}
	r.memory.gap = r.memory.gap || err != nil
	r.options.Instruments.failed(r.name, "history", err)
	if r.setCondition(MemoryWritable, boolStatus(err == nil), memoryReason(err), errorText(err)) && err != nil {
		r.logger.Warn("decision not recorded, scaling goes on", "error", err)
	}
}

func (r *runner) write(ctx context.Context, p *config.ScalingPolicy, e entry) error {
	state, err := json.Marshal(e.after)
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	if err := r.snapshot(ctx, p, e); err != nil {
		return err
	}
	tick := Tick{Observation: e.obs, StateHash: hashOf(state), Discarded: e.discarded}
	row, err := json.Marshal(Record{Tick: tick, Decision: e.decision, Generation: p.Metadata.Generation})
	if err != nil {
		return fmt.Errorf("encode the decision: %w", err)
	}
	folded, err := json.Marshal(tick)
	if err != nil {
		return fmt.Errorf("encode the observation: %w", err)
	}
	d := e.decision
	err = r.options.Memory.SaveDecision(ctx, store.Decision{
		Policy: d.Policy, Time: d.Time, LastTime: d.Time, Count: 1, Desired: d.Desired, Current: d.Current,
		LimitedBy: d.LimitedBy, Reason: d.Reason, Changed: e.changed, Record: row, Tick: folded,
	})
	if err != nil {
		return err
	}
	if err := r.options.Memory.SaveState(ctx, r.name, state); err != nil {
		return err
	}
	return r.saveStatus(ctx)
}

// snapshot keeps the state from before the tick whole: once an hour, when the
// policy changes, when another led before, and after a gap.
func (r *runner) snapshot(ctx context.Context, p *config.ScalingPolicy, e entry) error {
	m := &r.memory
	if !m.gap && m.generation == p.Metadata.Generation && e.obs.Time.Sub(m.snapshot) < snapshotEvery {
		return nil
	}
	state, err := json.Marshal(e.before)
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	err = r.options.Memory.SaveSnapshot(ctx, store.Snapshot{Policy: r.name, Time: e.obs.Time, Generation: p.Metadata.Generation, State: state})
	if err == nil {
		m.snapshot, m.generation, m.gap = e.obs.Time, p.Metadata.Generation, false
	}
	return err
}

// Status is how a policy stands, as its leader leaves it in the store for
// whoever asks, wherever they are.
type Status struct {
	Target             config.ServiceRef   `json:"target"`
	MinTasks           int                 `json:"minTasks"`
	MaxTasks           int                 `json:"maxTasks"`
	Interval           time.Duration       `json:"interval"`
	Objective          time.Duration       `json:"objective"` // the tightest maxAge of its queues
	Holder             string              `json:"holder"`    // the controller that wrote it
	Time               time.Time           `json:"time"`
	ObservedGeneration int64               `json:"observedGeneration"`
	Health             Health              `json:"health"`
	Worst              QueueAge            `json:"worst"` // the queue that is worst against its objective
	Conditions         []Condition         `json:"conditions"`
	Observation        scaling.Observation `json:"observation"`
	Decision           *scaling.Decision   `json:"decision"`
	Pause              *store.Pause        `json:"pause,omitempty"`
}

func (r *runner) saveStatus(ctx context.Context) error {
	v := r.view()
	status, err := json.Marshal(Status{
		Target: v.Policy.Spec.Target, MinTasks: v.Policy.Spec.MinTasks, MaxTasks: v.Policy.Spec.MaxTasks, Interval: v.Policy.Spec.Interval,
		Objective: objectiveOf(v.Policy),
		Holder:    r.options.Leader.self, Time: v.Observation.Time, ObservedGeneration: v.Policy.Metadata.Generation,
		Health: v.Health, Worst: v.Worst, Conditions: v.Conditions, Observation: v.Observation, Decision: v.Decision, Pause: v.Pause,
	})
	if err != nil {
		return fmt.Errorf("encode the status: %w", err)
	}
	return r.options.Memory.SaveStatus(ctx, r.name, status)
}

func objectiveOf(p *config.ScalingPolicy) time.Duration {
	tightest := time.Duration(0)
	for _, q := range p.Spec.Queues {
		if tightest == 0 || q.MaxAge < tightest {
			tightest = q.MaxAge
		}
	}
	return tightest
}

// flush writes the events that wait; those that cannot be written wait on.
func (r *runner) flush(ctx context.Context) error {
	r.mu.Lock()
	pending := r.pending
	r.pending = nil
	r.mu.Unlock()
	for i, n := range pending {
		if err := r.options.Memory.SaveNotice(ctx, n); err != nil {
			r.mu.Lock()
			r.pending = append(pending[i:], r.pending...)
			r.mu.Unlock()
			return err
		}
	}
	return nil
}

// notice keeps an event for the end of the tick. Beyond the limit the oldest
// are dropped: each was logged as well.
func (r *runner) notice(kind, reason, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.pending = append(r.pending, store.Notice{
		Policy: r.name, Type: kind, Reason: reason, Message: message, Count: 1, FirstTime: now, LastTime: now,
	})
	if surplus := len(r.pending) - pendingLimit; surplus > 0 {
		r.pending = r.pending[surplus:]
	}
}

// tell turns a decision into conditions, events, and a line of the log.
func (r *runner) tell(d scaling.Decision, state scaling.State, changed bool) {
	r.setCondition(ScalingLimited, boolStatus(d.LimitedBy != ""), limitReason(d.LimitedBy), d.Reason)
	for _, step := range d.Steps {
		if step.Rule == "externalChange" {
			r.notice(Warning, "ExternalChange", step.Reason)
			r.logger.Warn("external change", "from", step.From, "to", step.To)
		}
	}
	const stopped = "someone set 0 tasks although the policy wants more: left alone until the count is raised by hand"
	was := r.condition(EmergencyStop).Status == True
	switch {
	case state.Stopped:
		r.setCondition(EmergencyStop, True, "SetToZeroByHand", stopped)
		if !was {
			r.notice(Warning, "EmergencyStop", stopped)
			r.logger.Error("emergency stop", "reason", stopped)
		}
	default:
		r.setCondition(EmergencyStop, False, "NotStopped", "nobody stopped the service")
		if was {
			r.notice(Normal, "EmergencyStopOver", "the count was raised by hand: scaling goes on")
		}
	}
	r.options.Instruments.decided(d)
	r.log(d, changed)
}

// log writes one line a tick, at info only when something changed.
func (r *runner) log(d scaling.Decision, changed bool) {
	line := fmt.Sprintf("%d %s", d.Desired, d.LimitedBy)
	level := slog.LevelDebug
	if changed || line != r.lastLog {
		level = slog.LevelInfo
	}
	r.lastLog = line
	r.logger.Log(context.Background(), level, "decided", "current", d.Current, "desired", d.Desired, "limited_by", d.LimitedBy, "reason", d.Reason)
}

// report turns an error, or its absence, into a condition, a log line, an
// event and a count.
func (r *runner) report(condition string, err error, reason, fine string) {
	r.options.Instruments.failed(r.name, errorClasses[condition], err)
	if err == nil {
		r.setCondition(condition, True, "Succeeded", fine)
		return
	}
	if r.setCondition(condition, False, reason, err.Error()) {
		r.logger.Warn("reconcile", "condition", condition, "reason", reason, "error", err)
	}
	r.notice(Warning, reason, err.Error())
}

// ticksOf reads every tick of a row: the one it was made by, and those that
// folded into it.
func ticksOf(d store.Decision) ([]Tick, error) {
	var record Record
	if err := json.Unmarshal(d.Record, &record); err != nil {
		return nil, fmt.Errorf("read the decision of %s: %w", d.Time.Format(time.RFC3339Nano), err)
	}
	ticks := []Tick{record.Tick}
	for line := range bytes.Lines(d.Folded) {
		var tick Tick
		if err := json.Unmarshal(line, &tick); err != nil {
			return nil, fmt.Errorf("read a tick of the decision of %s: %w", d.Time.Format(time.RFC3339Nano), err)
		}
		ticks = append(ticks, tick)
	}
	return ticks, nil
}
