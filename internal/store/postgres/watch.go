package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/store"
)

// unsettledSQL reads the oldest and the newest rows of each status that has no
// end: neither alone would do, for thousands that wait on purpose may hide the
// others. The age of a message that waited on purpose, or that a person had tried
// again, counts from its first attempt after that.
var unsettledSQL = func() string {
	var ends []string
	for _, status := range []store.Status{store.New, store.Scheduled, store.Processing} {
		for _, order := range []string{"created_at, id", "created_at DESC, id DESC"} {
			ends = append(ends, fmt.Sprintf(`SELECT * FROM (
				SELECT id, queue, status, error_code, attempts, coalesce(enqueued_at, created_at) AS came
				FROM acs.communication_events WHERE status = '%s' ORDER BY %s LIMIT %d) AS part`, status, order, store.UnsettledRows))
		}
	}
	return fmt.Sprintf(`
		SELECT queue, count(*), min(coalesce(CASE WHEN attempts > 1 OR status = 'new' THEN (
			SELECT min(later.started_at) FROM acs.communication_attempts later WHERE later.event_id = e.id AND later.attempt > (
				SELECT max(CASE WHEN a.outcome = '%[1]s' THEN a.attempt - 1 ELSE a.attempt END)
				FROM acs.communication_attempts a WHERE a.event_id = e.id AND (a.outcome = '%[1]s' OR a.error_code IN ('%[2]s', '%[3]s'))
			)) END, came))
		FROM (%[4]s) e WHERE status = 'processing' OR error_code NOT IN ('%[2]s', '%[3]s') GROUP BY queue`,
		store.Reopened, store.NotBefore, store.QuietHours, strings.Join(ends, " UNION "))
}()

// OldestUnsettled implements store.Watching.
func (s *Store) OldestUnsettled(ctx context.Context) (map[string]store.Unsettled, error) {
	byQueue := map[string]store.Unsettled{}
	_, err := list(ctx, s, func(row pgx.CollectableRow) (none struct{}, err error) {
		var queue string
		var one store.Unsettled
		err = row.Scan(&queue, &one.Messages, moment{&one.Oldest})
		byQueue[queue] = one
		return none, err
	}, unsettledSQL)
	if err != nil {
		return nil, fmt.Errorf("read the oldest unsettled messages: %w", err)
	}
	return byQueue, nil
}

// feedbackSQL counts what happened in the newest rows. A report leads to its mail by
// the provider's id; a STOP is counted for the newest text that its sender got from
// that number.
var feedbackSQL = fmt.Sprintf(`
	WITH newest AS MATERIALIZED (
		SELECT id, channel, type, from_address, to_address, template, provider_id, sent_at, settled_reason, created_at
		FROM acs.communication_events WHERE created_at >= $1::timestamptz ORDER BY created_at DESC, id DESC LIMIT %[4]d
	), counted (channel, sender, template, sent, bounced, complained, opted_out) AS (
		SELECT channel, coalesce(from_address, ''), template, 1, 0, 0, 0 FROM newest WHERE type = 'message_send' AND sent_at IS NOT NULL
		UNION ALL
		SELECT s.channel, coalesce(s.from_address, ''), s.template, 0, max((r.settled_reason = '%[1]s')::int), max((r.settled_reason = '%[2]s')::int), 0
		FROM newest r JOIN acs.communication_events s ON s.provider_id = r.provider_id AND s.provider_id <> '' AND s.type = 'message_send'
		WHERE r.type = 'message_status' AND r.settled_reason IN ('%[1]s', '%[2]s')
		GROUP BY s.id, s.channel, s.from_address, s.template
		UNION ALL
		SELECT channel, sender, template, 0, 0, 0, 1 FROM (
			SELECT DISTINCT ON (n.id) n.channel, coalesce(m.from_address, CASE WHEN m.id IS NULL THEN n.to_address END, '') AS sender,
			coalesce(m.template, '') AS template
			FROM newest n LEFT JOIN newest m ON m.type = 'message_send' AND m.channel = n.channel AND m.to_address = n.from_address
				AND m.sent_at <= n.created_at AND (m.from_address IS NULL OR m.from_address = n.to_address)
			WHERE n.type = 'message_received' AND n.settled_reason = '%[3]s' ORDER BY n.id, m.sent_at DESC) AS stops
	)
	SELECT channel, sender, template, sum(sent), sum(bounced), sum(complained), sum(opted_out)
	FROM counted GROUP BY channel, sender, template ORDER BY channel, sender, template`,
	store.Reported("bounced"), store.Reported("complained"), store.OptedOut, store.FeedbackRows)

// Feedback implements store.Watching.
func (s *Store) Feedback(ctx context.Context, since time.Time) ([]store.Feedback, error) {
	found, err := list(ctx, s, pgx.RowToStructByPos[store.Feedback], feedbackSQL, since)
	if err != nil {
		return nil, fmt.Errorf("count feedback: %w", err)
	}
	return found, nil
}
