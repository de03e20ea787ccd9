package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the engine whose file is frozen

	"github.com/novaura/acs-operator/internal/cli"
)

// databaseURL is the database of all programs: the one that --database names,
// or a file in the data folder. The programs run elsewhere, so the path is
// absolute.
func databaseURL(o *options) (string, error) {
	scheme, rest, _ := strings.Cut(o.Database, ":")
	switch {
	case o.Database == "":
		rest = filepath.Join(o.Data, "acs.db")
	case scheme == "postgres" || scheme == "postgresql":
		return o.Database, nil
	case scheme != "sqlite" || rest == "":
		return "", cli.Usagef("--database: write sqlite:FILE or postgres://USER:PASSWORD@HOST:PORT/NAME")
	}
	path, err := filepath.Abs(strings.TrimPrefix(rest, "//"))
	return "sqlite:" + path, err
}

// freezer holds an exclusive lock on an SQLite file, so that nobody else can
// write to it: a database that is down for a while. Its methods may be called
// concurrently.
type freezer struct {
	database string // sqlite:PATH, or another engine's URL

	mu     sync.Mutex
	locked *sql.DB // nil: not frozen
}

// freezeWithin bounds the wait for those who write just now.
const freezeWithin = 20 * time.Second

// freeze takes the lock; it does nothing while the lock is held.
func (f *freezer) freeze(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locked != nil {
		return nil
	}
	path, is := strings.CutPrefix(f.database, "sqlite:")
	if !is {
		return errors.New("only an SQLite database can be frozen; for PostgreSQL use the server's own means, for example stop it")
	}
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	db, err := sql.Open("sqlite", name.String()+fmt.Sprintf("?_pragma=busy_timeout(%d)", freezeWithin.Milliseconds()))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1) // the lock is the connection's, which lives as long as db
	if _, err := db.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		return errors.Join(fmt.Errorf("lock %s: %w", path, err), db.Close())
	}
	f.locked = db
	return nil
}

// thaw releases the lock, if it is held.
func (f *freezer) thaw() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locked == nil {
		return nil
	}
	db := f.locked
	f.locked = nil
	return db.Close()
}

func (f *freezer) frozen() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.locked != nil
}

// frozenJSON is what /_sandbox/database reads and writes.
type frozenJSON struct {
	Frozen *bool `json:"frozen"`
}

// ServeHTTP is /_sandbox/database: GET shows whether the database is frozen,
// PUT {"frozen":true} freezes it and PUT {"frozen":false} ends that.
func (f *freezer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
	case http.MethodPut:
		if err := f.put(w, r); err != nil {
			answerJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
	default:
		answerJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "GET shows whether the database is frozen, PUT changes it"})
		return
	}
	frozen := f.frozen()
	answerJSON(w, http.StatusOK, frozenJSON{&frozen})
}

func (f *freezer) put(w http.ResponseWriter, r *http.Request) error {
	const mostBytes = 1 << 10
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBytes))
	decoder.DisallowUnknownFields()
	var in frozenJSON
	if err := decoder.Decode(&in); err != nil {
		return err
	}
	switch {
	case in.Frozen == nil:
		return errors.New(`frozen is missing; write {"frozen":true} or {"frozen":false}`)
	case *in.Frozen:
		// The transaction ends with its context: it must outlive the request.
		return f.freeze(context.WithoutCancel(r.Context()))
	default:
		return f.thaw()
	}
}

func answerJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) //nolint:errchkjson // plain structs encode; a client that has gone cannot be told
}
