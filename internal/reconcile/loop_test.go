package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

var logger = slog.New(slog.DiscardHandler)

const policyYAML = `
apiVersion: acs.novaura.io/v1
kind: ScalingPolicy
metadata: {name: test}
spec:
  target: {cluster: c, service: s}
  minTasks: 1
  maxTasks: 10
  queues: [{name: q, maxAge: 60s, throughputPerTask: 10}]
`

func policy(t *testing.T) *config.ScalingPolicy {
	t.Helper()
	policies, err := config.Parse(config.File{Name: "policy.yaml", Data: []byte(policyYAML)})
	if err != nil {
		t.Fatal(err)
	}
	return policies.Scaling[0]
}

// world is AWS and the database with memory; each can be made to fail.
type world struct {
	mu         sync.Mutex
	desired    int
	waiting    float64
	writes     []int
	writeErr   error
	lost       int // the number of the write that is done, and its answer lost; 0: none
	serviceErr error
	metricsErr error
	memoryErr  error
	states     map[string][]byte
	decisions  []store.Decision
	notices    []store.Notice
	pauses     []store.Pause
	statuses   map[string][]byte
	snapshots  []store.Snapshot
	versions   []store.PolicyVersion
	rival      bool
	due        int // parked messages
	rivalErr   error
	lease      store.Leadership
	leaseErr   error
	loadErr    error
	retained   []string
}

// AcquireLeadership gives the lease to whoever comes first, until it lapses.
func (w *world) AcquireLeadership(_ context.Context, name, holder string, ttl time.Duration) (store.Leadership, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.leaseErr != nil {
		return store.Leadership{}, w.leaseErr
	}
	running := now.Before(w.lease.Expires)
	if running && w.lease.Holder != holder {
		return w.lease, nil
	}
	if !running || w.lease.Holder != holder {
		w.lease = store.Leadership{Name: name, Holder: holder, Epoch: w.lease.Epoch + 1, Since: now}
	}
	w.lease.Expires = now.Add(ttl)
	return w.lease, nil
}

func (w *world) ReleaseLeadership(_ context.Context, _, holder string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lease.Holder == holder {
		w.lease.Holder, w.lease.Expires = "", time.Now()
	}
	return w.leaseErr
}

func (w *world) Registered(context.Context, config.ServiceRef) (bool, error) {
	return w.rival, w.rivalErr
}

func (w *world) Pauses(context.Context) ([]store.Pause, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var now []store.Pause
	for _, p := range w.pauses {
		if p.Until.After(time.Now()) {
			now = append(now, p)
		}
	}
	return now, w.memoryErr
}

func (w *world) AcceptPolicy(_ context.Context, v store.PolicyVersion) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.memoryErr != nil {
		return 0, w.memoryErr
	}
	if n := len(w.versions); n == 0 || w.versions[n-1].Hash != v.Hash {
		v.Generation = int64(n + 1)
		w.versions = append(w.versions, v)
	}
	return int64(len(w.versions)), nil
}

func (w *world) SaveSnapshot(_ context.Context, s store.Snapshot) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.snapshots = append(w.snapshots, s)
	return w.memoryErr
}

func (w *world) SaveStatus(_ context.Context, policy string, status []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.statuses == nil {
		w.statuses = map[string][]byte{}
	}
	w.statuses[policy] = status
	return w.memoryErr
}

func (w *world) Statuses(context.Context) ([]store.PolicyStatus, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []store.PolicyStatus
	for policy, status := range w.statuses {
		all = append(all, store.PolicyStatus{Policy: policy, Status: status})
	}
	return all, w.memoryErr
}

func (w *world) CountDue(context.Context, time.Duration) (map[string]int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return map[string]int{"q": w.due}, w.memoryErr
}

func (w *world) RetainStatuses(_ context.Context, policies []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retained = append([]string{}, policies...)
	maps.DeleteFunc(w.statuses, func(name string, _ []byte) bool { return !slices.Contains(policies, name) })
	return w.memoryErr
}

func (w *world) PruneController(context.Context, time.Time, int) (int64, error) {
	return 0, w.memoryErr
}

// noticed counts the events with a reason.
func (w *world) noticed(reason string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.notices {
		if one.Reason == reason {
			n++
		}
	}
	return n
}

// leader is a controller over the world that has asked for the lease once.
func (w *world) leader(ctx context.Context, name string) *Leader {
	l := NewLeader(w, name, logger)
	l.renew(ctx)
	<-l.turned
	return l
}

// loop is a controller's loop over the world.
func (w *world) loop(leader *Leader) *Loop {
	return New(Options{Services: w, Metrics: w, Memory: w, Rivals: w, Leader: leader, Logger: logger})
}

func (w *world) Describe(context.Context, config.ServiceRef) (scaling.Service, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return scaling.Service{Desired: w.desired, Running: w.desired}, w.serviceErr
}

func (w *world) SetDesired(_ context.Context, _ config.ServiceRef, tasks int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writeErr != nil {
		return w.writeErr
	}
	w.desired = tasks
	w.writes = append(w.writes, tasks)
	if len(w.writes) == w.lost {
		return errors.New("the answer broke off")
	}
	return nil
}

func (w *world) Observe(_ context.Context, _ *config.ScalingPolicy, now time.Time) (map[string]scaling.Queue, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.metricsErr != nil {
		return nil, w.metricsErr
	}
	zero := &scaling.Sample{Time: now}
	return map[string]scaling.Queue{"q": {Visible: &scaling.Sample{Value: w.waiting, Time: now}, InFlight: zero, Delayed: zero}}, nil
}

func (w *world) SaveDecision(_ context.Context, d store.Decision) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.decisions = append(w.decisions, d)
	return w.memoryErr
}

func (w *world) SaveState(_ context.Context, policy string, state []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states[policy] = state
	return w.memoryErr
}

func (w *world) LoadState(_ context.Context, policy string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if state, known := w.states[policy]; known || w.loadErr != nil {
		return state, w.loadErr
	}
	return nil, store.ErrNotFound
}

func (w *world) SaveNotice(_ context.Context, n store.Notice) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notices = append(w.notices, n)
	return w.memoryErr
}

// during runs a loop over the world for so long, with what happens meanwhile, and
// returns it.
func during(t *testing.T, w *world, length time.Duration, then func(*Loop), meanwhile ...func(*Loop)) {
	t.Helper()
	w.states = map[string][]byte{}
	p := policy(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		leader := w.leader(ctx, "a")
		var running sync.WaitGroup
		defer running.Wait()
		running.Go(func() { leader.Run(ctx) })
		loop := w.loop(leader)
		loop.Apply([]*config.ScalingPolicy{p})
		for _, happen := range meanwhile {
			running.Go(func() { happen(loop) })
		}
		loop.Run(ctx)
		then(loop)
	})
}

func condition(t *testing.T, loop *Loop, kind string) Condition {
	t.Helper()
	for _, c := range loop.Views()[0].Conditions {
		if c.Type == kind {
			return c
		}
	}
	t.Fatalf("no condition %s in %v", kind, loop.Views()[0].Conditions)
	return Condition{}
}

func TestADumpRaisesTheCountAtTheFirstTick(t *testing.T) {
	w := &world{desired: 1, waiting: 5000}
	during(t, w, time.Second, func(loop *Loop) {
		if len(w.writes) != 1 || w.writes[0] <= 1 {
			t.Errorf("writes %v, want one above 1", w.writes)
		}
		if d := w.decisions[0]; !d.Changed || d.Reason == "" || !json.Valid(d.Record) {
			t.Errorf("recorded %+v", d)
		}
		if got := condition(t, loop, TargetWritable); got.Status != True {
			t.Errorf("TargetWritable %+v", got)
		}
	})
}

func TestATickComesEveryInterval(t *testing.T) {
	w := &world{desired: 1}
	during(t, w, 61*time.Second, func(*Loop) {
		if got, want := len(w.decisions), 5; got != want {
			t.Errorf("%d decisions in a minute of 15 s ticks, want %d", got, want)
		}
	})
}

func TestPoliciesOfOneIntervalTickInStepWheneverTheyCameAndWereChanged(t *testing.T) {
	first, second := policy(t), policy(t)
	second.Metadata.Name = "second"
	changed := *second
	changed.Spec.MaxTasks++
	synctest.Test(t, func(t *testing.T) {
		w := &world{desired: 1, states: map[string][]byte{}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		leader := w.leader(ctx, "a")
		var running sync.WaitGroup
		defer running.Wait()
		running.Go(func() { leader.Run(ctx) })
		began, loop := time.Now(), w.loop(leader)
		loop.Apply([]*config.ScalingPolicy{first})
		running.Go(func() { loop.Run(ctx) })
		time.Sleep(7 * time.Second)
		loop.Apply([]*config.ScalingPolicy{first, second})
		time.Sleep(12 * time.Second)
		loop.Apply([]*config.ScalingPolicy{first, &changed})
		<-ctx.Done()
		synctest.Wait()
		ticks := map[string][]int{}
		for _, d := range w.decisions {
			ticks[d.Policy] = append(ticks[d.Policy], int(d.Time.Sub(began).Seconds()))
		}
		if want := []int{0, 15, 30, 45}; !slices.Equal(ticks["test"], want) {
			t.Errorf("the first ticked at %v s, want %v", ticks["test"], want)
		}
		if want := []int{7, 15, 19, 30, 45}; !slices.Equal(ticks["second"], want) {
			t.Errorf("the second ticked at %v s, want %v", ticks["second"], want)
		}
	})
}

func TestWithoutMetricsNothingIsScaledInAndTheConditionSaysSo(t *testing.T) {
	w := &world{desired: 6, metricsErr: errors.New("throttled")}
	during(t, w, 2*time.Minute, func(loop *Loop) {
		for _, tasks := range w.writes {
			if tasks < 6 {
				t.Errorf("scaled in to %d without metrics", tasks)
			}
		}
		if got := condition(t, loop, MetricsReadable); got.Status != False || got.Message != "throttled" {
			t.Errorf("MetricsReadable %+v", got)
		}
	})
}

func TestWithoutTheServiceNothingIsWritten(t *testing.T) {
	w := &world{desired: 1, waiting: 5000, serviceErr: errors.New("no such service")}
	during(t, w, time.Minute, func(loop *Loop) {
		if len(w.writes) != 0 {
			t.Errorf("wrote %v", w.writes)
		}
		if got := condition(t, loop, TargetReadable); got.Status != False {
			t.Errorf("TargetReadable %+v", got)
		}
	})
}

func TestAWriteThatFailsIsTriedAgainAtTheNextTick(t *testing.T) {
	w := &world{desired: 1, waiting: 5000, writeErr: errors.New("denied")}
	during(t, w, 40*time.Second, func(loop *Loop) {
		refused := 0
		for _, n := range w.notices {
			if n.Reason == "FailedRescale" {
				refused++
			}
		}
		if refused != 3 {
			t.Errorf("%d refused writes noticed in three ticks, want 3", refused)
		}
		if got := condition(t, loop, TargetWritable); got.Status != False {
			t.Errorf("TargetWritable %+v", got)
		}
	})
}

func TestAFailedWriteThatIsNotNeededAnyMoreIsNoStandingTrouble(t *testing.T) {
	w := &world{desired: 5, waiting: 5000, writeErr: errors.New("denied")}
	fewer := *policy(t)
	fewer.Spec.MaxTasks = 5
	during(t, w, time.Minute, func(loop *Loop) {
		if got := condition(t, loop, TargetWritable); got.Status != Unknown || !strings.Contains(got.Message, "denied") {
			t.Errorf("TargetWritable %+v, want Unknown with the reason of the last failure", got)
		}
	}, func(loop *Loop) {
		time.Sleep(20 * time.Second)
		if got := condition(t, loop, TargetWritable); got.Status != False {
			t.Errorf("TargetWritable %+v after a write that failed", got)
		}
		loop.Apply([]*config.ScalingPolicy{&fewer})
	})
}

func TestAWriteWhoseAnswerWasLostIsNobodyElses(t *testing.T) {
	w := &world{desired: 1, waiting: 5000, lost: 2}
	during(t, w, 2*time.Minute, func(loop *Loop) {
		if len(w.writes) < 2 || w.noticed("FailedRescale") != 1 || w.noticed("ExternalChange") != 0 {
			t.Errorf("writes %v, %d events of a failure and %d of another's change", w.writes, w.noticed("FailedRescale"), w.noticed("ExternalChange"))
		}
		if got := condition(t, loop, TargetWritable); got.Status != True {
			t.Errorf("TargetWritable %+v after the count was seen to be written", got)
		}
	})
}

func TestScalingGoesOnWithoutADatabase(t *testing.T) {
	w := &world{desired: 1, waiting: 5000, memoryErr: errors.New("connection refused")}
	during(t, w, time.Second, func(loop *Loop) {
		if len(w.writes) != 1 {
			t.Errorf("writes %v, want one", w.writes)
		}
		if got := condition(t, loop, MemoryWritable); got.Status != False {
			t.Errorf("%+v", got)
		}
	})
}

func TestARefusalStaysWhileTheRunningPolicyTicks(t *testing.T) {
	w := &world{desired: 1}
	during(t, w, time.Minute, func(loop *Loop) {
		if got := condition(t, loop, PolicyAccepted); len(w.decisions) < 4 || got.Status != False {
			t.Errorf("after %d ticks: %+v", len(w.decisions), got)
		}
	}, func(loop *Loop) { loop.Refuse(errors.New("nonsense")) })
}

func TestARefusedPolicyLeavesTheRunningOne(t *testing.T) {
	w := &world{desired: 1, states: map[string][]byte{}}
	loop := w.loop(w.leader(t.Context(), "a"))
	loop.Apply([]*config.ScalingPolicy{policy(t)})
	loop.Refuse(errors.New("policy.yaml:3:5: nonsense"))
	if got := condition(t, loop, PolicyAccepted); got.Status != False || got.Message != "policy.yaml:3:5: nonsense" {
		t.Errorf("%+v", got)
	}
	if loop.Refusal() == "" || len(loop.Views()) != 1 {
		t.Error("the refusal is not shown, or the policy is gone")
	}
	loop.Apply([]*config.ScalingPolicy{policy(t)})
	if loop.Refusal() != "" {
		t.Error("the refusal stays after a good edit")
	}
}
