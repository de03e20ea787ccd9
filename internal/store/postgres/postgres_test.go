package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
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
		return peeking{s}
	})
}

// peeking is a store that shows its suite what a row keeps.
type peeking struct{ *Store }

func (p peeking) Peek(ctx context.Context, id string) (kept string, err error) {
	err = p.pool.QueryRow(ctx, p.in(`SELECT coalesce(payload, '') || coalesce(payload_attributes, '') FROM acs.communication_events
		WHERE id = $1`), id).Scan(&kept)
	return kept, err
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

// encoded is a store in a database of an encoding.
func encoded(t *testing.T, encoding string) *Store {
	t.Helper()
	dsn, name := pgtest.DSN(t)
	admin, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	exec := func(statement string) {
		if _, err := admin.Exec(context.WithoutCancel(t.Context()), statement); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)")
		_ = admin.Close(context.WithoutCancel(t.Context()))
	})
	exec("CREATE DATABASE " + name + " ENCODING '" + encoding + "' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	target, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	target.Path = "/" + name
	return open(t, target.String(), Options{})
}

// initdb in the C locale makes databases of SQL_ASCII, which ask their clients
// to speak it too.
func TestADatabaseOfNoEncodingIsSpokenToInUTF8(t *testing.T) {
	t.Parallel()
	s := encoded(t, "SQL_ASCII")
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := store.Event{ID: "a", Channel: "sms", Type: "message_received", Status: store.Received, SettledReason: "Grüße 😀"}
	if _, err := s.Record(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, err := s.Events(t.Context(), store.Filter{ID: "a", Limit: 1})
	if err != nil || len(got) != 1 || got[0].SettledReason != want.SettledReason {
		t.Errorf("got %+v, %v", got, err)
	}
}

// One message that it cannot hold would stop all others.
func TestADatabaseThatDoesNotHoldEveryCharacterIsRefused(t *testing.T) {
	t.Parallel()
	_, err := encoded(t, "LATIN1").Migrate(t.Context())
	if !errors.Is(err, store.ErrEncoding) || !strings.Contains(err.Error(), "LATIN1") {
		t.Errorf("got %v, want %v with its name", err, store.ErrEncoding)
	}
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

// An index is made while claims go on and a transaction is open; a broken one of
// an attempt that was killed is made anew; and a schema of a version that made it
// in step 10 stays as it is.
func TestAnIndexIsMadeBesideWorkersThatGoOn(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{
		"for the first time": `DROP INDEX acs.communication_events_due`,
		"after an attempt that was broken off": `UPDATE pg_index SET indisvalid = false, indisready = false
			WHERE indexrelid = 'acs.communication_events_due'::regclass`,
		"where there is one": `SELECT 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn, schema := pgtest.DSN(t)
			s := open(t, dsn, Options{Schema: schema, MaxConns: 1})
			if _, err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, statement := range []string{before, `DELETE FROM acs.acs_schema_versions WHERE version_id = 50`} {
				if _, err := s.exec(t.Context(), strings.ReplaceAll(statement, "acs.acs", schema+".acs")); err != nil {
					t.Fatal(err)
				}
			}
			ctx, stop := context.WithCancel(t.Context())
			var claims sync.WaitGroup
			claims.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					claim := store.Claim{ID: strconv.Itoa(n), Channel: "sms", Type: "message_send"}
					if _, err := s.Claim(t.Context(), "worker-1", time.Minute, []store.Claim{claim}); err != nil {
						t.Error(err)
						return
					}
				}
			})
			var migrations sync.WaitGroup
			for range 3 {
				migrations.Go(func() {
					if version, err := open(t, dsn, Options{Schema: schema, MaxConns: 1}).Migrate(t.Context()); err != nil || version < 50 {
						t.Errorf("got version %d and error %v", version, err)
					}
				})
			}
			migrations.Wait()
			stop()
			claims.Wait()
			valid, err := list(t.Context(), s, pgx.RowTo[bool], `SELECT indisvalid FROM pg_index WHERE indexrelid = 'acs.communication_events_due'::regclass`)
			if err != nil || len(valid) != 1 || !valid[0] {
				t.Errorf("the index: %v, %v", valid, err)
			}
		})
	}
}

// However many rows are under way, a statement reads its own alone. A planner that
// knows the table from a quiet moment takes them for few.
func TestWhatIsUnderWayElsewhereCostsAStatementNothing(t *testing.T) {
	t.Parallel()
	dsn, schema := pgtest.DSN(t)
	s := open(t, dsn, Options{Schema: schema})
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO acs.communication_events (id, channel, type, status, lease_until, created_at, updated_at)
			SELECT 'm' || n, 'sms', 'message_send', 'sent', now(), now(), now() FROM generate_series(1, 50000) AS n`,
		`ANALYZE acs.communication_events`,
	} {
		if _, err := s.exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	settlements, err := settleRows([]store.Settlement{{ID: "m1", Attempt: 1, Owner: "worker-1", Status: store.Sent}})
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{"m1"}
	for name, ask := range map[string]struct {
		statement, index string
		args             []any
	}{
		"settle":          {settleSQL, "communication_events_pkey", []any{s.now(), settlements}},
		"extend":          {extendSQL, "communication_events_pkey", []any{"worker-1", 1, s.now(), ids, []int32{1}}},
		"give back":       {unclaimSQL, "communication_events_pkey", []any{s.now(), "worker-1", ids, ids}},
		"count by status": {countSQL, "communication_events_by_status", []any{string(store.InDoubt)}},
	} {
		plan, err := list(t.Context(), s, pgx.RowTo[string], `EXPLAIN `+ask.statement, ask.args...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, line := range plan {
			if strings.Contains(line, " on communication_events") && strings.Contains(line, "Scan") && !strings.Contains(line, ask.index) {
				t.Errorf("%s: %s, want %s", name, strings.TrimSpace(line), ask.index)
			}
		}
		if !strings.Contains(strings.Join(plan, "\n"), ask.index) {
			t.Errorf("%s does not use %s:\n%s", name, ask.index, strings.Join(plan, "\n"))
		}
	}
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

// A primary that becomes a replica answers on, and writes no more.
func TestADatabaseThatOnlyReadsIsNotReadyAndItsConnectionsAreGivenUp(t *testing.T) {
	t.Parallel()
	admin, port := pgtest.Guarded(t, "worker", "secret")
	s := open(t, fmt.Sprintf("postgres://worker:secret@127.0.0.1:%d/acs?sslmode=disable", port), Options{Schema: "acs"})
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := s.pool.AcquireAllIdle(t.Context())
	for _, conn := range all { // the connections there are find themselves on a replica
		if _, err := conn.Exec(t.Context(), `SET default_transaction_read_only = on`); err != nil {
			t.Fatal(err)
		}
		conn.Release()
	}
	if err := s.Ready(t.Context()); len(all) == 0 || !errors.Is(err, errReadOnly) {
		t.Fatalf("%d connections: got %v, want %v", len(all), err, errReadOnly)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("a new connection, to the new primary: %v", err)
	}
	superuser, err := pgx.Connect(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	defer superuser.Close(t.Context())
	claims := []store.Claim{{ID: "m", Channel: "sms", Type: "message_send"}}
	set := func(to string) {
		t.Helper()
		if _, err := superuser.Exec(t.Context(), `ALTER ROLE worker SET default_transaction_read_only = `+to); err != nil {
			t.Fatal(err)
		}
		s.pool.Reset()
	}
	set("on")
	if _, err := s.Claim(t.Context(), "worker-1", time.Minute, claims); err == nil {
		t.Error("a replica granted a claim")
	}
	if err := s.Ready(t.Context()); !errors.Is(err, errReadOnly) {
		t.Errorf("got %v, want %v", err, errReadOnly)
	}
	set("off")
	for _, conn := range s.pool.AcquireAllIdle(t.Context()) {
		conn.Release()
	}
	if got, err := s.Claim(t.Context(), "worker-1", time.Minute, claims); err != nil || got[0].Outcome != store.Granted {
		t.Errorf("after it: got %+v, %v", got, err)
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
