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

// An Option is something that an engine can be told; none is needed.
type Option func(*options)

type options struct {
	schema   string
	maxConns int32
	now      func() time.Time
	password postgres.Password
}

// WithSchema names the schema of the tables (DB_SCHEMA); empty: public. SQLite
// has none.
func WithSchema(schema string) Option { return func(o *options) { o.schema = schema } }

// WithMaxConns bounds PostgreSQL's pool; 0: 4.
func WithMaxConns(n int32) Option { return func(o *options) { o.maxConns = n } }

// WithPassword has PostgreSQL's password come from where it may change.
func WithPassword(password postgres.Password) Option {
	return func(o *options) { o.password = password }
}

// WithNow sets the clock, for tests; otherwise PostgreSQL uses its own and
// SQLite the process's.
func WithNow(now func() time.Time) Option { return func(o *options) { o.now = now } }

// forms are what DATABASE_URL may be.
const forms = "write sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME"

// Open opens the store that dsn names: sqlite:PATH or postgres://… It does not
// migrate. No error quotes dsn, which may hold a password.
func Open(ctx context.Context, dsn string, opts ...Option) (store.Store, error) {
	var o options
	for _, set := range opts {
		set(&o)
	}
	scheme, rest, found := strings.Cut(dsn, ":")
	switch {
	case dsn == "":
		return nil, errors.New("open store: DATABASE_URL is empty: " + forms)
	case !found:
		return nil, errors.New("open store: DATABASE_URL has no scheme: " + forms)
	case scheme == "sqlite":
		s, err := sqlite.Open(ctx, strings.TrimPrefix(rest, "//"), sqlite.Options{Now: o.now})
		if err != nil {
			return nil, err
		}
		return s, nil
	case scheme == "postgres" || scheme == "postgresql":
		s, err := postgres.Open(ctx, dsn, postgres.Options{Schema: o.schema, MaxConns: o.maxConns, Now: o.now, Password: o.password})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, fmt.Errorf("open store: DATABASE_URL has the scheme %q: %s", scheme, forms)
}
