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
// the provider's id. A STOP counts for the text before it, if that came from the
// number that was answered; a window finds that text, since a join would compare
// every STOP with every text.
var feedbackSQL = fmt.Sprintf(`
	WITH newest AS MATERIALIZED (
		SELECT id, channel, type, from_address, to_address, template, provider_id, sent_at, settled_reason, created_at
		FROM acs.communication_events WHERE created_at >= $1::timestamptz ORDER BY created_at DESC, id DESC LIMIT %[4]d
	), talk (channel, person, number, template, created_at, stop) AS (
		SELECT channel, to_address, from_address, template, created_at, false FROM newest
		WHERE type = 'message_send' AND channel = 'sms' AND sent_at IS NOT NULL AND to_address IS NOT NULL
		UNION ALL
		SELECT channel, from_address, to_address, '', created_at, true FROM newest WHERE type = 'message_received' AND settled_reason = '%[3]s'
	), counted (channel, sender, template, sent, bounced, complained, opted_out) AS (
		SELECT channel, coalesce(from_address, ''), template, 1, 0, 0, 0 FROM newest WHERE type = 'message_send' AND sent_at IS NOT NULL
		UNION ALL
		SELECT s.channel, coalesce(s.from_address, ''), s.template, 0, max((r.settled_reason = '%[1]s')::int), max((r.settled_reason = '%[2]s')::int), 0
		FROM newest r JOIN acs.communication_events s ON s.provider_id = r.provider_id AND s.provider_id <> '' AND s.type = 'message_send'
		WHERE r.type = 'message_status' AND r.settled_reason IN ('%[1]s', '%[2]s')
		GROUP BY s.id, s.channel, s.from_address, s.template
		UNION ALL
		SELECT channel, CASE WHEN known THEN coalesce(text_from, '') ELSE coalesce(number, '') END, CASE WHEN known THEN template ELSE '' END, 0, 0, 0, 1
		FROM (SELECT channel, number, text_from, template, stop, NOT text_stop AND (text_from IS NULL OR text_from = number) AS known FROM (
			SELECT channel, stop, number, lag(stop, 1, true) OVER before AS text_stop, lag(number) OVER before AS text_from, lag(template) OVER before AS template
			FROM talk WINDOW before AS (PARTITION BY channel, person ORDER BY created_at, stop)
		) AS earlier) AS stops WHERE stop
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
