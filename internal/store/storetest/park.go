package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/internal/store"
)

const (
	queue   = "novaura-acs-sms-events"
	carries = 30 * time.Second // how long the tests' leasers have
)

// park claims id and parks it.
func (r room) park(id string, status store.Status, after time.Duration) {
	r.t.Helper()
	e := r.claim("worker-1", message(id)).Event
	r.must(r.settle(store.Settlement{
		ID: id, Attempt: e.Attempts, Owner: "worker-1", Status: status,
		Park: &store.Parked{Body: "body of it", Attributes: "its attributes", GroupID: "tenant", After: after},
	}))
}

// due leases what is due.
func (r room) due() []store.Due {
	r.t.Helper()
	due, err := r.LeaseDue(context.Background(), []string{queue}, carries, 10)
	r.must(err)
	return due
}

func parking(t *testing.T, open Open) {
	ctx := context.Background()
	t.Run("a parked message is leased when it is due, by one, on its queue alone, with all that its copy needs", func(t *testing.T) {
		r := enter(t, open)
		r.park("m", store.Scheduled, time.Minute)
		if e := r.row("m"); e.Status != store.Scheduled || !e.DueAt.Equal(start.Add(time.Minute)) {
			t.Errorf("got status %s, due %v", e.Status, e.DueAt)
		}
		if due := r.due(); len(due) != 0 {
			t.Errorf("before it is due: got %v", due)
		}
		r.Advance(time.Minute)
		if due, err := r.LeaseDue(ctx, []string{"another"}, carries, 10); err != nil || len(due) != 0 {
			t.Errorf("another queue: got %v and error %v", due, err)
		}
		want := []store.Due{{ID: "m", Queue: queue, Body: "body of it", Attributes: "its attributes", GroupID: "tenant", Until: r.Now().Add(carries)}}
		if diff := cmp.Diff(want, r.due()); diff != "" {
			t.Errorf("due (-want +got):\n%s", diff)
		}
		if due := r.due(); len(due) != 0 {
			t.Errorf("leased twice: %v", due)
		}
		r.Advance(carries) // its leaser has died
		due := r.due()
		if len(due) != 1 {
			t.Fatalf("after the lease: got %v", due)
		}
		r.must(r.Unpark(ctx, want)) // the dead one's word comes late
		if e := r.row("m"); e.DueAt.IsZero() {
			t.Error("the late word of a lapsed lease counted")
		}
		r.must(r.Unpark(ctx, due))
		if e := r.row("m"); !e.DueAt.IsZero() || e.Status != store.Scheduled {
			t.Errorf("got status %s, due %v, want scheduled, and on its queue", e.Status, e.DueAt)
		}
		r.want("worker-2", "m", store.Granted)
		r.must(r.Park(ctx, "m", "hash-m", store.Parked{Body: "b"}))
		r.Advance(lease)
		if due := r.due(); len(due) != 1 || due[0].Attributes != "" {
			t.Errorf("parked again without attributes: got %+v", due)
		}
	})
	parkedDoubts(t, open)
	copies(t, open)
	pointers(t, open)
}

// pointers are what goes to a queue for a message that has no room for its key: the
// row keeps it until it has ended.
func pointers(t *testing.T, open Open) {
	ctx := context.Background()
	whole := store.Parked{Body: "body of it", Attributes: "its attributes", GroupID: "tenant"}
	pointed := func(t *testing.T) room {
		r := enter(t, open)
		r.park("m", store.Scheduled, 0)
		due := r.due()
		due[0].Points = true
		r.must(r.Unpark(ctx, due))
		return r
	}
	kept := func(r room) (store.Parked, error) { return r.Kept(ctx, "m") }
	t.Run("a row keeps what a queue only has a pointer to, and is due no more", func(t *testing.T) {
		r := pointed(t)
		r.Advance(time.Hour)
		got, err := kept(r)
		if diff := cmp.Diff(whole, got); err != nil || diff != "" || len(r.due()) != 0 || !r.row("m").DueAt.IsZero() {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if listed, err := r.Events(ctx, store.Filter{Kept: true}); err != nil || len(listed) != 0 {
			t.Errorf("it is said to have failed: %v, %v", listed, err)
		}
		e := r.want("worker-1", "m", store.Granted)
		r.must(r.settle(store.Settlement{ID: "m", Attempt: e.Attempts, Owner: "worker-1", Status: store.Scheduled}))
		if got, err := kept(r); err != nil || got != whole {
			t.Errorf("after a release: %+v, %v", got, err)
		}
		if _, err := r.Kept(ctx, "nobody"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("of nobody: %v", err)
		}
	})
	t.Run("it keeps it no more when it was sent", func(t *testing.T) {
		r := pointed(t)
		r.finish(r.want("worker-1", "m", store.Granted), "SM1")
		if got, err := kept(r); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	for _, status := range []store.Status{store.Failed, store.InDoubt} {
		t.Run("what is "+string(status)+" is kept on for its dead letter, and is due when a person has it tried again", func(t *testing.T) {
			r := pointed(t)
			e := r.want("worker-1", "m", store.Granted)
			r.must(r.settle(store.Settlement{ID: "m", Attempt: e.Attempts, Owner: "worker-1", Status: status, Keep: true}))
			if got, err := kept(r); err != nil || got != whole {
				t.Errorf("got %+v, %v", got, err)
			}
			if listed, err := r.Events(ctx, store.Filter{Kept: true}); err != nil || len(listed) != 1 {
				t.Errorf("listed %v, %v", listed, err)
			}
			r.must(r.Resolve(ctx, store.Resolution{ID: "m", From: status, By: "ann"}))
			if due := r.due(); len(due) != 1 || due[0].Body != whole.Body || due[0].Attributes != whole.Attributes {
				t.Errorf("due: %v", due)
			}
		})
	}
	t.Run("a person who is forgotten ends it", func(t *testing.T) {
		r := pointed(t)
		if n, err := r.Forget(ctx, message("m").To); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if got, err := kept(r); !errors.Is(err, store.ErrNotFound) || r.row("m").Status != store.Suppressed {
			t.Errorf("got %+v, %v, status %s", got, err, r.row("m").Status)
		}
	})
}

func parkedDoubts(t *testing.T, open Open) {
	ctx := context.Background()
	t.Run("a doubt that is parked stays a doubt", func(t *testing.T) {
		r := enter(t, open)
		r.park("m", store.Processing, time.Second)
		r.Advance(time.Second)
		if due := r.due(); len(due) != 1 {
			t.Fatalf("got %v", due)
		}
		r.want("worker-2", "m", store.Doubtful)
	})
	t.Run("a doubt that is handed back is doubtful at once, and its attempt has ended", func(t *testing.T) {
		r := enter(t, open)
		e := r.want("worker-1", "m", store.Granted)
		r.must(r.settle(store.Settlement{ID: "m", Attempt: e.Attempts, Owner: "worker-1", Status: store.Processing}))
		attempts, err := r.Attempts(ctx, "m")
		r.must(err)
		if attempts[0].FinishedAt.IsZero() || attempts[0].Outcome != store.Unresolved {
			t.Errorf("got %+v", attempts[0])
		}
		r.want("worker-2", "m", store.Doubtful)
	})
}

func copies(t *testing.T, open Open) {
	ctx := context.Background()
	t.Run("whoever owns a message, anyone may park a copy, which waits for the claim's end", func(t *testing.T) {
		r := enter(t, open)
		e := r.want("worker-1", "m", store.Granted)
		r.must(r.Park(ctx, "m", "hash-m", store.Parked{Body: "b", Attributes: "a", After: time.Second}))
		r.Advance(2 * time.Second)
		if due := r.due(); len(due) != 0 {
			t.Errorf("under a claim: got %v", due)
		}
		r.must(r.settle(store.Settlement{ID: "m", Attempt: e.Attempts, Owner: "worker-1", Status: store.Scheduled}))
		if due := r.due(); len(due) != 1 || due[0].Attributes != "a" {
			t.Errorf("released: got %v, want the copy to outlive a release", due)
		}
	})
	t.Run("the end of a message ends what is parked of it, and nothing is parked after", func(t *testing.T) {
		r := enter(t, open)
		e := r.want("worker-1", "m", store.Granted)
		r.must(r.Park(ctx, "m", "hash-m", store.Parked{Body: "b"}))
		r.finish(e, "SM1")
		r.Advance(time.Hour)
		if due := r.due(); len(due) != 0 || !r.row("m").DueAt.IsZero() {
			t.Errorf("got %v", due)
		}
		for id, hash := range map[string]string{"m": "hash-m", "nobody": "hash-m"} {
			if err := r.Park(ctx, id, hash, store.Parked{Body: "b"}); !errors.Is(err, store.ErrLost) {
				t.Errorf("park %s: got %v, want %v", id, err, store.ErrLost)
			}
		}
	})
	t.Run("what is due within a time is counted by queue", func(t *testing.T) {
		r := enter(t, open)
		r.park("a", store.Scheduled, time.Minute)
		r.park("b", store.Scheduled, 3*time.Minute)
		got, err := r.CountDue(ctx, 2*time.Minute)
		r.must(err)
		if diff := cmp.Diff(map[string]int{queue: 1}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a settlement that ends a message parks nothing", func(t *testing.T) {
		r := enter(t, open)
		_, err := r.Settle(ctx, []store.Settlement{{ID: "m", Status: store.Sent, Park: &store.Parked{Body: "b"}}})
		if err == nil {
			t.Error("got no error")
		}
	})
}

func doubts(t *testing.T, open Open) {
	ctx := context.Background()
	t.Run("of two events one alone is settled with a provider's message", func(t *testing.T) {
		r := enter(t, open)
		a, b := r.want("worker-1", "a", store.Granted), r.want("worker-2", "b", store.Granted)
		exclusive := func(e store.Event) error {
			return r.settle(store.Settlement{
				ID: e.ID, Attempt: e.Attempts, Owner: e.Owner, Status: store.Sent, Provider: "twilio", ProviderID: "SM1", Exclusive: true,
			})
		}
		r.must(exclusive(a))
		if err := exclusive(b); !errors.Is(err, store.ErrTaken) {
			t.Errorf("the second: got %v, want %v", err, store.ErrTaken)
		}
		if err := exclusive(a); err != nil {
			t.Errorf("the first again, whose answer was lost: got %v", err)
		}
		if e := r.row("b"); e.Status != store.Processing {
			t.Errorf("the second is %s", e.Status)
		}
	})
	t.Run("a rival is another event to the same person whose claim holds and began before", func(t *testing.T) {
		r := enter(t, open)
		r.want("worker-1", "a", store.Granted)
		ask := func(id string, before time.Time) bool {
			found, err := r.Rival(ctx, store.Rivalry{EventID: id, Channel: "sms", To: message("a").To, Before: before})
			r.must(err)
			return found
		}
		if !ask("b", start.Add(time.Second)) {
			t.Error("a claim that holds is no rival")
		}
		if ask("a", start.Add(time.Second)) || ask("b", start) {
			t.Error("one's own claim, or a later one, is a rival")
		}
		r.Advance(lease)
		if ask("b", r.Now()) {
			t.Error("a lapsed claim is a rival")
		}
	})
	namedReports(t, open)
}

func namedReports(t *testing.T, open Open) {
	ctx := context.Background()
	t.Run("a report that names our id settles what is in doubt or was abandoned, not what is worked on or has another message", func(t *testing.T) {
		r := enter(t, open)
		report := func(id, sid string) error {
			return r.UpdateStatus(ctx, store.StatusUpdate{EventID: id, ProviderID: sid, Provider: "twilio", Status: store.Delivered})
		}
		r.record(store.Event{ID: "doubt", Channel: "sms", Status: store.InDoubt})
		r.must(report("doubt", "SM1"))
		r.want("worker-1", "owned", store.Granted)
		if err := report("owned", "SM2"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a live claim: got %v", err)
		}
		r.Advance(lease)
		r.must(report("owned", "SM2"))
		if err := report("owned", "SM3"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("another message: got %v", err)
		}
		for id, sid := range map[string]string{"doubt": "SM1", "owned": "SM2"} {
			if e := r.row(id); e.Status != store.Delivered || e.ProviderID != sid || e.SentAt.IsZero() || e.Provider != "twilio" {
				t.Errorf("%s: got %s, %s, sent at %v", id, e.Status, e.ProviderID, e.SentAt)
			}
		}
	})
}

// What a row keeps of its message may be personal: it goes, attributes and all,
// when nobody needs it any more.
func forgetting(t *testing.T, open Open) {
	ctx := context.Background()
	keep := store.Parked{Body: "body", Attributes: " and attributes"}
	doubt := func(r room) {
		r.record(store.Event{ID: "m", Channel: "sms", Status: store.InDoubt, To: someone, Queue: queue})
	}
	for name, tc := range map[string]struct {
		before func(room) // the row is there, and keeps nothing
		end    func(room)
	}{
		"settled": {
			func(r room) { r.want("worker-1", "m", store.Granted) },
			func(r room) { r.finish(r.row("m"), "SM1") },
		},
		"back on its queue": {
			func(r room) { r.record(store.Event{ID: "m", Status: store.New, Queue: queue, PayloadHash: "hash-m"}) },
			func(r room) { r.must(r.Unpark(ctx, r.due())) },
		},
		"reported on": {doubt, func(r room) {
			r.must(r.UpdateStatus(ctx, store.StatusUpdate{EventID: "m", ProviderID: "SM1", Status: store.Delivered}))
		}},
		"said to be sent": {doubt, func(r room) {
			r.must(r.Resolve(ctx, store.Resolution{ID: "m", From: store.InDoubt, Sent: true, By: "ann"}))
		}},
		"old": {doubt, func(r room) {
			got, err := r.Prune(ctx, store.Pruning{Addresses: start.Add(time.Hour), Rows: start, Limit: 10})
			if r.must(err); got.Erased != 1 {
				r.t.Errorf("%d erased", got.Erased)
			}
		}},
		"of a person who is forgotten": {doubt, func(r room) { _, err := r.Forget(ctx, someone); r.must(err) }},
	} {
		t.Run("a row keeps nothing of a message that is "+name, func(t *testing.T) {
			r := enter(t, open)
			tc.before(r)
			if err := r.Park(ctx, "m", "hash-m", keep); err != nil {
				r.must(r.Keep(ctx, "m", keep))
			}
			if got := r.peek("m"); got != "body and attributes" {
				t.Fatalf("before: %q", got)
			}
			if tc.end(r); r.peek("m") != "" {
				t.Errorf("it keeps %q", r.peek("m"))
			}
		})
	}
}

func (r room) peek(id string) string {
	r.t.Helper()
	peeker, ok := r.Store.(Peeker)
	if !ok {
		r.t.Fatal("the engine is no Peeker")
	}
	kept, err := peeker.Peek(context.Background(), id)
	r.must(err)
	return kept
}
