package sqlite

import (
	"context"
	"fmt"

	"github.com/novaura/acs-operator/internal/store"
)

// LastErrors implements store.Messages.
func (s *Store) LastErrors(ctx context.Context, eventIDs []string) (map[string]store.Attempt, error) {
	const batch = 500 // SQLite bounds the parameters of a statement
	last := make(map[string]store.Attempt, len(eventIDs))
	for len(eventIDs) > 0 {
		n := min(batch, len(eventIDs))
		attempts, err := list(ctx, s, scanAttempt, `SELECT `+attemptColumns+` FROM communication_attempts a
			WHERE event_id IN (`+marks(n)+`) AND attempt = (SELECT max(attempt) FROM communication_attempts
				WHERE event_id = a.event_id AND error_code <> '')`, with(eventIDs[:n])...)
		if err != nil {
			return nil, fmt.Errorf("read the last errors of %d events: %w", len(eventIDs), err)
		}
		for _, a := range attempts {
			last[a.EventID] = a
		}
		eventIDs = eventIDs[n:]
	}
	return last, nil
}

// Search implements store.Messages.
func (s *Store) Search(ctx context.Context, id string) ([]store.Event, error) {
	events, err := list(ctx, s, scanEvent, fmt.Sprintf(`SELECT `+columns+` FROM communication_events WHERE id IN (
			SELECT id FROM (SELECT id, settled_reason FROM communication_events WHERE status = 'failed'
				ORDER BY created_at DESC, id DESC LIMIT %[1]d) WHERE settled_reason = ?
			UNION SELECT id FROM (SELECT id, sqs_message_id FROM communication_events
				ORDER BY created_at DESC, id DESC LIMIT %[1]d) WHERE sqs_message_id = ?)
		ORDER BY created_at DESC, id DESC LIMIT 10`, store.SearchRows), store.RejectedAs(id), id)
	if err != nil {
		return nil, fmt.Errorf("search for %q: %w", id, err)
	}
	return events, nil
}
