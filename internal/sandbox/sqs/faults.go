package sqs

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// Faults are what may go wrong with SQS, on purpose. Rates are shares from 0
// (never) to 1 (always).
type Faults struct {
	ErrorRate      float64       // of requests: answered 500 before they do anything
	DuplicateRate  float64       // of received messages: visible to others at once
	LostDeleteRate float64       // of deletes: answered as done, the message comes again
	Latency        time.Duration // before each request is looked at
}

type faultBox struct{ current atomic.Pointer[Faults] }

// SetFaults replaces the faults from the next request on; Faults{} ends them.
func (s *Service) SetFaults(f Faults) { s.faults.current.Store(&f) }

func (b *faultBox) load() Faults {
	if f := b.current.Load(); f != nil {
		return *f
	}
	return Faults{}
}

// strike delays a request, and fails it when chance has it so.
func (b *faultBox) strike(ctx context.Context) error {
	f := b.load()
	if f.Latency > 0 {
		timer := time.NewTimer(f.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if chance(f.ErrorRate) {
		return &awswire.Error{Code: "InternalFailure", Message: "a fault that was asked for", Status: http.StatusInternalServerError}
	}
	return nil
}

func (b *faultBox) duplicates() bool  { return chance(b.load().DuplicateRate) }
func (b *faultBox) losesDelete() bool { return chance(b.load().LostDeleteRate) }

func chance(rate float64) bool {
	return rate > 0 && rand.Float64() < rate //nolint:gosec // chance, not a secret.
}
