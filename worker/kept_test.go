package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// On a queue without a dead-letter queue nothing that a user gave us vanishes:
// what failed is kept in its row, and a person has it tried again from there.
func TestWithoutADeadLetterQueueWhatFailedIsKeptAndRedriven(t *testing.T) {
	s := newSite(t)
	file := filepath.Join(t.TempDir(), "acs.db")
	t.Setenv("DATABASE_URL", "sqlite:"+file)
	given := attribute.Set{"campaign": attribute.Text("spring")}
	s.put("sms", `{"id":"bad","type":"message_send","to":"+15005550001","body":"one"}`, given) // Twilio's number that is not valid
	s.put("sms", `{"id":"nonsense","type":"message_send","to":"nobody","body":"two"}`)
	s.put("sms", `{"id":"good","type":"message_send","to":"+14155550123","body":"three"}`)
	stop := s.start("run", "--worker-type", "sms")
	defer func() { stop() }()
	s.until("all are off the queue", func() bool { return s.sent("three") && s.left("sms") == 0 })
	db, err := open.Open(t.Context(), "sqlite:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	kept := func() (ids []string) {
		t.Helper()
		events, err := db.Events(context.WithoutCancel(t.Context()), store.Filter{Kept: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		return ids
	}
	if ids := kept(); len(ids) != 2 {
		t.Fatalf("kept: %v", ids)
	}
	var out, errOut written
	if code := run(t.Context(), []string{"redrive", "--rate", "1000"}, strings.NewReader(""), &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errOut)
	}
	if text := out.String(); !strings.Contains(text, "redriven") || !strings.Contains(text, "would not be understood again") {
		t.Errorf("got\n%s", text)
	}
	s.until("it is carried back, refused again, and kept again", func() bool {
		attempts, err := db.Attempts(t.Context(), "bad")
		return err == nil && len(attempts) == 3 && s.left("sms") == 0 && len(kept()) == 2
	})
	if attempts, err := db.Attempts(t.Context(), "bad"); err != nil || attempts[1].Outcome != store.Reopened || attempts[2].Outcome != string(store.Failed) {
		t.Errorf("got %+v, %v", attempts, err)
	}
	if got := attributes(t, file, "bad"); got.Encode() != given.Encode() {
		t.Errorf("it came back with %s", got.Encode().Reveal())
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// attributes are those that a row keeps.
func attributes(t *testing.T, file, id string) attribute.Set {
	t.Helper()
	var text string
	if err := history(t, file).QueryRowContext(t.Context(), `SELECT coalesce(payload_attributes, '') FROM communication_events WHERE id = ?`, id).Scan(&text); err != nil {
		t.Fatal(err)
	}
	kept, err := attribute.Decode(redact.Personal(text))
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// history is the file as its rows are.
func history(t *testing.T, file string) *sql.DB {
	t.Helper()
	rows, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rows.Close() })
	return rows
}

// What a producer gave with a message is its own: it is parked with it, and goes
// back to the queue with it.
func TestAParkedMessageComesBackWithItsProducersAttributes(t *testing.T) {
	s := newSite(t)
	file := filepath.Join(t.TempDir(), "acs.db")
	t.Setenv("DATABASE_URL", "sqlite:"+file)
	given := attribute.Set{"campaign": attribute.Text("spring")}
	s.put("sms", `{"id":"later","type":"message_send","to":"+14155550123","body":"one","not_before":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`"}`, given)
	stop := s.start("run", "--worker-type", "sms")
	defer func() { stop() }()
	parked := func(times int) func() bool {
		return func() bool {
			if s.left("sms") > 0 {
				return false
			}
			db, err := open.Open(t.Context(), "sqlite:"+file)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			tries, err := db.Attempts(t.Context(), "later")
			return err == nil && len(tries) == times && tries[times-1].Outcome == store.ParkedOutcome
		}
	}
	s.until("it is parked", parked(1))
	if _, err := history(t, file).ExecContext(t.Context(), `UPDATE communication_events SET due_at = '2026-01-01T00:00:00.000Z'`); err != nil {
		t.Fatal(err)
	}
	s.until("it has been on its queue, too early, and is parked again", parked(2))
	if got := attributes(t, file, "later"); got.Encode() != given.Encode() {
		t.Errorf("it came back with %s", got.Encode().Reveal())
	}
	if code := stop(); code != 0 || strings.Contains(s.log.String(), "spring") {
		t.Errorf("exit code %d, %s", code, s.log)
	}
}
