package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/novaura/acs-operator/internal/store"
)

func concurrency(t *testing.T, open Open) {
	const claimers, ids = 12, 10
	t.Run("of many who claim the same ids at once, exactly one is granted each", func(t *testing.T) {
		onlyOneWins(t, enter(t, open), claimers, ids, store.Granted)
	})
	t.Run("of many who claim the same lapsed leases, one is in doubt each and the others are busy", func(t *testing.T) {
		r := enter(t, open)
		for id := range ids {
			r.want("dead", fmt.Sprint(id), store.Granted)
		}
		r.Advance(lease)
		onlyOneWins(t, r, claimers, ids, store.Doubtful)
	})
	t.Run("on the engine's own clock, a claim that was just made is busy", func(t *testing.T) {
		r := room{Store: open(t, nil), t: t}
		r.want("worker-1", "m", store.Granted)
		if e := r.want("worker-2", "m", store.Busy); time.Until(e.LeaseUntil) > 2*lease {
			t.Errorf("lease until %v", e.LeaseUntil)
		}
	})
}

// onlyOneWins lets many claim the same ids at once, each in an order of its
// own: locks that are taken crosswise must not hang.
func onlyOneWins(t *testing.T, r room, claimers, ids int, win store.Outcome) {
	t.Helper()
	won := make([]atomic.Int32, ids)
	var all sync.WaitGroup
	for n := range claimers {
		all.Go(func() {
			order := rand.New(rand.NewPCG(1, uint64(n))).Perm(ids) //nolint:gosec // an order that repeats, no secret
			batch := make([]store.Claim, ids)
			for i, id := range order {
				batch[i] = message(fmt.Sprint(id))
			}
			results, err := r.Claim(context.Background(), fmt.Sprintf("worker-%d", n), lease, batch)
			if err != nil {
				t.Errorf("claimer %d: %v", n, err)
			}
			for i, result := range results {
				if result.Outcome == win {
					won[order[i]].Add(1)
				} else if result.Outcome != store.Busy {
					t.Errorf("claimer %d: got outcome %d, want %d or busy", n, result.Outcome, win)
				}
			}
		})
	}
	all.Wait()
	for id := range won {
		if got := won[id].Load(); got != 1 {
			t.Errorf("id %d: won %d times, want once", id, got)
		}
	}
}

// interleavings plays claimers against each other in every order that rapid
// thinks of, and holds the store to two promises: between two grants of one id
// lies a release, and after a settlement nobody is granted anything. What is
// settled once more as before changes nothing.
func interleavings(t *testing.T, open Open) {
	r := enter(t, open)
	var games atomic.Int64
	t.Run("never two granted without a release between, and none after the end", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) {
			game := newGame(r, games.Add(1))
			rt.Repeat(map[string]func(*rapid.T){
				"claim":   game.claim,
				"settle":  game.settle,
				"extend":  game.extend,
				"advance": func(rt *rapid.T) { r.Advance(time.Duration(rapid.IntRange(1, 90).Draw(rt, "seconds")) * time.Second) },
			})
		})
	})
}

// game is one play: what the store promised of a few ids, and every claim that
// was ever won, so that its winner may speak up late.
type game struct {
	room  room
	ids   []string
	won   []store.Event
	state map[string]*promise
	ended map[store.Lease]store.Status // by claim: how its winner settled it
}

// promise is what must hold of one id.
type promise struct {
	owned   bool // granted, and not released since
	settled bool
	attempt int
	until   time.Time
}

func newGame(r room, n int64) *game {
	g := &game{room: r, state: map[string]*promise{}, ended: map[store.Lease]store.Status{}}
	for _, name := range []string{"a", "b", "c"} {
		id := fmt.Sprintf("%s-%d", name, n)
		g.ids, g.state[id] = append(g.ids, id), &promise{}
	}
	return g
}

func (g *game) claim(rt *rapid.T) {
	owner := rapid.SampledFrom([]string{"worker-1", "worker-2", "worker-3"}).Draw(rt, "owner")
	ids := rapid.SliceOfN(rapid.SampledFrom(g.ids), 1, 4).Draw(rt, "ids")
	batch := make([]store.Claim, len(ids))
	for i, id := range ids {
		batch[i] = message(id)
	}
	results, err := g.room.Claim(context.Background(), owner, lease, batch)
	if err != nil {
		rt.Fatal(err)
	}
	for i, result := range results {
		p := g.state[ids[i]]
		if want := p.next(g.room.Now()); result.Outcome != want {
			rt.Fatalf("claim %s for %s: got outcome %d, want %d; row %+v", ids[i], owner, result.Outcome, want, result.Event)
		}
		if result.Outcome == store.Granted || result.Outcome == store.Doubtful {
			p.owned, p.attempt, p.until = true, p.attempt+1, g.room.Now().Add(lease)
			g.won = append(g.won, result.Event)
		}
		if result.Event.Attempts != p.attempt {
			rt.Fatalf("claim %s for %s: got attempt %d, want %d", ids[i], owner, result.Event.Attempts, p.attempt)
		}
	}
}

// next is the outcome that a claim must have.
func (p *promise) next(now time.Time) store.Outcome {
	switch {
	case p.settled:
		return store.Done
	case !p.owned:
		return store.Granted
	case p.until.After(now):
		return store.Busy
	}
	return store.Doubtful
}

// holds reports whether the winner of e still owns its row.
func (g *game) holds(e store.Event) bool {
	p := g.state[e.ID]
	return p.owned && !p.settled && p.attempt == e.Attempts
}

// winner draws someone who once won a claim.
func (g *game) winner(rt *rapid.T) store.Event {
	if len(g.won) == 0 {
		rt.Skip("nobody has won yet")
	}
	return rapid.SampledFrom(g.won).Draw(rt, "winner")
}

func (g *game) settle(rt *rapid.T) {
	e, status := g.winner(rt), rapid.SampledFrom([]store.Status{store.Scheduled, store.Processing, store.Sent, store.InDoubt}).Draw(rt, "status")
	answers, err := g.room.Settle(context.Background(), []store.Settlement{
		{ID: e.ID, Attempt: e.Attempts, Owner: e.Owner, Status: status},
	})
	if err != nil {
		rt.Fatal(err)
	}
	claim := store.Lease{ID: e.ID, Attempt: e.Attempts}
	held, before := g.holds(e), g.ended[claim] == status
	if (held || before) != (answers[0] == nil) || answers[0] != nil && !errors.Is(answers[0], store.ErrLost) {
		rt.Fatalf("settle %s, attempt %d of %s: got %v, and it held the claim: %v, or had settled so before: %v", e.ID, e.Attempts, e.Owner, answers[0], held, before)
	}
	if held {
		g.ended[claim] = status
		p := g.state[e.ID]
		p.owned, p.settled = status == store.Processing, status.Settled()
		if p.owned { // the doubt stays, and the lease has ended
			p.until = g.room.Now()
		}
	}
}

func (g *game) extend(rt *rapid.T) {
	e := g.winner(rt)
	lost, err := g.room.Extend(context.Background(), e.Owner, lease, []store.Lease{{ID: e.ID, Attempt: e.Attempts}})
	if err != nil {
		rt.Fatal(err)
	}
	if held := g.holds(e); held != (len(lost) == 0) {
		rt.Fatalf("extend %s, attempt %d of %s: lost %v, and it held the claim: %v", e.ID, e.Attempts, e.Owner, lost, held)
	}
	if len(lost) == 0 {
		g.state[e.ID].until = g.room.Now().Add(lease)
	}
}
