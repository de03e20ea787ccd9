package main

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/postgres/pgtest"
)

// A claim holds whose answer the database never gave, and nothing was sent under
// it. When the database answers again it is given back: the message is sent at its
// next receive, while the claim would have held for long, and no provider is asked.
func TestAClaimWhoseAnswerNeverCameIsGivenBackWhenTheDatabaseAnswersAgain(t *testing.T) {
	s := newSite(t)
	between := pgtest.NewCutter(t, "tcp", "127.0.0.1:"+os.Getenv("DB_PORT"))
	t.Setenv("DB_PORT", strconv.Itoa(between.Port))
	const asked = 3 // how often a worker asks again at once
	var lost atomic.Int64
	between.Lose(func(query []byte) bool { // of the claim, with its content, and not of the settlement
		return bytes.Contains(query, []byte(`"id":"unheard","channel"`)) && lost.Add(1) <= asked
	})
	s.put("sms", `{"id":"unheard","type":"message_send","to":"+14155550123","body":"one"}`)
	began := time.Now()
	stop := s.start("run", "--worker-type", "sms", "--lease", "10m")
	defer stop()
	s.until("the text is sent", func() bool { return s.sent("one") && s.left("sms") == 0 })
	if took := time.Since(began); lost.Load() <= asked || took > 5*time.Minute {
		t.Errorf("%d answers were to be lost, and it took %s", lost.Load(), took)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	config := s.db.Config()
	config.Database = "acs"
	db, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(t.Context())) }()
	rows, err := db.Query(t.Context(), `SELECT outcome || ' ' || error_code FROM communication_attempts WHERE event_id = 'unheard' ORDER BY attempt`)
	if err != nil {
		t.Fatal(err)
	}
	tries, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if got, want := strings.Join(tries, ", "), store.Released+" store, sent "; err != nil || got != want {
		t.Errorf("its attempts: %q, %v; want %q", got, err, want)
	}
	if got := s.texts.Stats(); got.Accepted != 1 {
		t.Errorf("%d texts were accepted", got.Accepted)
	}
}
