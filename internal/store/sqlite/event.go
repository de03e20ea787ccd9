package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// columns are communication_events in the order of scanEvent.
const columns = `id, channel, type, status, coalesce(from_address, ''), coalesce(to_address, ''), provider,
	provider_id, attempts, error_code, error, queue, sqs_message_id, payload_hash, body_hash, segments, template,
	priority, owner, lease_until, created_at, updated_at, sent_at, enqueued_at, settled_reason, due_at,
	coalesce(body, '')`

func scanEvent(row scanner) (e store.Event, err error) {
	err = row.Scan(&e.ID, &e.Channel, &e.Type, &e.Status, &e.From, &e.To, &e.Provider, &e.ProviderID, &e.Attempts,
		&e.ErrorCode, &e.Error, &e.Queue, &e.SQSMessageID, &e.PayloadHash, &e.BodyHash, &e.Segments, &e.Template,
		&e.Priority, &e.Owner, moment{&e.LeaseUntil}, moment{&e.CreatedAt}, moment{&e.UpdatedAt}, moment{&e.SentAt},
		moment{&e.EnqueuedAt}, &e.SettledReason, moment{&e.DueAt}, &e.Body)
	return e, err
}

// Record implements store.Messages.
func (s *Store) Record(ctx context.Context, e store.Event) (inserted bool, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		e := e.WithDefaults(s.now())
		inserted, err = changed(tx.ExecContext(ctx, `
			INSERT INTO communication_events (id, channel, type, status, from_address, to_address, provider,
				provider_id, attempts, error_code, error, queue, sqs_message_id, payload_hash, body_hash, segments,
				template, priority, owner, lease_until, created_at, updated_at, sent_at, enqueued_at, settled_reason, body)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO NOTHING`,
			e.ID, e.Channel, e.Type, e.Status, address(e.From), address(e.To), e.Provider, e.ProviderID, e.Attempts,
			e.ErrorCode, e.Error, e.Queue, e.SQSMessageID, e.PayloadHash, e.BodyHash, e.Segments, e.Template,
			e.Priority, e.Owner, text(e.LeaseUntil), text(e.CreatedAt), text(e.UpdatedAt), optional(e.SentAt),
			optional(e.EnqueuedAt), e.SettledReason, address(e.Body)))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("record event %q: %w", e.ID, err)
	}
	return inserted, nil
}

// UpdateStatus implements store.Messages.
func (s *Store) UpdateStatus(ctx context.Context, u store.StatusUpdate) error {
	lower, err := u.Replaces()
	if err != nil {
		return err
	}
	if u.ProviderID == "" {
		return fmt.Errorf("update status: no provider id: %w", store.ErrNotFound)
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		now := text(s.now())
		known, err := reported(ctx, tx, u, now)
		if err != nil {
			return err
		}
		if len(known) == 0 {
			return store.ErrNotFound
		}
		var sentAt any
		if u.Status.Left() {
			sentAt = now
		}
		for _, id := range known {
			query := `UPDATE communication_events SET status = ?, error_code = ?, sent_at = coalesce(sent_at, ?), updated_at = ?,
				provider_id = ?, provider = CASE WHEN provider = '' THEN ? ELSE provider END,
				payload = NULL, payload_attributes = NULL, payload_group = '', due_at = NULL
				WHERE id = ? AND status IN (` + marks(len(lower)) + `)`
			if _, err := tx.ExecContext(ctx, query,
				with(lower, u.Status, u.ErrorCode, sentAt, now, u.ProviderID, u.Provider, id)...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("update status of provider id %q: %w", u.ProviderID, err)
	}
	return nil
}

// reported are the ids of the events that a report is about: those of its
// provider id, and the one that it names, where no other provider id is known.
func reported(ctx context.Context, tx *sql.Tx, u store.StatusUpdate, now string) (ids []string, err error) {
	query := `SELECT id FROM communication_events
		WHERE provider_id = ? AND provider_id <> '' AND status IN (` + marks(len(store.Reportable())) + `)
			OR id = ? AND provider_id IN ('', ?) AND (status = 'processing' AND lease_until <= ?
				OR status IN (` + marks(len(store.Reportable())) + `))`
	args := append(with(store.Reportable(), u.ProviderID), u.EventID, u.ProviderID, now)
	return collect(ctx, tx, func(row scanner) (id string, err error) {
		err = row.Scan(&id)
		return id, err
	}, query, with(store.Reportable(), args...)...)
}

// marks is n placeholders.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// with is args followed by list.
func with[T any](list []T, args ...any) []any {
	for _, one := range list {
		args = append(args, one)
	}
	return args
}

// Suppress implements store.Messages. The address itself is not stored.
func (s *Store) Suppress(ctx context.Context, channel string, address redact.Personal, reason string) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO suppressions (channel, address_hash, reason, created_at)
			VALUES (?, ?, ?, ?) ON CONFLICT (channel, address_hash) DO UPDATE SET reason = excluded.reason`,
			channel, store.AddressHash(address), reason, text(s.now()))
		return err
	})
	if err != nil {
		return fmt.Errorf("suppress: %w", err)
	}
	return nil
}

// OptOut implements store.Messages. The row's time is that of the newest STOP.
func (s *Store) OptOut(ctx context.Context, channel string, address redact.Personal, at time.Time) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO suppressions (channel, address_hash, reason, created_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (channel, address_hash) DO UPDATE SET reason = excluded.reason,
				created_at = CASE WHEN reason = excluded.reason THEN max(created_at, excluded.created_at) ELSE excluded.created_at END`,
			channel, store.AddressHash(address), store.OptedOut, text(at))
		return err
	})
	if err != nil {
		return fmt.Errorf("opt out: %w", err)
	}
	return nil
}

// OptIn implements store.Messages.
func (s *Store) OptIn(ctx context.Context, channel string, address redact.Personal, at time.Time) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM suppressions
			WHERE channel = ? AND address_hash = ? AND NOT (reason = ? AND created_at > ?)`,
			channel, store.AddressHash(address), store.OptedOut, text(at))
		return err
	})
	if err != nil {
		return fmt.Errorf("opt in: %w", err)
	}
	return nil
}

// Unsuppress implements store.Messages.
func (s *Store) Unsuppress(ctx context.Context, channel string, address redact.Personal) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM suppressions WHERE channel = ? AND address_hash = ?`,
			channel, store.AddressHash(address))
		return err
	})
	if err != nil {
		return fmt.Errorf("unsuppress: %w", err)
	}
	return nil
}

// SuppressionReason implements store.Messages.
func (s *Store) SuppressionReason(
	ctx context.Context, channel string, address redact.Personal,
) (reason string, err error) {
	err = s.patiently(ctx, func() error {
		reason, err = suppression(ctx, s.reader, channel, address)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("look up suppression: %w", err)
	}
	return reason, nil
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func suppression(ctx context.Context, q querier, channel string, address redact.Personal) (reason string, err error) {
	err = q.QueryRowContext(ctx, `SELECT reason FROM suppressions WHERE channel = ? AND address_hash = ?`,
		channel, store.AddressHash(address)).Scan(&reason)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return reason, err
}

// Events implements store.Messages.
func (s *Store) Events(ctx context.Context, f store.Filter) ([]store.Event, error) {
	where, args := "1", []any(nil)
	only := func(column string, value string) {
		if value != "" {
			where, args = where+" AND "+column, append(args, value)
		}
	}
	only("id = ?", f.ID)
	only("channel = ?", f.Channel)
	only("type = ?", f.Type)
	only("status = ?", string(f.Status))
	only("provider_id = ? AND provider_id <> ''", f.ProviderID)
	only("queue = ?", f.Queue)
	only(`? IN (SELECT communication_events.error_code UNION SELECT a.error_code FROM communication_attempts a
		WHERE communication_events.status IN ('new', 'scheduled', 'processing')
			AND a.event_id = communication_events.id AND a.attempt >= communication_events.attempts - 1)`, f.ErrorCode)
	if !f.Since.IsZero() {
		only("created_at >= ?", text(f.Since))
	}
	if f.Kept {
		where += " AND payload IS NOT NULL AND status IN ('failed', 'in_doubt')"
	}
	from := "communication_events"
	if f.Queue != "" || f.ErrorCode != "" { // without an index: only the newest
		from = fmt.Sprintf(`(SELECT * FROM communication_events ORDER BY created_at DESC, id DESC LIMIT %d) AS communication_events`, store.SearchRows)
	}
	events, err := list(ctx, s, scanEvent, `SELECT `+columns+` FROM `+from+` WHERE `+where+
		` ORDER BY created_at DESC, id DESC LIMIT ?`, append(args, f.Rows())...)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return events, nil
}

// attemptColumns are communication_attempts in the order of scanAttempt.
const attemptColumns = `event_id, attempt, owner, started_at, finished_at, outcome, provider, provider_id, error_code, error`

func scanAttempt(row scanner) (a store.Attempt, err error) {
	err = row.Scan(&a.EventID, &a.Number, &a.Owner, moment{&a.StartedAt}, moment{&a.FinishedAt}, &a.Outcome,
		&a.Provider, &a.ProviderID, &a.ErrorCode, &a.Error)
	return a, err
}

// Attempts implements store.Messages.
func (s *Store) Attempts(ctx context.Context, eventID string) ([]store.Attempt, error) {
	attempts, err := list(ctx, s, scanAttempt,
		`SELECT `+attemptColumns+` FROM communication_attempts WHERE event_id = ? ORDER BY attempt`, eventID)
	if err != nil {
		return nil, fmt.Errorf("list attempts of %q: %w", eventID, err)
	}
	return attempts, nil
}

// Explain implements store.Messages.
func (s *Store) Explain(ctx context.Context, a store.Attempt) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		explained, err := changed(tx.ExecContext(ctx, `UPDATE communication_attempts SET provider = ?, error_code = ?, error = ?
			WHERE event_id = ? AND attempt = ? AND owner = ? AND finished_at IS NULL`,
			a.Provider, a.ErrorCode, a.Error, a.EventID, a.Number, a.Owner))
		if err != nil || !explained {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE communication_events SET error_code = ?, error = ?, updated_at = ?
			WHERE id = ? AND attempts = ? AND owner = ? AND status = 'processing'`,
			a.ErrorCode, a.Error, text(s.now()), a.EventID, a.Number, a.Owner)
		return err
	})
	if err != nil {
		return fmt.Errorf("explain attempt %d of %q: %w", a.Number, a.EventID, err)
	}
	return nil
}

// SettledProviderIDs implements store.Messages.
func (s *Store) SettledProviderIDs(
	ctx context.Context, provider string, ids []string, eventID string,
) (map[string]bool, error) {
	found, err := list(ctx, s, func(row scanner) (id string, err error) {
		err = row.Scan(&id)
		return id, err
	},
		`SELECT DISTINCT provider_id FROM communication_events WHERE provider = ? AND id <> ? AND provider_id <> ''
			AND status IN (`+marks(len(store.Reportable()))+`) AND provider_id IN (`+marks(len(ids))+`)`,
		with(ids, with(store.Reportable(), provider, eventID)...)...)
	if err != nil {
		return nil, fmt.Errorf("look up provider ids: %w", err)
	}
	settled := make(map[string]bool, len(found))
	for _, id := range found {
		settled[id] = true
	}
	return settled, nil
}

// Rival implements store.Messages.
func (s *Store) Rival(ctx context.Context, r store.Rivalry) (bool, error) {
	found, err := list(ctx, s, func(row scanner) (id string, err error) {
		err = row.Scan(&id)
		return id, err
	}, `SELECT e.id FROM communication_events e
		JOIN communication_attempts a ON a.event_id = e.id AND a.attempt = e.attempts
		WHERE e.status = 'processing' AND e.channel = ? AND e.to_address = ? AND e.id <> ? AND e.lease_until > ?
			AND a.started_at < ? LIMIT 1`, r.Channel, r.To.Reveal(), r.EventID, text(s.now()), text(r.Before))
	if err != nil {
		return false, fmt.Errorf("look up rivals: %w", err)
	}
	return len(found) > 0, nil
}
