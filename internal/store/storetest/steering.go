package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/novaura/acs-operator/internal/store"
)

func steering(t *testing.T, open Open) {
	leases(t, open)
	pauses(t, open)
	versions(t, open)
	trails(t, open)
	statuses(t, open)
}

// lead asks for the lease.
func (r room) lead(holder string) {
	r.t.Helper()
	_, err := r.AcquireLeadership(context.Background(), "controller", holder, lease)
	r.must(err)
}

func leases(t *testing.T, open Open) {
	type step struct {
		after  time.Duration // since the step before
		asks   string        // or "-a": a releases
		holder string
		epoch  int64
	}
	for name, steps := range map[string][]step{
		"the first to ask leads, the second is told so": {{0, "a", "a", 1}, {time.Second, "b", "a", 1}},
		"the holder renews in one epoch":                {{0, "a", "a", 1}, {lease / 2, "a", "a", 1}, {lease * 3 / 4, "b", "a", 1}},
		"what lapsed is anyone's, in an epoch of its own": {
			{0, "a", "a", 1}, {lease, "b", "b", 2}, {0, "a", "b", 2},
		},
		"the holder that takes up its own lapsed lease begins an epoch": {{0, "a", "a", 1}, {lease, "a", "a", 2}},
		"what was released is free at once":                             {{0, "a", "a", 1}, {0, "-a", "", 1}, {0, "b", "b", 2}},
		"another's lease cannot be released":                            {{0, "a", "a", 1}, {0, "-b", "a", 1}, {0, "b", "a", 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := enter(t, open)
			for i, s := range steps {
				r.Advance(s.after)
				if s.asks[0] == '-' {
					r.must(r.ReleaseLeadership(context.Background(), "controller", s.asks[1:]))
				} else {
					r.lead(s.asks)
				}
				got, err := r.Leadership(context.Background(), "controller")
				r.must(err)
				if got.Holder != s.holder || got.Epoch != s.epoch {
					t.Fatalf("step %d: got %s in epoch %d, want %s in %d", i, got.Holder, got.Epoch, s.holder, s.epoch)
				}
			}
		})
	}
	leaseRows(t, open)
}

func leaseRows(t *testing.T, open Open) {
	t.Run("the row says since when and for how long", func(t *testing.T) {
		r := enter(t, open)
		r.lead("a")
		r.Advance(lease / 4)
		r.lead("a")
		r.Advance(lease / 4)
		got, err := r.Leadership(context.Background(), "controller")
		r.must(err)
		want := store.Leadership{
			Name: "controller", Holder: "a", Epoch: 1, Since: start, Expires: start.Add(lease * 5 / 4), Left: lease * 3 / 4,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("nobody ever led", func(t *testing.T) {
		r := enter(t, open)
		if _, err := r.Leadership(context.Background(), "controller"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v, want %v", err, store.ErrNotFound)
		}
	})
	t.Run("of many that ask at once, one leads", func(t *testing.T) {
		r := enter(t, open)
		answers := make(chan string, 8)
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			go func() {
				l, err := r.AcquireLeadership(context.Background(), "controller", name, lease)
				if err != nil {
					answers <- err.Error()
					return
				}
				answers <- l.Holder
			}()
		}
		first := <-answers
		for range 7 {
			if next := <-answers; next != first {
				t.Errorf("one was told that %q leads, another %q", first, next)
			}
		}
	})
}

func pauses(t *testing.T, open Open) {
	t.Run("a pause has an end, replaces the one before, and can be ended once", func(t *testing.T) {
		r, ctx := enter(t, open), context.Background()
		order := store.Pause{Policy: "p", Direction: store.PauseIn, Author: "ann", Reason: "deploy"}
		_, err := r.SavePause(ctx, order, time.Hour)
		r.must(err)
		order.Author, order.Direction = "bob", store.PauseBoth
		saved, err := r.SavePause(ctx, order, 2*time.Hour)
		r.must(err)
		order.Since, order.Until = start, start.Add(2*time.Hour)
		got, err := r.Pauses(ctx)
		r.must(err)
		if diff := cmp.Diff([]store.Pause{order}, got); diff != "" || saved != order {
			t.Errorf("(-want +got):\n%s\nsaved %+v", diff, saved)
		}
		for _, want := range []bool{true, false} {
			if ended, err := r.EndPause(ctx, "p"); err != nil || ended != want {
				t.Errorf("ended %v and error %v, want %v", ended, err, want)
			}
		}
	})
	t.Run("a pause whose time is over holds no more", func(t *testing.T) {
		r, ctx := enter(t, open), context.Background()
		_, err := r.SavePause(ctx, store.Pause{Policy: store.EveryPolicy, Direction: store.PauseOut}, time.Minute)
		r.must(err)
		r.Advance(time.Minute)
		if got, err := r.Pauses(ctx); err != nil || len(got) != 0 {
			t.Errorf("got %+v and error %v", got, err)
		}
		if ended, err := r.EndPause(ctx, store.EveryPolicy); err != nil || ended {
			t.Errorf("ended %v and error %v", ended, err)
		}
	})
	t.Run("a direction that is none is refused", func(t *testing.T) {
		r := enter(t, open)
		if _, err := r.SavePause(context.Background(), store.Pause{Policy: "p", Direction: "up"}, time.Minute); err == nil {
			t.Error("got no error")
		}
	})
}

func versions(t *testing.T, open Open) {
	t.Run("generations count the versions of a policy, over restarts", func(t *testing.T) {
		r, ctx := enter(t, open), context.Background()
		for i, tc := range []struct {
			policy, hash string
			want         int64
		}{{"p", "a", 1}, {"p", "a", 1}, {"p", "b", 2}, {"q", "b", 1}, {"p", "a", 3}} {
			got, err := r.AcceptPolicy(ctx, store.PolicyVersion{Policy: tc.policy, Hash: tc.hash, Spec: []byte(`{"is":"` + tc.hash + `"}`)})
			if err != nil || got != tc.want {
				t.Errorf("step %d: got generation %d and error %v, want %d", i, got, err, tc.want)
			}
		}
		got, err := r.PolicyVersion(ctx, "p", 2)
		r.must(err)
		want := store.PolicyVersion{Policy: "p", Generation: 2, Hash: "b", Spec: []byte(`{"is":"b"}`), AcceptedAt: start}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if _, err := r.PolicyVersion(ctx, "p", 9); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v, want %v", err, store.ErrNotFound)
		}
	})
}

func trails(t *testing.T, open Open) {
	t.Run("the trail has every tick that folded, oldest first", func(t *testing.T) {
		r, ctx := enter(t, open), context.Background()
		for _, seconds := range []int{0, 15, 30, 60, 120} {
			d := tick(seconds)
			d.Tick = []byte(`{"at":` + d.Time.Format("5") + `}`)
			r.must(r.SaveDecision(ctx, d))
		}
		got, err := r.Trail(ctx, "p", start.Add(20*time.Second), start.Add(time.Minute), 10)
		r.must(err)
		first, second := tick(0), tick(60)
		first.LastTime, first.Count, first.Folded = start.Add(30*time.Second), 3, []byte("{\"at\":15}\n{\"at\":30}\n")
		second.LastTime, second.Count = second.Time, 1
		if diff := cmp.Diff([]store.Decision{first, second}, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	snapshots(t, open)
}

func snapshots(t *testing.T, open Open) {
	t.Run("the snapshot before a time is the newest that is not after it", func(t *testing.T) {
		r, ctx := enter(t, open), context.Background()
		for i, state := range []string{`{"n": 0}`, `{"n":1}`} {
			r.must(r.SaveSnapshot(ctx, store.Snapshot{
				Policy: "p", Time: start.Add(time.Duration(i) * time.Hour), Generation: int64(i), State: []byte(state),
			}))
		}
		got, err := r.SnapshotBefore(ctx, "p", start.Add(59*time.Minute))
		if err != nil || string(got.State) != `{"n": 0}` || !got.Time.Equal(start) {
			t.Errorf("got %+v and error %v", got, err)
		}
		if got, err = r.SnapshotBefore(ctx, "p", start.Add(time.Hour)); err != nil || got.Generation != 1 {
			t.Errorf("got %+v and error %v", got, err)
		}
		if _, err = r.SnapshotBefore(ctx, "p", start.Add(-time.Second)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v, want %v", err, store.ErrNotFound)
		}
	})
	controllerPruning(t, open)
}

func controllerPruning(t *testing.T, open Open) {
	t.Run("what is old goes in small batches, and snapshots later", func(t *testing.T) {
		r, ctx := enter(t, open), context.Background()
		for _, minutes := range []int{0, 1, 2, 200} {
			r.must(r.SaveDecision(ctx, tick(60*minutes)))
			r.must(r.SaveSnapshot(ctx, store.Snapshot{Policy: "p", Time: start.Add(time.Duration(minutes) * time.Minute), State: []byte(`{}`)}))
		}
		for i, want := range []int64{2, 1, 0} {
			if got, err := r.PruneController(ctx, start.Add(time.Hour), 2); err != nil || got != want {
				t.Errorf("batch %d: got %d rows and error %v, want %d", i, got, err, want)
			}
		}
		if got, err := r.PruneController(ctx, start.Add(time.Hour+store.SnapshotsOutlive), 10); err != nil || got != 3 {
			t.Errorf("got %d snapshots and error %v, want 3", got, err)
		}
		if got, err := r.Decisions(ctx, store.DecisionFilter{Policy: "p", Limit: 10}); err != nil || len(got) != 1 {
			t.Errorf("%d decisions are left and error %v, want the newest", len(got), err)
		}
	})
}

func statuses(t *testing.T, open Open) {
	t.Run("a status is the last that was saved, until its policy is gone", func(t *testing.T) {
		r, ctx := enter(t, open), context.Background()
		for policy, status := range map[string]string{"q": `{}`, "p": `{"a":1}`} {
			r.must(r.SaveStatus(ctx, policy, []byte(status)))
		}
		r.Advance(time.Second)
		r.must(r.SaveStatus(ctx, "p", []byte(`{"a":2}`)))
		r.must(r.RetainStatuses(ctx, []string{"p"}))
		want := []store.PolicyStatus{{Policy: "p", UpdatedAt: start.Add(time.Second), Status: []byte(`{"a":2}`)}}
		got, err := r.Statuses(ctx)
		r.must(err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		r.must(r.RetainStatuses(ctx, nil))
		if got, err := r.Statuses(ctx); err != nil || len(got) != 0 {
			t.Errorf("got %+v and error %v, want none", got, err)
		}
	})
}
