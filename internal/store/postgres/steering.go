package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/store"
)

const leaseColumns = `name, holder, epoch, since, expires_at`

// AcquireLeadership implements store.Steering. now() is when the transaction
// began: waiting for another holder's write makes the lease shorter, never
// longer.
func (s *Store) AcquireLeadership(ctx context.Context, name, holder string, ttl time.Duration) (store.Leadership, error) {
	l, err := s.lease(ctx, `INSERT INTO acs.controller_leases AS l (`+leaseColumns+`)
		VALUES ($1::text, $2::text, 1, coalesce($3::timestamptz, now()),
			coalesce($3::timestamptz, now()) + $4::bigint * interval '1 millisecond')
		ON CONFLICT (name) DO UPDATE SET
			epoch = CASE WHEN l.holder = excluded.holder AND l.expires_at > excluded.since THEN l.epoch ELSE l.epoch + 1 END,
			since = CASE WHEN l.holder = excluded.holder AND l.expires_at > excluded.since THEN l.since ELSE excluded.since END,
			holder = excluded.holder, expires_at = excluded.expires_at
		WHERE l.holder = excluded.holder OR l.expires_at <= excluded.since
		RETURNING `+leaseColumns+`, coalesce($3::timestamptz, now())`, name, holder, s.now(), ttl.Milliseconds())
	if errors.Is(err, pgx.ErrNoRows) { // another's, and running
		return s.Leadership(ctx, name)
	}
	if err != nil {
		return store.Leadership{}, fmt.Errorf("acquire the lease %q: %w", name, err)
	}
	return l, nil
}

// ReleaseLeadership implements store.Steering.
func (s *Store) ReleaseLeadership(ctx context.Context, name, holder string) error {
	_, err := s.exec(ctx, `UPDATE acs.controller_leases SET holder = '', expires_at = coalesce($3::timestamptz, now())
		WHERE name = $1 AND holder = $2`, name, holder, s.now())
	if err != nil {
		return fmt.Errorf("release the lease %q: %w", name, err)
	}
	return nil
}

// Leadership implements store.Steering.
func (s *Store) Leadership(ctx context.Context, name string) (store.Leadership, error) {
	l, err := s.lease(ctx, `SELECT `+leaseColumns+`, coalesce($2::timestamptz, now())
		FROM acs.controller_leases WHERE name = $1`, name, s.now())
	if errors.Is(err, pgx.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Leadership{}, fmt.Errorf("read the lease %q: %w", name, err)
	}
	return l, nil
}

func (s *Store) lease(ctx context.Context, query string, args ...any) (l store.Leadership, err error) {
	err = again(func() error {
		var now time.Time
		err := s.pool.QueryRow(ctx, s.in(query), args...).
			Scan(&l.Name, &l.Holder, &l.Epoch, moment{&l.Since}, moment{&l.Expires}, moment{&now})
		l.Left = l.Expires.Sub(now)
		return err
	})
	return l, err
}

const pauseColumns = `policy, direction, author, reason, since, until`

func scanPause(row pgx.CollectableRow) (p store.Pause, err error) {
	err = row.Scan(&p.Policy, &p.Direction, &p.Author, &p.Reason, moment{&p.Since}, moment{&p.Until})
	return p, err
}

// SavePause implements store.Steering.
func (s *Store) SavePause(ctx context.Context, p store.Pause, length time.Duration) (store.Pause, error) {
	saved, err := list(ctx, s, scanPause, `INSERT INTO acs.controller_pauses (`+pauseColumns+`)
		VALUES ($1::text, $2::text, $3::text, $4::text, coalesce($5::timestamptz, now()),
			coalesce($5::timestamptz, now()) + $6::bigint * interval '1 millisecond')
		ON CONFLICT (policy) DO UPDATE SET direction = excluded.direction, author = excluded.author,
			reason = excluded.reason, since = excluded.since, until = excluded.until
		RETURNING `+pauseColumns, p.Policy, p.Direction, p.Author, p.Reason, s.now(), length.Milliseconds())
	if err != nil {
		return store.Pause{}, fmt.Errorf("pause %q: %w", p.Policy, err)
	}
	return saved[0], nil
}

// EndPause implements store.Steering.
func (s *Store) EndPause(ctx context.Context, policy string) (bool, error) {
	ended, err := s.exec(ctx, `DELETE FROM acs.controller_pauses
		WHERE policy = $1 AND until > coalesce($2::timestamptz, now())`, policy, s.now())
	if err != nil {
		return false, fmt.Errorf("resume %q: %w", policy, err)
	}
	return ended > 0, nil
}

// Pauses implements store.Steering.
func (s *Store) Pauses(ctx context.Context) ([]store.Pause, error) {
	pauses, err := list(ctx, s, scanPause, `SELECT `+pauseColumns+` FROM acs.controller_pauses
		WHERE until > coalesce($1::timestamptz, now()) ORDER BY policy`, s.now())
	if err != nil {
		return nil, fmt.Errorf("list pauses: %w", err)
	}
	return pauses, nil
}

// AcceptPolicy implements store.Steering. Of two that accept at once, the
// unique key lets one in; the other finds it there.
func (s *Store) AcceptPolicy(ctx context.Context, v store.PolicyVersion) (generation int64, err error) {
	const last = `SELECT generation, hash FROM acs.controller_policies WHERE policy = $1::text
		ORDER BY generation DESC LIMIT 1`
	for range 3 {
		err = s.pool.QueryRow(ctx, s.in(`WITH last AS (`+last+`), added AS (
				INSERT INTO acs.controller_policies (policy, generation, hash, spec, accepted_at)
				SELECT $1::text, coalesce((SELECT generation FROM last), 0) + 1, $2::text, $3::json,
					coalesce($4::timestamptz, now())
				WHERE NOT EXISTS (SELECT FROM last WHERE hash = $2::text)
				ON CONFLICT DO NOTHING RETURNING generation
			)
			SELECT generation FROM added UNION ALL SELECT generation FROM last WHERE hash = $2::text`),
			v.Policy, v.Hash, string(v.Spec), s.now()).Scan(&generation)
		if !errors.Is(err, pgx.ErrNoRows) {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("record the version of policy %q: %w", v.Policy, err)
	}
	return generation, nil
}

// PolicyVersion implements store.Steering.
func (s *Store) PolicyVersion(ctx context.Context, policy string, generation int64) (v store.PolicyVersion, err error) {
	err = s.pool.QueryRow(ctx, s.in(`SELECT policy, generation, hash, spec, accepted_at FROM acs.controller_policies
		WHERE policy = $1 AND generation = $2`), policy, generation).
		Scan(&v.Policy, &v.Generation, &v.Hash, &v.Spec, moment{&v.AcceptedAt})
	if errors.Is(err, pgx.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return v, fmt.Errorf("read generation %d of policy %q: %w", generation, policy, err)
	}
	return v, nil
}

// SaveSnapshot implements store.Steering.
func (s *Store) SaveSnapshot(ctx context.Context, n store.Snapshot) error {
	_, err := s.exec(ctx, `INSERT INTO acs.controller_snapshots (policy, time, generation, state)
		VALUES ($1, $2::timestamptz, $3, $4::json)
		ON CONFLICT (policy, time) DO UPDATE SET generation = excluded.generation, state = excluded.state`,
		n.Policy, n.Time, n.Generation, string(n.State))
	if err != nil {
		return fmt.Errorf("save snapshot of %q: %w", n.Policy, err)
	}
	return nil
}

// SnapshotBefore implements store.Steering.
func (s *Store) SnapshotBefore(ctx context.Context, policy string, at time.Time) (n store.Snapshot, err error) {
	err = s.pool.QueryRow(ctx, s.in(`SELECT policy, time, generation, state FROM acs.controller_snapshots
		WHERE policy = $1 AND time <= $2::timestamptz ORDER BY time DESC LIMIT 1`), policy, at).
		Scan(&n.Policy, moment{&n.Time}, &n.Generation, &n.State)
	if errors.Is(err, pgx.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err != nil {
		return n, fmt.Errorf("find a snapshot of %q: %w", policy, err)
	}
	return n, nil
}

// Trail implements store.Steering.
func (s *Store) Trail(ctx context.Context, policy string, from, to time.Time, limit int) ([]store.Decision, error) {
	trail, err := list(ctx, s, func(row pgx.CollectableRow) (d store.Decision, err error) {
		err = row.Scan(append(decisionFields(&d), &d.Folded)...)
		return d, err
	}, `SELECT `+decisionColumns+`, folded::bytea FROM acs.controller_decisions
		WHERE policy = $1 AND last_time >= $2::timestamptz AND time <= $3::timestamptz
		ORDER BY time, id LIMIT $4::bigint`, policy, from, to, limit)
	if err != nil {
		return nil, fmt.Errorf("list decisions of %q: %w", policy, err)
	}
	return trail, nil
}

// SaveStatus implements store.Steering.
func (s *Store) SaveStatus(ctx context.Context, policy string, status []byte) error {
	_, err := s.exec(ctx, `INSERT INTO acs.controller_statuses (policy, updated_at, status)
		VALUES ($1, coalesce($2::timestamptz, now()), $3::json)
		ON CONFLICT (policy) DO UPDATE SET status = excluded.status, updated_at = excluded.updated_at`,
		policy, s.now(), string(status))
	if err != nil {
		return fmt.Errorf("save status of %q: %w", policy, err)
	}
	return nil
}

// Statuses implements store.Steering.
func (s *Store) Statuses(ctx context.Context) ([]store.PolicyStatus, error) {
	statuses, err := list(ctx, s, func(row pgx.CollectableRow) (one store.PolicyStatus, err error) {
		err = row.Scan(&one.Policy, moment{&one.UpdatedAt}, &one.Status)
		return one, err
	}, `SELECT policy, updated_at, status FROM acs.controller_statuses ORDER BY policy`)
	if err != nil {
		return nil, fmt.Errorf("list statuses: %w", err)
	}
	return statuses, nil
}

// RetainStatuses implements store.Steering.
func (s *Store) RetainStatuses(ctx context.Context, policies []string) error {
	if _, err := s.exec(ctx, `DELETE FROM acs.controller_statuses WHERE policy <> ALL($1::text[])`, append([]string{}, policies...)); err != nil {
		return fmt.Errorf("drop statuses: %w", err)
	}
	return nil
}

// PruneController implements store.Steering.
func (s *Store) PruneController(ctx context.Context, before time.Time, limit int) (deleted int64, err error) {
	for _, old := range []struct {
		table, key, column string
		before             time.Time
	}{
		{"controller_decisions", "id", "last_time", before},
		{"controller_events", "id", "last_time", before},
		{"controller_snapshots", "(policy, time)", "time", before.Add(-store.SnapshotsOutlive)},
		{"controller_pauses", "policy", "until", before},
	} {
		gone, err := s.exec(ctx, `DELETE FROM acs.`+old.table+` WHERE `+old.key+` IN (SELECT `+trim(old.key)+` FROM acs.`+old.table+`
			WHERE `+old.column+` < $1::timestamptz ORDER BY `+old.column+` LIMIT $2::bigint)`, old.before, limit)
		if err != nil {
			return deleted, fmt.Errorf("prune %s: %w", old.table, err)
		}
		deleted += gone
	}
	return deleted, nil
}

func trim(key string) string {
	if key[0] == '(' {
		return key[1 : len(key)-1]
	}
	return key
}
