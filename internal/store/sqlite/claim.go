package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// Claim implements store.Messages: the batch is one transaction, its claims
// are judged one after the other.
func (s *Store) Claim(
	ctx context.Context, owner string, lease time.Duration, claims []store.Claim,
) ([]store.ClaimResult, error) {
	if len(claims) == 0 {
		return nil, nil
	}
	results := make([]store.ClaimResult, len(claims))
	err := s.write(ctx, func(tx *sql.Tx) error {
		now := s.now().Truncate(time.Millisecond) // inside: whoever waited longer sees the later clock
		for i, c := range claims {
			var err error
			if results[i], err = claim(ctx, tx, owner, now, now.Add(lease), c); err != nil {
				return fmt.Errorf("%q: %w", c.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return results, nil
}

func claim(
	ctx context.Context, tx *sql.Tx, owner string, now, until time.Time, c store.Claim,
) (result store.ClaimResult, err error) {
	row, err := scanEvent(tx.QueryRowContext(ctx, `SELECT `+columns+` FROM communication_events WHERE id = ?`, c.ID))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return result, err
	}
	result = store.ClaimResult{Outcome: judge(row, c, now), Event: row}
	switch result.Outcome {
	case store.Busy:
		if result.Outcome, err = held(ctx, tx, c); err != nil {
			return result, err
		}
	case store.Granted, store.Doubtful:
		if result.Event, err = take(ctx, tx, owner, now, until, c, result.Outcome); err != nil {
			return result, err
		}
	case store.Done, store.Conflict:
	}
	result.Suppressed, err = suppression(ctx, tx, c.Channel, c.To)
	return result, err
}

// judge says what a claim comes to, given the row as it stands; a row without
// an ID is none.
func judge(row store.Event, c store.Claim, now time.Time) store.Outcome {
	switch {
	case row.ID == "":
		return store.Granted
	case row.PayloadHash != c.PayloadHash:
		return store.Conflict
	case row.Status.Settled():
		return store.Done
	case row.Status != store.Processing:
		return store.Granted
	case row.LeaseUntil.After(now):
		return store.Busy
	}
	return store.Doubtful
}

// held says what a claim came to that won before, and whose answer was lost; that
// of another is Busy.
func held(ctx context.Context, tx *sql.Tx, c store.Claim) (store.Outcome, error) {
	var doubtful bool
	err := tx.QueryRowContext(ctx, `SELECT doubtful FROM communication_events WHERE id = ? AND claim_token = ? AND claim_token <> ''`,
		c.ID, c.Token).Scan(&doubtful)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.Busy, nil
	case doubtful:
		return store.Doubtful, err
	}
	return store.Granted, err
}

// Unclaim implements store.Messages: the batch is one transaction.
func (s *Store) Unclaim(ctx context.Context, owner string, claims []store.Claim) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		now := text(s.now())
		for _, c := range claims {
			freed, err := collect(ctx, tx, func(row scanner) (a store.Attempt, err error) {
				var doubtful bool
				err = row.Scan(&a.Number, &doubtful)
				if a.Outcome = store.Released; doubtful {
					a.Outcome = store.Unresolved
				}
				return a, err
			}, `UPDATE communication_events SET status = CASE WHEN doubtful THEN 'processing' ELSE 'scheduled' END,
					lease_until = ?, updated_at = ?, claim_token = ''
				WHERE id = ? AND owner = ? AND claim_token = ? AND claim_token <> '' AND status = 'processing'
				RETURNING attempts, doubtful`, now, now, c.ID, owner, c.Token)
			if err != nil {
				return err
			}
			for _, a := range freed {
				if _, err := tx.ExecContext(ctx, `UPDATE communication_attempts SET finished_at = ?, outcome = ?, error_code = 'store'
					WHERE event_id = ? AND attempt = ?`, now, a.Outcome, c.ID, a.Number); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("give back claims: %w", err)
	}
	return nil
}

// take makes owner the row's owner and opens the attempt.
func take(
	ctx context.Context, tx *sql.Tx, owner string, now, until time.Time, c store.Claim, outcome store.Outcome,
) (store.Event, error) {
	row, err := scanEvent(tx.QueryRowContext(ctx, `
		INSERT INTO communication_events (id, channel, type, status, from_address, to_address, attempts, queue,
			sqs_message_id, payload_hash, body_hash, segments, template, priority, owner, lease_until, created_at,
			updated_at, enqueued_at, body, claim_token, doubtful)
		VALUES (?, ?, ?, 'processing', ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET status = 'processing', attempts = attempts + 1, owner = excluded.owner,
			lease_until = excluded.lease_until, updated_at = excluded.updated_at,
			queue = excluded.queue, sqs_message_id = excluded.sqs_message_id, claim_token = excluded.claim_token,
			doubtful = excluded.doubtful
		RETURNING `+columns,
		c.ID, c.Channel, c.Type, address(c.From), address(c.To), c.Queue, c.SQSMessageID, c.PayloadHash, c.BodyHash,
		c.Segments, c.Template, c.Priority, owner, text(until), text(now), text(now), optional(c.EnqueuedAt), address(c.Body),
		c.Token, outcome == store.Doubtful))
	if err != nil {
		return row, err
	}
	_, err = tx.ExecContext(ctx,
		`INSERT INTO communication_attempts (event_id, attempt, owner, started_at) VALUES (?, ?, ?, ?)`,
		c.ID, row.Attempts, owner, text(now))
	return row, err
}

// address is a person's address for the database; NULL where there is none.
func address(p redact.Personal) any {
	if p == "" {
		return nil
	}
	return p.Reveal()
}

// Extend implements store.Messages.
func (s *Store) Extend(
	ctx context.Context, owner string, lease time.Duration, leases []store.Lease,
) (lost []store.Lease, err error) {
	if len(leases) == 0 {
		return nil, nil
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		lost = nil
		now := s.now().Truncate(time.Millisecond)
		for _, l := range leases {
			held, err := changed(tx.ExecContext(ctx, `UPDATE communication_events SET lease_until = ?, updated_at = ?
				WHERE id = ? AND owner = ? AND attempts = ? AND status = 'processing'`,
				text(now.Add(lease)), text(now), l.ID, owner, l.Attempt))
			if err != nil {
				return fmt.Errorf("%q: %w", l.ID, err)
			}
			if !held {
				lost = append(lost, l)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("extend leases: %w", err)
	}
	return lost, nil
}

// Settle implements store.Messages: the batch is one transaction.
func (s *Store) Settle(ctx context.Context, settlements []store.Settlement) ([]error, error) {
	if len(settlements) == 0 {
		return nil, nil
	}
	for _, one := range settlements {
		if err := one.Validate(); err != nil {
			return nil, err
		}
	}
	answers := make([]error, len(settlements))
	err := s.write(ctx, func(tx *sql.Tx) error {
		for i, one := range settlements {
			var err error
			if answers[i], err = settle(ctx, tx, s.now().Truncate(time.Millisecond), one); err != nil {
				return fmt.Errorf("%q: %w", one.ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	return answers, nil
}

// settle ends one claim; answer is nil, ErrLost or ErrTaken.
func settle(ctx context.Context, tx *sql.Tx, at time.Time, one store.Settlement) (answer, err error) {
	if one.Exclusive {
		others, err := settledElsewhere(ctx, tx, one.Provider, one.ProviderID, one.ID)
		if err != nil || others {
			return store.ErrTaken, err
		}
	}
	now := text(at)
	var sentAt any
	if one.Status.Left() {
		sentAt = now
	}
	held, err := changed(tx.ExecContext(ctx, `UPDATE communication_events
		SET status = ?, provider = ?, provider_id = ?, error_code = ?, error = ?, settled_reason = ?,
			sent_at = coalesce(sent_at, ?), updated_at = ?
		WHERE id = ? AND owner = ? AND attempts = ? AND status = 'processing'`,
		one.Status, one.Provider, one.ProviderID, one.ErrorCode, one.Error, one.Reason, sentAt, now,
		one.ID, one.Owner, one.Attempt))
	if err != nil {
		return nil, err
	}
	if !held {
		return ended(ctx, tx, one)
	}
	if err := carry(ctx, tx, at, one); err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE communication_attempts
		SET finished_at = ?, outcome = ?, provider = ?, provider_id = ?, error_code = ?, error = ?
		WHERE event_id = ? AND attempt = ?`,
		now, one.Outcome(), one.Provider, one.ProviderID, one.ErrorCode, one.Error, one.ID, one.Attempt)
	return nil, err
}

// ended answers a settlement that came about before, and of whose answer nobody
// heard: its attempt ended as it says.
func ended(ctx context.Context, tx *sql.Tx, one store.Settlement) (answer, err error) {
	var before bool
	err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM communication_attempts WHERE event_id = ? AND attempt = ?
		AND owner = ? AND finished_at IS NOT NULL AND outcome = ? AND provider_id = ?)`,
		one.ID, one.Attempt, one.Owner, one.Outcome(), one.ProviderID).Scan(&before)
	if err == nil && !before {
		answer = store.ErrLost
	}
	return answer, err
}

// carry parks the message that a settlement brings, forgets the one of a row
// that has ended, and ends the lease of one that stays in doubt.
func carry(ctx context.Context, tx *sql.Tx, at time.Time, one store.Settlement) error {
	if one.Status == store.Processing {
		if _, err := tx.ExecContext(ctx, `UPDATE communication_events SET lease_until = ? WHERE id = ?`, text(at), one.ID); err != nil {
			return err
		}
	}
	switch {
	case one.Status.Settled() && one.Keep:
		_, err := tx.ExecContext(ctx, `UPDATE communication_events SET due_at = NULL WHERE id = ?`, one.ID)
		return err
	case one.Status.Settled():
		_, err := tx.ExecContext(ctx, `UPDATE communication_events
			SET payload = NULL, payload_attributes = NULL, payload_group = '', due_at = NULL
			WHERE id = ? AND payload IS NOT NULL`, one.ID)
		return err
	case one.Park != nil:
		_, err := tx.ExecContext(ctx, `UPDATE communication_events
			SET payload = ?, payload_attributes = ?, payload_group = ?, due_at = ? WHERE id = ?`,
			one.Park.Body.Reveal(), address(one.Park.Attributes), one.Park.GroupID, text(at.Add(one.Park.After)), one.ID)
		return err
	}
	return nil
}

// settledElsewhere reports whether another event has a provider's id.
func settledElsewhere(ctx context.Context, tx *sql.Tx, provider, providerID, eventID string) (found bool, err error) {
	query := `SELECT EXISTS (SELECT 1 FROM communication_events WHERE provider_id = ? AND provider_id <> '' AND provider = ?
		AND id <> ? AND status IN (` + marks(len(store.Reportable())) + `))`
	err = tx.QueryRowContext(ctx, query, with(store.Reportable(), providerID, provider, eventID)...).Scan(&found)
	return found, err
}

// changed reports whether a write touched a row.
func changed(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}
