package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

func TestOneWorkerOfAllPrunesInEachPeriod(t *testing.T) {
	now := time.Now()
	db, err := open.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "acs.db"), open.WithNow(func() time.Time { return now }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	serial := 0
	old := func(days int) {
		t.Helper()
		serial++
		at := now.Add(-time.Duration(days) * 24 * time.Hour)
		e := store.Event{ID: fmt.Sprintf("%d days, %d", days, serial), Channel: "sms", Type: "message_send", Status: store.Sent, To: "+14155550123", CreatedAt: at, UpdatedAt: at}
		if _, err := db.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	worker := func(name string) *upkeep {
		return &upkeep{
			historyFlags: historyFlags{Rows: 120 * 24 * time.Hour}, every: 24 * time.Hour, retention: func() time.Duration { return 90 * 24 * time.Hour },
			db: db, owner: name, logger: slog.New(slog.DiscardHandler),
		}
	}
	rows := func() (all, named int) {
		t.Helper()
		events, err := db.Events(t.Context(), store.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.To != "" {
				named++
			}
		}
		return len(events), named
	}
	want := func(when string, wantAll, wantNamed int) {
		t.Helper()
		if all, named := rows(); all != wantAll || named != wantNamed {
			t.Errorf("%s: %d rows, %d with addresses; want %d and %d", when, all, named, wantAll, wantNamed)
		}
	}
	old(10)
	old(100)
	old(130)
	worker("a").once(t.Context())
	want("the first of the period", 2, 1)
	old(100)
	worker("a").once(t.Context())
	worker("b").once(t.Context())
	want("others in the same period", 3, 2)
	now = now.Add(25 * time.Hour)
	worker("b").once(t.Context())
	want("the next period", 3, 1)
}

func TestRowsThatAQueueMayStillDeliverAreNotToBePruned(t *testing.T) {
	queue := "http://127.0.0.1:1/123456789012/novaura-acs-sms-events"
	for _, verb := range []string{"run", "prune"} {
		code, _, errOut := worker(t, map[string]string{"SMS_QUEUE_URL": queue, "HISTORY_ROWS": "24h", "AWS_REGION": "us-east-1", "DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "x.db")}, verb)
		if code != 2 {
			t.Errorf("%s: exit code %d, %s", verb, code, errOut)
		}
	}
}
