package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/internal/store"
)

// carriable is when a parked message may go back to its queue: nobody works on
// it. Its placeholder is now.
const carriable = `(status IN ('new', 'scheduled') OR status = 'processing' AND lease_until <= ?)`

// Park implements store.Parking.
func (s *Store) Park(ctx context.Context, id, payloadHash string, p store.Parked) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		held, err := changed(tx.ExecContext(ctx, `UPDATE communication_events SET payload = ?, payload_attributes = ?, payload_group = ?, due_at = ?
			WHERE id = ? AND payload_hash = ? AND status IN ('new', 'scheduled', 'processing')`,
			p.Body.Reveal(), address(p.Attributes), p.GroupID, text(s.now().Add(p.After)), id, payloadHash))
		if err == nil && !held {
			err = store.ErrLost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("park %q: %w", id, err)
	}
	return nil
}

// LeaseDue implements store.Parking: a leased row is due again at its lease's
// end.
func (s *Store) LeaseDue(ctx context.Context, queues []string, lease time.Duration, limit int) (due []store.Due, err error) {
	if len(queues) == 0 {
		return nil, nil
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		now := s.now().Truncate(time.Millisecond)
		query := `UPDATE communication_events SET due_at = ? WHERE id IN (
			SELECT id FROM communication_events WHERE due_at <= ? AND ` + carriable + `
				AND queue IN (` + marks(len(queues)) + `) ORDER BY due_at LIMIT ?)
			RETURNING id, queue, payload, coalesce(payload_attributes, ''), payload_group, due_at`
		args := append(with(queues, text(now.Add(lease)), text(now), text(now)), limit)
		due, err = collect(ctx, tx, func(row scanner) (d store.Due, err error) {
			err = row.Scan(&d.ID, &d.Queue, &d.Body, &d.Attributes, &d.GroupID, moment{&d.Until})
			return d, err
		}, query, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lease what is due: %w", err)
	}
	return due, nil
}

// Unpark implements store.Parking.
func (s *Store) Unpark(ctx context.Context, due []store.Due) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		for _, d := range due {
			if _, err := tx.ExecContext(ctx, `UPDATE communication_events
				SET payload = CASE WHEN ?1 THEN payload END, payload_attributes = CASE WHEN ?1 THEN payload_attributes END,
					payload_group = CASE WHEN ?1 THEN payload_group ELSE '' END, due_at = NULL
				WHERE id = ?2 AND due_at = ?3`, d.Points, d.ID, text(d.Until)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("unpark: %w", err)
	}
	return nil
}

// Kept implements store.Parking.
func (s *Store) Kept(ctx context.Context, id string) (store.Parked, error) {
	kept, err := list(ctx, s, func(row scanner) (p store.Parked, err error) {
		err = row.Scan(&p.Body, &p.Attributes, &p.GroupID)
		return p, err
	}, `SELECT payload, coalesce(payload_attributes, ''), payload_group FROM communication_events WHERE id = ? AND payload IS NOT NULL`, id)
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
	now := s.now()
	byQueue, err := s.countByQueue(ctx, `SELECT queue, count(*) FROM communication_events
		WHERE due_at <= ? AND `+carriable+` GROUP BY queue`, text(now.Add(within)), text(now))
	if err != nil {
		return nil, fmt.Errorf("count what is due: %w", err)
	}
	return byQueue, nil
}

// countByQueue reads rows of a queue's name and a count.
func (s *Store) countByQueue(ctx context.Context, query string, args ...any) (map[string]int, error) {
	byQueue := map[string]int{}
	_, err := list(ctx, s, func(row scanner) (none struct{}, err error) {
		var queue string
		var rows int
		err = row.Scan(&queue, &rows)
		byQueue[queue] = rows
		return none, err
	}, query, args...)
	return byQueue, err
}
