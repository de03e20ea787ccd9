package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// claimable is when a claim may take the row e that is there already.
const claimable = `e.payload_hash = excluded.payload_hash AND (e.status IN ('new', 'scheduled')
	OR e.status = 'processing' AND e.lease_until <= excluded.updated_at)`

// won is what the claim i holds, by this statement or by one before whose answer
// was lost.
const won = `e.claim_token = i.claim_token AND ` + underWay

// claimSQL claims a batch. Rows are locked in the order of their ids, so that
// two batches never wait for each other crosswise. A row that may not be taken
// is written as it stands: RETURNING then shows its newest version, which no
// SELECT of the same statement could see.
const claimSQL = `
WITH input AS (
	SELECT * FROM json_to_recordset($4::json) AS t (id text, channel text, type text, from_address text,
		to_address text, queue text, sqs_message_id text, payload_hash text, body_hash text, segments integer,
		template text, priority text, enqueued_at timestamptz, address_hash text, body text, claim_token text)
), clock AS (
	SELECT date_trunc('milliseconds', coalesce($3::timestamptz, now())) AS now
), claimed AS (
	INSERT INTO acs.communication_events AS e (id, channel, type, status, from_address, to_address, attempts, queue,
		sqs_message_id, payload_hash, body_hash, segments, template, priority, owner, lease_until, created_at,
		updated_at, enqueued_at, claim_token, body)
	SELECT id, channel, type, 'processing', from_address, to_address, 1, queue, sqs_message_id, payload_hash, body_hash,
		segments, template, priority, $1::text, now + $2::bigint * interval '1 microsecond', now, now, enqueued_at,
		claim_token, body
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
	SELECT e.id, e.attempts, e.owner, e.updated_at FROM claimed e JOIN input i ON i.id = e.id WHERE ` + won + `
	ON CONFLICT DO NOTHING
)
SELECT ` + columns + `, ` + won + `, e.doubtful, coalesce(s.reason, '')
FROM claimed e JOIN input i ON i.id = e.id
LEFT JOIN acs.suppressions s ON s.channel = i.channel AND s.address_hash = i.address_hash`

// Claim implements store.Messages: one statement, and one more for each time
// an id is in the batch again.
func (s *Store) Claim(
	ctx context.Context, owner string, lease time.Duration, claims []store.Claim,
) ([]store.ClaimResult, error) {
	results := make([]store.ClaimResult, len(claims))
	for _, round := range rounds(claims, func(c store.Claim) string { return c.ID }) {
		if err := s.claim(ctx, owner, lease, round, claims, results); err != nil {
			return nil, fmt.Errorf("claim: %w", err)
		}
	}
	return results, nil
}

// claim claims a round's messages, and puts the answers into their places.
func (s *Store) claim(
	ctx context.Context, owner string, lease time.Duration, r round, claims []store.Claim, results []store.ClaimResult,
) error {
	input, err := asJSON(claimRows(r, claims))
	if err != nil {
		return err
	}
	in := newClaimAnswer()
	var answered []struct{}
	err = heard(ctx, func() (err error) {
		answered, err = list(ctx, s, func(row pgx.CollectableRow) (struct{}, error) {
			return struct{}{}, in.read(row, r, claims, results)
		}, claimSQL, owner, lease.Microseconds(), s.now(), input)
		return err
	})
	if err == nil && len(answered) != len(r) {
		err = fmt.Errorf("the database answered for %d of %d messages", len(answered), len(r))
	}
	return err
}

// heard asks again, at most three times in all, where the connection ended before
// the answer came: for what may be asked twice.
func heard(ctx context.Context, ask func() error) error {
	for try := 1; ; try++ {
		if err := ask(); try == 3 || ctx.Err() != nil || !cut(err) {
			return err
		}
	}
}

// cut says that the connection ended before the answer, after which what was
// asked may have been done.
func cut(err error) bool {
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) {
		return strings.HasPrefix(refused.Code, "57P0") || strings.HasPrefix(refused.Code, "08") // the server is stopping
	}
	return err != nil
}

// unclaimSQL gives back the claims that still hold.
const unclaimSQL = clock + `, input AS (
	SELECT * FROM unnest($3::text[], $4::text[]) AS t (id, claim_token)
), mine AS (
	SELECT e.id FROM acs.communication_events e JOIN input i ON i.id = e.id
	WHERE e.owner = $2::text AND ` + won + ` ORDER BY e.id FOR UPDATE OF e
), freed AS (
	UPDATE acs.communication_events e
	SET status = CASE WHEN e.doubtful THEN 'processing' ELSE 'scheduled' END, lease_until = clock.now,
		updated_at = clock.now, claim_token = ''
	FROM clock, mine m JOIN input i ON i.id = m.id WHERE e.id = m.id AND e.owner = $2::text AND ` + won + `
	RETURNING e.id, e.attempts, e.doubtful
)
UPDATE acs.communication_attempts a
SET finished_at = clock.now, outcome = CASE WHEN f.doubtful THEN 'unresolved' ELSE 'released' END, error_code = 'store'
FROM clock, freed f WHERE a.event_id = f.id AND a.attempt = f.attempts`

// Unclaim implements store.Messages: one statement.
func (s *Store) Unclaim(ctx context.Context, owner string, claims []store.Claim) error {
	_, err := s.exec(ctx, unclaimSQL, s.now(), owner, column(claims, func(c store.Claim) string { return c.ID }),
		column(claims, func(c store.Claim) string { return c.Token }))
	if err != nil {
		return fmt.Errorf("give back claims: %w", err)
	}
	return nil
}

// claimAnswer is where the rows of claimSQL are read into, one after another.
type claimAnswer struct {
	event         store.Event
	won, doubtful bool
	suppressed    string
	all           []any
	few           []any // all, but for what a claim knows that made its row
}

func newClaimAnswer() *claimAnswer {
	a := &claimAnswer{}
	a.all = append(fields(&a.event), &a.won, &a.doubtful, &a.suppressed)
	a.few = slices.Clone(a.all)
	clear(a.few[chosen : len(a.all)-3]) // what is nil is not read
	return a
}

// read reads a row. Of one that the claim itself made, as nearly all are, only
// what the database chose is read.
func (a *claimAnswer) read(row pgx.CollectableRow, r round, claims []store.Claim, results []store.ClaimResult) error {
	if err := row.Scan(a.few...); err != nil {
		return err
	}
	e := &a.event
	i, asked := r[e.ID]
	if !asked {
		return fmt.Errorf("the database answered for %q, which was not asked", e.ID)
	}
	result := &results[i]
	if a.won && !a.doubtful && e.Attempts == 1 && e.CreatedAt.Equal(e.UpdatedAt) {
		result.Event = claims[i].Event()
		result.Event.Attempts, result.Event.Owner = e.Attempts, e.Owner
		result.Event.LeaseUntil, result.Event.CreatedAt, result.Event.UpdatedAt = e.LeaseUntil, e.CreatedAt, e.UpdatedAt
	} else {
		if err := row.Scan(a.all...); err != nil {
			return err
		}
		result.Event = *e
	}
	result.Outcome, result.Suppressed = outcome(&result.Event, a.won, a.doubtful, claims[i]), a.suppressed
	return nil
}

// outcome says what a claim came to, given the row as it stands now.
func outcome(e *store.Event, won, doubtful bool, c store.Claim) store.Outcome {
	switch {
	case won && doubtful:
		return store.Doubtful
	case won:
		return store.Granted
	case e.PayloadHash != c.PayloadHash:
		return store.Conflict
	case e.Status.Settled():
		return store.Done
	}
	return store.Busy
}

// claimRow is one row of claimSQL's input; what is absent is NULL.
type claimRow struct {
	ID           string     `json:"id"`
	Channel      string     `json:"channel"`
	Type         string     `json:"type"`
	From         string     `json:"from_address,omitempty"`
	To           string     `json:"to_address,omitempty"`
	Queue        string     `json:"queue"`
	SQSMessageID string     `json:"sqs_message_id"`
	PayloadHash  string     `json:"payload_hash"`
	BodyHash     string     `json:"body_hash"`
	Segments     int        `json:"segments"`
	Template     string     `json:"template"`
	Priority     string     `json:"priority"`
	EnqueuedAt   *time.Time `json:"enqueued_at,omitempty"`
	AddressHash  string     `json:"address_hash"`
	Body         string     `json:"body,omitempty"`
	Token        string     `json:"claim_token"`
}

func claimRows(r round, claims []store.Claim) []claimRow {
	rows := make([]claimRow, 0, len(r))
	for _, i := range r {
		c := &claims[i]
		token := c.Token
		if token == "" {
			token = rand.Text()
		}
		rows = append(rows, claimRow{
			c.ID, c.Channel, c.Type, c.From.Reveal(), c.To.Reveal(), c.Queue, c.SQSMessageID, c.PayloadHash, c.BodyHash,
			c.Segments, c.Template, c.Priority, optional(c.EnqueuedAt), store.AddressHash(c.To), c.Body.Reveal(), token,
		})
	}
	return rows
}

// asJSON is a statement's input. Text that is no UTF-8 is an error.
func asJSON(rows any) (string, error) {
	text, err := json.Marshal(rows)
	return string(text), err
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
