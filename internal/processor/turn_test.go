package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/store"
)

// schedule is a store's turns, with the bubble's clock, each call as slow as
// latency.
type schedule struct {
	latency time.Duration
	down    error

	mu    sync.Mutex
	next  time.Time
	taken int
	calls int
}

func (s *schedule) TakeTurns(_ context.Context, _ string, perSecond float64, n int, ahead time.Duration) (time.Duration, bool, error) {
	time.Sleep(s.latency)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	now := time.Now()
	begin := now
	if s.next.After(now) {
		begin = s.next
	}
	if s.down != nil || begin.Sub(now) > ahead {
		return 0, false, s.down
	}
	s.taken += n
	s.next = begin.Add(time.Duration(float64(n) * store.SpacingOf(perSecond) * float64(time.Microsecond)))
	return begin.Sub(now), true, nil
}

func rateOf(turns store.Turns, perSecond float64) *sharedRate {
	return &sharedRate{store: turns, channel: message.SMS, perSecond: func() float64 { return perSecond }, timeout: time.Second}
}

// wish is a send that asks for its turn.
type wish struct {
	worker, rank int
	at, patience time.Duration // patience 0: as long as the limiter has
}

// granted is a wish that got its turn.
type granted struct {
	wish

	when time.Duration
}

// wait has every wish wait at its limiter, and returns the grants by time.
func wait(t *testing.T, workers []*sharedRate, wishes []wish) (grants []granted) {
	t.Helper()
	began := time.Now()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, w := range wishes {
		all.Go(func() {
			time.Sleep(w.at)
			ctx, cancel := t.Context(), context.CancelFunc(func() {})
			if w.patience > 0 {
				ctx, cancel = context.WithTimeout(ctx, w.patience)
			}
			defer cancel()
			err := workers[w.worker].Wait(ctx, w.rank)
			when := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				grants = append(grants, granted{w, when})
			}
			if when > w.at+turnPatience {
				t.Errorf("%+v was answered at %v", w, when)
			}
		})
	}
	all.Wait()
	time.Sleep(2 * turnPatience) // until the limiters see that nobody waits
	slices.SortStableFunc(grants, func(a, b granted) int { return int(a.when - b.when) })
	return grants
}

// tooFast is a window with more grants than the rate has.
func tooFast(grants []granted, perSecond float64, slack time.Duration) error {
	for i := range grants {
		for j := i + 1; j < len(grants); j++ {
			window := grants[j].when - grants[i].when
			if n := j - i + 1; float64(n) > perSecond*(window+slack).Seconds()+1.001 {
				return fmt.Errorf("%d sends within %v at %v/s, from %v on", n, window, perSecond, grants[i].when)
			}
		}
	}
	return nil
}

// Workers that share a schedule, sends of several ranks that come and lose
// patience at any time: all are answered, and in no window of any length are
// more sent than the rate has.
func TestNoWindowHasMoreSendsThanTheRateAndEachIsAnswered(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		perSecond := rapid.SampledFrom([]float64{0.5, 3, 10, 100, 1000}).Draw(rt, "rate")
		turns := &schedule{latency: time.Duration(rapid.IntRange(0, 30).Draw(rt, "latency")) * time.Millisecond}
		workers := make([]*sharedRate, rapid.IntRange(1, 4).Draw(rt, "workers"))
		wishes := make([]wish, rapid.IntRange(1, 300).Draw(rt, "sends"))
		for i := range wishes {
			wishes[i] = wish{
				worker: rapid.IntRange(0, len(workers)-1).Draw(rt, "worker"), rank: rapid.IntRange(0, 2).Draw(rt, "rank"),
				at:       time.Duration(rapid.IntRange(0, 4000).Draw(rt, "at")) * time.Millisecond,
				patience: time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 700}).Draw(rt, "patience")) * time.Millisecond,
			}
		}
		var err error
		synctest.Test(t, func(t *testing.T) {
			for i := range workers {
				workers[i] = rateOf(turns, perSecond)
			}
			const late = 200 * time.Millisecond // and the answer's way shifts a worker's turns against another's
			err = tooFast(wait(t, workers, wishes), perSecond, late+turns.latency)
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
}

func TestAnEarlierQueueHasFourTurnsInARowAndThenTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var wishes []wish
		for i := range 40 { // a dump, and at half a second twelve that are urgent and five in between
			wishes = append(wishes, wish{rank: 2, at: 0})
			if i < 12 {
				wishes = append(wishes, wish{rank: 0, at: 555 * time.Millisecond})
			}
			if i < 5 {
				wishes = append(wishes, wish{rank: 1, at: 555 * time.Millisecond})
			}
		}
		grants := wait(t, []*sharedRate{rateOf(&schedule{}, 10)}, wishes)
		var order []int
		for _, g := range grants[:26] {
			order = append(order, g.rank)
		}
		want := []int{2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 2, 1, 2, 2}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("the ranks in the order of their turns (-want +got):\n%s", diff)
		}
	})
}

func TestADumpAtOneWorkerDoesNotHoldUpAnothersFirstQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := &schedule{latency: 2 * time.Millisecond}
		workers := make([]*sharedRate, 12)
		for i := range workers {
			workers[i] = rateOf(turns, 10)
		}
		wishes := []wish{{worker: 2, rank: 0, at: 3 * time.Second}}
		for i := range 400 {
			wishes = append(wishes, wish{worker: i % len(workers), rank: 1})
		}
		for _, g := range wait(t, workers, wishes) {
			if g.rank == 0 {
				if took := g.when - g.at; took > 1500*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				return
			}
		}
		t.Error("it was not sent")
	})
}

// Who gives up leaves no hole: the same turns serve those who wait on.
func TestASendThatGivesUpTakesNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := &schedule{}
		var wishes []wish
		for range 40 {
			wishes = append(wishes, wish{patience: 50 * time.Millisecond}, wish{})
		}
		grants := wait(t, []*sharedRate{rateOf(turns, 10)}, wishes)
		if len(grants) < 40 || turns.taken > len(grants)+5 {
			t.Errorf("%d of %d turns were used", len(grants), turns.taken)
		}
		for i := 1; i < len(grants); i++ {
			if gap := grants[i].when - grants[i-1].when; gap > 101*time.Millisecond {
				t.Errorf("nobody was sent between %v and %v", grants[i-1].when, grants[i].when)
			}
		}
	})
}

func TestATurnThatIsLongOverLapses(t *testing.T) {
	t.Parallel()
	limiter, now := rateOf(&schedule{}, 10), time.Now()
	limiter.turns = []time.Time{now.Add(-time.Second), now.Add(-300 * time.Millisecond), now.Add(-100 * time.Millisecond), now.Add(time.Second)}
	limiter.running = true // by hand
	for range 4 {
		limiter.join(0)
	}
	if _, n, pause := limiter.serve(now); len(limiter.ranks[0].waiting) != 3 || n != 0 || pause <= 0 {
		t.Errorf("%d still wait, want 3 and one turn given; next: %d turns, %v", len(limiter.ranks[0].waiting), n, pause)
	}
}

func TestAStoreThatDoesNotAnswerEndsTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limiter := rateOf(&schedule{down: errDown}, 10)
		began := time.Now()
		if err := limiter.Wait(t.Context(), 0); !errors.Is(err, errDown) || time.Since(began) > 0 {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		synctest.Wait()
		if limiter.running {
			t.Error("it goes on with nobody waiting")
		}
	})
}

func TestTurnsAreTakenByTheDozen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := &schedule{latency: 3 * time.Millisecond}
		wishes := make([]wish, 1000)
		grants := wait(t, []*sharedRate{rateOf(turns, 1000)}, wishes)
		if last := grants[len(grants)-1].when; len(grants) != 1000 || last > 1100*time.Millisecond || turns.calls > 22 {
			t.Errorf("%d sends took %v and %d calls", len(grants), last, turns.calls)
		}
	})
}
