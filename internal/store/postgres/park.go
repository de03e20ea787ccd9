package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/store"
)

// carriable is when a parked message may go back to its queue: nobody works on
// it.
const carriable = `(e.status IN ('new', 'scheduled') OR e.status = 'processing' AND e.lease_until <= clock.now)`

// clock is the statement's time, for the test's clock in $1.
const clock = `WITH clock AS (
	SELECT date_trunc('milliseconds', coalesce($1::timestamptz, now())) AS now
)`

// Park implements store.Parking.
func (s *Store) Park(ctx context.Context, id, payloadHash string, p store.Parked) error {
	changed, err := s.exec(ctx, clock+`
		UPDATE acs.communication_events e
		SET payload = $4::text, payload_attributes = $7::text, payload_group = $5::text,
			due_at = clock.now + $6::bigint * interval '1 microsecond'
		FROM clock
		WHERE e.id = $2::text AND e.payload_hash = $3::text AND e.status IN ('new', 'scheduled', 'processing')`,
		s.now(), id, payloadHash, p.Body.Reveal(), p.GroupID, p.After.Microseconds(), address(p.Attributes))
	if err == nil && changed == 0 {
		err = store.ErrLost
	}
	if err != nil {
		return fmt.Errorf("park %q: %w", id, err)
	}
	return nil
}

// LeaseDue implements store.Parking: a leased row is due again at its lease's
// end.
func (s *Store) LeaseDue(ctx context.Context, queues []string, lease time.Duration, limit int) ([]store.Due, error) {
	due, err := list(ctx, s, func(row pgx.CollectableRow) (d store.Due, err error) {
		err = row.Scan(&d.ID, &d.Queue, &d.Body, &d.Attributes, &d.GroupID, moment{&d.Until})
		return d, err
	}, clock+`, due AS (
		SELECT e.id FROM acs.communication_events e, clock
		WHERE e.due_at <= clock.now AND e.queue = ANY ($2::text[]) AND `+carriable+`
		ORDER BY e.due_at LIMIT $4::bigint FOR UPDATE OF e SKIP LOCKED
	)
	UPDATE acs.communication_events e SET due_at = clock.now + $3::bigint * interval '1 microsecond'
	FROM due, clock WHERE e.id = due.id
	RETURNING e.id, e.queue, e.payload, coalesce(e.payload_attributes, ''), e.payload_group, e.due_at`, s.now(), queues, lease.Microseconds(), limit)
	if err != nil {
		return nil, fmt.Errorf("lease what is due: %w", err)
	}
	return due, nil
}

// Unpark implements store.Parking.
func (s *Store) Unpark(ctx context.Context, due []store.Due) error {
	_, err := s.exec(ctx, `
		WITH input AS (
			SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::boolean[]) AS t (id, until, points)
		), mine AS (
			SELECT e.id FROM acs.communication_events e JOIN input i ON i.id = e.id AND i.until = e.due_at
			ORDER BY e.id FOR UPDATE OF e
		)
		UPDATE acs.communication_events e
		SET payload = CASE WHEN i.points THEN e.payload END, payload_attributes = CASE WHEN i.points THEN e.payload_attributes END,
			payload_group = CASE WHEN i.points THEN e.payload_group ELSE '' END, due_at = NULL
		FROM mine m JOIN input i ON i.id = m.id WHERE e.id = m.id AND e.due_at = i.until`,
		column(due, func(d store.Due) string { return d.ID }), column(due, func(d store.Due) time.Time { return d.Until }),
		column(due, func(d store.Due) bool { return d.Points }))
	if err != nil {
		return fmt.Errorf("unpark: %w", err)
	}
	return nil
}

// Kept implements store.Parking.
func (s *Store) Kept(ctx context.Context, id string) (store.Parked, error) {
	kept, err := list(ctx, s, func(row pgx.CollectableRow) (p store.Parked, err error) {
		err = row.Scan(&p.Body, &p.Attributes, &p.GroupID)
		return p, err
	}, `SELECT payload, coalesce(payload_attributes, ''), payload_group FROM acs.communication_events WHERE id = $1 AND payload IS NOT NULL`, id)
	if err == nil && len(kept) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Parked{}, fmt.Errorf("read what is kept of %q: %w", id, err)
	}
	return kept[0], nil
}

// CountDue implements store.Parking.
func (s *Store) CountDue(ctx context.Context, within time.Duration) (map[string]int, error) {
	byQueue, err := s.countByQueue(ctx, clock+`
		SELECT e.queue, count(*) FROM acs.communication_events e, clock
		WHERE e.due_at <= clock.now + $2::bigint * interval '1 microsecond' AND `+carriable+`
		GROUP BY e.queue`, s.now(), within.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("count what is due: %w", err)
	}
	return byQueue, nil
}
