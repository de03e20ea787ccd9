package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/storetest"
)

func TestSQLiteKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		t.Helper()
		s := open(t, filepath.Join(t.TempDir(), "acs.db"), Options{Now: now})
		if _, err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return peeking{s}
	})
}

// peeking is a store that shows its suite what a row keeps.
type peeking struct{ *Store }

func (p peeking) Peek(ctx context.Context, id string) (kept string, err error) {
	err = p.reader.QueryRowContext(ctx, `SELECT coalesce(payload, '') || coalesce(payload_attributes, '') FROM communication_events
		WHERE id = ?`, id).Scan(&kept)
	return kept, err
}

func open(t *testing.T, path string, opts Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// The test binary starts itself as a worker when this names a file.
const workerFile = "ACS_TEST_SQLITE_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(workerFile); path != "" {
		if err := worker(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const messages, batch = 60, 10

// worker migrates, claims every message in batches, settles what it is
// granted, and prints the ids.
func worker(path string) (err error) {
	ctx, owner := context.Background(), fmt.Sprint(os.Getpid())
	s, err := Open(ctx, path, Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := s.Migrate(ctx); err != nil {
		return err
	}
	for from := 0; from < messages; from += batch {
		claims := make([]store.Claim, batch)
		for i := range claims {
			claims[i] = store.Claim{ID: fmt.Sprintf("m-%d", from+i), Channel: "sms", Type: "message_send", PayloadHash: "h"}
		}
		results, err := s.Claim(ctx, owner, time.Minute, claims)
		if err != nil {
			return err
		}
		var settlements []store.Settlement
		for _, r := range results {
			if r.Outcome == store.Granted {
				fmt.Println(r.Event.ID)
				settlements = append(settlements, store.Settlement{
					ID: r.Event.ID, Attempt: r.Event.Attempts, Owner: owner, Status: store.Sent,
				})
			}
		}
		answers, err := s.Settle(ctx, settlements)
		if err := errors.Join(append(answers, err)...); err != nil {
			return err
		}
	}
	return nil
}

func TestManyProcessesMigrateAndShareOneFileWithoutADoubleGrant(t *testing.T) {
	t.Parallel()
	const processes = 10
	path := filepath.Join(t.TempDir(), "acs.db")
	printed := make([]bytes.Buffer, processes)
	var all sync.WaitGroup
	for i := range processes {
		all.Go(func() {
			var trouble bytes.Buffer
			process := exec.CommandContext(t.Context(), os.Args[0])
			process.Env = append(os.Environ(), workerFile+"="+path)
			process.Stdout, process.Stderr = &printed[i], &trouble
			if err := process.Run(); err != nil {
				t.Errorf("process %d: %v: %s", i, err, trouble.String())
			}
		})
	}
	all.Wait()
	granted := map[string]int{}
	for i := range printed {
		for id := range strings.FieldsSeq(printed[i].String()) {
			granted[id]++
		}
	}
	if len(granted) != messages {
		t.Errorf("got %d messages granted, want %d", len(granted), messages)
	}
	for id, times := range granted {
		if times != 1 {
			t.Errorf("%s: granted %d times, want once", id, times)
		}
	}
}

func TestAnotherApplicationsTableIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "django.db")
	theirs, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if _, err := theirs.Exec(`CREATE TABLE communication_events (id INTEGER PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, path, Options{}).Migrate(t.Context())
	if !errors.Is(err, store.ErrForeignTable) || !strings.Contains(err.Error(), "another file") {
		t.Errorf("got %v, want %v with the fix", err, store.ErrForeignTable)
	}
	var tables int
	if err := theirs.QueryRow(`SELECT count(*) FROM sqlite_master`).Scan(&tables); err != nil || tables != 1 {
		t.Errorf("got %d tables and error %v, want theirs alone", tables, err)
	}
}

func TestAFileThatIsNotMigratedIsNotReadyAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	err := open(t, filepath.Join(t.TempDir(), "acs.db"), Options{}).Ready(t.Context())
	if err == nil || !strings.Contains(err.Error(), "worker migrate") {
		t.Errorf("got %v", err)
	}
}

func TestAPathThatCannotBeOpenedIsNamed(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", filepath.Join(t.TempDir(), "no", "acs.db")} {
		s, err := Open(t.Context(), path, Options{})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %v, %v", path, s, err)
		}
	}
}

func TestAPathMayHoldAnyCharacter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?mode=memory#100%.db")
	open(t, path, Options{})
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// Another process that holds the file for long is waited for until ctx ends;
// its error is the context's, not SQLite's.
func TestAHeldFileIsWaitedForUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "acs.db")
	s, other := open(t, path, Options{}), open(t, path, Options{})
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	held, err := other.writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.SaveState(ctx, "p", []byte("{}")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveState(t.Context(), "p", []byte("{}")); err != nil {
		t.Errorf("after the release: %v", err)
	}
}

// A page that is damaged is not noticed by an answer, nor by a write elsewhere.
func TestADamagedFileIsFound(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "acs.db")
	s := open(t, path, Options{})
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var root, size int64
	if err := s.reader.QueryRow(`SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = 'controller_decisions'`).Scan(&root, &size); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // so that the log is part of the file
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte(strings.Repeat("x", int(size))), (root-1)*size); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, Options{})
	if err := errors.Join(s.Ready(t.Context()), s.Writable(t.Context())); err != nil {
		t.Errorf("it answers: got %v", err)
	}
	if err := s.Verify(t.Context()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v, want %v", err, store.ErrDamaged)
	}
}

func TestAFileThatCannotBeWrittenToIsNotWritableThoughItAnswers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "acs.db")
	s, other := open(t, path, Options{}), open(t, path, Options{})
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	held, err := other.writer.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Rollback() }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Writable(ctx); err == nil || !strings.Contains(err.Error(), "acs.db") {
		t.Errorf("while another process holds it: got %v", err)
	}
	if _, err := s.writer.ExecContext(t.Context(), `PRAGMA query_only = ON`); err != nil {
		t.Fatal(err)
	}
	if err := s.Writable(t.Context()); err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("when it only reads: got %v", err)
	}
}
