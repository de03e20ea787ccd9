package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/sqlite"
)

// keep opens a store for a test.
func keep(t *testing.T) store.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "acs.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// nextMillisecond parts two ticks: records have milliseconds.
func nextMillisecond() {
	for now := time.Now().Truncate(time.Millisecond); !time.Now().Truncate(time.Millisecond).After(now); {
		runtime.Gosched()
	}
}

func TestARecordedDecisionIsReplayedFromTheNearestSnapshot(t *testing.T) {
	db, w := keep(t), &world{desired: 1}
	leader := NewLeader(db, "a", logger)
	leader.renew(t.Context())
	loop := New(Options{Services: w, Metrics: w, Memory: db, Leader: leader, Logger: logger})
	loop.Apply([]*config.ScalingPolicy{policy(t)})
	r := loop.runners["test"]
	for _, waiting := range []float64{5000, 5000, 200_000, 200_000, 300, 0, 0, 0, 900_000} {
		w.set(w.count(), waiting)
		w.writeErr = nil
		if waiting == 200_000 {
			w.writeErr = errors.New("throttled") // its state is not taken
		}
		nextMillisecond()
		r.tick(t.Context())
	}
	rows, err := db.Trail(t.Context(), "test", time.Time{}, time.Now(), 100)
	if err != nil || len(rows) == 0 {
		t.Fatal(rows, err)
	}
	ticks := 0
	for _, row := range rows {
		var record Record
		if err := json.Unmarshal(row.Record, &record); err != nil {
			t.Fatal(err)
		}
		got, err := Replay(t.Context(), db, "test", record.Observation.Time)
		if err != nil || !got.Same {
			t.Fatalf("replay of %s: same %v, error %v", row.Time, got.Same, err)
		}
		if diff := cmp.Diff(record.Decision, got.Decision); diff != "" {
			t.Errorf("replay of %s (-recorded +replayed):\n%s", row.Time, diff)
		}
		ticks += row.Count
	}
	last, err := Replay(t.Context(), db, "test", time.Now())
	if err != nil || !last.Same || last.Ticks != ticks || ticks != 9 {
		t.Errorf("replay of all: %d of %d ticks, same %v, error %v", last.Ticks, ticks, last.Same, err)
	}
}

func TestAReplayThatComesToAnotherStateSaysSo(t *testing.T) {
	t.Parallel()
	db := keep(t)
	ctx, now := context.Background(), time.Now().UTC().Truncate(time.Millisecond)
	spec, err := json.Marshal(policy(t).Spec)
	if err != nil {
		t.Fatal(err)
	}
	record, err := json.Marshal(Record{Tick: Tick{Observation: scaling.Observation{Time: now}, StateHash: "another"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.AcceptPolicy(ctx, store.PolicyVersion{Policy: "test", Hash: "h", Spec: spec}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.SaveSnapshot(ctx, store.Snapshot{Policy: "test", Time: now, Generation: 1, State: []byte(`{}`)}),
		db.SaveDecision(ctx, store.Decision{Policy: "test", Time: now, LastTime: now, Record: record})); err != nil {
		t.Fatal(err)
	}
	got, err := Replay(ctx, db, "test", now)
	if err != nil || got.Same || got.Ticks != 1 {
		t.Errorf("got %+v and error %v", got, err)
	}
	if _, err := Replay(ctx, db, "test", now.Add(-time.Hour)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("before the first snapshot: %v", err)
	}
}
