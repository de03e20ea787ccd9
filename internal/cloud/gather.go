package cloud

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// gatherFor is how long the first of several reads waits for the others:
// policies of one interval tick together, and sixty on a small machine take
// some tens of milliseconds to ask.
const gatherFor = 100 * time.Millisecond

// A gather combines reads of single things, which several callers want at about
// the same time, into calls for many. When such a call fails, each thing is read
// alone at once. A thing that fails alone is read alone until it succeeds, so
// that one bad or slow name delays no other. A throttled call is not split: more
// calls would only be throttled more.
type gather[K comparable, V any] struct {
	most  int           // things that a call takes
	bound time.Duration // of a round: half for the calls for many, half for those alone
	group func(K) string
	thing func(K) string                                       // identifies it from one round to the next
	ask   func(ctx context.Context, keys []K) (map[K]V, error) // keys are of one group

	mu    sync.Mutex
	next  *round[K, V]
	alone map[string]aloneness // by thing
}

type aloneness int

const (
	untilFine aloneness = iota + 1 // it failed
	always                         // calls for many leave it out
)

// round is one gathering. Its maps are to be read when done is closed.
type round[K comparable, V any] struct {
	keys   []K
	done   chan struct{}
	mu     sync.Mutex
	values map[K]V
	errs   map[K]error
}

func newGather[K comparable, V any](most int, bound time.Duration, group, thing func(K) string, ask func(context.Context, []K) (map[K]V, error)) *gather[K, V] {
	return &gather[K, V]{most: most, bound: bound, group: group, thing: thing, ask: ask, alone: map[string]aloneness{}}
}

// get reads the things, or gives up when ctx ends. A thing may have a value
// beside an error.
func (g *gather[K, V]) get(ctx context.Context, keys ...K) (map[K]V, error) {
	r := g.join(ctx, keys)
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-r.done:
	}
	values := make(map[K]V, len(keys))
	var errs []error
	for _, key := range keys {
		if value, known := r.values[key]; known {
			values[key] = value
		}
		if err := r.errs[key]; err != nil && !slices.Contains(errs, err) {
			errs = append(errs, err)
		}
	}
	return values, errors.Join(errs...)
}

func (g *gather[K, V]) join(ctx context.Context, keys []K) *round[K, V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.next == nil {
		g.next = &round[K, V]{done: make(chan struct{}), values: map[K]V{}, errs: map[K]error{}}
		go g.run(context.WithoutCancel(ctx), g.next) // whoever came first may leave first
	}
	for _, key := range keys {
		if !slices.Contains(g.next.keys, key) {
			g.next.keys = append(g.next.keys, key)
		}
	}
	return g.next
}

func (g *gather[K, V]) run(ctx context.Context, r *round[K, V]) {
	defer close(r.done)
	time.Sleep(gatherFor)
	g.mu.Lock()
	g.next = nil
	calls := g.calls(r.keys)
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, g.bound)
	defer cancel()
	var asking sync.WaitGroup
	for _, keys := range calls {
		asking.Go(func() { g.call(ctx, r, keys) })
	}
	asking.Wait()
}

// calls divides the things into calls.
func (g *gather[K, V]) calls(keys []K) (calls [][]K) {
	open := map[string]int{} // the last call of a group
	for _, key := range keys {
		if g.alone[g.thing(key)] != 0 {
			calls = append(calls, []K{key})
			continue
		}
		group := g.group(key)
		if at, begun := open[group]; begun && len(calls[at]) < g.most {
			calls[at] = append(calls[at], key)
			continue
		}
		open[group] = len(calls)
		calls = append(calls, []K{key})
	}
	return calls
}

func (g *gather[K, V]) call(ctx context.Context, r *round[K, V], keys []K) {
	together := ctx
	if len(keys) > 1 {
		var cancel context.CancelFunc
		together, cancel = context.WithTimeout(ctx, g.bound/2)
		defer cancel()
	}
	values, err := g.ask(together, keys)
	r.mu.Lock()
	var left []K
	for _, key := range keys {
		value, known := values[key]
		if known {
			r.values[key] = value
		}
		if err != nil {
			r.errs[key] = err
		}
		if err != nil || !known {
			left = append(left, key)
		}
	}
	r.mu.Unlock()
	if len(keys) == 1 {
		g.note(keys[0], err)
		return
	}
	if throttled(err) {
		return
	}
	g.apart(ctx, r, left, err == nil)
}

// apart reads each thing alone, after a call for all of them failed, or left
// them out.
func (g *gather[K, V]) apart(ctx context.Context, r *round[K, V], keys []K, leftOut bool) {
	var asking sync.WaitGroup
	for _, key := range keys {
		asking.Go(func() {
			values, err := g.ask(ctx, []K{key})
			value, known := values[key]
			r.mu.Lock()
			delete(r.errs, key)
			if err != nil {
				r.errs[key] = err
			}
			if known {
				r.values[key] = value
			}
			r.mu.Unlock()
			g.mu.Lock()
			switch {
			case err != nil:
				g.alone[g.thing(key)] = untilFine
			case known && leftOut:
				g.alone[g.thing(key)] = always
			}
			g.mu.Unlock()
		})
	}
	asking.Wait()
}

// note remembers whether a thing that was read alone failed.
func (g *gather[K, V]) note(key K, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil && g.alone[g.thing(key)] == untilFine:
		delete(g.alone, g.thing(key))
	case err != nil && g.alone[g.thing(key)] == 0 && !throttled(err):
		g.alone[g.thing(key)] = untilFine
	}
}

var throttles = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}

// throttled reports whether AWS throttled the call.
func throttled(err error) bool { return err != nil && throttles.IsErrorThrottle(err).Bool() }
