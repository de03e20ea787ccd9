package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// showEventCommand tells all that is known of one event.
type showEventCommand struct {
	open.Flags
	cli.Output
	ID     string `arg:"" help:"The event's id, the provider's id, the SQS message id, or the id in the body of a rejected message."`
	Reveal bool   `help:"Show addresses in full; otherwise they are masked."`
}

// attemptRow is a row of communication_attempts.
type attemptRow struct {
	Number     int        `json:"attempt"`
	Owner      string     `json:"owner"`
	StartedAt  time.Time  `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Outcome    string     `json:"outcome"`
	Provider   string     `json:"provider"`
	ProviderID string     `json:"provider_id"`
	ErrorCode  string     `json:"error_code"`
	Error      string     `json:"error"`
	Summary    string     `json:"summary"` // what it came to, in a sentence
}

// shownEvent is an event with its attempts.
type shownEvent struct {
	eventRow

	Tries   []attemptRow `json:"tries"`
	FoundBy string       `json:"found_by"` // id, provider_id, own_id or sqs_message_id
	Others  []string     `json:"others"`   // ids of further events that the same id leads to
}

func (c showEventCommand) Run(ctx context.Context, streams cli.Streams) error {
	db, err := c.OpenExisting(ctx)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	defer func() { _ = db.Close() }()
	event, foundBy, others, err := locate(ctx, db, c.ID)
	if err != nil {
		return err
	}
	attempts, err := db.Attempts(ctx, event.ID)
	if err != nil {
		return fmt.Errorf("read the attempts of event %s: %w", event.ID, err)
	}
	story, err := tell(ctx, db, event, attempts)
	if err != nil {
		return err
	}
	value := shownEvent{eventRow: rowOf(story, c.Reveal), Tries: attemptRows(story, attempts), FoundBy: foundBy, Others: others}
	table := make([][]string, 0, len(attempts))
	for _, a := range value.Tries {
		took := "unfinished"
		if a.FinishedAt != nil {
			took = a.FinishedAt.Sub(a.StartedAt).Round(time.Millisecond).String()
		}
		table = append(table, []string{fmt.Sprint(a.Number), clock(a.StartedAt), took, a.Summary, a.ProviderID, a.Owner})
	}
	if c.Output.Output == "table" {
		value.printHead(streams, c.ID, story.errorText())
		if len(table) == 0 {
			return nil
		}
	}
	return c.Print(streams.Out, value, []string{"ATTEMPT", "STARTED", "TOOK", "WHAT HAPPENED", "PROVIDER ID", "OWNER"}, table)
}

// tell is the story of an event with all its attempts.
func tell(ctx context.Context, db store.Store, event store.Event, attempts []store.Attempt) (story, error) {
	s := story{Event: event, now: time.Now()}
	for _, a := range attempts {
		s.last = a
		if a.ErrorCode != "" && !event.Status.Settled() {
			s.lastError = a
		}
	}
	if event.Status != store.Suppressed || event.To == "" {
		return s, nil
	}
	var err error
	s.suppressed, err = db.SuppressionOf(ctx, event.Channel, event.To)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return s, fmt.Errorf("read why the recipient of event %s is suppressed: %w", event.ID, err)
	}
	return s, nil
}

func attemptRows(s story, attempts []store.Attempt) []attemptRow {
	rows := make([]attemptRow, 0, len(attempts))
	for _, a := range attempts {
		rows = append(rows, attemptRow{
			a.Number, a.Owner, a.StartedAt, known(a.FinishedAt), a.Outcome, a.Provider, a.ProviderID, a.ErrorCode, a.Error, s.attempt(a),
		})
	}
	return rows
}

// foundBy are the ways from an id to an event of another one, as sentences.
var foundBy = map[string]string{
	"provider_id":    "Found by its provider id %[1]q.",
	"own_id":         "Found by the id %[1]q in its body: a rejected message is filed under its SQS message id, so that a corrected one may come under its own.",
	"sqs_message_id": "Found by its SQS message id %[1]q.",
}

// printHead prints what stands above the attempts.
func (v shownEvent) printHead(streams cli.Streams, asked, errorText string) {
	if format := foundBy[v.FoundBy]; format != "" {
		_, _ = fmt.Fprintf(streams.Out, format+"\n", asked)
	}
	if len(v.Others) > 0 {
		_, _ = fmt.Fprintf(streams.Out, "Also found by this id: %s (worker events show ID).\n", strings.Join(v.Others, ", "))
	}
	_, _ = fmt.Fprintf(streams.Out, "%s  %s %s  %s  to %s\n%s\n\n", v.ID, v.Channel, v.Type, v.Status, v.To, v.Summary)
	lines := [][2]string{
		{"Enqueued", clockOf(v.EnqueuedAt)}, {"Created", clock(v.CreatedAt)}, {"Due", clockOf(v.DueAt)}, {"Sent", clockOf(v.SentAt)},
		{"Delivered", clockOf(v.DeliveredAt)}, {"Updated", clock(v.UpdatedAt)}, {"Next try", clockOf(v.NextTryAt)},
		{"Queue", v.Queue}, {"SQS message", v.SQSMessageID}, {"Provider", strings.TrimSpace(v.Provider + " " + v.ProviderID)}, {"Error", errorText},
	}
	for _, line := range lines {
		if line[1] != "" {
			_, _ = fmt.Fprintf(streams.Out, "%-12s %s\n", line[0]+":", line[1])
		}
	}
	if len(v.Tries) > 0 {
		_, _ = fmt.Fprintln(streams.Out)
	}
}

func clockOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return clock(*t)
}

// locate finds the event that an id leads to: its own, or the provider's, or
// else by a search through the newest events. others are the ids of further ones.
func locate(ctx context.Context, db store.Messages, id string) (event store.Event, by string, others []string, err error) {
	if id == "" {
		return event, "", nil, cli.Usagef("the event's id is empty; `worker events` lists them")
	}
	found, by, err := direct(ctx, db, id)
	if err != nil {
		return event, "", nil, fmt.Errorf("read event %s: %w", id, err)
	}
	searched, err := db.Search(ctx, id)
	if err != nil {
		return event, "", nil, fmt.Errorf("read event %s: %w", id, err)
	}
	if found = append(found, searched...); len(found) == 0 {
		return event, "", nil, fmt.Errorf("read event %s: %w; the newest %d events have neither this SQS message id nor this id in a rejected body. `worker events` lists events", id, store.ErrNotFound, store.SearchRows)
	}
	event = found[0]
	if by == "" {
		by = "sqs_message_id"
		if event.SettledReason == store.RejectedAs(id) {
			by = "own_id"
		}
	}
	known := map[string]bool{event.ID: true}
	for _, other := range found {
		if !known[other.ID] {
			known[other.ID] = true
			others = append(others, other.ID)
		}
	}
	return event, by, others, nil
}

// direct finds events by their own id, or by the provider's: the send before its
// reports.
func direct(ctx context.Context, db store.Messages, id string) (found []store.Event, by string, err error) {
	for _, way := range []struct {
		by     string
		filter store.Filter
	}{
		{"id", store.Filter{ID: id, Limit: 1}},
		{"provider_id", store.Filter{ProviderID: id, Type: "message_send", Limit: 1}},
		{"provider_id", store.Filter{ProviderID: id, Limit: 10}},
	} {
		events, err := db.Events(ctx, way.filter)
		if err != nil {
			return nil, "", err
		}
		if len(events) > 0 && by == "" {
			by = way.by
		}
		found = append(found, events...)
		if by == "id" {
			break
		}
	}
	return found, by, nil
}
