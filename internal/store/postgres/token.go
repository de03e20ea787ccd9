package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// Tokens implements store.Tokens.
func (s *Store) Tokens(ctx context.Context, eventID string) ([]store.Token, error) {
	tokens, err := list(ctx, s, func(row pgx.CollectableRow) (t store.Token, err error) {
		err = row.Scan(&t.Hash, &t.Outcome, &t.Tries, &t.Provider, &t.ProviderID, &t.ErrorCode, &t.Error, moment{&t.FinishedAt})
		return t, err
	}, `SELECT token_hash, outcome, tries, provider, provider_id, error_code, error, finished_at
		FROM acs.communication_tokens WHERE event_id = $1`, eventID)
	if err != nil {
		return nil, fmt.Errorf("list tokens of %q: %w", eventID, err)
	}
	return tokens, nil
}

// claimTokensSQL claims devices, once for a token that is asked again.
const claimTokensSQL = clock + `, held AS (
	SELECT id FROM acs.communication_events
	WHERE id = $2::text AND owner = $3::text AND attempts = $4::integer AND status = 'processing' FOR UPDATE
)
INSERT INTO acs.communication_tokens AS t (event_id, token_hash, tries, started_at, claim_token)
SELECT held.id, hash, 1, clock.now, $7::text FROM held, clock, unnest($5::text[]) AS hash
WHERE NOT EXISTS (SELECT 1 FROM acs.communication_tokens x
	WHERE x.event_id = $2::text AND x.token_hash = ANY ($5::text[]) AND x.outcome = 'sent')
ON CONFLICT (event_id, token_hash) DO UPDATE SET started_at = excluded.started_at,
	tries = CASE WHEN t.claim_token <> '' AND t.claim_token = excluded.claim_token THEN t.tries
		WHEN t.finished_at < $6::timestamptz THEN 1 ELSE t.tries + 1 END,
	finished_at = NULL, outcome = '', error_code = '', error = '', claim_token = excluded.claim_token`

// ClaimTokens implements store.Tokens. What a crowd may not claim, none of it
// claims: the last WHERE compares the numbers before anything is written.
func (s *Store) ClaimTokens(ctx context.Context, claim store.TokenClaim, hashes []string) error {
	var changed int64
	err := heard(ctx, func() (err error) {
		changed, err = s.exec(ctx, claimTokensSQL, s.now(), claim.EventID, claim.Owner, claim.Attempt, hashes,
			optional(claim.Reopened), claim.Token)
		return err
	})
	if err == nil && changed != int64(len(hashes)) {
		err = store.ErrLost
	}
	if err != nil {
		return fmt.Errorf("claim tokens of %q: %w", claim.EventID, err)
	}
	return nil
}

// UnclaimTokens implements store.Tokens: one statement.
func (s *Store) UnclaimTokens(ctx context.Context, claims []store.TokenClaim) error {
	_, err := s.exec(ctx, clock+`
		UPDATE acs.communication_tokens t SET outcome = 'released', error_code = 'store', finished_at = clock.now, tries = t.tries - 1
		FROM clock, unnest($2::text[], $3::text[]) AS i (event_id, claim_token)
		WHERE t.event_id = i.event_id AND t.claim_token = i.claim_token AND t.claim_token <> '' AND t.outcome = ''`,
		s.now(), column(claims, func(c store.TokenClaim) string { return c.EventID }),
		column(claims, func(c store.TokenClaim) string { return c.Token }))
	if err != nil {
		return fmt.Errorf("give back claims of tokens: %w", err)
	}
	return nil
}

// SettleTokens implements store.Tokens.
func (s *Store) SettleTokens(ctx context.Context, eventID string, tokens []store.Token) error {
	texts := func(of func(store.Token) string) []string { return column(tokens, of) }
	_, err := s.exec(ctx, clock+`
		UPDATE acs.communication_tokens t SET outcome = i.outcome, provider = i.provider, provider_id = i.provider_id,
			error_code = i.error_code, error = i.error, finished_at = clock.now,
			tries = t.tries - (i.unspent AND t.outcome = '')::integer -- once, though it is asked again
		FROM clock, unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::boolean[])
			AS i (hash, outcome, provider, provider_id, error_code, error, unspent)
		WHERE t.event_id = $2::text AND t.token_hash = i.hash AND t.outcome <> 'sent'`,
		s.now(), eventID, texts(func(t store.Token) string { return t.Hash }), texts(func(t store.Token) string { return t.Outcome }),
		texts(func(t store.Token) string { return t.Provider }), texts(func(t store.Token) string { return t.ProviderID }),
		texts(func(t store.Token) string { return t.ErrorCode }), texts(func(t store.Token) string { return t.Error }),
		column(tokens, func(t store.Token) bool { return t.Unspent }))
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
	for _, address := range addresses {
		byHash[store.AddressHash(address)] = address
	}
	found, err := list(ctx, s, func(row pgx.CollectableRow) (pair [2]string, err error) {
		err = row.Scan(&pair[0], &pair[1])
		return pair, err
	}, `SELECT address_hash, reason FROM acs.suppressions WHERE channel = $1::text AND address_hash = ANY ($2::text[])`,
		channel, column(addresses, store.AddressHash))
	if err != nil {
		return nil, fmt.Errorf("look up suppressions: %w", err)
	}
	suppressed := make(map[redact.Personal]string, len(found))
	for _, pair := range found {
		suppressed[byHash[pair[0]]] = pair[1]
	}
	return suppressed, nil
}

// TakeTurns implements store.Turns. The clock is that of the moment and not of
// the statement's start: who waited for the row's lock takes a later turn.
func (s *Store) TakeTurns(
	ctx context.Context, name string, perSecond float64, n int, ahead time.Duration,
) (wait time.Duration, ok bool, err error) {
	const now = `(extract(epoch FROM coalesce($1::timestamptz, clock_timestamp())) * 1000000)::bigint`
	taken, err := list(ctx, s, pgx.RowTo[int64], `
		INSERT INTO acs.delivery_turns AS t (name, next_at) VALUES ($2::text, `+now+` + $3::bigint)
		ON CONFLICT (name) DO UPDATE SET next_at = greatest(t.next_at, `+now+`) + $3::bigint
		WHERE t.next_at <= `+now+` + $4::bigint
		RETURNING greatest(next_at - $3::bigint - `+now+`, 0)`,
		s.now(), name, int64(float64(n)*store.SpacingOf(perSecond)), ahead.Microseconds())
	if err != nil {
		return 0, false, fmt.Errorf("take turns of %s: %w", name, err)
	}
	if len(taken) == 0 {
		return 0, false, nil
	}
	return time.Duration(taken[0]) * time.Microsecond, true, nil
}

// CountBounce implements store.Bounces.
func (s *Store) CountBounce(ctx context.Context, channel string, address redact.Personal) (int, error) {
	counts, err := list(ctx, s, pgx.RowTo[int], clock+`
		INSERT INTO acs.soft_bounces AS b (channel, address_hash, count, last_at) SELECT $2::text, $3::text, 1, now FROM clock
		ON CONFLICT (channel, address_hash) DO UPDATE SET count = b.count + 1, last_at = excluded.last_at
		RETURNING count`, s.now(), channel, store.AddressHash(address))
	if err != nil {
		return 0, fmt.Errorf("count a bounce: %w", err)
	}
	return counts[0], nil
}

// ClearBounces implements store.Bounces.
func (s *Store) ClearBounces(ctx context.Context, channel string, address redact.Personal) error {
	_, err := s.exec(ctx, `DELETE FROM acs.soft_bounces WHERE channel = $1 AND address_hash = $2`,
		channel, store.AddressHash(address))
	if err != nil {
		return fmt.Errorf("clear bounces: %w", err)
	}
	return nil
}

// Suppressions implements store.Bounces.
func (s *Store) Suppressions(ctx context.Context, channel string, limit int) ([]store.Suppression, error) {
	found, err := list(ctx, s, func(row pgx.CollectableRow) (one store.Suppression, err error) {
		err = row.Scan(&one.Channel, &one.AddressHash, &one.Reason, moment{&one.CreatedAt})
		return one, err
	}, `SELECT channel, address_hash, reason, created_at FROM acs.suppressions WHERE $1::text IN ('', channel)
		ORDER BY created_at DESC, address_hash LIMIT $2::integer`, channel, limit)
	if err != nil {
		return nil, fmt.Errorf("list suppressions: %w", err)
	}
	return found, nil
}

// SuppressionOf implements store.Bounces.
func (s *Store) SuppressionOf(ctx context.Context, channel string, address redact.Personal) (store.Suppression, error) {
	found, err := list(ctx, s, func(row pgx.CollectableRow) (one store.Suppression, err error) {
		err = row.Scan(&one.Channel, &one.AddressHash, &one.Reason, moment{&one.CreatedAt})
		return one, err
	}, `SELECT channel, address_hash, reason, created_at FROM acs.suppressions WHERE channel = $1 AND address_hash = $2`,
		channel, store.AddressHash(address))
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Suppression{}, fmt.Errorf("look up suppression: %w", err)
	}
	return found[0], nil
}
