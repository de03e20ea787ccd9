package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/internal/store"
)

// reported is a report with something in each of its parts.
func reported(worker, queue string) store.Report {
	return store.Report{
		Worker: worker, Queue: queue, Channel: "sms", Window: time.Minute, Received: 40, Processed: 30, Failed: 20, Retried: 10,
		BusySeconds: 12.5, SlotSeconds: 960, OldestInWork: 90 * time.Second, PolicyHash: "abc",
		Providers: []store.ProviderReport{{
			Provider: "twilio", Calls: 140, Failed: 137, Mean: 150 * time.Millisecond, OpenedAt: start, FailedAt: start.Add(-time.Minute),
			Failures: []store.Failure{{Class: "in doubt", Code: "20500", HTTPStatus: 500, Count: 137, Message: "see the docs", ProviderFault: true}},
		}},
		Claims: store.ClaimReport{Calls: 9, Failed: 1, Mean: time.Millisecond, Error: "disk full", FailedAt: start},
	}
}

func reports(t *testing.T, open Open) {
	ctx := context.Background()
	list := func(r room, within time.Duration) []store.Report {
		found, err := r.Reports(ctx, within)
		r.must(err)
		return found
	}
	t.Run("reports of many queues are saved at once, and listed by queue and worker with the database's time", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.SaveReports(ctx, []store.Report{reported("w2", "b"), reported("w2", "a")}))
		r.Advance(time.Second)
		r.must(r.SaveReports(ctx, []store.Report{reported("w1", "b")}))
		at := func(report store.Report, after time.Duration) store.Report {
			report.Time = start.Add(after)
			return report
		}
		want := []store.Report{at(reported("w2", "a"), 0), at(reported("w1", "b"), time.Second), at(reported("w2", "b"), 0)}
		if diff := cmp.Diff(want, list(r, time.Minute)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a worker's report replaces the one before, however old that is", func(t *testing.T) {
		for _, pause := range []time.Duration{5 * time.Second, 2 * store.ReportRetention} {
			r := enter(t, open)
			r.must(r.SaveReports(ctx, []store.Report{reported("w1", "a")}))
			r.Advance(pause)
			next := reported("w1", "a")
			next.Processed = 77
			r.must(r.SaveReports(ctx, []store.Report{next}))
			if got := list(r, time.Minute); len(got) != 1 || got[0].Processed != 77 || !got[0].Time.Equal(r.Now()) {
				t.Errorf("after %s: got %+v", pause, got)
			}
		}
	})
	t.Run("reports that are too old are not listed, and those of workers that are long gone are dropped", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.SaveReports(ctx, []store.Report{reported("gone", "a")}))
		r.Advance(3 * time.Minute)
		if got := list(r, 2*time.Minute); len(got) != 0 {
			t.Errorf("got %+v", got)
		}
		if got := list(r, time.Hour); len(got) != 1 {
			t.Errorf("got %+v, want the one", got)
		}
		r.Advance(store.ReportRetention)
		r.must(r.SaveReports(ctx, []store.Report{reported("w1", "a")}))
		if got := list(r, 24*time.Hour); len(got) != 1 || got[0].Worker != "w1" {
			t.Errorf("got %+v, want that of w1 alone", got)
		}
	})
	t.Run("no reports are saved without an error", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.SaveReports(ctx, nil))
	})
	t.Run("a store that works is writable and undamaged, and stays as it is", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.Writable(ctx))
		r.must(r.Verify(ctx))
		r.must(r.Ready(ctx))
	})
}
