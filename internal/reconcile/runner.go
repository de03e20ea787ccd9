package reconcile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

const (
	callBound   = 10 * time.Second // one observation or one write to ECS
	memoryBound = 3 * time.Second  // one write to the database: scaling never waits for it
	peekEvery   = 2 * time.Second
	historySize = 1800 // points kept for the page: an hour at the peek's pace
)

// runner reconciles one policy. The goroutine of run alone decides; the mutex
// guards what others look at.
type runner struct {
	options Options
	logger  *slog.Logger
	poked   chan struct{}
	stopped chan struct{}

	state  scaling.State // run's alone
	loaded bool          // run's alone

	peeking sync.Mutex // one peek at a time

	mu         sync.Mutex
	started    bool
	policy     *config.ScalingPolicy
	conditions []Condition
	seen       scaling.Observation
	decision   *scaling.Decision
	history    []Point
	lastLog    string
}

func newRunner(p *config.ScalingPolicy, options Options) *runner {
	r := &runner{
		options: options, policy: p, logger: options.Logger.With("policy", p.Metadata.Name),
		poked: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	r.accepted()
	r.logger.Info("policy followed", "generation", p.Metadata.Generation)
	return r
}

// accepted says that the newest version of the policy is the running one,
// until a refusal says otherwise.
func (r *runner) accepted() {
	r.setCondition(PolicyAccepted, True, "Accepted", fmt.Sprintf("generation %d is followed", r.current().Metadata.Generation))
}

// start reports whether the runner is to be started now: once.
func (r *runner) start() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := !r.started
	r.started = true
	return first
}

func (r *runner) stop() {
	r.logger.Info("policy gone, its service is left as it is")
	close(r.stopped)
}

func (r *runner) replace(p *config.ScalingPolicy) {
	r.mu.Lock()
	same := r.policy.Metadata.Generation == p.Metadata.Generation
	r.policy = p
	r.mu.Unlock()
	r.accepted()
	if same {
		return
	}
	r.logger.Info("policy changed", "generation", p.Metadata.Generation)
	select {
	case r.poked <- struct{}{}:
	default:
	}
}

func (r *runner) current() *config.ScalingPolicy {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.policy
}

// run ticks at once, then every interval, and whenever the policy changes.
func (r *runner) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.stopped:
			return
		case <-r.poked:
		case <-timer.C:
		}
		began := time.Now()
		r.tick(ctx)
		timer.Reset(max(0, r.current().Spec.Interval-time.Since(began)))
	}
}

func (r *runner) tick(ctx context.Context) {
	p := r.current()
	if !r.load(ctx, p) {
		return
	}
	obs := r.observe(ctx, p)
	before := r.state
	decision, state := scaling.Decide(p, obs, before, obs.Time)
	changed, err := r.act(ctx, p, obs, decision)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		r.state = state // a count that could not be written is decided anew, from what was known before
	}
	r.publish(obs, &decision)
	r.record(ctx, p, obs, decision, changed)
}

// load brings the state of before a restart back, once. Without a database it
// starts anew; a state that cannot be read is named, and left behind.
func (r *runner) load(ctx context.Context, p *config.ScalingPolicy) bool {
	if r.loaded {
		return true
	}
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	saved, err := r.options.Memory.LoadState(bounded, p.Metadata.Name)
	if ctx.Err() != nil {
		return false
	}
	r.loaded = true
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		r.logger.Warn("state not loaded, learning anew", "error", err)
	default:
		if err := json.Unmarshal(saved, &r.state); err != nil {
			r.state = scaling.State{}
			r.logger.Warn("saved state not understood, learning anew", "error", err)
		}
	}
	return true
}

// observe reads the service and the queues at the same time. What could not
// be read is absent: unknown, never zero.
func (r *runner) observe(ctx context.Context, p *config.ScalingPolicy) scaling.Observation {
	bounded, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	var (
		reading    sync.WaitGroup
		service    scaling.Service
		serviceErr error
	)
	reading.Go(func() { service, serviceErr = r.options.Services.Describe(bounded, p.Spec.Target) })
	queues, queuesErr := r.options.Metrics.Observe(bounded, p, time.Now())
	reading.Wait()
	obs := scaling.Observation{Time: time.Now(), Queues: queues}
	if serviceErr == nil {
		obs.Service = &service
	}
	if ctx.Err() == nil {
		r.report(ctx, TargetReadable, serviceErr, "FailedGetScale", "the service's counts are known")
		r.report(ctx, MetricsReadable, queuesErr, "FailedGetMetrics", "every metric that was asked for came")
	}
	return obs
}

// act writes the count when it differs.
func (r *runner) act(ctx context.Context, p *config.ScalingPolicy, obs scaling.Observation, d scaling.Decision) (bool, error) {
	if obs.Service == nil || d.Desired == obs.Service.Desired || ctx.Err() != nil {
		return false, nil
	}
	bounded, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	err := r.options.Services.SetDesired(bounded, p.Spec.Target, d.Desired)
	r.report(ctx, TargetWritable, err, "FailedRescale", "the last write of the count succeeded")
	if err != nil {
		return false, err
	}
	r.notice(ctx, Normal, "SuccessfulRescale", fmt.Sprintf("New size: %d; reason: %s", d.Desired, d.Reason))
	return true, nil
}

// report turns an error, or its absence, into a condition, a log line and an
// event.
func (r *runner) report(ctx context.Context, condition string, err error, reason, fine string) {
	if err == nil {
		r.setCondition(condition, True, "Succeeded", fine)
		return
	}
	if r.setCondition(condition, False, reason, err.Error()) {
		r.logger.Warn("reconcile", "condition", condition, "reason", reason, "error", err)
	}
	r.notice(ctx, Warning, reason, err.Error())
}

func (r *runner) record(ctx context.Context, p *config.ScalingPolicy, obs scaling.Observation, d scaling.Decision, changed bool) {
	r.setCondition(ScalingLimited, boolStatus(d.LimitedBy != ""), limitReason(d.LimitedBy), d.Reason)
	r.log(d, changed)
	state, err := json.Marshal(r.state)
	if err != nil {
		r.logger.Error("state not encoded", "error", err)
		return
	}
	hash := sha256.Sum256(state)
	row, err := json.Marshal(map[string]any{"observation": obs, "decision": d, "stateHash": hex.EncodeToString(hash[:]), "generation": p.Metadata.Generation})
	if err != nil {
		r.logger.Error("decision not encoded", "error", err)
		return
	}
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	err = errors.Join(
		r.options.Memory.SaveDecision(bounded, store.Decision{
			Policy: d.Policy, Time: d.Time, LastTime: d.Time, Count: 1, Desired: d.Desired, Current: d.Current,
			LimitedBy: d.LimitedBy, Reason: d.Reason, Changed: changed, Record: row,
		}),
		r.options.Memory.SaveState(bounded, d.Policy, state))
	if r.setCondition(MemoryWritable, boolStatus(err == nil), memoryReason(err), errorText(err)) && err != nil {
		r.logger.Warn("decision not recorded, scaling goes on", "error", err)
	}
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

func (r *runner) notice(ctx context.Context, kind, reason, message string) {
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	now := time.Now()
	err := r.options.Memory.SaveNotice(bounded, store.Notice{
		Policy: r.current().Metadata.Name, Type: kind, Reason: reason, Message: message, Count: 1, FirstTime: now, LastTime: now,
	})
	if err != nil && ctx.Err() == nil {
		r.logger.Warn("event not recorded", "reason", reason, "message", message, "error", err)
	}
}
