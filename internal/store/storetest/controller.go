package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/internal/store"
)

func controller(t *testing.T, open Open) {
	decisions(t, open)
	states(t, open)
	notices(t, open)
	t.Run("a migrated store is ready, and migrating again changes nothing", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.Ready(context.Background()))
		first, err := r.Migrate(context.Background())
		r.must(err)
		if second, err := r.Migrate(context.Background()); err != nil || first != second || first < 1 {
			t.Errorf("got versions %d and %d and error %v", first, second, err)
		}
	})
}

// tick is an unchanged decision, so many seconds after the start.
func tick(seconds int) store.Decision {
	return store.Decision{
		Policy: "p", Time: start.Add(time.Duration(seconds) * time.Second), Desired: 3, Current: 3, LimitedBy: "behavior",
		Reason: "steady", Record: []byte(`{"b": 1, "a": 2}`),
	}
}

func decisions(t *testing.T, open Open) {
	change := func(edit func(*store.Decision)) store.Decision {
		d := tick(15)
		edit(&d)
		return d
	}
	for name, tc := range map[string]struct {
		then store.Decision
		rows int
	}{
		"an equal tick of the same minute folds":  {tick(59), 1},
		"other words alone fold":                  {change(func(d *store.Decision) { d.Reason = "still steady" }), 1},
		"the next minute is a row of its own":     {tick(60), 2},
		"another desired count is a row":          {change(func(d *store.Decision) { d.Desired = 4 }), 2},
		"another current count is a row":          {change(func(d *store.Decision) { d.Current = 2 }), 2},
		"another limit is a row":                  {change(func(d *store.Decision) { d.LimitedBy = "maxTasks" }), 2},
		"a decision that changed a count is one":  {change(func(d *store.Decision) { d.Changed = true }), 2},
		"another policy's decision is its own":    {change(func(d *store.Decision) { d.Policy = "q" }), 1},
		"an older minute that comes late is kept": {tick(-60), 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := enter(t, open)
			r.must(r.SaveDecision(context.Background(), tick(0)))
			r.must(r.SaveDecision(context.Background(), tc.then))
			got, err := r.Decisions(context.Background(), store.DecisionFilter{Policy: "p", Limit: 10})
			r.must(err)
			if len(got) != tc.rows {
				t.Errorf("got %d rows, want %d: %+v", len(got), tc.rows, got)
			}
		})
	}
	t.Run("a folded row has the first tick's time and record, the last one's time, and the count", func(t *testing.T) {
		r := enter(t, open)
		for _, at := range []int{0, 15, 30} {
			r.must(r.SaveDecision(context.Background(), tick(at)))
		}
		want := tick(0)
		want.LastTime, want.Count = tick(30).Time, 3
		got, err := r.Decisions(context.Background(), store.DecisionFilter{Policy: "p", Since: start, Limit: 10})
		r.must(err)
		if diff := cmp.Diff([]store.Decision{want}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("after a change nothing folds into it, and lists are newest first, since a time, within a limit", func(t *testing.T) {
		r, changed := enter(t, open), tick(0)
		changed.Changed, changed.Record = true, nil
		for _, d := range []store.Decision{changed, tick(15), tick(60), tick(120)} {
			r.must(r.SaveDecision(context.Background(), d))
		}
		got, err := r.Decisions(context.Background(), store.DecisionFilter{Policy: "p", Since: tick(15).Time, Limit: 2})
		r.must(err)
		if len(got) != 2 || !got[0].Time.Equal(tick(120).Time) || !got[1].Time.Equal(tick(60).Time) {
			t.Errorf("got %+v, want the ticks of 120 s and 60 s", got)
		}
		got, err = r.Decisions(context.Background(), store.DecisionFilter{Policy: "p", Since: start, Limit: 10})
		r.must(err)
		if len(got) != 4 || !got[3].Changed || got[3].Record != nil {
			t.Errorf("got %d rows, the oldest %+v", len(got), got[len(got)-1])
		}
		got, err = r.Decisions(context.Background(), store.DecisionFilter{Policy: "p", Changed: true, Limit: 1})
		r.must(err)
		if len(got) != 1 || !got[0].Time.Equal(changed.Time) {
			t.Errorf("changes alone: got %+v, want the first tick", got)
		}
	})
}

func states(t *testing.T, open Open) {
	t.Run("a state reads byte for byte as it was saved last, each policy's its own", func(t *testing.T) {
		r := enter(t, open)
		for _, state := range []string{`{"z": 1,  "a": [0.1]}`, `{"z":2}`} {
			r.must(r.SaveState(context.Background(), "p", []byte(state)))
			r.must(r.SaveState(context.Background(), "q", []byte(`{}`)))
			if got, err := r.LoadState(context.Background(), "p"); err != nil || string(got) != state {
				t.Errorf("got %s and error %v, want %s", got, err, state)
			}
		}
	})
	t.Run("a state that was never saved is not found", func(t *testing.T) {
		r := enter(t, open)
		if _, err := r.LoadState(context.Background(), "p"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v, want %v", err, store.ErrNotFound)
		}
	})
	t.Run("what is not JSON is no state", func(t *testing.T) {
		r, broken := enter(t, open), []byte(`{"half":`)
		if json.Valid(broken) || r.SaveState(context.Background(), "p", broken) == nil {
			t.Error("got no error")
		}
	})
}

func notices(t *testing.T, open Open) {
	notice := func(message string, minutes int) store.Notice {
		at := start.Add(time.Duration(minutes) * time.Minute)
		return store.Notice{Policy: "p", Type: "Warning", Reason: "StaleMetrics", Message: message, FirstTime: at, LastTime: at}
	}
	t.Run("an equal notice within an hour of the last is counted, and newest come first", func(t *testing.T) {
		r := enter(t, open)
		for _, n := range []store.Notice{notice("a", 0), notice("b", 1), notice("a", 50), notice("a", 100)} {
			r.must(r.SaveNotice(context.Background(), n))
		}
		want := []store.Notice{notice("a", 0), notice("b", 1)}
		want[0].Count, want[0].LastTime, want[1].Count = 3, start.Add(100*time.Minute), 1
		got, err := r.Notices(context.Background(), 10)
		r.must(err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got, err := r.Notices(context.Background(), 1); err != nil || len(got) != 1 || got[0].Message != "a" {
			t.Errorf("limit 1: got %+v and error %v", got, err)
		}
	})
	t.Run("an hour later it is a notice of its own, as is another policy's or reason's", func(t *testing.T) {
		r, other, reason := enter(t, open), notice("a", 0), notice("a", 0)
		other.Policy, reason.Reason = "q", "Throttled"
		for _, n := range []store.Notice{notice("a", 0), other, reason, notice("a", 60)} {
			r.must(r.SaveNotice(context.Background(), n))
		}
		if got, err := r.Notices(context.Background(), 10); err != nil || len(got) != 4 {
			t.Errorf("got %d rows and error %v, want 4", len(got), err)
		}
	})
}
