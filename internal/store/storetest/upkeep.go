package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/internal/store"
)

func upkeep(t *testing.T, open Open) {
	resolutions(t, open)
	keeping(t, open)
	pruning(t, open)
	ctx := context.Background()
	t.Run("whom a person asks to forget is in no row, and what is parked for them ends", func(t *testing.T) {
		r := enter(t, open)
		sms := message("m")
		sms.Body = "Hello Ann"
		r.claim("worker-1", sms)
		r.record(store.Event{ID: "mail", Channel: "email", Status: store.Sent, To: someone, From: "us@example.com", Body: "Dear Ann"})
		r.record(store.Event{ID: "new", Channel: "email", Status: store.New, To: someone, PayloadHash: "h", Queue: queue})
		r.must(r.Park(ctx, "new", "h", store.Parked{Body: "to Ann"}))
		n, err := r.Forget(ctx, " ANN@example.com ")
		if err != nil || n != 2 {
			t.Fatalf("got %d rows and error %v, want 2", n, err)
		}
		if e := r.row("mail"); e.To != "" || e.Body != "" || e.From != "us@example.com" || e.Status != store.Sent {
			t.Errorf("got %+v", e)
		}
		if e := r.row("new"); e.Status != store.Suppressed || !e.DueAt.IsZero() || e.To != "" {
			t.Errorf("got %+v", e)
		}
		if e := r.row("m"); e.Body != "Hello Ann" || e.To == "" {
			t.Errorf("another's row: %+v", e)
		}
	})
	t.Run("rows are counted by status and queue", func(t *testing.T) {
		r := enter(t, open)
		r.record(store.Event{ID: "1", Status: store.InDoubt, Queue: queue})
		r.record(store.Event{ID: "2", Status: store.Sent, Queue: queue})
		got, err := r.CountStatus(ctx, store.InDoubt)
		r.must(err)
		if diff := cmp.Diff(map[string]int{queue: 1}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func resolutions(t *testing.T, open Open) {
	ctx := context.Background()
	held := func(r room, status store.Status) {
		e := r.want("worker-1", "m", store.Granted)
		r.must(r.settle(store.Settlement{ID: "m", Attempt: e.Attempts, Owner: "worker-1", Status: status, ErrorCode: "x"}))
	}
	t.Run("a person's word that it was sent ends a doubt, with an attempt that tells of it", func(t *testing.T) {
		r := enter(t, open)
		held(r, store.InDoubt)
		word := store.Resolution{ID: "m", From: store.InDoubt, Sent: true, Provider: "twilio", ProviderID: "SM1", By: "ann", Reason: "seen in the console"}
		r.must(r.Resolve(ctx, word))
		if e := r.row("m"); e.Status != store.Sent || e.ProviderID != "SM1" || e.SentAt.IsZero() || e.Attempts != 2 {
			t.Errorf("got %+v", e)
		}
		attempts, err := r.Attempts(ctx, "m")
		r.must(err)
		want := store.Attempt{
			EventID: "m", Number: 2, Owner: "ann", StartedAt: start, FinishedAt: start, Outcome: store.Resolved, Provider: "twilio",
			ProviderID: "SM1", Error: "seen in the console",
		}
		if diff := cmp.Diff(want, attempts[1]); diff != "" {
			t.Errorf("attempt (-want +got):\n%s", diff)
		}
		if err := r.Resolve(ctx, word); !errors.Is(err, store.ErrLost) {
			t.Errorf("a second word: got %v, want %v", err, store.ErrLost)
		}
	})
	for _, from := range []store.Status{store.InDoubt, store.Failed} {
		t.Run("what was "+string(from)+" may be claimed again when a person says so", func(t *testing.T) {
			r := enter(t, open)
			held(r, from)
			r.must(r.Resolve(ctx, store.Resolution{ID: "m", From: from, By: "ann", Reason: "redrive"}))
			if e := r.row("m"); e.Status != store.New || e.ErrorCode != "" {
				t.Errorf("got %+v", e)
			}
			if e := r.want("worker-2", "m", store.Granted); e.Attempts != 3 {
				t.Errorf("got attempt %d, want 3", e.Attempts)
			}
		})
	}
	t.Run("what the provider has had, or has another status than was seen, is left alone", func(t *testing.T) {
		r := enter(t, open)
		r.record(store.Event{ID: "reported", Status: store.Failed, SentAt: start})
		r.record(store.Event{ID: "sent", Status: store.Sent})
		for _, id := range []string{"reported", "sent", "nobody"} {
			if err := r.Resolve(ctx, store.Resolution{ID: id, From: store.Failed}); !errors.Is(err, store.ErrLost) {
				t.Errorf("%s: got %v, want %v", id, err, store.ErrLost)
			}
		}
	})
}

func keeping(t *testing.T, open Open) {
	ctx := context.Background()
	what := store.Parked{Body: "as it came", Attributes: "with these", GroupID: "tenant"}
	kept := func(r room) (ids []string) {
		r.t.Helper()
		events, err := r.Events(ctx, store.Filter{Kept: true})
		r.must(err)
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		return ids
	}
	t.Run("a row keeps what failed, until a person has it tried again: then it is due, and carried as it came", func(t *testing.T) {
		r := enter(t, open)
		r.record(store.Event{ID: "m", Status: store.Failed, Queue: queue, ErrorCode: "21211", PayloadHash: message("m").PayloadHash})
		r.record(store.Event{ID: "other", Status: store.Failed, Queue: queue})
		r.must(r.Keep(ctx, "m", what))
		r.must(r.Keep(ctx, "m", what)) // its copy
		if ids := kept(r); len(ids) != 1 || ids[0] != "m" || len(r.due()) != 0 {
			t.Errorf("kept: %v", ids)
		}
		r.must(r.Resolve(ctx, store.Resolution{ID: "m", From: store.Failed, By: "ann"}))
		r.must(r.Resolve(ctx, store.Resolution{ID: "other", From: store.Failed, By: "ann"}))
		due := r.due()
		if len(kept(r)) != 0 || len(due) != 1 || due[0].ID != "m" || due[0].Body != "as it came" || due[0].Attributes != "with these" || due[0].GroupID != "tenant" {
			t.Errorf("due: %v, kept: %v", due, kept(r))
		}
		r.must(r.Unpark(ctx, due))
		r.want("worker-1", "m", store.Granted)
	})
	t.Run("what a person says was sent is kept no more", func(t *testing.T) {
		r := enter(t, open)
		r.record(store.Event{ID: "m", Status: store.InDoubt, Queue: queue})
		r.must(r.Keep(ctx, "m", what))
		r.must(r.Resolve(ctx, store.Resolution{ID: "m", From: store.InDoubt, Sent: true, By: "ann"}))
		if ids := kept(r); len(ids) != 0 || len(r.due()) != 0 {
			t.Errorf("kept: %v", ids)
		}
	})
	t.Run("no other row keeps anything", func(t *testing.T) {
		r := enter(t, open)
		r.record(store.Event{ID: "sent", Status: store.Sent})
		r.record(store.Event{ID: "new", Status: store.New})
		for _, id := range []string{"sent", "new", "nobody"} {
			if err := r.Keep(ctx, id, what); !errors.Is(err, store.ErrLost) {
				t.Errorf("%s: got %v, want %v", id, err, store.ErrLost)
			}
		}
	})
	t.Run("what is kept goes with the addresses", func(t *testing.T) {
		r := enter(t, open)
		r.record(store.Event{ID: "m", Status: store.Failed, Queue: queue, CreatedAt: start})
		r.must(r.Keep(ctx, "m", what))
		got, err := r.Prune(ctx, store.Pruning{Addresses: start.Add(time.Hour), Rows: start, Limit: 10})
		r.must(err)
		if ids := kept(r); got.Erased != 1 || len(ids) != 0 {
			t.Errorf("%d erased, kept: %v", got.Erased, ids)
		}
	})
}

func pruning(t *testing.T, open Open) {
	t.Run("old rows lose their addresses, older ones go, batch by batch, and what is not settled stays", func(t *testing.T) {
		r, day := enter(t, open), 24*time.Hour
		for id, e := range map[string]store.Event{
			"ancient":          {Status: store.Sent, CreatedAt: start},
			"ancient in doubt": {Status: store.InDoubt, CreatedAt: start},
			"ancient and open": {Status: store.Processing, CreatedAt: start},
			"old":              {Status: store.Sent, CreatedAt: start.Add(20 * day)},
			"old, but touched": {Status: store.Delivered, CreatedAt: start.Add(20 * day), UpdatedAt: start.Add(99 * day)},
			"young":            {Status: store.Sent, CreatedAt: start.Add(99 * day)},
		} {
			e.ID, e.To, e.Body = id, someone, "Hello"
			r.record(e)
		}
		p := store.Pruning{Addresses: start.Add(30 * day), Rows: start.Add(10 * day), Limit: 2}
		var erased, deleted, batches int
		for done := false; !done; batches++ {
			got, err := r.Prune(context.Background(), p)
			r.must(err)
			erased, deleted, p.From, done = erased+got.Erased, deleted+got.Deleted, got.Next, got.Done
		}
		if erased != 2 || deleted != 1 || batches != 3 {
			t.Errorf("got %d erased and %d deleted in %d batches, want 2, 1, 3", erased, deleted, batches)
		}
		left, err := r.Events(context.Background(), store.Filter{})
		r.must(err)
		for _, e := range left {
			if want := e.ID != "old" && e.ID != "ancient in doubt"; want != (e.To != "") || want != (e.Body != "") {
				t.Errorf("%s: got address %t, body %t", e.ID, e.To != "", e.Body != "")
			}
		}
		if len(left) != 5 {
			t.Errorf("%d rows are left, want 5", len(left))
		}
	})
}
