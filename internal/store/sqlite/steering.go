package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/internal/store"
)

const leaseColumns = `name, holder, epoch, since, expires_at`

func (s *Store) scanLease(row scanner) (l store.Leadership, err error) {
	err = row.Scan(&l.Name, &l.Holder, &l.Epoch, moment{&l.Since}, moment{&l.Expires})
	l.Left = l.Expires.Sub(s.now())
	return l, err
}

// AcquireLeadership implements store.Steering.
func (s *Store) AcquireLeadership(ctx context.Context, name, holder string, ttl time.Duration) (l store.Leadership, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		now := s.now()
		_, err := tx.ExecContext(ctx, `INSERT INTO controller_leases AS l (`+leaseColumns+`) VALUES (?, ?, 1, ?, ?)
			ON CONFLICT (name) DO UPDATE SET
				epoch = CASE WHEN l.holder = excluded.holder AND l.expires_at > excluded.since THEN l.epoch ELSE l.epoch + 1 END,
				since = CASE WHEN l.holder = excluded.holder AND l.expires_at > excluded.since THEN l.since ELSE excluded.since END,
				holder = excluded.holder, expires_at = excluded.expires_at
			WHERE l.holder = excluded.holder OR l.expires_at <= excluded.since`,
			name, holder, text(now), text(now.Add(ttl)))
		if err != nil {
			return err
		}
		l, err = s.scanLease(tx.QueryRowContext(ctx, `SELECT `+leaseColumns+` FROM controller_leases WHERE name = ?`, name))
		return err
	})
	if err != nil {
		return l, fmt.Errorf("acquire the lease %q: %w", name, err)
	}
	return l, nil
}

// ReleaseLeadership implements store.Steering.
func (s *Store) ReleaseLeadership(ctx context.Context, name, holder string) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE controller_leases SET holder = '', expires_at = ? WHERE name = ? AND holder = ?`,
			text(s.now()), name, holder)
		return err
	})
	if err != nil {
		return fmt.Errorf("release the lease %q: %w", name, err)
	}
	return nil
}

// first is the only row of a query, or ErrNotFound.
func first[T any](ctx context.Context, s *Store, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	found, err := list(ctx, s, scan, query, args...)
	if err == nil && len(found) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return *new(T), err
	}
	return found[0], nil
}

// Leadership implements store.Steering.
func (s *Store) Leadership(ctx context.Context, name string) (store.Leadership, error) {
	l, err := first(ctx, s, s.scanLease, `SELECT `+leaseColumns+` FROM controller_leases WHERE name = ?`, name)
	if err != nil {
		return l, fmt.Errorf("read the lease %q: %w", name, err)
	}
	return l, nil
}

const pauseColumns = `policy, direction, author, reason, since, until`

// SavePause implements store.Steering.
func (s *Store) SavePause(ctx context.Context, p store.Pause, length time.Duration) (store.Pause, error) {
	err := s.write(ctx, func(tx *sql.Tx) error {
		p.Since = s.now().UTC().Truncate(time.Millisecond)
		p.Until = p.Since.Add(length)
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO controller_pauses (`+pauseColumns+`) VALUES (?, ?, ?, ?, ?, ?)`,
			p.Policy, p.Direction, p.Author, p.Reason, text(p.Since), text(p.Until))
		return err
	})
	if err != nil {
		return store.Pause{}, fmt.Errorf("pause %q: %w", p.Policy, err)
	}
	return p, nil
}

// EndPause implements store.Steering.
func (s *Store) EndPause(ctx context.Context, policy string) (ended bool, err error) {
	err = s.write(ctx, func(tx *sql.Tx) (err error) {
		ended, err = changed(tx.ExecContext(ctx, `DELETE FROM controller_pauses WHERE policy = ? AND until > ?`, policy, text(s.now())))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("resume %q: %w", policy, err)
	}
	return ended, nil
}

// Pauses implements store.Steering.
func (s *Store) Pauses(ctx context.Context) ([]store.Pause, error) {
	pauses, err := list(ctx, s, func(row scanner) (p store.Pause, err error) {
		err = row.Scan(&p.Policy, &p.Direction, &p.Author, &p.Reason, moment{&p.Since}, moment{&p.Until})
		return p, err
	}, `SELECT `+pauseColumns+` FROM controller_pauses WHERE until > ? ORDER BY policy`, text(s.now()))
	if err != nil {
		return nil, fmt.Errorf("list pauses: %w", err)
	}
	return pauses, nil
}

// AcceptPolicy implements store.Steering.
func (s *Store) AcceptPolicy(ctx context.Context, v store.PolicyVersion) (generation int64, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		var hash string
		generation = 0
		err := tx.QueryRowContext(ctx, `SELECT generation, hash FROM controller_policies WHERE policy = ?
			ORDER BY generation DESC LIMIT 1`, v.Policy).Scan(&generation, &hash)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil && hash == v.Hash {
			return nil
		}
		generation++
		_, err = tx.ExecContext(ctx, `INSERT INTO controller_policies (policy, generation, hash, spec, accepted_at)
			VALUES (?, ?, ?, ?, ?)`, v.Policy, generation, v.Hash, string(v.Spec), text(s.now()))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("record the version of policy %q: %w", v.Policy, err)
	}
	return generation, nil
}

// PolicyVersion implements store.Steering.
func (s *Store) PolicyVersion(ctx context.Context, policy string, generation int64) (store.PolicyVersion, error) {
	v, err := first(ctx, s, func(row scanner) (v store.PolicyVersion, err error) {
		err = row.Scan(&v.Policy, &v.Generation, &v.Hash, &v.Spec, moment{&v.AcceptedAt})
		return v, err
	}, `SELECT policy, generation, hash, spec, accepted_at FROM controller_policies WHERE policy = ? AND generation = ?`, policy, generation)
	if err != nil {
		return v, fmt.Errorf("read generation %d of policy %q: %w", generation, policy, err)
	}
	return v, nil
}

// SaveSnapshot implements store.Steering.
func (s *Store) SaveSnapshot(ctx context.Context, n store.Snapshot) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO controller_snapshots (policy, time, generation, state) VALUES (?, ?, ?, ?)`,
			n.Policy, text(n.Time), n.Generation, string(n.State))
		return err
	})
	if err != nil {
		return fmt.Errorf("save snapshot of %q: %w", n.Policy, err)
	}
	return nil
}

// SnapshotBefore implements store.Steering.
func (s *Store) SnapshotBefore(ctx context.Context, policy string, at time.Time) (store.Snapshot, error) {
	n, err := first(ctx, s, func(row scanner) (n store.Snapshot, err error) {
		err = row.Scan(&n.Policy, moment{&n.Time}, &n.Generation, &n.State)
		return n, err
	}, `SELECT policy, time, generation, state FROM controller_snapshots WHERE policy = ? AND time <= ?
		ORDER BY time DESC LIMIT 1`, policy, text(at))
	if err != nil {
		return n, fmt.Errorf("find a snapshot of %q: %w", policy, err)
	}
	return n, nil
}

// Trail implements store.Steering.
func (s *Store) Trail(ctx context.Context, policy string, from, to time.Time, limit int) ([]store.Decision, error) {
	trail, err := list(ctx, s, func(row scanner) (d store.Decision, err error) {
		err = row.Scan(append(decisionFields(&d), &d.Folded)...)
		return d, err
	}, `SELECT `+decisionColumns+`, folded FROM controller_decisions
		WHERE policy = ? AND last_time >= ? AND time <= ? ORDER BY time, id LIMIT ?`, policy, text(from), text(to), limit)
	if err != nil {
		return nil, fmt.Errorf("list decisions of %q: %w", policy, err)
	}
	return trail, nil
}

// SaveStatus implements store.Steering.
func (s *Store) SaveStatus(ctx context.Context, policy string, status []byte) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO controller_statuses (policy, updated_at, status) VALUES (?, ?, ?)`,
			policy, text(s.now()), string(status))
		return err
	})
	if err != nil {
		return fmt.Errorf("save status of %q: %w", policy, err)
	}
	return nil
}

// Statuses implements store.Steering.
func (s *Store) Statuses(ctx context.Context) ([]store.PolicyStatus, error) {
	statuses, err := list(ctx, s, func(row scanner) (one store.PolicyStatus, err error) {
		err = row.Scan(&one.Policy, moment{&one.UpdatedAt}, &one.Status)
		return one, err
	}, `SELECT policy, updated_at, status FROM controller_statuses ORDER BY policy`)
	if err != nil {
		return nil, fmt.Errorf("list statuses: %w", err)
	}
	return statuses, nil
}

// RetainStatuses implements store.Steering.
func (s *Store) RetainStatuses(ctx context.Context, policies []string) error {
	names, err := json.Marshal(append([]string{}, policies...))
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM controller_statuses WHERE policy NOT IN (SELECT value FROM json_each(?))`, string(names))
		return err
	})
	if err != nil {
		return fmt.Errorf("drop statuses: %w", err)
	}
	return nil
}

// PruneController implements store.Steering.
func (s *Store) PruneController(ctx context.Context, before time.Time, limit int) (int64, error) {
	var deleted int64
	err := s.write(ctx, func(tx *sql.Tx) error {
		deleted = 0
		for _, old := range []struct {
			query  string
			before time.Time
		}{
			{`DELETE FROM controller_decisions WHERE id IN (SELECT id FROM controller_decisions WHERE last_time < ? ORDER BY last_time LIMIT ?)`, before},
			{`DELETE FROM controller_events WHERE id IN (SELECT id FROM controller_events WHERE last_time < ? ORDER BY last_time LIMIT ?)`, before},
			{`DELETE FROM controller_snapshots WHERE (policy, time) IN (SELECT policy, time FROM controller_snapshots WHERE time < ? ORDER BY time LIMIT ?)`, before.Add(-store.SnapshotsOutlive)},
			{`DELETE FROM controller_pauses WHERE policy IN (SELECT policy FROM controller_pauses WHERE until < ? ORDER BY until LIMIT ?)`, before},
		} {
			done, err := tx.ExecContext(ctx, old.query, text(old.before), limit)
			if err != nil {
				return err
			}
			rows, err := done.RowsAffected()
			if err != nil {
				return err
			}
			deleted += rows
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("prune the controller's history: %w", err)
	}
	return deleted, nil
}
