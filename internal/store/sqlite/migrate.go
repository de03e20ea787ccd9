package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/novaura/acs-operator/internal/store"
)

//go:embed migrations/*.sql
var embedded embed.FS

// versions is the table of applied migrations. Its version_id is unique,
// which goose's own is not: of two processes that migrate at once, the second
// fails at the insert, rolls back, and looks again.
const versions = "acs_schema_versions"

const createVersions = `CREATE TABLE IF NOT EXISTS ` + versions + ` (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	version_id INTEGER NOT NULL UNIQUE,
	is_applied INTEGER NOT NULL,
	tstamp TIMESTAMP DEFAULT (datetime('now'))
)`

func (s *Store) provider() (*goose.Provider, error) {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, s.writer, files,
		goose.WithTableName(versions), goose.WithDisableGlobalRegistry(true),
		goose.WithAllowOutofOrder(true)) // two versions that ran side by side may each bring a step
}

// Migrate implements store.Store. Several processes may call it at once.
func (s *Store) Migrate(ctx context.Context) (int64, error) {
	provider, err := s.provider()
	if err != nil {
		return 0, fmt.Errorf("migrate %s: %w", s.path, err)
	}
	if err := s.write(ctx, func(tx *sql.Tx) error { return s.prepare(ctx, tx) }); err != nil {
		return 0, fmt.Errorf("migrate %s: %w", s.path, err)
	}
	// A step that fails although the version has moved on was taken by
	// another process meanwhile. The version only rises, so this ends.
	for before := int64(-1); ; {
		if _, err = provider.Up(ctx); err == nil {
			return s.version(ctx)
		}
		now, lookErr := s.version(ctx)
		if lookErr != nil || now == before {
			return 0, fmt.Errorf("migrate %s: %w", s.path, err)
		}
		before = now
	}
}

// prepare makes the version table, unless the file belongs to others.
func (s *Store) prepare(ctx context.Context, tx *sql.Tx) error {
	var ours, theirs bool
	err := tx.QueryRowContext(ctx, `SELECT
		EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?),
		EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'communication_events')`, versions).Scan(&ours, &theirs)
	switch {
	case err != nil:
		return err
	case theirs && !ours:
		return fmt.Errorf("%w: name another file in DATABASE_URL=sqlite:PATH", store.ErrForeignTable)
	case ours:
		return nil
	}
	if _, err := tx.ExecContext(ctx, createVersions); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO `+versions+` (version_id, is_applied) VALUES (0, 1)`)
	return err
}

// version is the newest applied migration; 0: none.
func (s *Store) version(ctx context.Context) (int64, error) {
	found, err := list(ctx, s, func(row scanner) (n int64, err error) {
		err = row.Scan(&n)
		return n, err
	},
		`SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?`, versions)
	if err != nil || found[0] == 0 {
		return 0, err
	}
	found, err = list(ctx, s, func(row scanner) (n int64, err error) {
		err = row.Scan(&n)
		return n, err
	},
		`SELECT coalesce(max(version_id), 0) FROM `+versions+` WHERE is_applied = 1`)
	if err != nil {
		return 0, err
	}
	return found[0], nil
}

// Ready implements store.Store. A newer schema than this code's is fine:
// migrations expand first and contract later.
func (s *Store) Ready(ctx context.Context) error {
	provider, err := s.provider()
	if err != nil {
		return fmt.Errorf("check %s: %w", s.path, err)
	}
	sources := provider.ListSources()
	needed := sources[len(sources)-1].Version
	has, err := s.version(ctx)
	if err != nil {
		return fmt.Errorf("check %s: %w", s.path, err)
	}
	if has < needed {
		return fmt.Errorf("check %s: the schema is at version %d, this program needs %d: run `worker migrate`",
			s.path, has, needed)
	}
	return nil
}
