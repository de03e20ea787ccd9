package main

import (
	"context"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// eventsCommand is the history, in two forms: a list, and one event with its
// attempts.
type eventsCommand struct {
	List listEventsCommand `cmd:"" default:"withargs" help:"List events, newest first."`
	Show showEventCommand  `cmd:"" help:"Show one event: where it stands, its times and every attempt."`

	Resolve resolveEventCommand `cmd:"" help:"Say whether an event that is in doubt was sent."`
}

type listEventsCommand struct {
	open.Flags
	cli.Output
	Channel string        `enum:",sms,email,push" default:"" help:"Only this channel."`
	Type    string        `enum:",message_send,message_received,message_status" default:"" help:"Only this type."`
	Status  string        `enum:",new,processing,scheduled,sent,delivered,undelivered,failed,suppressed,expired,in_doubt,received" default:"" help:"Only this status: ${enum}."`
	Queue   string        `placeholder:"NAME" help:"Only this queue, among the newest 100,000 events."`
	Error   string        `placeholder:"CODE" help:"Only events whose last recorded error has this code, among the newest 100,000 events."`
	Since   time.Duration `placeholder:"DURATION" help:"Only events created within this time, such as 15m."`
	Limit   int           `default:"100" placeholder:"N" help:"Events to list, at most."`
	Reveal  bool          `help:"Show addresses in full; otherwise they are masked."`
}

func (c listEventsCommand) Run(ctx context.Context, streams cli.Streams) error {
	db, err := c.OpenExisting(ctx)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	defer func() { _ = db.Close() }()
	if err := db.Ready(ctx); err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	filter := store.Filter{Channel: c.Channel, Type: c.Type, Status: store.Status(c.Status), Queue: c.Queue, ErrorCode: c.Error, Limit: c.Limit}
	if c.Since > 0 {
		filter.Since = time.Now().Add(-c.Since)
	}
	events, err := db.Events(ctx, filter)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	lastErrors, err := lastErrors(ctx, db, events)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	rows, table := make([]eventRow, 0, len(events)), make([][]string, 0, len(events))
	for _, e := range events {
		story := story{Event: e, now: time.Now(), lastError: lastErrors[e.ID]}
		row := rowOf(story, c.Reveal)
		rows = append(rows, row)
		table = append(table, []string{
			clock(row.CreatedAt), row.ID, row.Channel, row.Type, row.Status, row.To, fmt.Sprint(row.Attempts), row.ProviderID, story.problem(),
		})
	}
	return c.Print(streams.Out, rows, []string{"CREATED", "ID", "CHANNEL", "TYPE", "STATUS", "TO", "ATTEMPTS", "PROVIDER ID", "ERROR"}, table)
}

// lastErrors are those of the events that have not ended: the rows of the others
// have it.
func lastErrors(ctx context.Context, db store.Messages, events []store.Event) (map[string]store.Attempt, error) {
	var ids []string
	for _, e := range events {
		if !e.Status.Settled() && e.Attempts > 0 {
			ids = append(ids, e.ID)
		}
	}
	return db.LastErrors(ctx, ids)
}

// eventRow is a row of communication_events under its columns' names.
type eventRow struct {
	ID           string     `json:"id"`
	Channel      string     `json:"channel"`
	Type         string     `json:"type"`
	Status       string     `json:"status"`
	From         string     `json:"from_address"`
	To           string     `json:"to_address"`
	Provider     string     `json:"provider"`
	ProviderID   string     `json:"provider_id"`
	Attempts     int        `json:"attempts"`
	ErrorCode    string     `json:"error_code"`
	Error        string     `json:"error"`
	Queue        string     `json:"queue"`
	SQSMessageID string     `json:"sqs_message_id"`
	BodyHash     string     `json:"body_hash"`
	Segments     int        `json:"segments"`
	Template     string     `json:"template"`
	Priority     string     `json:"priority"`
	CreatedAt    time.Time  `json:"created_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
	SentAt       *time.Time `json:"sent_at"`
	EnqueuedAt   *time.Time `json:"enqueued_at"`
	DueAt        *time.Time `json:"due_at"`       // it waits in its row until then
	DeliveredAt  *time.Time `json:"delivered_at"` // when the report came
	NextTryAt    *time.Time `json:"next_try_at"`
	// The newest attempt that failed, while the event has not ended.
	LastErrorCode    string     `json:"last_error_code"`
	LastError        string     `json:"last_error"`
	LastErrorAttempt int        `json:"last_error_attempt"`
	LastErrorAt      *time.Time `json:"last_error_at"` // when that attempt began
	SettledReason    string     `json:"settled_reason"`
	Summary          string     `json:"summary"` // where it stands, in a sentence
}

func rowOf(s story, reveal bool) eventRow {
	e := s.Event
	address := redact.Personal.String
	if reveal {
		address = redact.Personal.Reveal
	}
	row := eventRow{
		ID: e.ID, Channel: e.Channel, Type: e.Type, Status: string(e.Status), From: address(e.From), To: address(e.To),
		Provider: e.Provider, ProviderID: e.ProviderID, Attempts: e.Attempts, ErrorCode: e.ErrorCode, Error: e.Error,
		Queue: e.Queue, SQSMessageID: e.SQSMessageID, BodyHash: e.BodyHash, Segments: e.Segments, Template: e.Template, Priority: e.Priority,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, SentAt: known(e.SentAt), EnqueuedAt: known(e.EnqueuedAt), DueAt: known(e.DueAt), NextTryAt: known(s.nextTry()),
		LastErrorCode: s.lastError.ErrorCode, LastError: s.lastError.Error, LastErrorAttempt: s.lastError.Number, LastErrorAt: known(s.lastError.StartedAt),
		SettledReason: e.SettledReason, Summary: s.sentence(),
	}
	if e.Status == store.Delivered {
		row.DeliveredAt = known(e.UpdatedAt)
	}
	return row
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// findEvent is the event of an id. An empty one, as an unset variable leaves it,
// names none.
func findEvent(ctx context.Context, db store.Messages, id string) (store.Event, error) {
	if id == "" {
		return store.Event{}, cli.Usagef("the event's id is empty; `worker events` lists them")
	}
	events, err := db.Events(ctx, store.Filter{ID: id, Limit: 1})
	if err != nil {
		return store.Event{}, fmt.Errorf("read event %s: %w", id, err)
	}
	if len(events) == 0 {
		return store.Event{}, fmt.Errorf("read event %s: %w; `worker events` lists them", id, store.ErrNotFound)
	}
	return events[0], nil
}
