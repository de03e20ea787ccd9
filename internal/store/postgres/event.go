package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// columns are communication_events, named e, in the order of fields. The first
// chosen ones are what the database makes up for a new claim.
const columns = `e.id, e.attempts, e.owner, e.lease_until, e.created_at, e.updated_at,
	e.channel, e.type, e.status, coalesce(e.from_address, ''), coalesce(e.to_address, ''),
	e.provider, e.provider_id, e.error_code, e.error, e.queue, e.sqs_message_id, e.payload_hash,
	e.body_hash, e.segments, e.template, e.priority, e.sent_at,
	e.enqueued_at, e.settled_reason, e.due_at, coalesce(e.body, '')`

const chosen = 6

func fields(e *store.Event) []any {
	return []any{&e.ID, &e.Attempts, &e.Owner, moment{&e.LeaseUntil}, moment{&e.CreatedAt}, moment{&e.UpdatedAt},
		&e.Channel, &e.Type, &e.Status, &e.From, &e.To, &e.Provider, &e.ProviderID,
		&e.ErrorCode, &e.Error, &e.Queue, &e.SQSMessageID, &e.PayloadHash, &e.BodyHash, &e.Segments, &e.Template,
		&e.Priority, moment{&e.SentAt}, moment{&e.EnqueuedAt}, &e.SettledReason, moment{&e.DueAt}, &e.Body}
}

// Record implements store.Messages.
func (s *Store) Record(ctx context.Context, e store.Event) (inserted bool, err error) {
	e = e.WithDefaults(s.wall())
	changed, err := s.exec(ctx, `
		INSERT INTO acs.communication_events (id, channel, type, status, from_address, to_address, provider,
			provider_id, attempts, error_code, error, queue, sqs_message_id, payload_hash, body_hash, segments,
			template, priority, owner, lease_until, created_at, updated_at, sent_at, enqueued_at, settled_reason, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
			$23, $24, $25, $26)
		ON CONFLICT (id) DO NOTHING`,
		e.ID, e.Channel, e.Type, string(e.Status), address(e.From), address(e.To), e.Provider, e.ProviderID, e.Attempts,
		e.ErrorCode, e.Error, e.Queue, e.SQSMessageID, e.PayloadHash, e.BodyHash, e.Segments, e.Template,
		e.Priority, e.Owner, e.LeaseUntil, e.CreatedAt, e.UpdatedAt, optional(e.SentAt), optional(e.EnqueuedAt),
		e.SettledReason, address(e.Body))
	if err != nil {
		return false, fmt.Errorf("record event %q: %w", e.ID, err)
	}
	return changed > 0, nil
}

// updateStatusSQL applies a report to the event of a provider id, or, where the
// report names our own id and nothing else is known, to that event. It locks
// the row first, so that two reports come one after the other.
const updateStatusSQL = `
WITH clock AS (
	SELECT coalesce($1::timestamptz, now()) AS now
), known AS (
	SELECT e.id FROM acs.communication_events e, clock
	WHERE e.provider_id = $2::text AND e.provider_id <> '' AND e.status = ANY ($6::text[])
		OR e.id = $8::text AND e.provider_id IN ('', $2::text) AND (e.status = ANY ($6::text[])
			OR e.status = 'processing' AND e.lease_until <= clock.now)
	ORDER BY e.id FOR UPDATE OF e
), applied AS (
	UPDATE acs.communication_events e
	SET status = $3::text, error_code = $4::text, updated_at = clock.now, provider_id = $2::text,
		provider = CASE WHEN e.provider = '' THEN $9::text ELSE e.provider END,
		payload = NULL, payload_attributes = NULL, payload_group = '', due_at = NULL,
		sent_at = coalesce(e.sent_at, CASE WHEN $7::boolean THEN clock.now END)
	FROM known, clock WHERE e.id = known.id AND e.status = ANY ($5::text[])
)
SELECT id FROM known`

// UpdateStatus implements store.Messages.
func (s *Store) UpdateStatus(ctx context.Context, u store.StatusUpdate) error {
	lower, err := u.Replaces()
	if err != nil {
		return err
	}
	if u.ProviderID == "" {
		return fmt.Errorf("update status: no provider id: %w", store.ErrNotFound)
	}
	text := func(status store.Status) string { return string(status) }
	known, err := list(ctx, s, pgx.RowTo[string], updateStatusSQL, s.now(), u.ProviderID, string(u.Status),
		u.ErrorCode, column(lower, text), column(store.Reportable(), text), u.Status.Left(), u.EventID, u.Provider)
	if err == nil && len(known) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("update status of provider id %q: %w", u.ProviderID, err)
	}
	return nil
}

// Suppress implements store.Messages. The address itself is not stored.
func (s *Store) Suppress(ctx context.Context, channel string, address redact.Personal, reason string) error {
	_, err := s.exec(ctx, `INSERT INTO acs.suppressions (channel, address_hash, reason, created_at)
		VALUES ($1, $2, $3, coalesce($4::timestamptz, now()))
		ON CONFLICT (channel, address_hash) DO UPDATE SET reason = excluded.reason`,
		channel, store.AddressHash(address), reason, s.now())
	if err != nil {
		return fmt.Errorf("suppress: %w", err)
	}
	return nil
}

// OptOut implements store.Messages. The row's time is that of the newest STOP.
func (s *Store) OptOut(ctx context.Context, channel string, address redact.Personal, at time.Time) error {
	_, err := s.exec(ctx, `INSERT INTO acs.suppressions AS s (channel, address_hash, reason, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (channel, address_hash) DO UPDATE SET reason = excluded.reason,
			created_at = CASE WHEN s.reason = excluded.reason THEN greatest(s.created_at, excluded.created_at) ELSE excluded.created_at END`,
		channel, store.AddressHash(address), store.OptedOut, at)
	if err != nil {
		return fmt.Errorf("opt out: %w", err)
	}
	return nil
}

// OptIn implements store.Messages.
func (s *Store) OptIn(ctx context.Context, channel string, address redact.Personal, at time.Time) error {
	_, err := s.exec(ctx, `DELETE FROM acs.suppressions
		WHERE channel = $1 AND address_hash = $2 AND NOT (reason = $3 AND created_at > $4)`,
		channel, store.AddressHash(address), store.OptedOut, at)
	if err != nil {
		return fmt.Errorf("opt in: %w", err)
	}
	return nil
}

// Unsuppress implements store.Messages.
func (s *Store) Unsuppress(ctx context.Context, channel string, address redact.Personal) error {
	_, err := s.exec(ctx, `DELETE FROM acs.suppressions WHERE channel = $1 AND address_hash = $2`,
		channel, store.AddressHash(address))
	if err != nil {
		return fmt.Errorf("unsuppress: %w", err)
	}
	return nil
}

// SuppressionReason implements store.Messages.
func (s *Store) SuppressionReason(
	ctx context.Context, channel string, address redact.Personal,
) (reason string, err error) {
	err = s.pool.QueryRow(ctx, s.in(`SELECT reason FROM acs.suppressions WHERE channel = $1 AND address_hash = $2`),
		channel, store.AddressHash(address)).Scan(&reason)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("look up suppression: %w", err)
	}
	return reason, nil
}

// Events implements store.Messages. The unused conditions cost nothing: the
// statement is planned with its values.
func (s *Store) Events(ctx context.Context, f store.Filter) ([]store.Event, error) {
	events, err := list(ctx, s, func(row pgx.CollectableRow) (e store.Event, err error) {
		err = row.Scan(fields(&e)...)
		return e, err
	}, `SELECT `+columns+` FROM `+source(f)+` e
		WHERE ($1::text = '' OR e.id = $1::text) AND ($2::text = '' OR e.channel = $2::text)
			AND ($3::text = '' OR e.type = $3::text) AND ($4::text = '' OR e.status = $4::text)
			AND ($5::text = '' OR e.provider_id = $5::text AND e.provider_id <> '')
			AND ($6::timestamptz IS NULL OR e.created_at >= $6::timestamptz)
			AND (NOT $8::boolean OR e.payload IS NOT NULL AND e.status IN ('failed', 'in_doubt'))
			AND ($9::text = '' OR e.queue = $9::text) 
			AND ($10::text = '' OR e.error_code = $10::text OR e.status IN ('new', 'scheduled', 'processing') AND EXISTS (
				SELECT 1 FROM acs.communication_attempts a
				WHERE a.event_id = e.id AND a.attempt >= e.attempts - 1 AND a.error_code = $10::text))
		ORDER BY e.created_at DESC, e.id DESC LIMIT $7::bigint`,
		f.ID, f.Channel, f.Type, string(f.Status), f.ProviderID, optional(f.Since), f.Rows(), f.Kept, f.Queue, f.ErrorCode)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return events, nil
}

// source is the table, or its newest rows for a filter that has no index.
func source(f store.Filter) string {
	if f.Queue == "" && f.ErrorCode == "" {
		return "acs.communication_events"
	}
	return fmt.Sprintf(`(SELECT * FROM acs.communication_events WHERE $4::text = '' OR status = $4::text
		ORDER BY created_at DESC, id DESC LIMIT %d)`, store.SearchRows)
}

// attemptColumns are communication_attempts, named a, in the order of scanAttempt.
const attemptColumns = `a.event_id, a.attempt, a.owner, a.started_at, a.finished_at, a.outcome, a.provider, a.provider_id,
	a.error_code, a.error`

func scanAttempt(row pgx.CollectableRow) (a store.Attempt, err error) {
	err = row.Scan(&a.EventID, &a.Number, &a.Owner, moment{&a.StartedAt}, moment{&a.FinishedAt}, &a.Outcome,
		&a.Provider, &a.ProviderID, &a.ErrorCode, &a.Error)
	return a, err
}

// Attempts implements store.Messages.
func (s *Store) Attempts(ctx context.Context, eventID string) ([]store.Attempt, error) {
	attempts, err := list(ctx, s, scanAttempt,
		`SELECT `+attemptColumns+` FROM acs.communication_attempts a WHERE a.event_id = $1 ORDER BY a.attempt`, eventID)
	if err != nil {
		return nil, fmt.Errorf("list attempts of %q: %w", eventID, err)
	}
	return attempts, nil
}

// explainSQL takes the event's lock before the attempt's, as settleSQL does.
const explainSQL = `
WITH mine AS (
	SELECT e.id FROM acs.communication_events e JOIN acs.communication_attempts a ON a.event_id = e.id AND a.attempt = e.attempts
	WHERE e.id = $4 AND e.attempts = $5 AND e.owner = $6 AND ` + underWay + ` AND a.finished_at IS NULL FOR UPDATE OF e
), told AS (
	UPDATE acs.communication_events e SET error_code = $2, error = $3,
		updated_at = date_trunc('milliseconds', coalesce($7::timestamptz, now()))
	FROM mine WHERE e.id = mine.id
)
UPDATE acs.communication_attempts SET provider = $1, error_code = $2, error = $3
WHERE event_id = $4 AND attempt = $5 AND owner = $6 AND finished_at IS NULL`

// Explain implements store.Messages.
func (s *Store) Explain(ctx context.Context, a store.Attempt) error {
	_, err := s.exec(ctx, explainSQL, a.Provider, a.ErrorCode, a.Error, a.EventID, a.Number, a.Owner, s.now())
	if err != nil {
		return fmt.Errorf("explain attempt %d of %q: %w", a.Number, a.EventID, err)
	}
	return nil
}

// SettledProviderIDs implements store.Messages.
func (s *Store) SettledProviderIDs(
	ctx context.Context, provider string, ids []string, eventID string,
) (map[string]bool, error) {
	statuses := column(store.Reportable(), func(status store.Status) string { return string(status) })
	found, err := list(ctx, s, pgx.RowTo[string], `SELECT DISTINCT provider_id FROM acs.communication_events
		WHERE provider = $1 AND id <> $2 AND provider_id <> '' AND status = ANY ($3::text[])
			AND provider_id = ANY ($4::text[])`, provider, eventID, statuses, ids)
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
func (s *Store) Rival(ctx context.Context, r store.Rivalry) (found bool, err error) {
	err = s.pool.QueryRow(ctx, s.in(`SELECT EXISTS (
		SELECT 1 FROM acs.communication_events e
		JOIN acs.communication_attempts a ON a.event_id = e.id AND a.attempt = e.attempts
		WHERE e.status = 'processing' AND e.channel = $1 AND e.to_address = $2 AND e.id <> $3
			AND e.lease_until > coalesce($5::timestamptz, now()) AND a.started_at < $4)`),
		r.Channel, r.To.Reveal(), r.EventID, r.Before, s.now()).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("look up rivals: %w", err)
	}
	return found, nil
}
