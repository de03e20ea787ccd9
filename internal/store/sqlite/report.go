package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/novaura/acs-operator/internal/store"
)

// SaveReports implements store.Reporting.
func (s *Store) SaveReports(ctx context.Context, reports []store.Report) error {
	if len(reports) == 0 {
		return nil
	}
	rows, err := json.Marshal(reports)
	if err != nil {
		return fmt.Errorf("save worker reports: %w", err)
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		now := s.now()
		if _, err := tx.ExecContext(ctx, `INSERT INTO worker_reports (worker, queue, reported_at, report)
			SELECT value ->> 'worker', value ->> 'queue', ?, value FROM json_each(?) WHERE true
			ON CONFLICT (worker, queue) DO UPDATE SET reported_at = excluded.reported_at, report = excluded.report`,
			text(now), string(rows)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM worker_reports WHERE reported_at < ?`, text(now.Add(-store.ReportRetention)))
		return err
	})
	if err != nil {
		return fmt.Errorf("save worker reports: %w", err)
	}
	return nil
}

// Reports implements store.Reporting.
func (s *Store) Reports(ctx context.Context, within time.Duration) ([]store.Report, error) {
	reports, err := list(ctx, s, func(row scanner) (report store.Report, err error) {
		var at time.Time
		var written []byte
		if err := row.Scan(moment{&at}, &written); err != nil {
			return report, err
		}
		err = json.Unmarshal(written, &report)
		report.Time = at
		return report, err
	}, `SELECT reported_at, report FROM worker_reports WHERE reported_at >= ? ORDER BY queue, worker`, text(s.now().Add(-within)))
	if err != nil {
		return nil, fmt.Errorf("list worker reports: %w", err)
	}
	return reports, nil
}

// Writable implements store.Store. It makes room for as much as a batch of claims
// takes, and gives it back: on a full disk what rewrites a page may still work. Both
// are committed, since SQLite asks for room when it commits. No list shows the row.
func (s *Store) Writable(ctx context.Context) error {
	const room = 256 << 10 // bytes
	run := func(query string, args ...any) error {
		return s.write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, query, args...)
			return err
		})
	}
	err := run(`INSERT OR REPLACE INTO worker_reports (worker, queue, reported_at, report) VALUES ('', '', '', zeroblob(?))`, room)
	if err == nil {
		err = run(`DELETE FROM worker_reports WHERE worker = ''`)
	}
	if err != nil {
		return fmt.Errorf("write to %s: %w", s.path, err)
	}
	return nil
}

// Verify implements store.Store.
func (s *Store) Verify(ctx context.Context) error {
	const few = 3
	damage, err := list(ctx, s, func(row scanner) (line string, err error) {
		err = row.Scan(&line)
		return line, err
	}, fmt.Sprintf(`PRAGMA quick_check(%d)`, few))
	switch {
	case damaged(err):
		return fmt.Errorf("%s: %w: %w", s.path, store.ErrDamaged, err)
	case err != nil:
		return fmt.Errorf("look for damage in %s: %w", s.path, err)
	case len(damage) != 1 || damage[0] != "ok":
		return fmt.Errorf("%s: %w: %q", s.path, store.ErrDamaged, damage)
	}
	return nil
}

// damaged reports whether err says that the file is not what it should be.
func damaged(err error) bool {
	code := primary(err)
	return code == lib.SQLITE_CORRUPT || code == lib.SQLITE_NOTADB
}
