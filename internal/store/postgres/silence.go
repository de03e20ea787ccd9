package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/store"
)

// SaveSilence implements store.Silencing.
func (s *Store) SaveSilence(ctx context.Context, silence store.Silence) error {
	_, err := s.exec(ctx, `INSERT INTO acs.controller_silences (id, matchers, starts_at, ends_at, author, comment)
		VALUES ($1, $2::json, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET matchers = excluded.matchers, starts_at = excluded.starts_at,
			ends_at = excluded.ends_at, author = excluded.author, comment = excluded.comment`,
		silence.ID, string(silence.Matchers), silence.StartsAt, silence.EndsAt, silence.Author, silence.Comment)
	if err != nil {
		return fmt.Errorf("save silence %q: %w", silence.ID, err)
	}
	return nil
}

// EndSilence implements store.Silencing.
func (s *Store) EndSilence(ctx context.Context, id string, at time.Time) (bool, error) {
	ended, err := s.exec(ctx, `UPDATE acs.controller_silences SET ends_at = $2 WHERE id = $1 AND ends_at > $2`, id, at)
	if err != nil {
		return false, fmt.Errorf("end silence %q: %w", id, err)
	}
	return ended > 0, nil
}

// Silences implements store.Silencing.
func (s *Store) Silences(ctx context.Context, endingAfter time.Time) ([]store.Silence, error) {
	silences, err := list(ctx, s, func(row pgx.CollectableRow) (found store.Silence, err error) {
		err = row.Scan(&found.ID, &found.Matchers, moment{&found.StartsAt}, moment{&found.EndsAt}, &found.Author, &found.Comment)
		return found, err
	}, `SELECT id, matchers::text, starts_at, ends_at, author, comment FROM acs.controller_silences
		WHERE ends_at > $1 ORDER BY ends_at, id`, endingAfter)
	if err != nil {
		return nil, fmt.Errorf("list silences: %w", err)
	}
	return silences, nil
}
