// Package postgres keeps the store's contract in PostgreSQL.
//
// It holds no session state, so that it works behind a pooler that hands out
// connections by the transaction: statements are not prepared
// (QueryExecModeExec: types by Go value, one round trip), table names carry
// their schema instead of a search_path, and locks end with their transaction.
// Start with Open, then claim.go.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/novaura/acs-operator/internal/store"
)

// Options are what Open can be told; the zero value is right in production.
type Options struct {
	// Schema is where the tables are (DB_SCHEMA): lower-case letters, digits
	// and underscores. Empty: public.
	Schema string
	// MaxConns bounds the pool; 0: 4. Forty workers share one server.
	MaxConns int32
	// Password is asked for the password of each new connection, and told when
	// the server refused it; nil: the connection string's serves.
	Password Password
	// Now replaces the database's clock, for tests; nil: now() of each
	// statement, so that leases do not depend on the workers' clocks.
	Now func() time.Time
}

// Store is the contract in one schema of one database. Its methods may be
// called from many goroutines and many processes.
type Store struct {
	pool   *pgxpool.Pool
	schema string
	clock  func() time.Time
}

var _ store.Store = (*Store)(nil)

// plain is a schema name that needs no quotes, here and in goose.
var plain = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// Open prepares a pool for a postgres:// URL. It does not connect yet, and
// does not migrate: Ready tells whether the database answers.
func Open(ctx context.Context, dsn string, opts Options) (*Store, error) {
	schema := opts.Schema
	if schema == "" {
		schema = "public"
	}
	if !plain.MatchString(schema) {
		return nil, fmt.Errorf("open postgres: DB_SCHEMA %q: use lower-case letters, digits and underscores", schema)
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// pgx quotes the connection string; its own masking of the password
		// has missed spellings before, so the text stays out.
		return nil, errors.New("open postgres: the connection string is not valid; " +
			"write postgres://USER:PASSWORD@HOST:PORT/NAME and percent-encode special characters")
	}
	const conns, connectTimeout = 4, 5 * time.Second
	config.MaxConns = conns
	if opts.MaxConns > 0 {
		config.MaxConns = max(opts.MaxConns, 3) // Migrate holds a lock on one and works on two
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.ConnConfig.RuntimeParams["client_encoding"] = "UTF8" // a database of another encoding would have us speak its own
	config.ConnConfig.StatementCacheCapacity, config.ConnConfig.DescriptionCacheCapacity = 0, 0
	if opts.Password != nil {
		config.BeforeConnect = func(ctx context.Context, conn *pgx.ConnConfig) error {
			password, err := opts.Password.Get(ctx)
			conn.Password = password.Reveal()
			return err
		}
		config.ConnConfig.Tracer = refusals{opts.Password}
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open postgres: %w", err)
	}
	return &Store{pool: pool, schema: schema, clock: opts.Now}, nil
}

// Close closes the pool; it waits for calls that still run.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// in puts the schema before the tables of a query, which names them as
// acs.communication_events.
func (s *Store) in(query string) string { return strings.ReplaceAll(query, "acs.", s.schema+".") }

// now is the argument behind every `coalesce($n::timestamptz, now())`: the
// test's clock, or nil for the database's.
func (s *Store) now() *time.Time {
	if s.clock == nil {
		return nil
	}
	t := s.clock()
	return &t
}

// wall is the time for rows whose clock is the caller's anyway.
func (s *Store) wall() time.Time {
	if s.clock == nil {
		return time.Now()
	}
	return s.clock()
}

// again runs do once more for each deadlock or serialisation failure, of which
// PostgreSQL says that nothing was done, and for each connection of the pool
// that turns out to be dead before a byte was sent: at most three times.
func again(do func() error) error {
	var err error
	for range 3 {
		var refused *pgconn.PgError
		err = do()
		undone := errors.As(err, &refused) && (refused.Code == "40P01" || refused.Code == "40001")
		if !undone && !pgconn.SafeToRetry(err) {
			return err
		}
	}
	return err
}

// list reads every row of a query.
func list[T any](
	ctx context.Context, s *Store, scan func(pgx.CollectableRow) (T, error), query string, args ...any,
) (found []T, err error) {
	err = again(func() error {
		rows, err := s.pool.Query(ctx, s.in(query), args...)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, scan)
		return err
	})
	s.leaveReplica(err)
	return found, err
}

// leaveReplica gives up all connections where the server writes no more: it was
// the primary, before another became so. New ones look its name up again.
func (s *Store) leaveReplica(err error) {
	const readOnly = "25006"
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == readOnly {
		s.pool.Reset()
	}
}

// exec runs a statement and counts the rows that it changed.
func (s *Store) exec(ctx context.Context, query string, args ...any) (changed int64, err error) {
	err = again(func() error {
		tag, err := s.pool.Exec(ctx, s.in(query), args...)
		changed = tag.RowsAffected()
		return err
	})
	s.leaveReplica(err)
	return changed, err
}

// optional is nil for the zero time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// moment scans a time in UTC; NULL is the zero time.
type moment struct{ to *time.Time }

// Scan implements sql.Scanner, which pgx honours.
func (m moment) Scan(value any) error {
	*m.to = time.Time{}
	switch t := value.(type) {
	case nil:
		return nil
	case time.Time:
		*m.to = t.UTC()
		return nil
	}
	return fmt.Errorf("read a time: got %T", value)
}
