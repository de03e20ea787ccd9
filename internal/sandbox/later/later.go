// Package later does things after a while: the stand-ins of providers report
// deliveries and bounces as time passes.
//
// It imports nothing of this project. Start with Queue.
package later

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Queue holds what is to be done. Nothing is done unless Run runs. All methods
// may be called concurrently.
type Queue struct {
	mu     sync.Mutex
	due    dueHeap
	wake   chan struct{}
	keep   int
	number int64
}

// New holds at most keep; what comes beyond is dropped.
func New(keep int) *Queue { return &Queue{wake: make(chan struct{}, 1), keep: keep} }

// After does act once the time has passed. Of two that are due at once, the
// one that was put first is begun first.
func (q *Queue) After(wait time.Duration, act func(context.Context)) {
	q.mu.Lock()
	if len(q.due) < q.keep {
		q.number++
		heap.Push(&q.due, item{time.Now().Add(wait), q.number, act})
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Run does what is due, workers of them at once, until ctx ends; what is not
// due by then is dropped.
func (q *Queue) Run(ctx context.Context, workers int) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, workers)
	for ctx.Err() == nil {
		act, wait := q.next()
		if act == nil {
			q.sleep(ctx, wait)
			continue
		}
		slots <- struct{}{}
		running.Go(func() { act(ctx); <-slots })
	}
}

// next takes what is due, or tells how long that is.
func (q *Queue) next() (act func(context.Context), wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.due) == 0 {
		return nil, time.Hour
	}
	if wait = time.Until(q.due[0].at); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&q.due).(item).act, 0 //nolint:forcetypeassert // the heap holds nothing else
}

func (q *Queue) sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.wake:
	case <-ctx.Done():
	}
}

type item struct {
	at     time.Time
	number int64
	act    func(context.Context)
}

type dueHeap []item

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].number < h[j].number
	}
	return h[i].at.Before(h[j].at)
}

func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *dueHeap) Push(x any) { *h = append(*h, x.(item)) } //nolint:forcetypeassert // as above

func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = item{}
	*h = old[:len(old)-1]
	return last
}
