package processor

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/store"
)

// errNoTurn says that the rate has no room soon enough.
var errNoTurn = errors.New("over the rate")

const (
	// turnPatience is how long a send waits for its turn: then it gives its slot
	// to other messages and comes again.
	turnPatience = 5 * time.Second
	// turnsAhead is how far ahead of now the schedule of all workers may be for
	// another turn to be taken for a channel's first queue, and laterAhead for
	// the others: what a dump has taken is never much in a first one's way.
	turnsAhead = 5 * time.Second
	laterAhead = 500 * time.Millisecond
	// mostTurns and turnsFor bound what one worker takes at once, so that one
	// that dies wastes little of what all may send.
	mostTurns = 50
	turnsFor  = 500 * time.Millisecond
	turnsLead = 200 * time.Millisecond // before the last turn in hand begins, more are taken
	turnsLate = 200 * time.Millisecond // after its time a turn lapses, lest a pause ends in a burst
	turnsRest = 500 * time.Millisecond // before a full schedule is asked again
	// inARow is how many turns a queue has before one that is named after it.
	inARow = 4
)

// sharedRate is a Limiter that spreads a channel's rate over all workers. Turns
// are taken from one schedule in the store, some at once, and each is given
// when it begins: to the queue that is named first among those with a send that
// waits here, and after four in a row to the next, so that none starves.
//
// In no second more is sent than the rate allows, but for what the network and
// pauses of a process delay (turnsLate).
type sharedRate struct {
	store     store.Turns
	channel   message.Channel
	perSecond func() float64 // 0: unlimited
	timeout   time.Duration  // of one use of the store

	mu      sync.Mutex
	ranks   []rank      // by Queue.Rank
	turns   []time.Time // taken and not given, the earliest first
	full    time.Time   // until when there are none soon enough
	running bool
	nudge   chan struct{} // wakes run: a send of a better rank than all others waits
}

// rank is the sends of one queue that wait, and the turns it had in a row.
type rank struct {
	waiting []chan error
	row     int
}

var _ Limiter = (*sharedRate)(nil)

// Wait implements Limiter.
func (r *sharedRate) Wait(ctx context.Context, rank int) error {
	if r.perSecond() <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, turnPatience, errNoTurn)
	defer cancel()
	mine := r.join(rank)
	select {
	case err := <-mine:
		return err
	case <-ctx.Done():
		r.leave(rank, mine)
		return context.Cause(ctx)
	}
}

func (r *sharedRate) join(place int) chan error {
	mine := make(chan error, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.ranks) <= place {
		r.ranks = append(r.ranks, rank{})
	}
	best, _ := r.waiting()
	r.ranks[place].waiting = append(r.ranks[place].waiting, mine)
	switch {
	case !r.running: // for all who wait now and while it is under way
		r.running, r.nudge = true, make(chan struct{}, 1)
		go r.run(r.nudge)
	case place < best:
		select {
		case r.nudge <- struct{}{}:
		default:
		}
	}
	return mine
}

// leave gives up waiting. A turn that came at the same moment is the next one's.
func (r *sharedRate) leave(place int, mine chan error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := &r.ranks[place].waiting
	if i := slices.Index(*at, mine); i >= 0 {
		*at = slices.Delete(*at, i, i+1)
	} else if err := <-mine; err == nil {
		r.give(nil)
	}
}

// waiting is the best rank for which sends wait, and how many wait in all. Call
// it with mu held.
func (r *sharedRate) waiting() (best, n int) {
	best = len(r.ranks)
	for i, one := range slices.Backward(r.ranks) {
		if len(one.waiting) > 0 {
			best, n = i, n+len(one.waiting)
		}
	}
	return best, n
}

// give answers one who waits. Call it with mu held.
func (r *sharedRate) give(err error) {
	for i := range r.ranks {
		one := &r.ranks[i]
		if len(one.waiting) == 0 {
			continue
		}
		later := slices.ContainsFunc(r.ranks[i+1:], func(other rank) bool { return len(other.waiting) > 0 })
		if later && one.row == inARow {
			one.row = 0
			continue
		}
		if one.row++; !later {
			one.row = 0
		}
		one.waiting[0] <- err
		one.waiting = slices.Delete(one.waiting, 0, 1)
		return
	}
}

// run takes turns and gives them until nobody waits. Each of its calls is
// bounded, and so is each of its pauses.
func (r *sharedRate) run(nudge <-chan struct{}) {
	for {
		best, n, pause := r.serve(time.Now())
		if n == 0 && pause == 0 {
			return
		}
		if n > 0 {
			r.take(best, n)
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-nudge:
			r.mu.Lock()
			r.full = time.Time{} // there may be room for a better rank
			r.mu.Unlock()
		}
		timer.Stop()
	}
}

// serve gives the turns that have begun, and says how many more to take now for
// those of a rank and worse, or else when to come again.
func (r *sharedRate) serve(now time.Time) (best, n int, pause time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.turns) > 0 && !r.turns[0].After(now) {
		if now.Sub(r.turns[0]) <= turnsLate {
			r.give(nil)
		}
		r.turns = r.turns[1:]
	}
	best, n = r.waiting()
	if n == 0 {
		r.running = false
		return 0, 0, 0
	}
	more := r.full.Sub(now) // until more may be taken
	if len(r.turns) > 0 {
		more = max(more, r.turns[len(r.turns)-1].Sub(now)-turnsLead)
		pause = r.turns[0].Sub(now)
	}
	switch n -= len(r.turns); {
	case n > 0 && more <= 0:
		return best, n, 0
	case n > 0 && (pause == 0 || more < pause):
		return best, 0, more
	}
	return best, 0, pause
}

// take takes up to n turns from the store, for sends of a rank and worse. Where
// the store does not answer, all who wait are told.
func (r *sharedRate) take(best, n int) {
	perSecond := r.perSecond()
	if perSecond <= 0 { // the policy has changed meanwhile
		r.answer(nil)
		return
	}
	n = min(n, mostTurns, max(int(perSecond*turnsFor.Seconds()), 1))
	ahead := turnsAhead
	if best > 0 {
		ahead = laterAhead
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	wait, ok, err := r.store.TakeTurns(ctx, string(r.channel), perSecond, n, ahead)
	if err != nil {
		r.answer(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !ok {
		r.full = time.Now().Add(turnsRest/2 + rand.N(turnsRest)) //nolint:gosec // jitter
		return
	}
	first := time.Now().Add(wait)
	for i := range n {
		after := time.Duration(float64(i) * store.SpacingOf(perSecond) * float64(time.Microsecond))
		r.turns = append(r.turns, first.Add(after))
	}
}

// answer answers all who wait.
func (r *sharedRate) answer(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := r.waiting(); n > 0; n-- {
		r.give(err)
	}
}
