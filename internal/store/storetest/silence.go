package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/internal/store"
)

func silences(t *testing.T, open Open) {
	silence := func(id string, hours int) store.Silence {
		return store.Silence{
			ID: id, Matchers: []byte(`[{"label": "queue"}]`), StartsAt: start, EndsAt: start.Add(time.Duration(hours) * time.Hour), Author: "ann", Comment: "moving",
		}
	}
	t.Run("silences are listed while they last, those that end first first", func(t *testing.T) {
		r := enter(t, open)
		for _, s := range []store.Silence{silence("b", 3), silence("a", 2), silence("c", 1)} {
			r.must(r.SaveSilence(context.Background(), s))
		}
		got, err := r.Silences(context.Background(), start.Add(time.Hour))
		r.must(err)
		if diff := cmp.Diff([]store.Silence{silence("a", 2), silence("b", 3)}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a silence is replaced by one of its id", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.SaveSilence(context.Background(), silence("a", 2)))
		r.must(r.SaveSilence(context.Background(), silence("a", 5)))
		got, err := r.Silences(context.Background(), start)
		r.must(err)
		if diff := cmp.Diff([]store.Silence{silence("a", 5)}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a silence is ended once", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.SaveSilence(context.Background(), silence("a", 2)))
		for _, want := range []bool{true, false} {
			if ended, err := r.EndSilence(context.Background(), "a", start.Add(time.Minute)); err != nil || ended != want {
				t.Errorf("got %v and error %v, want %v", ended, err, want)
			}
		}
		if ended, err := r.EndSilence(context.Background(), "nobody", start); err != nil || ended {
			t.Errorf("got %v and error %v", ended, err)
		}
		if got, err := r.Silences(context.Background(), start.Add(time.Minute)); err != nil || len(got) != 0 {
			t.Errorf("got %v and error %v", got, err)
		}
	})
}
