package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/novaura/acs-operator/internal/store"
)

const decisionColumns = `policy, time, last_time, count, desired, current, limited_by, reason, changed, record`

func scanDecision(row scanner) (d store.Decision, err error) {
	err = row.Scan(decisionFields(&d)...)
	return d, err
}

func decisionFields(d *store.Decision) []any {
	return []any{&d.Policy, moment{&d.Time}, moment{&d.LastTime}, &d.Count, &d.Desired, &d.Current, &d.LimitedBy,
		&d.Reason, &d.Changed, &d.Record}
}

// SaveDecision implements store.Controller. A row keeps the reason and the
// record of its first tick, so that they belong to its time.
func (s *Store) SaveDecision(ctx context.Context, d store.Decision) error {
	d = d.WithDefaults(s.now())
	err := s.write(ctx, func(tx *sql.Tx) error {
		var id int64
		var last store.Decision
		err := tx.QueryRowContext(ctx, `SELECT id, `+decisionColumns+` FROM controller_decisions
			WHERE policy = ? ORDER BY time DESC, id DESC LIMIT 1`, d.Policy).
			Scan(append([]any{&id}, decisionFields(&last)...)...)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil && d.FoldsInto(last) {
			_, err = tx.ExecContext(ctx, `UPDATE controller_decisions SET count = count + ?, last_time = ?, folded = folded || ?
				WHERE id = ?`, d.Count, text(d.LastTime), line(d.Tick), id)
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO controller_decisions (`+decisionColumns+`)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, d.Policy, text(d.Time), text(d.LastTime), d.Count, d.Desired,
			d.Current, d.LimitedBy, d.Reason, d.Changed, jsonText(d.Record))
		return err
	})
	if err != nil {
		return fmt.Errorf("save decision of %q: %w", d.Policy, err)
	}
	return nil
}

// jsonText is JSON for a column; NULL where there is none.
func jsonText(raw []byte) any {
	if raw == nil {
		return nil
	}
	return string(raw)
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
	decisions, err := list(ctx, s, scanDecision, `SELECT `+decisionColumns+` FROM controller_decisions
		WHERE policy = ? AND time >= ? AND (changed OR NOT ?) ORDER BY time DESC, id DESC LIMIT ?`, f.Policy, text(f.Since), f.Changed, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list decisions of %q: %w", f.Policy, err)
	}
	return decisions, nil
}

// SaveState implements store.Controller.
func (s *Store) SaveState(ctx context.Context, policy string, state []byte) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO controller_states (policy, state, updated_at) VALUES (?, ?, ?)
			ON CONFLICT (policy) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at`,
			policy, string(state), text(s.now()))
		return err
	})
	if err != nil {
		return fmt.Errorf("save state of %q: %w", policy, err)
	}
	return nil
}

// LoadState implements store.Controller.
func (s *Store) LoadState(ctx context.Context, policy string) ([]byte, error) {
	found, err := list(ctx, s, func(row scanner) (state []byte, err error) {
		err = row.Scan(&state)
		return state, err
	},
		`SELECT state FROM controller_states WHERE policy = ?`, policy)
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("load state of %q: %w", policy, err)
	}
	return found[0], nil
}

// SaveNotice implements store.Controller.
func (s *Store) SaveNotice(ctx context.Context, n store.Notice) error {
	n = n.WithDefaults(s.now())
	err := s.write(ctx, func(tx *sql.Tx) error {
		repeated, err := changed(tx.ExecContext(ctx, `UPDATE controller_events SET count = count + ?, last_time = ?
			WHERE id = (SELECT id FROM controller_events WHERE policy = ? AND reason = ? AND message = ?
				AND last_time > ? ORDER BY last_time DESC, id DESC LIMIT 1)`,
			n.Count, text(n.LastTime), n.Policy, n.Reason, n.Message, text(n.LastTime.Add(-store.NoticeWindow))))
		if err != nil || repeated {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO controller_events
			(policy, type, reason, message, count, first_time, last_time) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			n.Policy, n.Type, n.Reason, n.Message, n.Count, text(n.FirstTime), text(n.LastTime))
		return err
	})
	if err != nil {
		return fmt.Errorf("save notice %q: %w", n.Reason, err)
	}
	return nil
}

// Notices implements store.Controller.
func (s *Store) Notices(ctx context.Context, limit int) ([]store.Notice, error) {
	notices, err := list(ctx, s, func(row scanner) (n store.Notice, err error) {
		err = row.Scan(&n.Policy, &n.Type, &n.Reason, &n.Message, &n.Count, moment{&n.FirstTime}, moment{&n.LastTime})
		return n, err
	}, `SELECT policy, type, reason, message, count, first_time, last_time FROM controller_events
		ORDER BY last_time DESC, id DESC LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("list notices: %w", err)
	}
	return notices, nil
}
