package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// claimable is when a claim may take the row e that is there already.
const claimable = `e.payload_hash = excluded.payload_hash AND (e.status IN ('new', 'scheduled')
	OR e.status = 'processing' AND e.lease_until <= excluded.updated_at)`

// claimSQL claims a batch. Rows are locked in the order of their ids, so that
// two batches never wait for each other crosswise. A row that may not be taken
// is written as it stands: RETURNING then shows its newest version, which no
// SELECT of the same statement could see.
const claimSQL = `
WITH input AS (
	SELECT * FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
		$11::text[], $12::text[], $13::integer[], $14::text[], $15::text[], $16::timestamptz[], $17::text[], $19::text[])
	AS t (id, channel, type, from_address, to_address, queue, sqs_message_id, payload_hash, body_hash, segments,
		template, priority, enqueued_at, address_hash, body)
), clock AS (
	SELECT date_trunc('milliseconds', coalesce($3::timestamptz, now())) AS now
), claimed AS (
	INSERT INTO acs.communication_events AS e (id, channel, type, status, from_address, to_address, attempts, queue,
		sqs_message_id, payload_hash, body_hash, segments, template, priority, owner, lease_until, created_at,
		updated_at, enqueued_at, claim_token, body)
	SELECT id, channel, type, 'processing', from_address, to_address, 1, queue, sqs_message_id, payload_hash, body_hash,
		segments, template, priority, $1::text, now + $2::bigint * interval '1 microsecond', now, now, enqueued_at,
		$18::text, body
	FROM input, clock ORDER BY id
	ON CONFLICT (id) DO UPDATE SET (status, attempts, queue, sqs_message_id, owner, lease_until, updated_at,
		claim_token, doubtful) = (
		SELECT 'processing', e.attempts + 1, excluded.queue, excluded.sqs_message_id, excluded.owner,
			excluded.lease_until, excluded.updated_at, excluded.claim_token, e.status = 'processing'
		WHERE ` + claimable + `
		UNION ALL
		SELECT e.status, e.attempts, e.queue, e.sqs_message_id, e.owner, e.lease_until, e.updated_at, e.claim_token,
			e.doubtful
		WHERE NOT (` + claimable + `))
	RETURNING e.*
), opened AS (
	INSERT INTO acs.communication_attempts (event_id, attempt, owner, started_at)
	SELECT id, attempts, owner, updated_at FROM claimed WHERE claim_token = $18::text
)
SELECT ` + columns + `, e.claim_token = $18::text, e.doubtful, coalesce(s.reason, '')
FROM claimed e JOIN input i ON i.id = e.id
LEFT JOIN acs.suppressions s ON s.channel = i.channel AND s.address_hash = i.address_hash`

// Claim implements store.Messages: one statement, and one more for each time
// an id is in the batch again.
func (s *Store) Claim(
	ctx context.Context, owner string, lease time.Duration, claims []store.Claim,
) ([]store.ClaimResult, error) {
	results := make([]store.ClaimResult, len(claims))
	for _, round := range rounds(claims, func(c store.Claim) string { return c.ID }) {
		answers, err := s.claim(ctx, owner, lease, pick(round, claims))
		if err != nil {
			return nil, fmt.Errorf("claim: %w", err)
		}
		for id, i := range round {
			result, ok := answers[id]
			if !ok {
				return nil, fmt.Errorf("claim %q: the database did not answer for it", id)
			}
			result.Outcome = outcome(result, claims[i])
			results[i] = result.ClaimResult
		}
	}
	return results, nil
}

// answer is a row as the statement returns it.
type answer struct {
	store.ClaimResult

	won, doubtful bool
}

// outcome says what a claim came to, given the row as it stands now.
func outcome(a answer, c store.Claim) store.Outcome {
	switch {
	case a.won && a.doubtful:
		return store.Doubtful
	case a.won:
		return store.Granted
	case a.Event.PayloadHash != c.PayloadHash:
		return store.Conflict
	case a.Event.Status.Settled():
		return store.Done
	}
	return store.Busy
}

// claim claims messages of which no two have one id.
func (s *Store) claim(
	ctx context.Context, owner string, lease time.Duration, claims []store.Claim,
) (map[string]answer, error) {
	byID := make(map[string]store.Claim, len(claims))
	for _, c := range claims {
		byID[c.ID] = c
	}
	arguments := append([]any{owner, lease.Microseconds(), s.now()}, claimArrays(claims)...)
	bodies := column(claims, func(c store.Claim) *string { return address(c.Body) })
	list, err := list(ctx, s, func(row pgx.CollectableRow) (answer, error) { return answered(row, byID) },
		claimSQL, append(arguments, rand.Text(), bodies)...)
	if err != nil {
		return nil, err
	}
	answers := make(map[string]answer, len(list))
	for _, a := range list {
		answers[a.Event.ID] = a
	}
	return answers, nil
}

// answered reads a row of claimSQL. Of one that the claim itself made, which
// nearly all are, only what the database chose is read.
func answered(row pgx.CollectableRow, claims map[string]store.Claim) (a answer, err error) {
	e := &a.Event
	all := append(fields(e), &a.won, &a.doubtful, &a.Suppressed)
	few := slices.Clone(all)
	clear(few[chosen : len(all)-3]) // what is nil is not read
	if err := row.Scan(few...); err != nil {
		return a, err
	}
	if c, ours := claims[e.ID]; ours && a.won && !a.doubtful && e.Attempts == 1 && e.CreatedAt.Equal(e.UpdatedAt) {
		fresh := c.Event()
		fresh.Attempts, fresh.Owner = e.Attempts, e.Owner
		fresh.LeaseUntil, fresh.CreatedAt, fresh.UpdatedAt = e.LeaseUntil, e.CreatedAt, e.UpdatedAt
		a.Event = fresh
		return a, nil
	}
	return a, row.Scan(all...)
}

// claimArrays are the columns of a batch, in the order of claimSQL.
func claimArrays(claims []store.Claim) []any {
	texts := func(of func(store.Claim) string) []string { return column(claims, of) }
	return []any{
		texts(func(c store.Claim) string { return c.ID }),
		texts(func(c store.Claim) string { return c.Channel }),
		texts(func(c store.Claim) string { return c.Type }),
		column(claims, func(c store.Claim) *string { return address(c.From) }),
		column(claims, func(c store.Claim) *string { return address(c.To) }),
		texts(func(c store.Claim) string { return c.Queue }),
		texts(func(c store.Claim) string { return c.SQSMessageID }),
		texts(func(c store.Claim) string { return c.PayloadHash }),
		texts(func(c store.Claim) string { return c.BodyHash }),
		column(claims, func(c store.Claim) int32 { return int32(c.Segments) }), //nolint:gosec // a few
		texts(func(c store.Claim) string { return c.Template }),
		texts(func(c store.Claim) string { return c.Priority }),
		column(claims, func(c store.Claim) *time.Time { return optional(c.EnqueuedAt) }),
		texts(func(c store.Claim) string { return store.AddressHash(c.To) }),
	}
}

// column is one column of a batch.
func column[T, V any](batch []T, of func(T) V) []V {
	values := make([]V, len(batch))
	for i, one := range batch {
		values[i] = of(one)
	}
	return values
}

// address is a person's address for the database; NULL where there is none.
func address(p redact.Personal) *string {
	if p == "" {
		return nil
	}
	text := p.Reveal()
	return &text
}

// round is a part of a batch in which every id is there once: id to index.
type round map[string]int

// rounds splits a batch, in order: a statement can write a row once only, and
// what comes second must find what the first one left.
func rounds[T any](batch []T, id func(T) string) []round {
	var all []round
	seen := map[string]int{}
	for i, one := range batch {
		n := seen[id(one)]
		seen[id(one)]++
		if n == len(all) {
			all = append(all, round{})
		}
		all[n][id(one)] = i
	}
	return all
}

// pick is the part of batch that the round holds, in any order.
func pick[T any](r round, batch []T) []T {
	part := make([]T, 0, len(r))
	for _, i := range r {
		part = append(part, batch[i])
	}
	return part
}
