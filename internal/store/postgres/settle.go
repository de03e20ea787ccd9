package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/store"
)

// underWay is whether a row is claimed, where rows are found by their ids. IS TRUE
// keeps the planner off the index by status: that few rows are under way, or none when
// it last looked, has it read all that are for each of a batch, and all that were
// since the last vacuum.
const underWay = `(e.status = 'processing') IS TRUE`

// extendSQL renews the leases that still hold. `mine` takes the locks in the
// order of the ids, as claimSQL does.
const extendSQL = `
WITH input AS (
	SELECT * FROM unnest($4::text[], $5::integer[]) AS t (id, attempt)
), clock AS (
	SELECT date_trunc('milliseconds', coalesce($3::timestamptz, now())) AS now
), mine AS (
	SELECT e.id FROM acs.communication_events e JOIN input i ON i.id = e.id AND i.attempt = e.attempts
	WHERE e.owner = $1::text AND ` + underWay + ` ORDER BY e.id FOR UPDATE OF e
)
UPDATE acs.communication_events e
SET lease_until = clock.now + $2::bigint * interval '1 microsecond', updated_at = clock.now
FROM clock, mine m JOIN input i ON i.id = m.id
WHERE e.id = m.id AND e.attempts = i.attempt AND e.owner = $1::text AND ` + underWay + `
RETURNING e.id, e.attempts`

// Extend implements store.Messages: one statement.
func (s *Store) Extend(
	ctx context.Context, owner string, lease time.Duration, leases []store.Lease,
) (lost []store.Lease, err error) {
	if len(leases) == 0 {
		return nil, nil
	}
	renewed, err := list(ctx, s, pgx.RowToStructByPos[store.Lease], extendSQL, owner, lease.Microseconds(), s.now(),
		column(leases, func(l store.Lease) string { return l.ID }),
		column(leases, func(l store.Lease) int32 { return int32(l.Attempt) })) //nolint:gosec // attempts are few
	if err != nil {
		return nil, fmt.Errorf("extend leases: %w", err)
	}
	held := make(map[store.Lease]bool, len(renewed))
	for _, l := range renewed {
		held[l] = true
	}
	for _, l := range leases {
		if !held[l] {
			lost = append(lost, l)
		}
	}
	return lost, nil
}

// settleSQL ends the claims that still hold, and their attempts with them.
const settleSQL = `
WITH input AS (
	SELECT * FROM json_to_recordset($2::json) AS t (id text, attempt integer, owner text, status text, outcome text,
		provider text, provider_id text, error_code text, error text, reason text, gone boolean, final boolean,
		payload text, payload_attributes text, payload_group text, due_in bigint, keep boolean)
), clock AS (
	SELECT date_trunc('milliseconds', coalesce($1::timestamptz, now())) AS now
), mine AS (
	SELECT e.id FROM acs.communication_events e
	JOIN input i ON i.id = e.id AND i.attempt = e.attempts AND i.owner = e.owner
	WHERE ` + underWay + ` ORDER BY e.id FOR UPDATE OF e
), settled AS (
	UPDATE acs.communication_events e
	SET status = i.status, provider = i.provider, provider_id = i.provider_id, error_code = i.error_code,
		error = i.error, settled_reason = i.reason, updated_at = clock.now,
		sent_at = coalesce(e.sent_at, CASE WHEN i.gone THEN clock.now END),
		lease_until = CASE WHEN i.status = 'processing' THEN clock.now ELSE e.lease_until END,
		payload = CASE WHEN i.final AND NOT i.keep THEN NULL ELSE coalesce(i.payload, e.payload) END,
		payload_attributes = CASE WHEN i.final AND NOT i.keep THEN NULL WHEN i.payload IS NULL THEN e.payload_attributes
			ELSE i.payload_attributes END,
		payload_group = CASE WHEN i.final AND NOT i.keep THEN '' WHEN i.payload IS NULL THEN e.payload_group ELSE i.payload_group END,
		due_at = CASE WHEN i.final THEN NULL WHEN i.payload IS NULL THEN e.due_at
			ELSE clock.now + i.due_in * interval '1 microsecond' END
	FROM clock, mine m JOIN input i ON i.id = m.id
	WHERE e.id = m.id AND e.attempts = i.attempt AND e.owner = i.owner AND ` + underWay + `
	RETURNING e.id
), closed AS (
	UPDATE acs.communication_attempts a
	SET finished_at = clock.now, outcome = i.outcome, provider = i.provider, provider_id = i.provider_id,
		error_code = i.error_code, error = i.error
	FROM clock, settled d JOIN input i ON i.id = d.id
	WHERE a.event_id = d.id AND a.attempt = i.attempt
)
SELECT id FROM settled`

// Settle implements store.Messages: one statement, and one more for each time
// an id is in the batch again. Exclusive ones, which are rare, take a
// transaction each.
func (s *Store) Settle(ctx context.Context, settlements []store.Settlement) ([]error, error) {
	for _, one := range settlements {
		if err := one.Validate(); err != nil {
			return nil, err
		}
	}
	answers := make([]error, len(settlements))
	for _, round := range rounds(settlements, func(one store.Settlement) string { return one.ID }) {
		for id, i := range round {
			if !settlements[i].Exclusive {
				continue
			}
			var err error
			if answers[i], err = s.settleAlone(ctx, settlements[i]); err != nil {
				return nil, fmt.Errorf("settle: %w", err)
			}
			delete(round, id)
		}
		if len(round) == 0 {
			continue
		}
		input, err := settleRows(pick(round, settlements))
		if err != nil {
			return nil, fmt.Errorf("settle: %w", err)
		}
		settled, err := s.settled(ctx, input, len(round))
		if err != nil {
			return nil, fmt.Errorf("settle: %w", err)
		}
		for _, i := range round {
			answers[i] = store.ErrLost
		}
		for _, id := range settled {
			answers[round[id]] = nil
		}
	}
	return answers, nil
}

// endedSQL finds the settlements that came about before: their attempts ended as
// they say. It is a statement of its own, after settleSQL, so that it sees what one
// that was under way has written meanwhile.
const endedSQL = `
SELECT a.event_id FROM acs.communication_attempts a
JOIN json_to_recordset($1::json) AS i (id text, attempt integer, owner text, outcome text, provider_id text)
	ON a.event_id = i.id AND a.attempt = i.attempt AND a.owner = i.owner
WHERE a.finished_at IS NOT NULL AND a.outcome = i.outcome AND a.provider_id = i.provider_id`

// settled settles a round of so many, and returns the ids of those that are.
func (s *Store) settled(ctx context.Context, input string, of int) (settled []string, err error) {
	err = heard(ctx, func() (err error) {
		settled, err = list(ctx, s, pgx.RowTo[string], settleSQL, s.now(), input)
		return err
	})
	if err != nil || len(settled) == of {
		return settled, err
	}
	before, err := list(ctx, s, pgx.RowTo[string], endedSQL, input)
	return append(settled, before...), err
}

// settleAlone settles unless another event has the provider's id. The lock ends
// with the transaction, and comes in a statement of its own: the next one's
// snapshot shows what was settled while this waited.
func (s *Store) settleAlone(ctx context.Context, one store.Settlement) (answer, err error) {
	err = heard(ctx, func() error {
		return again(func() error {
			return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
				answer, err = s.settleIn(ctx, tx, one)
				return err
			})
		})
	})
	return answer, err
}

func (s *Store) settleIn(ctx context.Context, tx pgx.Tx, one store.Settlement) (answer, err error) {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`,
		s.schema+" "+one.Provider+" "+one.ProviderID); err != nil {
		return nil, err
	}
	var taken bool
	err = tx.QueryRow(ctx, s.in(`SELECT EXISTS (SELECT 1 FROM acs.communication_events
		WHERE provider_id = $1 AND provider_id <> '' AND provider = $2 AND id <> $3 AND status = ANY ($4::text[]))`),
		one.ProviderID, one.Provider, one.ID,
		column(store.Reportable(), func(status store.Status) string { return string(status) })).Scan(&taken)
	if err != nil || taken {
		return store.ErrTaken, err
	}
	input, err := settleRows([]store.Settlement{one})
	if err != nil {
		return nil, err
	}
	for _, ask := range []struct {
		query string
		args  []any
	}{{settleSQL, []any{s.now(), input}}, {endedSQL, []any{input}}} {
		rows, err := tx.Query(ctx, s.in(ask.query), ask.args...)
		if err != nil {
			return nil, err
		}
		settled, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(settled) > 0 {
			return nil, err
		}
	}
	return store.ErrLost, nil
}

// settleRow is one row of settleSQL's input; what is absent is NULL.
type settleRow struct {
	ID           string `json:"id"`
	Attempt      int    `json:"attempt"`
	Owner        string `json:"owner"`
	Status       string `json:"status"`
	Outcome      string `json:"outcome"`
	Provider     string `json:"provider"`
	ProviderID   string `json:"provider_id"`
	ErrorCode    string `json:"error_code"`
	Error        string `json:"error"`
	Reason       string `json:"reason"`
	Gone         bool   `json:"gone"`
	Final        bool   `json:"final"`
	Payload      string `json:"payload,omitempty"`
	Attributes   string `json:"payload_attributes,omitempty"`
	PayloadGroup string `json:"payload_group"`
	DueIn        int64  `json:"due_in"` // µs
	Keep         bool   `json:"keep"`
}

// settleRows is settleSQL's input.
func settleRows(batch []store.Settlement) (string, error) {
	rows := make([]settleRow, len(batch))
	for i, one := range batch {
		park := parked(one)
		rows[i] = settleRow{
			one.ID, one.Attempt, one.Owner, string(one.Status), one.Outcome(), one.Provider, one.ProviderID, one.ErrorCode,
			one.Error, one.Reason, one.Status.Left(), one.Status.Settled(), park.Body.Reveal(),
			park.Attributes.Reveal(), park.GroupID, park.After.Microseconds(), one.Keep,
		}
	}
	return asJSON(rows)
}

// parked is what a settlement parks; an empty body stands for nothing.
func parked(one store.Settlement) store.Parked {
	if one.Park == nil {
		return store.Parked{}
	}
	return *one.Park
}
