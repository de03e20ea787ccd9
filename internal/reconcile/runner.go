package reconcile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

const (
	callBound   = 10 * time.Second // one observation
	memoryBound = 3 * time.Second  // what one tick spends on the database: scaling never waits for it
	peekEvery   = 2 * time.Second
	historySize = 1800 // points kept for the page: an hour at the peek's pace
	stillFor    = 2 * time.Minute

	partingEvery = 15 * time.Second // the interval of a policy that nobody knows any more
)

// runner reconciles one policy. The goroutine of run alone decides; the mutex
// guards what others look at.
type runner struct {
	name    string
	options Options
	logger  *slog.Logger
	poked   chan struct{}

	memory    memory          // run's alone
	database  database        // the same
	noneSince time.Time       // the same: since when no task runs although some should
	change    string          // the same: the newest change of the count by someone else
	findings  []finding       // the same: what is wrong now
	missing   map[string]bool // the same: queues that do not exist
	alerts    alerter

	peeking sync.Mutex // one peek at a time

	mu         sync.Mutex
	started    bool
	gone       bool      // the policy is not followed any more
	beat       time.Time // begin of the newest tick, or of waiting for the first
	policy     *config.ScalingPolicy
	versioned  bool      // the store has counted this version of the policy
	refused    *refusal  // of the versions before this one, until it is announced
	readmitted time.Time // when that was over
	conditions []Condition
	health     Health
	worst      QueueAge
	pending    []store.Notice // events that wait for the end of the tick
	seen       scaling.Observation
	decision   *scaling.Decision
	pause      *store.Pause
	history    []Point
	lastLog    string
}

func newRunner(p *config.ScalingPolicy, options Options) *runner {
	r := &runner{
		name: p.Metadata.Name, options: options, policy: p, logger: options.Logger.With("policy", p.Metadata.Name),
		poked: make(chan struct{}, 1), beat: time.Now(),
	}
	r.accepted()
	return r
}

// parting is a runner of a policy that was gone before this process began, of
// which someone may wait to hear that an alert is over.
func parting(name string, options Options) *runner {
	r := newRunner(&config.ScalingPolicy{Metadata: config.Metadata{Name: name}, Spec: config.ScalingSpec{Interval: partingEvery}}, options)
	r.gone = true
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

// leave ends the following; what fires is resolved before the runner ends.
func (r *runner) leave() {
	r.mu.Lock()
	before := r.gone
	r.gone = true
	r.mu.Unlock()
	if !before {
		r.logger.Info("policy gone, its service is left as it is")
		r.poke()
	}
}

func (r *runner) isGone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone
}

// replace follows another version. One with the same spec keeps its
// generation, as in Kubernetes.
func (r *runner) replace(p *config.ScalingPolicy) {
	r.mu.Lock()
	same := reflect.DeepEqual(r.policy.Spec, p.Spec)
	next := *p
	if same {
		next.Metadata.Generation = r.policy.Metadata.Generation
	} else {
		next.Metadata.Generation = max(p.Metadata.Generation, r.policy.Metadata.Generation+1) // until the store has counted
		r.versioned = false
	}
	r.policy = &next
	back := r.gone
	r.gone = false
	r.mu.Unlock()
	r.accepted()
	if back {
		r.logger.Info("policy followed again", "generation", next.Metadata.Generation)
		r.poke()
	}
	if !same {
		r.logger.Info("policy changed", "generation", next.Metadata.Generation)
		r.poke()
	}
}

func (r *runner) poke() {
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

// idle is how long ago the newest tick began, and what is too long.
func (r *runner) idle() (since, limit time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.beat), 3*r.policy.Spec.Interval + stillFor
}

// run ticks at once, then every interval, and whenever it is poked, until ctx
// ends, or the policy is gone and nobody is owed a word of it.
func (r *runner) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer r.alerts.sending.Wait()
	var due time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.poked:
		case <-timer.C:
			if !due.IsZero() {
				r.options.Instruments.late(r.name, time.Since(due))
			}
		}
		began := time.Now()
		r.mu.Lock()
		r.beat = began
		r.mu.Unlock()
		if r.isGone() {
			if r.farewell(ctx) {
				return
			}
		} else {
			r.tick(ctx)
			r.options.Instruments.ticked(r.name, time.Since(began))
		}
		due = r.options.nextTick(began, r.current().Spec.Interval)
		timer.Reset(max(0, time.Until(due)))
	}
}

// nextTick is the end of the interval that at lies in. Intervals are counted
// from one moment for all policies, whatever pokes them in between, so that
// policies of one interval stay in step and share their calls of AWS.
func (o Options) nextTick(at time.Time, interval time.Duration) time.Time {
	return o.began.Add(at.Sub(o.began).Truncate(interval) + interval)
}

// tick is one reconcile. A standby watches; whoever leads, or led last and
// cannot ask, decides.
func (r *runner) tick(ctx context.Context) {
	standing := r.options.Leader.Standing()
	obs, rival := r.observe(ctx, r.current())
	r.lead(standing)
	if standing.Role == Standby {
		r.watch(ctx, obs)
		return
	}
	if !r.recall(ctx, standing) {
		return
	}
	p := r.count(ctx, standing)
	r.landed(obs)
	database := r.judgeDatabase(r.options.watch.read(ctx), obs.Time)
	r.tellDatabase(r.database, database)
	r.database = database
	obs.Holds = r.holds(ctx, p, obs, standing, rival)
	before := r.memory.state
	decision, state := scaling.Decide(p, obs, before, obs.Time)
	changed, err := r.act(ctx, p, obs, decision)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		r.memory.state = state // a count that could not be written is decided anew, from what was known before
		r.memory.contest.see(decision)
	}
	r.publish(obs, &decision)
	r.judge(p, obs, decision)
	r.change = cmp.Or(alerting.ChangeOf(decision), r.change)
	r.tell(decision, state, changed)
	r.alert(ctx, p, obs, decision, standing.Epoch)
	r.record(ctx, p, entry{obs: obs, decision: decision, before: before, after: r.memory.state, changed: changed, discarded: err != nil})
}

// landed takes a count that was written by a call which failed for ours: its
// answer was lost. The state is kept whole then, since no replay can know.
func (r *runner) landed(obs scaling.Observation) {
	m := &r.memory
	if m.tried == nil || obs.Service == nil {
		return
	}
	if obs.Service.Desired == *m.tried {
		m.state.Wanted, m.gap = m.tried, true
		r.report(TargetWritable, nil, "", "the last write of the count is seen, though its answer was lost")
	}
	m.tried = nil
}

// watch shows what the leader decided beside what is seen here.
func (r *runner) watch(ctx context.Context, obs scaling.Observation) {
	r.publish(obs, nil)
	r.memory.epoch = 0
	r.mu.Lock()
	r.pending = nil // the leader tells them
	r.mu.Unlock()
	if r.options.Leader.Standing().Problem != "" {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	r.watchAlerts(bounded)
	statuses, err := r.options.Memory.Statuses(bounded)
	if err != nil {
		return // the lease will say so
	}
	for _, one := range statuses {
		var status Status
		if one.Policy == r.name && json.Unmarshal(one.Status, &status) == nil {
			r.mu.Lock()
			r.decision, r.pause = status.Decision, status.Pause
			r.mu.Unlock()
		}
	}
}

// look reads the service and the queues at the same time. What could not be
// read is absent: unknown, never zero.
func (r *runner) look(ctx context.Context, p *config.ScalingPolicy) (obs scaling.Observation, serviceErr, queuesErr error) {
	bounded, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	var (
		reading sync.WaitGroup
		service scaling.Service
	)
	var (
		parked map[string]*scaling.Sample
		told   work
	)
	reading.Go(func() { told = r.options.watch.read(bounded) })
	reading.Go(func() { service, serviceErr = r.options.Services.Describe(bounded, p.Spec.Target) })
	reading.Go(func() { parked = r.parked(bounded, p) })
	queues, queuesErr := r.options.Metrics.Observe(bounded, p, time.Now())
	reading.Wait()
	unread := told.unread(p)
	obs = scaling.Observation{Time: time.Now().Truncate(time.Millisecond), Queues: make(map[string]scaling.Queue, len(queues))}
	for name, q := range queues {
		q.Parked = parked[name]
		q = told.addTo(q, name)
		q.Unread = unread[name]
		obs.Queues[name] = q
	}
	if serviceErr == nil {
		obs.Service = &service
	}
	return obs, serviceErr, queuesErr
}

// startLag is about what a task takes to start: messages that are due within
// it need a task that starts now.
const startLag = 2 * time.Minute

// parked counts the messages in the store that are due soon. Unknown without
// the database.
func (r *runner) parked(ctx context.Context, p *config.ScalingPolicy) map[string]*scaling.Sample {
	if r.options.Leader.Standing().Problem != "" {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	due, err := r.options.Memory.CountDue(bounded, startLag)
	if err != nil {
		return nil
	}
	now, counts := time.Now(), make(map[string]*scaling.Sample, len(p.Spec.Queues))
	for _, q := range p.Spec.Queues {
		counts[q.Name] = &scaling.Sample{Value: float64(due[q.Name]), Time: now}
	}
	return counts
}

// observe looks, and says what could not be seen. rival is true when another
// autoscaler steers the service.
func (r *runner) observe(ctx context.Context, p *config.ScalingPolicy) (obs scaling.Observation, rival bool) {
	var asking sync.WaitGroup
	asking.Go(func() { rival = r.rivalled(ctx, p) })
	obs, serviceErr, queuesErr := r.look(ctx, p)
	asking.Wait()
	if ctx.Err() == nil {
		r.report(TargetReadable, serviceErr, "FailedGetScale", "the service's counts are known")
		r.missing = missingIn(queuesErr)
		r.report(MetricsReadable, queuesErr, "FailedGetMetrics", "every metric that was asked for came")
	}
	return obs, rival
}

// act writes the count when it differs.
func (r *runner) act(ctx context.Context, p *config.ScalingPolicy, obs scaling.Observation, d scaling.Decision) (bool, error) {
	if obs.Service == nil || ctx.Err() != nil {
		return false, nil
	}
	if d.Desired == obs.Service.Desired {
		if last := r.condition(TargetWritable); last.Status == False {
			r.setCondition(TargetWritable, Unknown, last.Reason, "no write is needed now; the last one failed: "+last.Message)
		}
		return false, nil
	}
	bounded, cancel := context.WithTimeout(ctx, writeBound)
	defer cancel()
	err := r.options.Leader.mayWrite(d.Desired > obs.Service.Desired)
	if err == nil {
		if err = r.options.Services.SetDesired(bounded, p.Spec.Target, d.Desired); err != nil {
			r.memory.tried = &d.Desired
		}
	}
	r.report(TargetWritable, err, "FailedRescale", "the last write of the count succeeded")
	if err != nil {
		return false, err
	}
	r.notice(Normal, "SuccessfulRescale", fmt.Sprintf("New size: %d; reason: %s", d.Desired, d.Reason))
	return true, nil
}

// count has the store count this version of the policy, once, so that its
// generation goes on over restarts. Without the store it is counted here.
func (r *runner) count(ctx context.Context, standing Standing) *config.ScalingPolicy {
	r.mu.Lock()
	p, versioned := r.policy, r.versioned
	r.mu.Unlock()
	if versioned || standing.Problem != "" {
		return p
	}
	spec, err := json.Marshal(p.Spec)
	if err != nil {
		r.logger.Error("policy not encoded", "error", err)
		return p
	}
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	hash := sha256.Sum256(spec)
	generation, err := r.options.Memory.AcceptPolicy(bounded, store.PolicyVersion{Policy: r.name, Hash: hex.EncodeToString(hash[:]), Spec: spec})
	if err != nil {
		return p // the next tick tries again
	}
	next := *p
	next.Metadata.Generation = generation
	r.mu.Lock()
	kept := r.policy == p // not replaced meanwhile
	if kept {
		r.policy, r.versioned = &next, true
	}
	r.mu.Unlock()
	if kept {
		r.announceAccepted(false)
	}
	if r.condition(PolicyAccepted).Status == True {
		r.accepted()
	}
	return &next
}

// recall brings the state of before a restart, or of another leader, back:
// once for each epoch. Without a database it starts anew; a state that cannot
// be read is named, and left behind.
func (r *runner) recall(ctx context.Context, standing Standing) bool {
	if r.memory.epoch == standing.Epoch {
		return true
	}
	went := r.memory.epoch != 0 && r.memory.epoch+1 == standing.Epoch && standing.Holder == standing.Self
	r.memory.epoch = standing.Epoch
	r.memory.foreign = r.memory.foreign && standing.Role != Leading
	if went { // the lease lapsed while nobody else led: what is known here is newer
		if r.alerts.epoch+1 == standing.Epoch {
			r.alerts.epoch = standing.Epoch
		}
		return true
	}
	r.notice(Normal, "LeaderElected", fmt.Sprintf("%s leads, epoch %d", standing.Self, standing.Epoch))
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	saved, err := r.options.Memory.LoadState(bounded, r.name)
	if ctx.Err() != nil {
		r.memory.epoch = 0
		return false
	}
	r.memory = memory{epoch: standing.Epoch}
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		r.logger.Warn("state not loaded, learning anew", "error", err)
	default:
		if err := json.Unmarshal(saved, &r.memory.state); err != nil {
			r.memory.state = scaling.State{}
			r.logger.Warn("saved state not understood, learning anew", "error", err)
		}
	}
	return true
}
