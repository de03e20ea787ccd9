package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/store"
)

// LastErrors implements store.Messages.
func (s *Store) LastErrors(ctx context.Context, eventIDs []string) (map[string]store.Attempt, error) {
	attempts, err := list(ctx, s, scanAttempt, `SELECT `+attemptColumns+` FROM unnest($1::text[]) AS wanted (id),
		LATERAL (SELECT * FROM acs.communication_attempts WHERE event_id = wanted.id AND error_code <> ''
			ORDER BY attempt DESC LIMIT 1) a`, eventIDs)
	if err != nil {
		return nil, fmt.Errorf("read the last errors of %d events: %w", len(eventIDs), err)
	}
	last := make(map[string]store.Attempt, len(attempts))
	for _, a := range attempts {
		last[a.EventID] = a
	}
	return last, nil
}

// Search implements store.Messages.
func (s *Store) Search(ctx context.Context, id string) ([]store.Event, error) {
	events, err := list(ctx, s, func(row pgx.CollectableRow) (e store.Event, err error) {
		err = row.Scan(fields(&e)...)
		return e, err
	}, fmt.Sprintf(`SELECT `+columns+` FROM acs.communication_events e WHERE e.id IN (
			SELECT id FROM (SELECT id, settled_reason FROM acs.communication_events WHERE status = 'failed'
				ORDER BY created_at DESC, id DESC LIMIT %[1]d) rejected WHERE settled_reason = $2
			UNION SELECT id FROM (SELECT id, sqs_message_id FROM acs.communication_events
				ORDER BY created_at DESC, id DESC LIMIT %[1]d) newest WHERE sqs_message_id = $1)
		ORDER BY e.created_at DESC, e.id DESC LIMIT 10`, store.SearchRows), id, store.RejectedAs(id))
	if err != nil {
		return nil, fmt.Errorf("search for %q: %w", id, err)
	}
	return events, nil
}
