package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// Resolve implements store.Upkeep.
func (s *Store) Resolve(ctx context.Context, r store.Resolution) error {
	status, outcome := r.Outcome()
	err := s.write(ctx, func(tx *sql.Tx) error {
		now := text(s.now())
		var sentAt, dueAt any
		if status == store.Sent {
			sentAt = now
		} else {
			dueAt = now
		}
		held, err := changed(tx.ExecContext(ctx, `UPDATE communication_events
			SET status = ?1, attempts = attempts + 1, provider = ?2, provider_id = ?3, error_code = '', error = '',
				settled_reason = ?4, updated_at = ?5, sent_at = ?6, due_at = CASE WHEN payload IS NOT NULL THEN ?7 END,
				payload = CASE WHEN ?1 = 'new' THEN payload END,
				payload_attributes = CASE WHEN ?1 = 'new' THEN payload_attributes END
			WHERE id = ?8 AND status = ?9 AND sent_at IS NULL`,
			status, r.Provider, r.ProviderID, r.Reason, now, sentAt, dueAt, r.ID, r.From))
		if err != nil {
			return err
		}
		if !held {
			return store.ErrLost
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO communication_attempts (event_id, attempt, owner, started_at, finished_at,
				outcome, provider, provider_id, error)
			SELECT id, attempts, ?, ?, ?, ?, ?, ?, ? FROM communication_events WHERE id = ?`,
			r.By, now, now, outcome, r.Provider, r.ProviderID, r.Reason, r.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("resolve %q: %w", r.ID, err)
	}
	return nil
}

// Discard implements store.Upkeep.
func (s *Store) Discard(ctx context.Context, d store.Discarding) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		now := text(s.now())
		held, err := changed(tx.ExecContext(ctx, `UPDATE communication_events
			SET status = 'failed', attempts = attempts + 1, updated_at = ?, payload = NULL, payload_attributes = NULL,
				payload_group = '', error_code = CASE WHEN error_code = '' THEN ? ELSE error_code END
			WHERE id = ? AND sent_at IS NULL AND (status = 'failed' OR status IN ('new', 'scheduled') AND payload IS NULL)`,
			now, store.Discarded, d.ID))
		if err != nil {
			return err
		}
		if !held {
			return store.ErrLost
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO communication_attempts (event_id, attempt, owner, started_at, finished_at, outcome, error)
			SELECT id, attempts, ?, ?, ?, ?, ? FROM communication_events WHERE id = ?`, d.By, now, now, store.Discarded, d.Reason, d.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("discard %q: %w", d.ID, err)
	}
	return nil
}

// Keep implements store.Upkeep.
func (s *Store) Keep(ctx context.Context, id string, p store.Parked) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		held, err := changed(tx.ExecContext(ctx, `UPDATE communication_events SET payload = ?, payload_attributes = ?, payload_group = ?
			WHERE id = ? AND status IN ('failed', 'in_doubt')`, p.Body.Reveal(), address(p.Attributes), p.GroupID, id))
		if err == nil && !held {
			err = store.ErrLost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("keep %q: %w", id, err)
	}
	return nil
}

// Prune implements store.Upkeep.
func (s *Store) Prune(ctx context.Context, p store.Pruning) (pruned store.Pruned, err error) {
	newest := p.Addresses
	if p.Rows.After(newest) {
		newest = p.Rows
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		pruned = store.Pruned{Next: p.From}
		batch, err := collect(ctx, tx, func(row scanner) (c store.Cursor, err error) {
			err = row.Scan(&c.ID, moment{&c.CreatedAt})
			return c, err
		}, `SELECT id, created_at FROM communication_events WHERE (created_at, id) > (?, ?) AND created_at < ?
			ORDER BY created_at, id LIMIT ?`, text(p.From.CreatedAt), p.From.ID, text(newest), p.Limit)
		if err != nil {
			return err
		}
		pruned.Done = len(batch) < p.Limit
		for _, row := range batch {
			pruned.Next = row
			if err := prune(ctx, tx, p, row.ID, &pruned); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return pruned, fmt.Errorf("prune: %w", err)
	}
	return pruned, nil
}

// prune deletes or erases one settled row, if it was left alone for long
// enough. What is in doubt stays until a person has decided.
func prune(ctx context.Context, tx *sql.Tx, p store.Pruning, id string, pruned *store.Pruned) error {
	gone, err := changed(tx.ExecContext(ctx, `DELETE FROM communication_events
		WHERE id = ? AND status NOT IN ('new', 'scheduled', 'processing', 'in_doubt') AND updated_at < ?`, id, text(p.Rows)))
	if err != nil || gone {
		pruned.Deleted += btoi(gone)
		return err
	}
	erased, err := changed(tx.ExecContext(ctx, `UPDATE communication_events
		SET from_address = NULL, to_address = NULL, body = NULL, payload = NULL, payload_attributes = NULL
		WHERE id = ? AND status NOT IN ('new', 'scheduled', 'processing') AND updated_at < ?
			AND (from_address IS NOT NULL OR to_address IS NOT NULL OR body IS NOT NULL OR payload IS NOT NULL
				OR payload_attributes IS NOT NULL)`, id, text(p.Addresses)))
	pruned.Erased += btoi(erased)
	return err
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// waits is a row whose message is kept for its next try, which its erasure ends.
const waits = `(due_at IS NOT NULL OR payload IS NOT NULL AND status IN ('new', 'scheduled', 'processing'))`

// Forget implements store.Upkeep. A mail address is the same in any case.
func (s *Store) Forget(ctx context.Context, address redact.Personal) (rows int, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE communication_events
			SET from_address = CASE WHEN lower(from_address) = lower(trim(?1)) THEN NULL ELSE from_address END,
				to_address = CASE WHEN lower(to_address) = lower(trim(?1)) THEN NULL ELSE to_address END,
				body = NULL, payload = NULL, payload_attributes = NULL, payload_group = '', due_at = NULL,
				status = CASE WHEN NOT `+waits+` THEN status WHEN status = 'processing' THEN 'in_doubt' ELSE 'suppressed' END,
				error_code = CASE WHEN `+waits+` THEN 'forgotten' ELSE error_code END,
				updated_at = ?2
			WHERE lower(from_address) = lower(trim(?1)) OR lower(to_address) = lower(trim(?1))`,
			address.Reveal(), text(s.now()))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		rows = int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget an address: %w", err)
	}
	return rows, nil
}

// CountStatus implements store.Upkeep.
func (s *Store) CountStatus(ctx context.Context, status store.Status) (map[string]int, error) {
	byQueue, err := s.countByQueue(ctx, `SELECT queue, count(*) FROM communication_events WHERE status = ? GROUP BY queue`, status)
	if err != nil {
		return nil, fmt.Errorf("count %s: %w", status, err)
	}
	return byQueue, nil
}

// collect reads every row of a query of a transaction.
func collect[T any](
	ctx context.Context, tx *sql.Tx, scan func(scanner) (T, error), query string, args ...any,
) (found []T, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}
