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

// Tokens implements store.Tokens.
func (s *Store) Tokens(ctx context.Context, eventID string) ([]store.Token, error) {
	tokens, err := list(ctx, s, func(row scanner) (t store.Token, err error) {
		err = row.Scan(&t.Hash, &t.Outcome, &t.Tries, &t.Provider, &t.ProviderID, &t.ErrorCode, &t.Error, moment{&t.FinishedAt})
		return t, err
	}, `SELECT token_hash, outcome, tries, provider, provider_id, error_code, error, finished_at
		FROM communication_tokens WHERE event_id = ?`, eventID)
	if err != nil {
		return nil, fmt.Errorf("list tokens of %q: %w", eventID, err)
	}
	return tokens, nil
}

// ClaimTokens implements store.Tokens.
func (s *Store) ClaimTokens(ctx context.Context, claim store.TokenClaim, hashes []string) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		for _, hash := range hashes {
			held, err := changed(tx.ExecContext(ctx, `
				INSERT INTO communication_tokens (event_id, token_hash, tries, started_at, claim_token)
				SELECT id, ?1, 1, ?2, ?3 FROM communication_events
				WHERE id = ?4 AND owner = ?5 AND attempts = ?6 AND status = 'processing'
				ON CONFLICT (event_id, token_hash) DO UPDATE SET started_at = excluded.started_at,
					tries = CASE WHEN claim_token <> '' AND claim_token = excluded.claim_token THEN tries
						WHEN finished_at < ?7 THEN 1 ELSE tries + 1 END,
					finished_at = NULL, outcome = '', error_code = '', error = '', claim_token = excluded.claim_token
				WHERE outcome <> 'sent'`, hash, text(s.now()), claim.Token,
				claim.EventID, claim.Owner, claim.Attempt, optional(claim.Reopened)))
			if err == nil && !held {
				err = store.ErrLost
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("claim tokens of %q: %w", claim.EventID, err)
	}
	return nil
}

// UnclaimTokens implements store.Tokens: the batch is one transaction.
func (s *Store) UnclaimTokens(ctx context.Context, claims []store.TokenClaim) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		for _, c := range claims {
			if _, err := tx.ExecContext(ctx, `UPDATE communication_tokens
				SET outcome = 'released', error_code = 'store', finished_at = ?, tries = tries - 1
				WHERE event_id = ? AND claim_token = ? AND claim_token <> '' AND outcome = ''`, text(s.now()), c.EventID, c.Token); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("give back claims of tokens: %w", err)
	}
	return nil
}

// SettleTokens implements store.Tokens.
func (s *Store) SettleTokens(ctx context.Context, eventID string, tokens []store.Token) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		for _, t := range tokens {
			_, err := tx.ExecContext(ctx, `UPDATE communication_tokens SET outcome = ?, provider = ?, provider_id = ?,
				error_code = ?, error = ?, finished_at = ?, tries = tries - (? AND outcome = '') -- once, though it is asked again
				WHERE event_id = ? AND token_hash = ? AND outcome <> 'sent'`,
				t.Outcome, t.Provider, t.ProviderID, t.ErrorCode, t.Error, text(s.now()), t.Unspent, eventID, t.Hash)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("settle tokens of %q: %w", eventID, err)
	}
	return nil
}

// SuppressedAmong implements store.Tokens.
func (s *Store) SuppressedAmong(
	ctx context.Context, channel string, addresses []redact.Personal,
) (map[redact.Personal]string, error) {
	byHash := make(map[string]redact.Personal, len(addresses))
	hashes := make([]string, len(addresses))
	for i, address := range addresses {
		hashes[i] = store.AddressHash(address)
		byHash[hashes[i]] = address
	}
	found, err := list(ctx, s, func(row scanner) (pair [2]string, err error) {
		err = row.Scan(&pair[0], &pair[1])
		return pair, err
	}, `SELECT address_hash, reason FROM suppressions WHERE channel = ? AND address_hash IN (`+marks(len(hashes))+`)`,
		with(hashes, channel)...)
	if err != nil {
		return nil, fmt.Errorf("look up suppressions: %w", err)
	}
	suppressed := make(map[redact.Personal]string, len(found))
	for _, pair := range found {
		suppressed[byHash[pair[0]]] = pair[1]
	}
	return suppressed, nil
}

// TakeTurns implements store.Turns.
func (s *Store) TakeTurns(
	ctx context.Context, name string, perSecond float64, n int, ahead time.Duration,
) (wait time.Duration, ok bool, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		var next int64
		err := tx.QueryRowContext(ctx, `SELECT next_at FROM delivery_turns WHERE name = ?`, name).Scan(&next)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		now := s.now().UnixMicro()
		begin := max(next, now)
		wait = time.Duration(begin-now) * time.Microsecond
		if ok = wait <= ahead; !ok {
			return nil
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO delivery_turns (name, next_at) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at`,
			name, begin+int64(float64(n)*store.SpacingOf(perSecond)))
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("take turns of %s: %w", name, err)
	}
	return wait, ok, nil
}

// CountBounce implements store.Bounces.
func (s *Store) CountBounce(ctx context.Context, channel string, address redact.Personal) (count int, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `INSERT INTO soft_bounces (channel, address_hash, count, last_at) VALUES (?, ?, 1, ?)
			ON CONFLICT (channel, address_hash) DO UPDATE SET count = count + 1, last_at = excluded.last_at
			RETURNING count`, channel, store.AddressHash(address), text(s.now())).Scan(&count)
	})
	if err != nil {
		return 0, fmt.Errorf("count a bounce: %w", err)
	}
	return count, nil
}

// ClearBounces implements store.Bounces.
func (s *Store) ClearBounces(ctx context.Context, channel string, address redact.Personal) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM soft_bounces WHERE channel = ? AND address_hash = ?`,
			channel, store.AddressHash(address))
		return err
	})
	if err != nil {
		return fmt.Errorf("clear bounces: %w", err)
	}
	return nil
}

// Suppressions implements store.Bounces.
func (s *Store) Suppressions(ctx context.Context, channel string, limit int) ([]store.Suppression, error) {
	found, err := list(ctx, s, func(row scanner) (one store.Suppression, err error) {
		err = row.Scan(&one.Channel, &one.AddressHash, &one.Reason, moment{&one.CreatedAt})
		return one, err
	}, `SELECT channel, address_hash, reason, created_at FROM suppressions WHERE ? IN ('', channel)
		ORDER BY created_at DESC, address_hash LIMIT ?`, channel, limit)
	if err != nil {
		return nil, fmt.Errorf("list suppressions: %w", err)
	}
	return found, nil
}

// SuppressionOf implements store.Bounces.
func (s *Store) SuppressionOf(ctx context.Context, channel string, address redact.Personal) (store.Suppression, error) {
	found, err := list(ctx, s, func(row scanner) (one store.Suppression, err error) {
		err = row.Scan(&one.Channel, &one.AddressHash, &one.Reason, moment{&one.CreatedAt})
		return one, err
	}, `SELECT channel, address_hash, reason, created_at FROM suppressions WHERE channel = ? AND address_hash = ?`,
		channel, store.AddressHash(address))
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Suppression{}, fmt.Errorf("look up suppression: %w", err)
	}
	return found[0], nil
}
