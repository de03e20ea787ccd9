package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/internal/store"
)

// tokened is a claim for id that its claimer knows again.
func tokened(id, token string) store.Claim {
	c := message(id)
	c.Token = token
	return c
}

func lostAnswers(t *testing.T, open Open) {
	ctx := context.Background()
	t.Run("a claim that is asked again under its token is answered as before, and opens no other attempt", func(t *testing.T) {
		r := enter(t, open)
		first := r.claim("worker-1", tokened("m", "t1"))
		if diff := cmp.Diff(first, r.claim("worker-1", tokened("m", "t1"))); diff != "" || first.Outcome != store.Granted {
			t.Errorf("granted (-first +again):\n%s", diff)
		}
		if got := r.claim("worker-1", tokened("m", "t2")); got.Outcome != store.Busy {
			t.Errorf("under another token: got outcome %d", got.Outcome)
		}
		r.Advance(lease)
		first = r.claim("worker-2", tokened("m", "t3"))
		if diff := cmp.Diff(first, r.claim("worker-2", tokened("m", "t3"))); diff != "" || first.Outcome != store.Doubtful {
			t.Errorf("doubtful (-first +again):\n%s", diff)
		}
		if attempts, err := r.Attempts(ctx, "m"); err != nil || len(attempts) != 2 {
			t.Errorf("got %d attempts, %v", len(attempts), err)
		}
		r.finish(first.Event, "SM1")
		if got := r.claim("worker-2", tokened("m", "t3")); got.Outcome != store.Done {
			t.Errorf("once it is settled: got outcome %d", got.Outcome)
		}
	})
	t.Run("an event carries the error of its last attempt while it waits for another one, and while that one runs", func(t *testing.T) {
		r := enter(t, open)
		for i, status := range []store.Status{store.Scheduled, store.Processing} {
			e := r.claim("worker-1", message("m")).Event
			want := fmt.Sprint("503", i)
			r.must(r.settle(store.Settlement{ID: "m", Attempt: e.Attempts, Owner: "worker-1", Status: status, ErrorCode: want, Error: "overloaded"}))
			if e := r.row("m"); e.ErrorCode != want || e.Error != "overloaded" {
				t.Errorf("after %s: the event says %q: %q", status, e.ErrorCode, e.Error)
			}
			if a := r.attempts("m"); a[i].ErrorCode != want || a[i].Error != "overloaded" {
				t.Errorf("after %s: the attempt says %+v", status, a[i])
			}
		}
		if e := r.claim("worker-2", message("m")).Event; e.ErrorCode != "5031" {
			t.Errorf("claimed again: the event says %q", e.ErrorCode)
		}
	})
	t.Run("why an attempt is in doubt is kept, and changes no doubt; one that has ended, or is another's, is left alone", func(t *testing.T) {
		r := enter(t, open)
		first := r.claim("worker-1", message("m")).Event
		why := store.Attempt{EventID: "m", Number: first.Attempts, Owner: "worker-1", Provider: "smtp", ErrorCode: "421", Error: "connection lost after DATA"}
		r.must(r.Explain(ctx, store.Attempt{EventID: "m", Number: first.Attempts, Owner: "worker-2", Error: "not mine"}))
		r.must(r.Explain(ctx, why))
		if e := r.row("m"); e.ErrorCode != why.ErrorCode || e.Error != why.Error || e.Status != store.Processing || e.Provider != "" {
			t.Errorf("the event says %+v", e)
		}
		r.Advance(lease)
		second := r.claim("worker-2", message("m"))
		if second.Outcome != store.Doubtful {
			t.Errorf("got outcome %d, want doubtful", second.Outcome)
		}
		r.finish(second.Event, "SM1")
		r.must(r.Explain(ctx, store.Attempt{EventID: "m", Number: second.Event.Attempts, Owner: "worker-2", Error: "too late"}))
		attempts, err := r.Attempts(ctx, "m")
		if err != nil || len(attempts) != 2 {
			t.Fatal(attempts, err)
		}
		if a := attempts[0]; !a.FinishedAt.IsZero() || a.Outcome != "" || a.Provider != why.Provider || a.ErrorCode != why.ErrorCode || a.Error != why.Error {
			t.Errorf("the first attempt says %+v", a)
		}
		if a := attempts[1]; a.Error != "" || a.Outcome != string(store.Sent) {
			t.Errorf("the second attempt says %+v", a)
		}
	})
	lostSettlements(t, open)
	t.Run("devices that are claimed again under the claim's token spend no other try", func(t *testing.T) {
		r := enter(t, open)
		claim := store.TokenClaim{EventID: "m", Owner: "worker-1", Attempt: r.want("worker-1", "m", store.Granted).Attempts, Token: "t1"}
		for range 2 {
			r.must(r.ClaimTokens(ctx, claim, []string{"a", "b"}))
		}
		if diff := cmp.Diff([]int{1, 1}, tries(r.tokens("m"))); diff != "" {
			t.Errorf("tries: %s", diff)
		}
		r.must(r.SettleTokens(ctx, "m", []store.Token{{Hash: "a", Outcome: store.Released}, {Hash: "b", Outcome: store.Released}}))
		claim.Token = "t2"
		for range 2 {
			r.must(r.ClaimTokens(ctx, claim, []string{"a"}))
		}
		claim.Token, claim.Reopened = "t3", r.Now().Add(time.Second)
		for range 2 {
			r.must(r.ClaimTokens(ctx, claim, []string{"b"}))
		}
		if diff := cmp.Diff([]int{2, 1}, tries(r.tokens("m"))); diff != "" {
			t.Errorf("tries later: %s", diff)
		}
	})
	t.Run("devices that are given back may be written to, and their tries are unspent", func(t *testing.T) {
		r := enter(t, open)
		claim := store.TokenClaim{EventID: "m", Owner: "worker-1", Attempt: r.want("worker-1", "m", store.Granted).Attempts, Token: "t1"}
		r.must(r.ClaimTokens(ctx, claim, []string{"a", "b", "c"}))
		r.must(r.SettleTokens(ctx, "m", []store.Token{{Hash: "b", Outcome: "sent"}}))
		other := claim
		other.Token = "t2"
		r.must(r.ClaimTokens(ctx, other, []string{"c"}))
		never := store.TokenClaim{EventID: "m", Token: "t3"}
		for range 2 {
			r.must(r.UnclaimTokens(ctx, []store.TokenClaim{claim, never, {EventID: "m"}, {EventID: "n", Token: "t2"}}))
		}
		got := r.tokens("m")
		if diff := cmp.Diff([]int{0, 1, 2}, tries(got)); diff != "" || got[0].Outcome != store.Released || got[1].Outcome != "sent" || got[2].Outcome != "" {
			t.Errorf("tries: %s; got %+v", diff, got)
		}
	})
	t.Run("a try is given back once, though it is asked again", func(t *testing.T) {
		r := enter(t, open)
		claim := store.TokenClaim{EventID: "m", Owner: "worker-1", Attempt: r.want("worker-1", "m", store.Granted).Attempts}
		r.must(r.ClaimTokens(ctx, claim, []string{"a"}))
		for range 2 {
			r.must(r.SettleTokens(ctx, "m", []store.Token{{Hash: "a", Outcome: store.Released, Unspent: true}}))
		}
		if diff := cmp.Diff([]int{0}, tries(r.tokens("m"))); diff != "" {
			t.Errorf("tries: %s", diff)
		}
	})
	t.Run("what is given back is granted to the next, without doubt", func(t *testing.T) {
		r := enter(t, open)
		r.claim("worker-1", tokened("m", "t1"))
		r.must(r.Unclaim(ctx, "worker-1", []store.Claim{tokened("m", "t1"), tokened("never", "t2")}))
		if e := r.want("worker-2", "m", store.Granted); e.Attempts != 2 {
			t.Errorf("got attempt %d", e.Attempts)
		}
		attempts, err := r.Attempts(ctx, "m")
		r.must(err)
		if attempts[0].Outcome != store.Released || attempts[0].FinishedAt.IsZero() {
			t.Errorf("got %+v", attempts[0])
		}
	})
	t.Run("an earlier owner's doubt outlives a claim that is given back", func(t *testing.T) {
		r := enter(t, open)
		r.want("worker-1", "m", store.Granted)
		r.Advance(lease)
		r.claim("worker-2", tokened("m", "t1"))
		r.must(r.Unclaim(ctx, "worker-2", []store.Claim{tokened("m", "t1")}))
		r.want("worker-3", "m", store.Doubtful)
	})
	t.Run("nothing is given back of another claim, another owner or a row that is settled", func(t *testing.T) {
		r := enter(t, open)
		e := r.claim("worker-1", tokened("m", "t1")).Event
		r.must(r.Unclaim(ctx, "worker-1", []store.Claim{tokened("m", "t2"), tokened("m", "")}))
		r.must(r.Unclaim(ctx, "worker-2", []store.Claim{tokened("m", "t1")}))
		if got := r.row("m"); got.Status != store.Processing {
			t.Errorf("it is %s", got.Status)
		}
		r.finish(e, "SM1")
		r.must(r.Unclaim(ctx, "worker-1", []store.Claim{tokened("m", "t1")}))
		if got := r.row("m"); got.Status != store.Sent {
			t.Errorf("it is %s", got.Status)
		}
	})
}

func lostSettlements(t *testing.T, open Open) {
	ctx := context.Background()
	for name, one := range map[string]store.Settlement{
		"sent":         {Status: store.Sent, Provider: "twilio", ProviderID: "SM1"},
		"failed":       {Status: store.Failed, ErrorCode: "21211"},
		"handed back":  {Status: store.Scheduled},
		"parked":       {Status: store.Scheduled, Park: &store.Parked{Body: "b", After: time.Hour}},
		"in doubt yet": {Status: store.Processing},
	} {
		t.Run("a settlement that is asked again is answered as before, and changes nothing that came since: "+name, func(t *testing.T) {
			r := enter(t, open)
			one.ID, one.Attempt, one.Owner = "m", r.want("worker-1", "m", store.Granted).Attempts, "worker-1"
			r.must(r.settle(one))
			r.Advance(time.Second)
			if one.Status == store.Sent {
				r.must(r.UpdateStatus(ctx, store.StatusUpdate{ProviderID: "SM1", Status: store.Delivered}))
			} else if !one.Status.Settled() {
				r.claim("worker-2", message("m"))
			}
			before := r.row("m")
			r.must(r.settle(one))
			if diff := cmp.Diff(before, r.row("m")); diff != "" {
				t.Errorf("row (-before +after):\n%s", diff)
			}
			if attempts, err := r.Attempts(ctx, "m"); err != nil || !attempts[0].FinishedAt.Equal(start) {
				t.Errorf("its attempt: %+v, %v", attempts, err)
			}
		})
	}
	t.Run("a settlement that says something else, or is another's, is lost", func(t *testing.T) {
		r := enter(t, open)
		e := r.want("worker-1", "m", store.Granted)
		r.finish(e, "SM1")
		as := store.Settlement{ID: "m", Attempt: e.Attempts, Owner: "worker-1", Status: store.Sent, Provider: "twilio", ProviderID: "SM1"}
		for name, change := range map[string]func(*store.Settlement){
			"another status":  func(s *store.Settlement) { s.Status = store.Failed },
			"another message": func(s *store.Settlement) { s.ProviderID = "SM2" },
			"another owner":   func(s *store.Settlement) { s.Owner = "worker-2" },
			"another attempt": func(s *store.Settlement) { s.Attempt++ },
			"another event":   func(s *store.Settlement) { s.ID = "n" },
		} {
			one := as
			change(&one)
			if err := r.settle(one); !errors.Is(err, store.ErrLost) {
				t.Errorf("%s: got %v, want %v", name, err, store.ErrLost)
			}
		}
	})
}
