package main

import (
	"database/sql"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

func ask(h http.Handler, method, body string) (status int, answer string) {
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(method, "/_sandbox/database", strings.NewReader(body)))
	return recorder.Code, strings.TrimSpace(recorder.Body.String())
}

func TestAFrozenDatabaseTakesNoWritesUntilItIsThawed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "acs.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	write := func() error {
		_, err := db.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS t (x); INSERT INTO t VALUES (1)")
		return err
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	f := &freezer{database: "sqlite:" + path}
	for _, step := range []struct {
		method, body, want string
		writable           bool
	}{
		{http.MethodGet, "", `{"frozen":false}`, true},
		{http.MethodPut, `{"frozen":true}`, `{"frozen":true}`, false},
		{http.MethodPut, `{"frozen":true}`, `{"frozen":true}`, false},
		{http.MethodGet, "", `{"frozen":true}`, false},
		{http.MethodPut, `{"frozen":false}`, `{"frozen":false}`, true},
	} {
		if status, got := ask(f, step.method, step.body); status != http.StatusOK || got != step.want {
			t.Errorf("%s %s: got %d %s, want %s", step.method, step.body, status, got, step.want)
		}
		if err := write(); (err == nil) != step.writable {
			t.Errorf("after %s %s: a write ended with %v", step.method, step.body, err)
		}
	}
}

func TestADatabaseThatCannotBeFrozenSaysWhy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ database, body, want string }{
		"PostgreSQL":         {"postgres://localhost/acs", `{"frozen":true}`, "use the server's own means"},
		"no such field":      {"sqlite:/acs.db", `{"locked":true}`, "unknown field"},
		"an empty object":    {"sqlite:/acs.db", `{}`, "frozen is missing"},
		"a folder not there": {"sqlite:" + filepath.Join(t.TempDir(), "none", "acs.db"), `{"frozen":true}`, "lock "},
	} {
		f := &freezer{database: tc.database}
		if status, got := ask(f, http.MethodPut, tc.body); status != http.StatusBadRequest || !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %d %s, want 400 that says %s", name, status, got, tc.want)
		}
	}
}

func TestTheDatabaseIsAFileInTheDataFolderUnlessNamed(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                     "sqlite:/data/acs.db",
		"sqlite:/tmp/x.db":     "sqlite:/tmp/x.db",
		"postgres://u:p@h/n":   "postgres://u:p@h/n",
		"postgresql://u:p@h/n": "postgresql://u:p@h/n",
	} {
		if got, err := databaseURL(&options{Data: "/data", Database: given}); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", given, got, err, want)
		}
	}
	for _, given := range []string{"acs.db", "sqlite:", "mysql://h/n"} {
		if got, err := databaseURL(&options{Data: "/data", Database: given}); err == nil || !strings.Contains(err.Error(), "write sqlite:FILE") {
			t.Errorf("%q: got %s, %v, want a usage error", given, got, err)
		}
	}
}
