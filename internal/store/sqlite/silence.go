package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/internal/store"
)

// SaveSilence implements store.Silencing.
func (s *Store) SaveSilence(ctx context.Context, silence store.Silence) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO controller_silences (id, matchers, starts_at, ends_at, author, comment)
			VALUES (?, ?, ?, ?, ?, ?)`, silence.ID, jsonText(silence.Matchers), text(silence.StartsAt), text(silence.EndsAt), silence.Author, silence.Comment)
		return err
	})
	if err != nil {
		return fmt.Errorf("save silence %q: %w", silence.ID, err)
	}
	return nil
}

// EndSilence implements store.Silencing.
func (s *Store) EndSilence(ctx context.Context, id string, at time.Time) (ended bool, err error) {
	err = s.write(ctx, func(tx *sql.Tx) (err error) {
		ended, err = changed(tx.ExecContext(ctx, `UPDATE controller_silences SET ends_at = ? WHERE id = ? AND ends_at > ?`, text(at), id, text(at)))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("end silence %q: %w", id, err)
	}
	return ended, nil
}

// Silences implements store.Silencing.
func (s *Store) Silences(ctx context.Context, endingAfter time.Time) ([]store.Silence, error) {
	silences, err := list(ctx, s, func(row scanner) (found store.Silence, err error) {
		err = row.Scan(&found.ID, &found.Matchers, moment{&found.StartsAt}, moment{&found.EndsAt}, &found.Author, &found.Comment)
		return found, err
	}, `SELECT id, matchers, starts_at, ends_at, author, comment FROM controller_silences WHERE ends_at > ? ORDER BY ends_at, id`, text(endingAfter))
	if err != nil {
		return nil, fmt.Errorf("list silences: %w", err)
	}
	return silences, nil
}
