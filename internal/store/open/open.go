// Package open picks the store's engine by DATABASE_URL, so that the mains and
// nobody else know both. Start with Open.
package open

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/postgres"
	"github.com/novaura/acs-operator/internal/store/sqlite"
)

// Options are what either engine can be told; the zero value is right.
type Options struct {
	Schema   string           // DB_SCHEMA, PostgreSQL's; empty: public
	MaxConns int32            // PostgreSQL's pool; 0: 4
	Now      func() time.Time // for tests; nil: PostgreSQL's own clock, SQLite's process's
}

// forms are what DATABASE_URL may be.
const forms = "write sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME"

// Open opens the store that dsn names: sqlite:PATH or postgres://… It does not
// migrate. No error quotes dsn, which may hold a password.
func Open(ctx context.Context, dsn string, opts Options) (store.Store, error) {
	scheme, rest, found := strings.Cut(dsn, ":")
	switch {
	case dsn == "":
		return nil, errors.New("open store: DATABASE_URL is empty: " + forms)
	case !found:
		return nil, errors.New("open store: DATABASE_URL has no scheme: " + forms)
	case scheme == "sqlite":
		s, err := sqlite.Open(ctx, strings.TrimPrefix(rest, "//"), sqlite.Options{Now: opts.Now})
		if err != nil {
			return nil, err
		}
		return s, nil
	case scheme == "postgres" || scheme == "postgresql":
		s, err := postgres.Open(ctx, dsn, postgres.Options{Schema: opts.Schema, MaxConns: opts.MaxConns, Now: opts.Now})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, fmt.Errorf("open store: DATABASE_URL has the scheme %q: %s", scheme, forms)
}
