package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// On a queue without a dead-letter queue nothing that a user gave us vanishes:
// what failed is kept in its row, and a person has it tried again from there.
func TestWithoutADeadLetterQueueWhatFailedIsKeptAndRedriven(t *testing.T) {
	s := newSite(t)
	file := filepath.Join(t.TempDir(), "acs.db")
	t.Setenv("DATABASE_URL", "sqlite:"+file)
	s.put("sms", `{"id":"bad","type":"message_send","to":"+15005550001","body":"one"}`) // Twilio's number that is not valid
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
	if code := stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
