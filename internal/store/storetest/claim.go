package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/internal/store"
)

func claims(t *testing.T, open Open) {
	t.Run("a new message is granted, and its row tells all that the claim told", func(t *testing.T) {
		r, c := enter(t, open), message("m")
		got := r.claim("worker-1", c)
		want := store.ClaimResult{Outcome: store.Granted, Event: store.Event{
			ID: "m", Channel: c.Channel, Type: c.Type, Status: store.Processing, From: c.From, To: c.To, Attempts: 1,
			Queue: c.Queue, SQSMessageID: c.SQSMessageID, PayloadHash: c.PayloadHash, BodyHash: c.BodyHash,
			Segments: 1, Template: c.Template, Priority: c.Priority, Owner: "worker-1", LeaseUntil: start.Add(lease),
			CreatedAt: start, UpdatedAt: start, EnqueuedAt: c.EnqueuedAt,
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("claim (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want.Event, r.row("m")); diff != "" {
			t.Errorf("row (-want +got):\n%s", diff)
		}
	})
	t.Run("a scheduled or new row is granted, and one more attempt is opened", func(t *testing.T) {
		r := enter(t, open)
		for _, status := range []store.Status{store.New, store.Scheduled} {
			id := string(status)
			r.record(store.Event{ID: id, Channel: "sms", Type: "message_send", Status: status, PayloadHash: "hash-" + id})
			if e := r.want("worker-1", id, store.Granted); e.Attempts != 1 || e.Status != store.Processing {
				t.Errorf("%s: got attempt %d, status %s, want 1, processing", id, e.Attempts, e.Status)
			}
		}
	})
	t.Run("a live lease is busy for everyone, its own owner too, and nothing changes", func(t *testing.T) {
		r := enter(t, open)
		first := r.want("worker-1", "m", store.Granted)
		r.Advance(lease - time.Millisecond)
		for _, owner := range []string{"worker-2", "worker-1"} {
			if diff := cmp.Diff(first, r.want(owner, "m", store.Busy)); diff != "" {
				t.Errorf("row as %s sees it (-want +got):\n%s", owner, diff)
			}
		}
		if attempts, _ := r.Attempts(context.Background(), "m"); len(attempts) != 1 {
			t.Errorf("got %d attempts, want 1", len(attempts))
		}
	})
	takeovers(t, open)
	batches(t, open)
	extensions(t, open)
}

func takeovers(t *testing.T, open Open) {
	t.Run("a lapsed lease is doubtful, goes to the claimer, and leaves the earlier attempt unfinished", func(t *testing.T) {
		r := enter(t, open)
		r.want("worker-1", "m", store.Granted)
		r.Advance(lease)
		e := r.want("worker-2", "m", store.Doubtful)
		if e.Owner != "worker-2" || e.Attempts != 2 || !e.LeaseUntil.Equal(start.Add(2*lease)) || !e.CreatedAt.Equal(start) {
			t.Errorf("got owner %s, attempt %d, lease until %v, created %v", e.Owner, e.Attempts, e.LeaseUntil, e.CreatedAt)
		}
		attempts, err := r.Attempts(context.Background(), "m")
		r.must(err)
		want := []store.Attempt{
			{EventID: "m", Number: 1, Owner: "worker-1", StartedAt: start},
			{EventID: "m", Number: 2, Owner: "worker-2", StartedAt: start.Add(lease)},
		}
		if diff := cmp.Diff(want, attempts); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
	})
	t.Run("a settled row is done, whatever its status and however late", func(t *testing.T) {
		r := enter(t, open)
		for _, status := range []store.Status{
			store.Sent, store.Delivered, store.Undelivered, store.Failed, store.Suppressed, store.Expired, store.InDoubt, store.Received,
		} {
			id := string(status)
			r.record(store.Event{ID: id, Channel: "sms", Type: "message_send", Status: status, PayloadHash: "hash-" + id})
			r.Advance(24 * time.Hour)
			before := r.row(id)
			if diff := cmp.Diff(before, r.want("worker-1", id, store.Done)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", status, diff)
			}
		}
	})
	t.Run("other content under the same id is a conflict, at every stage, and nothing changes", func(t *testing.T) {
		r, other := enter(t, open), message("m")
		other.PayloadHash = "other"
		owned := r.want("worker-1", "m", store.Granted)
		for range 2 {
			if got := r.claim("worker-2", other); got.Outcome != store.Conflict || got.Event.Owner != "worker-1" {
				t.Errorf("got outcome %d, owner %s, want %d, worker-1", got.Outcome, got.Event.Owner, store.Conflict)
			}
			r.Advance(2 * lease)
		}
		r.finish(owned, "SM1")
		if got := r.claim("worker-2", other); got.Outcome != store.Conflict {
			t.Errorf("after the end: got outcome %d, want %d", got.Outcome, store.Conflict)
		}
	})
}

func batches(t *testing.T, open Open) {
	t.Run("results come in the order of the claims, each with its own outcome", func(t *testing.T) {
		r := enter(t, open)
		r.finish(r.want("worker-1", "done", store.Granted), "SM1")
		r.want("worker-1", "doubtful", store.Granted)
		r.Advance(lease)
		r.want("worker-1", "busy", store.Granted)
		r.want("worker-1", "conflict", store.Granted)
		batch := []store.Claim{message("z"), message("done"), message("busy"), message("doubtful"), message("conflict"), message("a")}
		batch[4].PayloadHash = "other"
		results, err := r.Claim(context.Background(), "worker-2", lease, batch)
		r.must(err)
		want := []store.Outcome{store.Granted, store.Done, store.Busy, store.Doubtful, store.Conflict, store.Granted}
		for i, result := range results {
			if result.Event.ID != batch[i].ID || result.Outcome != want[i] {
				t.Errorf("result %d: got %s with outcome %d, want %s with %d",
					i, result.Event.ID, result.Outcome, batch[i].ID, want[i])
			}
		}
	})
	t.Run("two claims with one id in one batch: the first wins, the second is busy, a third of other content conflicts",
		func(t *testing.T) {
			r, other := enter(t, open), message("m")
			other.PayloadHash = "other"
			results, err := r.Claim(context.Background(), "worker-1", lease, []store.Claim{message("m"), message("m"), other})
			r.must(err)
			for i, want := range []store.Outcome{store.Granted, store.Busy, store.Conflict} {
				if got := results[i]; got.Outcome != want || got.Event.Attempts != 1 {
					t.Errorf("result %d: got outcome %d, attempt %d, want %d, 1", i, got.Outcome, got.Event.Attempts, want)
				}
			}
		})
	t.Run("an empty batch is no work", func(t *testing.T) {
		r := enter(t, open)
		if results, err := r.Claim(context.Background(), "worker-1", lease, nil); err != nil || len(results) != 0 {
			t.Errorf("got %d results and error %v", len(results), err)
		}
		if answers, err := r.Settle(context.Background(), nil); err != nil || len(answers) != 0 {
			t.Errorf("got %d answers and error %v", len(answers), err)
		}
	})
	t.Run("a claim under a context that is over changes nothing", func(t *testing.T) {
		r := enter(t, open)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := r.Claim(ctx, "worker-1", lease, []store.Claim{message("m")}); !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want %v", err, context.Canceled)
		}
		r.want("worker-1", "m", store.Granted)
	})
}

func extensions(t *testing.T, open Open) {
	t.Run("an extended lease keeps others out for longer", func(t *testing.T) {
		r := enter(t, open)
		r.want("worker-1", "m", store.Granted)
		r.Advance(lease - time.Second)
		lost, err := r.Extend(context.Background(), "worker-1", lease, []store.Lease{{ID: "m", Attempt: 1}})
		if err != nil || len(lost) != 0 {
			t.Fatalf("got lost %v and error %v, want none", lost, err)
		}
		r.Advance(lease - time.Millisecond)
		r.want("worker-2", "m", store.Busy)
		r.Advance(time.Millisecond)
		r.want("worker-2", "m", store.Doubtful)
	})
	t.Run("what another claimed, settled or never was, is lost to the extender", func(t *testing.T) {
		r := enter(t, open)
		r.want("worker-1", "taken", store.Granted)
		r.Advance(lease)
		r.want("worker-2", "taken", store.Doubtful)
		r.finish(r.want("worker-1", "settled", store.Granted), "SM1")
		r.want("worker-1", "held", store.Granted)
		leases := []store.Lease{{ID: "taken", Attempt: 1}, {ID: "held", Attempt: 1}, {ID: "settled", Attempt: 1}, {ID: "no", Attempt: 1}}
		lost, err := r.Extend(context.Background(), "worker-1", lease, leases)
		r.must(err)
		if diff := cmp.Diff([]store.Lease{leases[0], leases[2], leases[3]}, lost); diff != "" {
			t.Errorf("lost (-want +got):\n%s", diff)
		}
	})
}

func settlements(t *testing.T, open Open) {
	t.Run("a settlement ends the row and its attempt", func(t *testing.T) {
		r := enter(t, open)
		e := r.want("worker-1", "m", store.Granted)
		r.Advance(time.Second)
		r.must(r.settle(store.Settlement{
			ID: "m", Attempt: 1, Owner: "worker-1", Status: store.Sent, Provider: "twilio", ProviderID: "SM1", Reason: "accepted",
		}))
		e.Status, e.Provider, e.ProviderID, e.SettledReason = store.Sent, "twilio", "SM1", "accepted"
		e.SentAt, e.UpdatedAt = start.Add(time.Second), start.Add(time.Second)
		if diff := cmp.Diff(e, r.row("m")); diff != "" {
			t.Errorf("row (-want +got):\n%s", diff)
		}
		attempts, err := r.Attempts(context.Background(), "m")
		r.must(err)
		want := []store.Attempt{{
			EventID: "m", Number: 1, Owner: "worker-1", StartedAt: start, FinishedAt: start.Add(time.Second),
			Outcome: "sent", Provider: "twilio", ProviderID: "SM1",
		}}
		if diff := cmp.Diff(want, attempts); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
	})
	t.Run("a failure is kept with its code and its words, and was not sent", func(t *testing.T) {
		r := enter(t, open)
		r.want("worker-1", "m", store.Granted)
		r.must(r.settle(store.Settlement{
			ID: "m", Attempt: 1, Owner: "worker-1", Status: store.Failed, ErrorCode: "21211", Error: "invalid number",
		}))
		if e := r.row("m"); e.ErrorCode != "21211" || e.Error != "invalid number" || !e.SentAt.IsZero() {
			t.Errorf("got code %q, error %q, sent at %v", e.ErrorCode, e.Error, e.SentAt)
		}
	})
	t.Run("a released claim is granted again, at once and without doubt", func(t *testing.T) {
		r := enter(t, open)
		r.want("worker-1", "m", store.Granted)
		r.must(r.settle(store.Settlement{ID: "m", Attempt: 1, Owner: "worker-1", Status: store.Scheduled, Error: "drained"}))
		if e := r.want("worker-2", "m", store.Granted); e.Attempts != 2 {
			t.Errorf("got attempt %d, want 2", e.Attempts)
		}
		attempts, err := r.Attempts(context.Background(), "m")
		r.must(err)
		if got := attempts[0]; got.Outcome != "released" || got.Error != "drained" || got.FinishedAt.IsZero() {
			t.Errorf("got outcome %q, error %q, finished at %v", got.Outcome, got.Error, got.FinishedAt)
		}
	})
	fences(t, open)
}

func fences(t *testing.T, open Open) {
	t.Run("who lost the claim changes nothing", func(t *testing.T) {
		r := enter(t, open)
		r.want("worker-1", "m", store.Granted)
		r.Advance(lease)
		owned := r.want("worker-2", "m", store.Doubtful)
		for name, late := range map[string]store.Settlement{
			"an earlier owner":              {ID: "m", Attempt: 1, Owner: "worker-1", Status: store.Failed},
			"an earlier owner, new attempt": {ID: "m", Attempt: 2, Owner: "worker-1", Status: store.Failed},
			"the owner's earlier attempt":   {ID: "m", Attempt: 1, Owner: "worker-2", Status: store.Scheduled},
			"a row that never was":          {ID: "no", Attempt: 1, Owner: "worker-1", Status: store.Sent},
		} {
			if err := r.settle(late); !errors.Is(err, store.ErrLost) {
				t.Errorf("%s: got %v, want %v", name, err, store.ErrLost)
			}
		}
		if diff := cmp.Diff(owned, r.row("m")); diff != "" {
			t.Errorf("row (-want +got):\n%s", diff)
		}
	})
	t.Run("a claim is settled once, in a batch that holds it twice too", func(t *testing.T) {
		r := enter(t, open)
		r.want("worker-1", "m", store.Granted)
		r.want("worker-1", "n", store.Granted)
		one := store.Settlement{ID: "m", Attempt: 1, Owner: "worker-1", Status: store.Sent, ProviderID: "SM1"}
		again, other := one, one
		again.Status, again.ProviderID, other.ID, other.ProviderID = store.Failed, "SM2", "n", "SM3"
		answers, err := r.Settle(context.Background(), []store.Settlement{one, again, other})
		r.must(err)
		if answers[0] != nil || !errors.Is(answers[1], store.ErrLost) || answers[2] != nil {
			t.Errorf("got answers %v, want nil, lost, nil", answers)
		}
		if e := r.row("m"); e.Status != store.Sent || e.ProviderID != "SM1" {
			t.Errorf("got %s under %s, want sent under SM1", e.Status, e.ProviderID)
		}
	})
	t.Run("an owner whose lease lapsed may still settle while nobody claimed", func(t *testing.T) {
		r := enter(t, open)
		e := r.want("worker-1", "m", store.Granted)
		r.Advance(10 * lease)
		r.finish(e, "SM1")
	})
	t.Run("a status that neither ends nor releases is refused, and none of its batch is settled", func(t *testing.T) {
		r := enter(t, open)
		r.want("worker-1", "m", store.Granted)
		for _, status := range []store.Status{store.New, "", "unheard-of"} {
			_, err := r.Settle(context.Background(), []store.Settlement{
				{ID: "m", Attempt: 1, Owner: "worker-1", Status: store.Sent},
				{ID: "m", Attempt: 1, Owner: "worker-1", Status: status},
			})
			if err == nil {
				t.Errorf("status %q: got no error", status)
			}
		}
		r.want("worker-2", "m", store.Busy)
	})
}
