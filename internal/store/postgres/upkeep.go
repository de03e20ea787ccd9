package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// Resolve implements store.Upkeep: the row and the attempt that tells of it in
// one statement.
func (s *Store) Resolve(ctx context.Context, r store.Resolution) error {
	status, outcome := r.Outcome()
	done, err := list(ctx, s, pgx.RowTo[string], clock+`, resolved AS (
			UPDATE acs.communication_events e
			SET status = $4::text, attempts = e.attempts + 1, provider = $5::text, provider_id = $6::text, error_code = '',
				error = '', settled_reason = $8::text, updated_at = clock.now,
				sent_at = CASE WHEN $4::text = 'sent' THEN clock.now END,
				due_at = CASE WHEN $4::text = 'new' AND e.payload IS NOT NULL THEN clock.now END,
				payload = CASE WHEN $4::text = 'new' THEN e.payload END,
				payload_attributes = CASE WHEN $4::text = 'new' THEN e.payload_attributes END
			FROM clock WHERE e.id = $2::text AND e.status = $3::text AND e.sent_at IS NULL
			RETURNING e.id, e.attempts
		), told AS (
			INSERT INTO acs.communication_attempts (event_id, attempt, owner, started_at, finished_at, outcome, provider,
				provider_id, error)
			SELECT id, attempts, $7::text, clock.now, clock.now, $9::text, $5::text, $6::text, $8::text FROM resolved, clock
		)
		SELECT id FROM resolved`,
		s.now(), r.ID, string(r.From), string(status), r.Provider, r.ProviderID, r.By, r.Reason, outcome)
	if err == nil && len(done) == 0 {
		err = store.ErrLost
	}
	if err != nil {
		return fmt.Errorf("resolve %q: %w", r.ID, err)
	}
	return nil
}

// Discard implements store.Upkeep: the row and the attempt that tells of it in one
// statement.
func (s *Store) Discard(ctx context.Context, d store.Discarding) error {
	done, err := list(ctx, s, pgx.RowTo[string], clock+`, discarded AS (
			UPDATE acs.communication_events e
			SET status = 'failed', attempts = e.attempts + 1, updated_at = clock.now, payload = NULL, payload_attributes = NULL,
				payload_group = '', error_code = CASE WHEN e.error_code = '' THEN $5::text ELSE e.error_code END
			FROM clock WHERE e.id = $2::text AND e.sent_at IS NULL
				AND (e.status = 'failed' OR e.status IN ('new', 'scheduled') AND e.payload IS NULL)
			RETURNING e.id, e.attempts
		), told AS (
			INSERT INTO acs.communication_attempts (event_id, attempt, owner, started_at, finished_at, outcome, error)
			SELECT id, attempts, $3::text, clock.now, clock.now, $5::text, $4::text FROM discarded, clock
		)
		SELECT id FROM discarded`, s.now(), d.ID, d.By, d.Reason, store.Discarded)
	if err == nil && len(done) == 0 {
		err = store.ErrLost
	}
	if err != nil {
		return fmt.Errorf("discard %q: %w", d.ID, err)
	}
	return nil
}

// Keep implements store.Upkeep.
func (s *Store) Keep(ctx context.Context, id string, p store.Parked) error {
	changed, err := s.exec(ctx, `UPDATE acs.communication_events SET payload = $2::text, payload_attributes = $4::text, payload_group = $3::text
		WHERE id = $1::text AND status IN ('failed', 'in_doubt')`, id, p.Body.Reveal(), p.GroupID, address(p.Attributes))
	if err == nil && changed == 0 {
		err = store.ErrLost
	}
	if err != nil {
		return fmt.Errorf("keep %q: %w", id, err)
	}
	return nil
}

// erasable and deletable are settled rows that were left alone since; what is
// in doubt stays until a person has decided.
const (
	erasable = `e.status NOT IN ('new', 'scheduled', 'processing') AND e.updated_at < $1::timestamptz
		AND (e.from_address IS NOT NULL OR e.to_address IS NOT NULL OR e.body IS NOT NULL
			OR e.payload IS NOT NULL OR e.payload_attributes IS NOT NULL)`
	deletable = `e.status NOT IN ('new', 'scheduled', 'processing', 'in_doubt') AND e.updated_at < $2::timestamptz`
)

// Prune implements store.Upkeep.
func (s *Store) Prune(ctx context.Context, p store.Pruning) (pruned store.Pruned, err error) {
	err = again(func() error {
		pruned = store.Pruned{Next: p.From}
		var seen int
		err := s.pool.QueryRow(ctx, s.in(`
			WITH batch AS (
				SELECT e.id, e.created_at FROM acs.communication_events e
				WHERE (e.created_at, e.id) > ($3::timestamptz, $4::text) AND e.created_at < greatest($1::timestamptz, $2::timestamptz)
				ORDER BY e.created_at, e.id LIMIT $5::bigint
			), locked AS (
				SELECT e.id, `+deletable+` AS goes, `+erasable+` AS fades
				FROM acs.communication_events e JOIN batch b ON b.id = e.id ORDER BY e.id FOR UPDATE OF e SKIP LOCKED
			), erased AS (
				UPDATE acs.communication_events e SET from_address = NULL, to_address = NULL, body = NULL, payload = NULL,
					payload_attributes = NULL
				FROM locked l WHERE e.id = l.id AND l.fades AND NOT l.goes RETURNING e.id
			), deleted AS (
				DELETE FROM acs.communication_events e USING locked l WHERE e.id = l.id AND l.goes RETURNING e.id
			), last AS (
				SELECT created_at, id FROM batch ORDER BY created_at DESC, id DESC LIMIT 1
			)
			SELECT (SELECT count(*) FROM batch), (SELECT count(*) FROM erased), (SELECT count(*) FROM deleted),
				(SELECT created_at FROM last), coalesce((SELECT id FROM last), '')`),
			p.Addresses, p.Rows, p.From.CreatedAt, p.From.ID, p.Limit).
			Scan(&seen, &pruned.Erased, &pruned.Deleted, moment{&pruned.Next.CreatedAt}, &pruned.Next.ID)
		pruned.Done = seen < p.Limit
		return err
	})
	if err != nil {
		return pruned, fmt.Errorf("prune: %w", err)
	}
	return pruned, nil
}

// waits is a row whose message is kept for its next try, which its erasure ends.
const waits = `(e.due_at IS NOT NULL OR e.payload IS NOT NULL AND e.status IN ('new', 'scheduled', 'processing'))`

// Forget implements store.Upkeep. A mail address is the same in any case.
func (s *Store) Forget(ctx context.Context, address redact.Personal) (int, error) {
	rows, err := s.exec(ctx, clock+`
		UPDATE acs.communication_events e
		SET from_address = CASE WHEN lower(e.from_address) = lower(trim($2::text)) THEN NULL ELSE e.from_address END,
			to_address = CASE WHEN lower(e.to_address) = lower(trim($2::text)) THEN NULL ELSE e.to_address END,
			body = NULL, payload = NULL, payload_attributes = NULL, payload_group = '', due_at = NULL,
			status = CASE WHEN NOT `+waits+` THEN e.status WHEN e.status = 'processing' THEN 'in_doubt' ELSE 'suppressed' END,
			error_code = CASE WHEN `+waits+` THEN 'forgotten' ELSE e.error_code END,
			updated_at = clock.now
		FROM clock
		WHERE lower(e.from_address) = lower(trim($2::text)) OR lower(e.to_address) = lower(trim($2::text))`,
		s.now(), address.Reveal())
	if err != nil {
		return 0, fmt.Errorf("forget an address: %w", err)
	}
	return int(rows), nil
}

const countSQL = `SELECT queue, count(*) FROM acs.communication_events WHERE status = $1::text GROUP BY queue`

// CountStatus implements store.Upkeep.
func (s *Store) CountStatus(ctx context.Context, status store.Status) (map[string]int, error) {
	byQueue, err := s.countByQueue(ctx, countSQL, string(status))
	if err != nil {
		return nil, fmt.Errorf("count %s: %w", status, err)
	}
	return byQueue, nil
}

// countByQueue reads rows of a queue's name and a count.
func (s *Store) countByQueue(ctx context.Context, query string, args ...any) (map[string]int, error) {
	type count struct {
		Queue string
		Rows  int
	}
	counts, err := list(ctx, s, pgx.RowToStructByPos[count], query, args...)
	if err != nil {
		return nil, err
	}
	byQueue := make(map[string]int, len(counts))
	for _, c := range counts {
		byQueue[c.Queue] = c.Rows
	}
	return byQueue, nil
}
