package postgres

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/postgres/pgtest"
	"github.com/novaura/acs-operator/internal/store/storetest"
)

func TestPostgresKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		t.Helper()
		dsn, schema := pgtest.DSN(t)
		s := open(t, dsn, Options{Schema: schema, Now: now})
		if _, err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func open(t *testing.T, dsn string, opts Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), dsn, opts)
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

func TestManyMigrateAtOnce(t *testing.T) {
	t.Parallel()
	dsn, schema := pgtest.DSN(t)
	var all sync.WaitGroup
	for range 6 {
		s := open(t, dsn, Options{Schema: schema, MaxConns: 1})
		all.Go(func() {
			if version, err := s.Migrate(t.Context()); err != nil || version < 1 {
				t.Errorf("got version %d and error %v", version, err)
			}
		})
	}
	all.Wait()
}

func TestAnotherApplicationsTableIsRefusedWithTheFix(t *testing.T) {
	t.Parallel()
	dsn, schema := pgtest.DSN(t)
	theirs, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close(t.Context())
	if _, err := theirs.Exec(t.Context(), `CREATE SCHEMA `+schema+`; CREATE TABLE `+schema+`.communication_events (id int)`); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, dsn, Options{Schema: schema}).Migrate(t.Context())
	if !errors.Is(err, store.ErrForeignTable) || !strings.Contains(err.Error(), "DB_SCHEMA") {
		t.Errorf("got %v, want %v with the fix", err, store.ErrForeignTable)
	}
	var tables int
	err = theirs.QueryRow(t.Context(), `SELECT count(*) FROM pg_tables WHERE schemaname = $1`, schema).Scan(&tables)
	if err != nil || tables != 1 {
		t.Errorf("got %d tables and error %v, want theirs alone", tables, err)
	}
}

func TestADatabaseThatIsNotMigratedIsNotReadyAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	dsn, schema := pgtest.DSN(t)
	err := open(t, dsn, Options{Schema: schema}).Ready(t.Context())
	if err == nil || !strings.Contains(err.Error(), "worker migrate") {
		t.Errorf("got %v", err)
	}
}

// A pooler hands out connections by the transaction: neither prepared
// statements nor settings may stay behind on one.
func TestNothingIsLeftBehindInASession(t *testing.T) {
	t.Parallel()
	dsn, schema := pgtest.DSN(t)
	s := open(t, dsn, Options{Schema: schema})
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	claims := []store.Claim{{ID: "m", Channel: "sms", Type: "message_send"}}
	for range 2 {
		if _, err := s.Claim(t.Context(), "worker-1", time.Minute, claims); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range s.pool.AcquireAllIdle(t.Context()) {
		var prepared, locks int
		var path string
		err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_prepared_statements),
			(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
			current_setting('search_path')`).Scan(&prepared, &locks, &path)
		if err != nil || prepared != 0 || locks != 0 || strings.Contains(path, schema) {
			t.Errorf("got %d statements, %d locks, search_path %s and error %v", prepared, locks, path, err)
		}
		conn.Release()
	}
}

func TestWhatCannotBeOpenedIsSaidWithoutThePassword(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ dsn, schema, want string }{
		"a schema that needs quotes": {"postgres://u@h/d", `a"; DROP`, "DB_SCHEMA"},
		"a broken port":              {"postgres://u:hunter2@h:no/d", "", "percent-encode"},
		"a password with a slash":    {"postgres://u:hunter2/x@h/d", "", "percent-encode"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(t.Context(), tc.dsn, Options{Schema: tc.schema})
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want it to say %q", err, tc.want)
			}
		})
	}
}
