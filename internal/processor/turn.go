package processor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/store"
)

// errNoTurn says that the rate has no room soon enough.
var errNoTurn = errors.New("over the rate")

const (
	// mostTurns bounds what one worker reserves at once, so that a worker that
	// dies wastes little of what all may send.
	mostTurns = 50
	// turnsAhead is how far ahead turns are reserved: what would wait longer
	// gives its slot to other messages and comes again.
	turnsAhead = 5 * time.Second
)

// sharedRate is a Limiter that spreads a channel's rate over all workers: turns
// are taken from one schedule in the store, as many at once as sends wait here,
// so that a worker asks no oftener than it must. Above the rate nobody sends in
// any second, but for what the network delays.
type sharedRate struct {
	store     store.Turns
	channel   message.Channel
	perSecond func() float64 // 0: unlimited
	timeout   time.Duration  // of one use of the store

	mu      sync.Mutex
	waiting []chan turn
	taking  bool
}

// turn is when a send may begin, or why it may not.
type turn struct {
	at  time.Time
	err error
}

var _ Limiter = (*sharedRate)(nil)

// Wait implements Limiter.
func (r *sharedRate) Wait(ctx context.Context) error {
	if r.perSecond() <= 0 {
		return nil
	}
	mine := make(chan turn, 1)
	r.mu.Lock()
	r.waiting = append(r.waiting, mine)
	lead := !r.taking
	r.taking = true
	r.mu.Unlock()
	if lead { // for all who wait now and while it is under way
		go r.take()
	}
	select {
	case <-ctx.Done():
		return ctx.Err() // a turn that nobody uses lapses
	case got := <-mine:
		return got.await(ctx)
	}
}

// await sleeps until the turn, or fails at once where ctx would end before.
func (t turn) await(ctx context.Context) error {
	wait := time.Until(t.at)
	if deadline, ok := ctx.Deadline(); ok && t.at.After(deadline) {
		return errNoTurn
	}
	if t.err != nil || wait <= 0 {
		return t.err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// take reserves turns until nobody waits. It ends by itself: each round is
// bounded, and answers those who waited when it began.
func (r *sharedRate) take() {
	for {
		r.mu.Lock()
		n := min(len(r.waiting), mostTurns)
		if n == 0 {
			r.taking = false
			r.mu.Unlock()
			return
		}
		served := r.waiting[:n:n]
		r.waiting = r.waiting[n:]
		r.mu.Unlock()
		r.serve(served)
	}
}

func (r *sharedRate) serve(served []chan turn) {
	perSecond := r.perSecond()
	if perSecond <= 0 { // the policy has changed meanwhile
		for _, one := range served {
			one <- turn{}
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	wait, ok, err := r.store.TakeTurns(ctx, string(r.channel), perSecond, len(served), turnsAhead)
	if err == nil && !ok {
		err = errNoTurn
	}
	first := time.Now().Add(wait)
	for i, one := range served {
		after := time.Duration(float64(i) * store.SpacingOf(perSecond) * float64(time.Microsecond))
		one <- turn{at: first.Add(after), err: err}
	}
}
