package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/novaura/acs-operator/internal/store"
)

// slow answers each statement after a second, and refuses one id.
type slow struct {
	store.Messages

	mu    sync.Mutex
	sizes []int
	err   error
}

var errRefused = errors.New("invalid byte sequence")

func (s *slow) Settle(ctx context.Context, settlements []store.Settlement) ([]error, error) {
	s.mu.Lock()
	s.sizes = append(s.sizes, len(settlements))
	err := s.err
	s.mu.Unlock()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	answers := make([]error, len(settlements))
	for i, one := range settlements {
		switch one.ID {
		case "refused":
			return nil, errRefused
		case "lost":
			answers[i] = store.ErrLost
		}
	}
	return answers, err
}

func (s *slow) Claim(_ context.Context, owner string, _ time.Duration, claims []store.Claim) ([]store.ClaimResult, error) {
	time.Sleep(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes = append(s.sizes, len(claims))
	results := make([]store.ClaimResult, len(claims))
	for i, c := range claims {
		results[i].Event = store.Event{ID: c.ID, Owner: owner}
	}
	return results, nil
}

func one(id string) []store.Settlement {
	return []store.Settlement{{ID: id, Status: store.Sent}}
}

func TestALoneSettlementWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if _, err := store.Grouped(&slow{}).Settle(t.Context(), one("a")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %s, want the statement's second", took)
		}
	})
}

func TestSettlementsShareStatementsAndKeepTheirOwnAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		grouped := store.Grouped(s)
		began := time.Now()
		var calls sync.WaitGroup
		for i := range 150 {
			calls.Go(func() {
				id := fmt.Sprint(i)
				if i%50 == 49 {
					id = "lost"
				}
				answers, err := grouped.Settle(t.Context(), one(id))
				if err != nil || len(answers) != 1 || (answers[0] != nil) != (id == "lost") {
					t.Errorf("%s: got %v, %v", id, answers, err)
				}
			})
		}
		calls.Wait()
		if took := time.Since(began); took > 2*time.Second || len(s.sizes) > 3 {
			t.Errorf("150 settlements took %s and %d statements: %v", took, len(s.sizes), s.sizes)
		}
	})
}

func TestWhatTheDatabaseRefusesOfOneCallerDoesNotHurtTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		grouped := store.Grouped(&slow{})
		var calls sync.WaitGroup
		for i := range 10 {
			id, want := fmt.Sprint(i), error(nil)
			if i == 5 {
				id, want = "refused", errRefused
			}
			calls.Go(func() {
				if _, err := grouped.Settle(t.Context(), one(id)); !errors.Is(err, want) {
					t.Errorf("%s: got %v, want %v", id, err, want)
				}
			})
		}
		calls.Wait()
	})
}

func TestACallerDoesNotWaitBeyondItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := store.Grouped(&slow{}).Settle(ctx, one("a")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's end", err)
		}
		time.Sleep(2 * time.Second) // the statement ends by itself
	})
}

func TestClaimsOfTwoOwnersAreNeverMixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		grouped := store.Grouped(&slow{})
		var calls sync.WaitGroup
		for i := range 20 {
			owner := fmt.Sprint(i % 2)
			calls.Go(func() {
				results, err := grouped.Claim(t.Context(), owner, time.Minute, []store.Claim{{ID: fmt.Sprint(i)}})
				if err != nil || results[0].Event.Owner != owner || results[0].Event.ID != fmt.Sprint(i) {
					t.Errorf("got %+v, %v for owner %s", results, err, owner)
				}
			})
		}
		calls.Wait()
	})
}
