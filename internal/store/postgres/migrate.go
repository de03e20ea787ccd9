package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/novaura/acs-operator/internal/store"
)

//go:embed migrations/*.sql
var embedded embed.FS

// versions is the table of applied migrations.
const versions = "acs_schema_versions"

// migrations reads the embedded files as steps that run in the store's schema.
// The search_path is set for the step's own transaction and no longer.
func (s *Store) migrations() ([]*goose.Migration, error) {
	names, err := fs.Glob(embedded, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	steps := make([]*goose.Migration, 0, len(names))
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, err
		}
		statements, err := embedded.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(name, concurrently) {
			alone := func(ctx context.Context, db *sql.DB) error { return s.index(ctx, db, string(statements)) }
			steps = append(steps, goose.NewGoMigration(version, &goose.GoFunc{RunDB: alone}, nil))
			continue
		}
		up := func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, `SELECT set_config('search_path', $1, true)`, s.schema); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, string(statements))
			return err
		}
		steps = append(steps, goose.NewGoMigration(version, &goose.GoFunc{RunTx: up}, nil))
	}
	return steps, nil
}

// concurrently ends the names of steps that are one CREATE or DROP INDEX CONCURRENTLY:
// it runs in no transaction and locks no writer out, however big the table is. Names
// of tables carry acs. there, since a search_path would be left in the session.
const concurrently = "_concurrently.sql"

// index makes an index that writers go on beside. What an attempt that was broken
// off has left is not valid, and goes first.
func (s *Store) index(ctx context.Context, db *sql.DB, statement string) error {
	broken, err := list(ctx, s, pgx.RowTo[string], `SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1::text AND NOT i.indisvalid`, s.schema)
	if err != nil {
		return err
	}
	for _, name := range broken {
		if _, err := db.ExecContext(ctx, `DROP INDEX CONCURRENTLY IF EXISTS `+s.schema+`.`+pgx.Identifier{name}.Sanitize()); err != nil {
			return err
		}
	}
	_, err = db.ExecContext(ctx, s.in(statement))
	return err
}

// Migrate implements store.Store. Several processes may call it at once: a
// lock that ends with its transaction lets one in at a time, poolers or not. It
// is tried and not waited for, since an index that is made concurrently waits for
// every statement that is under way, a wait for a lock among them.
func (s *Store) Migrate(ctx context.Context) (version int64, err error) {
	const again = 200 * time.Millisecond
	for mine := false; !mine; {
		err = pgx.BeginFunc(ctx, s.pool, func(lock pgx.Tx) error {
			if err := lock.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))`, // simple: else the portal keeps its snapshot
				pgx.QueryExecModeSimpleProtocol, "acs migrations of "+s.schema).Scan(&mine); err != nil || !mine {
				return err
			}
			if err := s.prepare(ctx); err != nil {
				return err
			}
			return s.up(ctx)
		})
		if err == nil && !mine {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-time.After(again):
			}
		}
		if err != nil {
			return 0, fmt.Errorf("migrate schema %s: %w", s.schema, err)
		}
	}
	return s.version(ctx)
}

// prepare makes the schema, unless it has another application's table.
func (s *Store) prepare(ctx context.Context) error {
	var exists, ours, theirs bool
	var encoding string
	err := s.pool.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL, to_regclass($2) IS NOT NULL,
		to_regclass($3) IS NOT NULL, current_setting('server_encoding')`, s.schema, s.schema+"."+versions, s.schema+".communication_events").
		Scan(&exists, &ours, &theirs, &encoding)
	switch {
	case err != nil:
		return err
	case encoding != "UTF8" && encoding != "SQL_ASCII": // the latter keeps bytes as they come
		return fmt.Errorf("%w: it is %s; make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", store.ErrEncoding, encoding)
	case theirs && !ours:
		return fmt.Errorf("%w: set DB_SCHEMA to a schema of its own, such as acs", store.ErrForeignTable)
	case exists:
		return nil
	}
	_, err = s.pool.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+s.schema)
	return err
}

func (s *Store) up(ctx context.Context) (err error) {
	steps, err := s.migrations()
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, nil, goose.WithGoMigrations(steps...),
		goose.WithTableName(s.schema+"."+versions), goose.WithDisableGlobalRegistry(true),
		goose.WithAllowOutofOrder(true)) // two versions that ran side by side may each bring a step
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// version is the newest applied migration; 0: none.
func (s *Store) version(ctx context.Context) (version int64, err error) {
	var ours bool
	err = s.pool.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, s.schema+"."+versions).Scan(&ours)
	if err != nil || !ours {
		return 0, err
	}
	err = s.pool.QueryRow(ctx, s.in(`SELECT coalesce(max(version_id), 0) FROM acs.`+versions+` WHERE is_applied`)).
		Scan(&version)
	return version, err
}

// errReadOnly says that the server only reads.
var errReadOnly = errors.New("the database only reads: it is a replica, or has just become one")

// Ready implements store.Store. A newer schema than this code's is fine:
// migrations expand first and contract later. A server that only reads is not
// ready: a worker would receive messages that it cannot claim, until SQS takes
// them for poison.
func (s *Store) Ready(ctx context.Context) error {
	var readOnly string
	err := s.pool.QueryRow(ctx, `SELECT current_setting('transaction_read_only')`).Scan(&readOnly)
	if err == nil && readOnly == "on" {
		s.pool.Reset()
		err = errReadOnly
	}
	if err != nil {
		return fmt.Errorf("check schema %s: %w", s.schema, err)
	}
	steps, err := s.migrations()
	if err != nil {
		return fmt.Errorf("check schema %s: %w", s.schema, err)
	}
	needed := steps[len(steps)-1].Version
	has, err := s.version(ctx)
	if err != nil {
		return fmt.Errorf("check schema %s: %w", s.schema, err)
	}
	if has < needed {
		return fmt.Errorf("check schema %s: it is at version %d, this program needs %d: run `worker migrate`",
			s.schema, has, needed)
	}
	return nil
}
