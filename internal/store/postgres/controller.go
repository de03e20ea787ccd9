package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/store"
)

const decisionColumns = `policy, time, last_time, count, desired, current, limited_by, reason, changed, record`

func decisionFields(d *store.Decision) []any {
	return []any{&d.Policy, moment{&d.Time}, moment{&d.LastTime}, &d.Count, &d.Desired, &d.Current, &d.LimitedBy,
		&d.Reason, &d.Changed, &d.Record}
}

// SaveDecision implements store.Controller. A row keeps the reason and the
// record of its first tick, so that they belong to its time.
func (s *Store) SaveDecision(ctx context.Context, d store.Decision) error {
	d = d.WithDefaults(s.wall())
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var id int64
		var last store.Decision
		err := tx.QueryRow(ctx, s.in(`SELECT id, `+decisionColumns+` FROM acs.controller_decisions
			WHERE policy = $1 ORDER BY time DESC, id DESC LIMIT 1 FOR UPDATE`), d.Policy).
			Scan(append([]any{&id}, decisionFields(&last)...)...)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err == nil && d.FoldsInto(last) {
			_, err = tx.Exec(ctx, s.in(`UPDATE acs.controller_decisions SET count = count + $1, last_time = $2,
				folded = folded || $3::text WHERE id = $4`), d.Count, d.LastTime, line(d.Tick), id)
			return err
		}
		_, err = tx.Exec(ctx, s.in(`INSERT INTO acs.controller_decisions (`+decisionColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::json)`), d.Policy, d.Time, d.LastTime, d.Count, d.Desired,
			d.Current, d.LimitedBy, d.Reason, d.Changed, jsonText(d.Record))
		return err
	})
	if err != nil {
		return fmt.Errorf("save decision of %q: %w", d.Policy, err)
	}
	return nil
}

// jsonText is JSON for a column; NULL where there is none.
func jsonText(raw []byte) *string {
	if raw == nil {
		return nil
	}
	text := string(raw)
	return &text
}

// line is a tick as it is appended to the ones that folded before.
func line(tick []byte) string {
	if len(tick) == 0 {
		return ""
	}
	return string(tick) + "\n"
}

// Decisions implements store.Controller.
func (s *Store) Decisions(ctx context.Context, f store.DecisionFilter) ([]store.Decision, error) {
	decisions, err := list(ctx, s, func(row pgx.CollectableRow) (d store.Decision, err error) {
		err = row.Scan(decisionFields(&d)...)
		return d, err
	}, `SELECT `+decisionColumns+` FROM acs.controller_decisions
		WHERE policy = $1 AND ($2::timestamptz IS NULL OR time >= $2::timestamptz) AND (changed OR NOT $3::boolean)
		ORDER BY time DESC, id DESC LIMIT $4::bigint`, f.Policy, optional(f.Since), f.Changed, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list decisions of %q: %w", f.Policy, err)
	}
	return decisions, nil
}

// SaveState implements store.Controller.
func (s *Store) SaveState(ctx context.Context, policy string, state []byte) error {
	_, err := s.exec(ctx, `INSERT INTO acs.controller_states (policy, state, updated_at)
		VALUES ($1, $2::json, coalesce($3::timestamptz, now()))
		ON CONFLICT (policy) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at`,
		policy, string(state), s.now())
	if err != nil {
		return fmt.Errorf("save state of %q: %w", policy, err)
	}
	return nil
}

// LoadState implements store.Controller.
func (s *Store) LoadState(ctx context.Context, policy string) (state []byte, err error) {
	err = s.pool.QueryRow(ctx, s.in(`SELECT state FROM acs.controller_states WHERE policy = $1`), policy).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("load state of %q: %w", policy, err)
	}
	return state, nil
}

// SaveNotice implements store.Controller.
func (s *Store) SaveNotice(ctx context.Context, n store.Notice) error {
	n = n.WithDefaults(s.wall())
	_, err := s.exec(ctx, `
		WITH counted AS (
			UPDATE acs.controller_events SET count = count + $5::integer, last_time = $7::timestamptz
			WHERE id = (SELECT id FROM acs.controller_events
				WHERE policy = $1::text AND reason = $3::text AND message = $4::text AND last_time > $8::timestamptz
				ORDER BY last_time DESC, id DESC LIMIT 1)
			RETURNING id
		)
		INSERT INTO acs.controller_events (policy, type, reason, message, count, first_time, last_time)
		SELECT $1::text, $2::text, $3::text, $4::text, $5::integer, $6::timestamptz, $7::timestamptz
		WHERE NOT EXISTS (SELECT FROM counted)`,
		n.Policy, n.Type, n.Reason, n.Message, n.Count, n.FirstTime, n.LastTime, n.LastTime.Add(-store.NoticeWindow))
	if err != nil {
		return fmt.Errorf("save notice %q: %w", n.Reason, err)
	}
	return nil
}

// Notices implements store.Controller.
func (s *Store) Notices(ctx context.Context, limit int) ([]store.Notice, error) {
	notices, err := list(ctx, s, func(row pgx.CollectableRow) (n store.Notice, err error) {
		err = row.Scan(&n.Policy, &n.Type, &n.Reason, &n.Message, &n.Count, moment{&n.FirstTime}, moment{&n.LastTime})
		return n, err
	}, `SELECT policy, type, reason, message, count, first_time, last_time FROM acs.controller_events
		ORDER BY last_time DESC, id DESC LIMIT $1::bigint`, limit)
	if err != nil {
		return nil, fmt.Errorf("list notices: %w", err)
	}
	return notices, nil
}
