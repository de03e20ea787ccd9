package storetest

import (
	"context"
	"testing"

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
