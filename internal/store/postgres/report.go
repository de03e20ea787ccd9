package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/store"
)

// saveReportsSQL leaves rows that another worker holds or is about to replace to
// the next round: no two workers wait for each other.
const saveReportsSQL = `
WITH input AS (
	SELECT r ->> 'worker' AS worker, r ->> 'queue' AS queue, r AS report FROM json_array_elements($2::json) AS r
), clock AS (
	SELECT date_trunc('milliseconds', coalesce($1::timestamptz, now())) AS now
), old AS (
	SELECT w.worker, w.queue FROM acs.worker_reports w, clock
	WHERE w.reported_at < clock.now - $3::bigint * interval '1 microsecond'
		AND (w.worker, w.queue) NOT IN (SELECT worker, queue FROM input)
	FOR UPDATE OF w SKIP LOCKED
), dropped AS (
	DELETE FROM acs.worker_reports w USING old WHERE w.worker = old.worker AND w.queue = old.queue
)
INSERT INTO acs.worker_reports (worker, queue, reported_at, report)
SELECT input.worker, input.queue, clock.now, input.report FROM input, clock
ON CONFLICT (worker, queue) DO UPDATE SET reported_at = excluded.reported_at, report = excluded.report`

// SaveReports implements store.Reporting.
func (s *Store) SaveReports(ctx context.Context, reports []store.Report) error {
	if len(reports) == 0 {
		return nil
	}
	rows, err := json.Marshal(reports)
	if err == nil {
		_, err = s.exec(ctx, saveReportsSQL, s.now(), string(rows), store.ReportRetention.Microseconds())
	}
	if err != nil {
		return fmt.Errorf("save worker reports: %w", err)
	}
	return nil
}

// Reports implements store.Reporting.
func (s *Store) Reports(ctx context.Context, within time.Duration) ([]store.Report, error) {
	reports, err := list(ctx, s, func(row pgx.CollectableRow) (report store.Report, err error) {
		var at time.Time
		var written []byte
		if err := row.Scan(moment{&at}, &written); err != nil {
			return report, err
		}
		err = json.Unmarshal(written, &report)
		report.Time = at
		return report, err
	}, `SELECT reported_at, report::text FROM acs.worker_reports
		WHERE reported_at >= coalesce($1::timestamptz, now()) - $2::bigint * interval '1 microsecond'
		ORDER BY queue, worker`, s.now(), within.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("list worker reports: %w", err)
	}
	return reports, nil
}

// Writable implements store.Store.
func (s *Store) Writable(ctx context.Context) error {
	if _, err := s.exec(ctx, `UPDATE acs.`+versions+` SET is_applied = is_applied WHERE version_id = (SELECT max(version_id) FROM acs.`+versions+`)`); err != nil {
		return fmt.Errorf("write to schema %s: %w", s.schema, err)
	}
	return nil
}

// Verify implements store.Store. PostgreSQL finds damage by itself.
func (s *Store) Verify(context.Context) error { return nil }
