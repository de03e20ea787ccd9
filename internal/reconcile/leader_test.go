package reconcile

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/store"
)

// pair is two controllers over one world; only their writes differ.
type pair struct {
	*world
	loops   map[string]*Loop
	leaders map[string]*Leader
	stops   map[string]context.CancelFunc
	all     sync.WaitGroup
}

// recorder is a world that remembers who wrote.
type recorder struct {
	*world
	name string
	by   *[]string
}

func (r recorder) SetDesired(ctx context.Context, ref config.ServiceRef, tasks int) error {
	err := r.world.SetDesired(ctx, ref, tasks)
	if err == nil {
		r.mu.Lock()
		*r.by = append(*r.by, r.name)
		r.mu.Unlock()
	}
	return err
}

// sleep lets time pass, and then everything that it set off come to rest.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// start runs controller name until stops[name].
func (p *pair) start(t *testing.T, name string, policy *config.ScalingPolicy, by *[]string) {
	ctx, cancel := context.WithCancel(t.Context())
	leader := NewLeader(p.world, name, logger)
	loop := New(Options{Services: recorder{p.world, name, by}, Metrics: p.world, Memory: p.world, Leader: leader, Logger: logger})
	loop.Apply([]*config.ScalingPolicy{policy})
	p.loops[name], p.leaders[name], p.stops[name] = loop, leader, cancel
	p.all.Go(func() { leader.Run(ctx) })
	p.all.Go(func() { loop.Run(ctx) })
}

func together(t *testing.T, play func(p *pair, start func(name string), by *[]string)) {
	t.Helper()
	followed := policy(t)
	synctest.Test(t, func(t *testing.T) {
		p := &pair{
			world: &world{desired: 1, waiting: 5000, states: map[string][]byte{}},
			loops: map[string]*Loop{}, leaders: map[string]*Leader{}, stops: map[string]context.CancelFunc{},
		}
		var by []string
		play(p, func(name string) { p.start(t, name, followed, &by); synctest.Wait() }, &by)
		for _, stop := range p.stops {
			stop()
		}
		p.all.Wait()
	})
}

func TestOfTwoControllersOneWrites(t *testing.T) {
	together(t, func(p *pair, start func(string), by *[]string) {
		start("a")
		start("b")
		sleep(5 * time.Minute)
		for _, name := range *by {
			if name != "a" {
				t.Errorf("%s wrote beside a", name)
			}
		}
		if len(*by) == 0 {
			t.Error("nobody wrote")
		}
		if got := p.loops["b"].Standing(); got.Role != Standby || got.Holder != "a" {
			t.Errorf("b stands as %+v", got)
		}
		if p.loops["b"].Views()[0].Decision == nil {
			t.Error("the standby does not show the leader's decision")
		}
	})
}

func TestAStandbyTakesOverAtOnceFromALeaderThatStops(t *testing.T) {
	together(t, func(p *pair, start func(string), _ *[]string) {
		start("a")
		start("b")
		p.stops["a"]()
		sleep(renewEvery + time.Second)
		if got := p.leaders["b"].Standing(); got.Role != Leading || got.Epoch != 2 {
			t.Errorf("b stands as %+v", got)
		}
	})
}

func TestAStandbyWaitsForALeaseThatNobodyReleased(t *testing.T) {
	together(t, func(p *pair, start func(string), _ *[]string) {
		start("a")
		start("b")
		p.mu.Lock()
		p.lease.Holder = "gone" // whoever had it died
		p.mu.Unlock()
		sleep(renewEvery)
		if got := p.leaders["b"].Standing(); got.Role == Leading {
			t.Errorf("b leads before the lease is over: %+v", got)
		}
		sleep(leaseLength)
		a, b := p.leaders["a"].Standing(), p.leaders["b"].Standing()
		if (a.Role == Leading) == (b.Role == Leading) {
			t.Errorf("a is %s, b is %s: want one to lead", a.Role, b.Role)
		}
	})
}

// away makes the database unreachable, or reachable again.
func (w *world) away(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaseErr, w.memoryErr = err, err
}

// blind makes the queues unreadable, or readable again.
func (w *world) blind(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.metricsErr = err
}

// unreadable makes saved states unreadable, or readable again.
func (w *world) unreadable(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loadErr = err
}

// decided is how many decisions were recorded.
func (w *world) decided() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.decisions)
}

func (w *world) set(desired int, waiting float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.desired, w.waiting = desired, waiting
}

func (w *world) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.desired
}

var errAway = errors.New("connection refused")

func TestWithoutTheDatabaseTheLastHolderGoesOnOutOnly(t *testing.T) {
	together(t, func(p *pair, start func(string), by *[]string) {
		p.set(3, 0)
		start("a")
		start("b")
		p.away(errAway)
		p.set(3, 0)
		p.blind(errAway)
		sleep(leaseLength) // until it is over, a leads without the database too
		p.blind(nil)
		sleep(20 * time.Minute)
		if got := p.count(); got != 3 {
			t.Errorf("scaled to %d while idle, want 3: out only", got)
		}
		p.set(3, 5000)
		sleep(2 * time.Minute)
		if got := p.count(); got <= 3 {
			t.Errorf("left at %d with 5000 waiting", got)
		}
		if got := condition(t, p.loops["a"], Led); got.Status != Unknown {
			t.Errorf("Leading %+v", got)
		}
		for _, name := range *by {
			if name != "a" {
				t.Errorf("%s took over without the database", name)
			}
		}
		p.away(nil) // now it is anyone's, for the lease has lapsed
		p.set(p.count(), 0)
		sleep(20 * time.Minute)
		if got := p.count(); got != 1 {
			t.Errorf("left at %d when the database was back and nothing waited", got)
		}
	})
}

func TestWithoutTheDatabaseACountOfSomeoneElseStopsTheLastHolder(t *testing.T) {
	together(t, func(p *pair, start func(string), _ *[]string) {
		p.set(3, 0)
		start("a")
		p.away(errAway)
		sleep(leaseLength)
		p.set(4, 5000) // another leads, perhaps
		sleep(2 * time.Minute)
		if got := p.count(); got != 4 {
			t.Errorf("wrote %d over someone else's count", got)
		}
		if d := p.loops["a"].Views()[0].Decision; d.LimitedBy != "lease" || !strings.Contains(d.Reason, "another controller may lead") {
			t.Errorf("decision %q: %s", d.LimitedBy, d.Reason)
		}
	})
}

func TestAControllerThatNeverHeldTheLeaseWritesNothing(t *testing.T) {
	together(t, func(p *pair, start func(string), by *[]string) {
		p.away(errAway)
		start("a")
		sleep(10 * time.Minute)
		if len(*by) != 0 {
			t.Errorf("wrote %v without the lease", p.writes)
		}
		if got := condition(t, p.loops["a"], Led); got.Status != False || !strings.Contains(got.Message, errAway.Error()) {
			t.Errorf("Leading %+v", got)
		}
		p.away(nil)
		sleep(renewEvery)
		if len(*by) == 0 {
			t.Error("did not write when the database was back")
		}
	})
}

func TestAProcessThatSleptReadsTheLeaseBeforeItWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		leader := w.leader(t.Context(), "a")
		if err := leader.mayWrite(false); err != nil {
			t.Fatal(err)
		}
		sleep(leaseLength - leaseMargin) // asleep: no renewal came
		if err := leader.mayWrite(true); err == nil {
			t.Error("may write after the deadline")
		}
		leader.renew(t.Context())
		if err := leader.mayWrite(false); err != nil {
			t.Error(err)
		}
	})
}

func TestTheDeadlineLeavesAWriteTimeToEnd(t *testing.T) {
	t.Parallel()
	if writeBound >= leaseMargin || renewEvery+renewBound >= leaseLength-leaseMargin {
		t.Errorf("a write takes %s, the margin is %s; a renewal comes within %s, the deadline after %s",
			writeBound, leaseMargin, renewEvery+renewBound, leaseLength-leaseMargin)
	}
}

func TestAPauseHoldsItsDirectionUntilItsEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		direction       string
		during, after   float64 // messages waiting
		held, otherwise func(int) bool
	}{
		"no scaling out": {store.PauseOut, 5000, 5000, func(n int) bool { return n == 3 }, func(n int) bool { return n > 3 }},
		"no scaling in":  {store.PauseIn, 0, 0, func(n int) bool { return n == 3 }, func(n int) bool { return n < 3 }},
		"in lets out":    {store.PauseIn, 5000, 5000, func(n int) bool { return n > 3 }, func(n int) bool { return n > 3 }},
		"no scaling":     {store.PauseBoth, 5000, 5000, func(n int) bool { return n == 3 }, func(n int) bool { return n > 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			together(t, func(p *pair, start func(string), _ *[]string) {
				p.pauses = []store.Pause{{Policy: "test", Direction: tc.direction, Author: "ann", Reason: "deploy", Until: time.Now().Add(time.Hour)}}
				p.set(3, tc.during)
				start("a")
				sleep(59 * time.Minute)
				if got := p.count(); !tc.held(got) {
					t.Errorf("%d tasks during the pause", got)
				}
				if got := condition(t, p.loops["a"], Paused); got.Status != True || !strings.Contains(got.Message, "ann: deploy") {
					t.Errorf("Paused %+v", got)
				}
				sleep(15 * time.Minute)
				if got := p.count(); !tc.otherwise(got) {
					t.Errorf("%d tasks after the pause", got)
				}
				if p.noticed("Paused") != 1 || p.noticed("Resumed") != 1 || condition(t, p.loops["a"], Paused).Status != False {
					t.Errorf("%d Paused and %d Resumed events", p.noticed("Paused"), p.noticed("Resumed"))
				}
			})
		})
	}
}

func TestAPauseOfEveryPolicyHoldsWhereNoneOfItsOwnDoes(t *testing.T) {
	t.Parallel()
	all, own := store.Pause{Policy: store.EveryPolicy}, store.Pause{Policy: "p", Author: "ann"}
	if got := pauseOf([]store.Pause{all, own}, "p"); got.Author != "ann" {
		t.Errorf("got %+v", got)
	}
	if got := pauseOf([]store.Pause{all, own}, "q"); got == nil || got.Author != "" {
		t.Errorf("got %+v", got)
	}
	if got := pauseOf([]store.Pause{own}, "q"); got != nil {
		t.Errorf("got %+v", got)
	}
}

func TestAServiceThatAnotherAutoscalerHasIsRefused(t *testing.T) {
	w := &world{desired: 1, waiting: 5000, rival: true}
	during(t, w, time.Minute, func(loop *Loop) {
		if len(w.writes) != 0 {
			t.Errorf("wrote %v", w.writes)
		}
		if got := condition(t, loop, TargetExclusive); got.Status != False || w.noticed("RivalAutoscaler") != 1 {
			t.Errorf("TargetExclusive %+v, %d events", got, w.noticed("RivalAutoscaler"))
		}
	})
}

func TestAnotherAutoscalerThatCannotBeAskedForIsUnknownAndStopsNothing(t *testing.T) {
	w := &world{desired: 1, waiting: 5000, rivalErr: errors.New("access denied")}
	during(t, w, time.Minute, func(loop *Loop) {
		if got := condition(t, loop, TargetExclusive); got.Status != Unknown || len(w.writes) == 0 {
			t.Errorf("TargetExclusive %+v, writes %v", got, w.writes)
		}
	})
}

func TestAnotherAutoscalerThatWasKnownStopsWritesWhileItCannotBeAskedFor(t *testing.T) {
	w := &world{desired: 1, waiting: 5000, rival: true, rivalErr: errors.New("throttled")}
	during(t, w, time.Minute, func(loop *Loop) {
		if got := condition(t, loop, TargetExclusive); got.Status != Unknown || len(w.writes) != 0 {
			t.Errorf("TargetExclusive %+v, writes %v", got, w.writes)
		}
	})
}

func TestTheEmergencyStopAndAHandMadeCountAreLoud(t *testing.T) {
	together(t, func(p *pair, start func(string), _ *[]string) {
		p.set(3, 0)
		start("a")
		p.set(0, 5000)
		sleep(time.Minute)
		if got := condition(t, p.loops["a"], EmergencyStop); got.Status != True || p.count() != 0 {
			t.Errorf("EmergencyStop %+v with %d tasks", got, p.count())
		}
		p.set(2, 5000)
		sleep(time.Minute)
		if got := condition(t, p.loops["a"], EmergencyStop); got.Status != False || p.count() <= 2 {
			t.Errorf("EmergencyStop %+v with %d tasks", got, p.count())
		}
		if p.noticed("EmergencyStop") != 1 || p.noticed("EmergencyStopOver") != 1 || p.noticed("ExternalChange") == 0 {
			t.Errorf("events %+v", p.notices)
		}
	})
}

func TestGenerationsGoOnOverARestartAndAreObserved(t *testing.T) {
	together(t, func(p *pair, start func(string), _ *[]string) {
		p.versions = []store.PolicyVersion{{Hash: "of before"}, {Hash: "too"}}
		start("a")
		sleep(time.Minute)
		if got := p.loops["a"].Views()[0]; got.Policy.Metadata.Generation != 3 || condition(t, p.loops["a"], PolicyAccepted).ObservedGeneration != 3 {
			t.Errorf("generation %d, observed %+v", got.Policy.Metadata.Generation, condition(t, p.loops["a"], PolicyAccepted))
		}
	})
}

func TestASnapshotIsKeptOnceAnHour(t *testing.T) {
	together(t, func(p *pair, start func(string), _ *[]string) {
		start("a")
		sleep(2*time.Hour + time.Minute)
		if len(p.snapshots) != 3 {
			t.Errorf("%d snapshots in two hours, want 3", len(p.snapshots))
		}
	})
}

func TestParkedMessagesThatAreDueSoonWakeAService(t *testing.T) {
	w := &world{desired: 1, due: 100_000}
	during(t, w, time.Minute, func(loop *Loop) {
		if got := loop.Views()[0].Observation.Queues["q"].Parked; got == nil || got.Value != 100_000 || len(w.writes) == 0 {
			t.Errorf("parked %+v, writes %v", got, w.writes)
		}
	})
}
