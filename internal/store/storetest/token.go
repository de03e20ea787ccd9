package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

func (r room) tokens(eventID string) []store.Token {
	r.t.Helper()
	all, err := r.Tokens(context.Background(), eventID)
	r.must(err)
	slices.SortFunc(all, func(a, b store.Token) int { return strings.Compare(a.Hash, b.Hash) })
	return all
}

func tokens(t *testing.T, open Open) {
	ctx := context.Background()
	same := cmpopts.IgnoreFields(store.Token{}, "FinishedAt")
	t.Run("each token of a claimed event is claimed, settled, and claimed again where it may be", func(t *testing.T) {
		r := enter(t, open)
		claim := store.TokenClaim{EventID: "m", Owner: "worker-1", Attempt: r.claim("worker-1", message("m")).Event.Attempts}
		r.must(r.ClaimTokens(ctx, claim, []string{"a", "b", "c", "d"}))
		r.must(r.SettleTokens(ctx, "m", []store.Token{
			{Hash: "a", Outcome: "sent", Provider: "fcm", ProviderID: "1"},
			{Hash: "b", Outcome: "released", Provider: "fcm", ErrorCode: "503", Error: "away"},
			{Hash: "c", Outcome: "released", Unspent: true},
			{Hash: "unknown", Outcome: "sent"},
		}))
		if diff := cmp.Diff([]store.Token{
			{Hash: "a", Outcome: "sent", Tries: 1, Provider: "fcm", ProviderID: "1"},
			{Hash: "b", Outcome: "released", Tries: 1, Provider: "fcm", ErrorCode: "503", Error: "away"},
			{Hash: "c", Outcome: "released"},
			{Hash: "d", Tries: 1},
		}, r.tokens("m"), same); diff != "" {
			t.Error(diff)
		}
		if all := r.tokens("m"); !all[0].FinishedAt.Equal(start) || !all[3].FinishedAt.IsZero() {
			t.Errorf("finished at %v and %v", all[0].FinishedAt, all[3].FinishedAt)
		}
		r.must(r.ClaimTokens(ctx, claim, []string{"b", "c", "d"}))
		if diff := cmp.Diff([]int{1, 2, 1, 2}, tries(r.tokens("m"))); diff != "" {
			t.Errorf("tries: %s", diff)
		}
	})
	t.Run("a token that was accepted is never claimed again, nor any with it, nor unsettled", func(t *testing.T) {
		r := enter(t, open)
		claim := store.TokenClaim{EventID: "m", Owner: "worker-1", Attempt: r.claim("worker-1", message("m")).Event.Attempts}
		r.must(r.ClaimTokens(ctx, claim, []string{"a"}))
		r.must(r.SettleTokens(ctx, "m", []store.Token{{Hash: "a", Outcome: "sent"}}))
		if err := r.ClaimTokens(ctx, claim, []string{"b", "a"}); !errors.Is(err, store.ErrLost) {
			t.Errorf("got %v", err)
		}
		r.must(r.SettleTokens(ctx, "m", []store.Token{{Hash: "a", Outcome: "failed"}}))
		if all := r.tokens("m"); len(all) != 1 || all[0].Outcome != "sent" {
			t.Errorf("got %+v", all)
		}
	})
	t.Run("a token that was settled before a person had its event tried again begins its tries anew, and no other does", func(t *testing.T) {
		r := enter(t, open)
		claim := store.TokenClaim{EventID: "m", Owner: "worker-1", Attempt: r.claim("worker-1", message("m")).Event.Attempts}
		all := []string{"failed", "later", "open"}
		for range 3 {
			r.must(r.ClaimTokens(ctx, claim, all))
		}
		r.must(r.SettleTokens(ctx, "m", []store.Token{{Hash: "failed", Outcome: "failed"}}))
		r.Advance(time.Second)
		claim.Reopened = r.Now()
		r.Advance(time.Second)
		r.must(r.SettleTokens(ctx, "m", []store.Token{{Hash: "later", Outcome: "released"}}))
		r.must(r.ClaimTokens(ctx, claim, all))
		if diff := cmp.Diff([]int{1, 4, 4}, tries(r.tokens("m"))); diff != "" {
			t.Errorf("tries: %s", diff)
		}
		r.must(r.SettleTokens(ctx, "m", []store.Token{{Hash: "failed", Outcome: "released"}}))
		r.must(r.ClaimTokens(ctx, claim, all[:1]))
		if got := tries(r.tokens("m"))[0]; got != 2 {
			t.Errorf("its second try since is its %d", got)
		}
	})
	t.Run("who lost the event's claim claims no token, but may say what was accepted", func(t *testing.T) {
		r := enter(t, open)
		old := store.TokenClaim{EventID: "m", Owner: "worker-1", Attempt: r.claim("worker-1", message("m")).Event.Attempts}
		r.must(r.ClaimTokens(ctx, old, []string{"a"}))
		r.Advance(lease)
		r.claim("worker-2", message("m"))
		if err := r.ClaimTokens(ctx, old, []string{"b"}); !errors.Is(err, store.ErrLost) {
			t.Errorf("got %v", err)
		}
		r.must(r.SettleTokens(ctx, "m", []store.Token{{Hash: "a", Outcome: "sent"}}))
		if all := r.tokens("m"); len(all) != 1 || all[0].Outcome != "sent" {
			t.Errorf("got %+v", all)
		}
	})
	t.Run("of many addresses those that are suppressed are found", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.Suppress(ctx, "push", "token-b", "unregistered"))
		r.must(r.Suppress(ctx, "sms", "token-a", "STOP"))
		got, err := r.SuppressedAmong(ctx, "push", []redact.Personal{"token-a", "token-b", "token-c"})
		r.must(err)
		if len(got) != 1 || got["token-b"] != "unregistered" {
			t.Errorf("got %v", got)
		}
	})
}

func tries(all []store.Token) (tries []int) {
	for _, t := range all {
		tries = append(tries, t.Tries)
	}
	return tries
}

func turns(t *testing.T, open Open) {
	ctx := context.Background()
	t.Run("turns follow each other, whoever takes them, and lapse when nobody does", func(t *testing.T) {
		r := enter(t, open)
		take := func(n int, want time.Duration, wantOK bool) {
			t.Helper()
			wait, ok, err := r.TakeTurns(ctx, "sms", 100, n, 200*time.Millisecond)
			r.must(err)
			if wantOK != ok || ok && wait != want {
				t.Errorf("got %v, %v; want %v, %v", wait, ok, want, wantOK)
			}
		}
		take(10, 0, true)
		take(5, 100*time.Millisecond, true)
		take(10, 150*time.Millisecond, true)
		take(1, 0, false) // 250 ms ahead
		r.Advance(100 * time.Millisecond)
		take(1, 150*time.Millisecond, true)
		r.Advance(time.Hour)
		take(1, 0, true)
		if wait, ok, err := r.TakeTurns(ctx, "email", 1, 1, 0); err != nil || !ok || wait != 0 {
			t.Errorf("another schedule: got %v, %v, %v", wait, ok, err)
		}
	})
	t.Run("no turn is given twice", func(t *testing.T) {
		r := enter(t, open)
		const takers, each = 4, 5
		var all sync.WaitGroup
		waits := make(chan time.Duration, takers*each)
		for range takers {
			all.Go(func() {
				for range each {
					wait, _, err := r.TakeTurns(ctx, "sms", 1000, 1, time.Minute)
					if err != nil {
						t.Error(err)
					}
					waits <- wait
				}
			})
		}
		all.Wait()
		close(waits)
		seen := map[time.Duration]bool{}
		for wait := range waits {
			if seen[wait] || wait >= takers*each*time.Millisecond {
				t.Errorf("the turn after %v was given twice, or is too late", wait)
			}
			seen[wait] = true
		}
	})
}

func bounces(t *testing.T, open Open) {
	ctx := context.Background()
	t.Run("bounces are counted by address until a mail arrives", func(t *testing.T) {
		r := enter(t, open)
		count := func(address redact.Personal, want int) {
			t.Helper()
			if got, err := r.CountBounce(ctx, "email", address); err != nil || got != want {
				t.Errorf("got %d, %v; want %d", got, err, want)
			}
		}
		count("a@example.com", 1)
		count("A@example.com", 2)
		count("b@example.com", 1)
		r.must(r.ClearBounces(ctx, "email", "a@example.com"))
		count("a@example.com", 1)
	})
	t.Run("the suppression list is listed by channel, newest first", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.Suppress(ctx, "email", "a@example.com", "bounced"))
		r.Advance(time.Second)
		r.must(r.Suppress(ctx, "email", "b@example.com", "complained"))
		r.must(r.Suppress(ctx, "sms", "+14155550123", "STOP"))
		got, err := r.Suppressions(ctx, "email", 10)
		r.must(err)
		if len(got) != 2 || got[0].AddressHash != store.AddressHash("b@example.com") || got[0].Reason != "complained" || !got[1].CreatedAt.Equal(start) {
			t.Errorf("got %+v", got)
		}
		if all, err := r.Suppressions(ctx, "", 2); err != nil || len(all) != 2 {
			t.Errorf("all, at most two: got %+v, %v", all, err)
		}
	})
}
