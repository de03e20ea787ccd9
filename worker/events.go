package main

import (
	"context"
	"fmt"
	"strings"
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
	Show showEventCommand  `cmd:"" help:"Show one event and every attempt at it."`

	Resolve resolveEventCommand `cmd:"" help:"Decide about an event that is in doubt."`
}

type listEventsCommand struct {
	open.Flags
	cli.Output
	Channel string        `enum:",sms,email,push" default:"" help:"Only this channel."`
	Type    string        `enum:",message_send,message_received,message_status" default:"" help:"Only this type."`
	Status  string        `enum:",new,processing,scheduled,sent,delivered,undelivered,failed,suppressed,expired,in_doubt,received" default:"" help:"Only this status: ${enum}."`
	Since   time.Duration `help:"Only events of the last so long."`
	Limit   int           `default:"100" help:"At most so many."`
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
	filter := store.Filter{Channel: c.Channel, Type: c.Type, Status: store.Status(c.Status), Limit: c.Limit}
	if c.Since > 0 {
		filter.Since = time.Now().Add(-c.Since)
	}
	events, err := db.Events(ctx, filter)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	rows, table := make([]eventRow, 0, len(events)), make([][]string, 0, len(events))
	for _, e := range events {
		row := rowOf(e, c.Reveal)
		rows = append(rows, row)
		table = append(table, []string{
			row.CreatedAt.Local().Format(time.DateTime), row.ID, row.Channel, row.Type, row.Status, row.To, fmt.Sprint(row.Attempts), row.ProviderID, row.ErrorCode,
		})
	}
	return c.Print(streams.Out, rows, []string{"CREATED", "ID", "CHANNEL", "TYPE", "STATUS", "TO", "ATTEMPTS", "PROVIDER ID", "ERROR"}, table)
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
}

func rowOf(e store.Event, reveal bool) eventRow {
	address := redact.Personal.String
	if reveal {
		address = redact.Personal.Reveal
	}
	return eventRow{
		ID: e.ID, Channel: e.Channel, Type: e.Type, Status: string(e.Status), From: address(e.From), To: address(e.To),
		Provider: e.Provider, ProviderID: e.ProviderID, Attempts: e.Attempts, ErrorCode: e.ErrorCode, Error: e.Error,
		Queue: e.Queue, SQSMessageID: e.SQSMessageID, BodyHash: e.BodyHash, Segments: e.Segments, Template: e.Template, Priority: e.Priority,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, SentAt: known(e.SentAt), EnqueuedAt: known(e.EnqueuedAt),
	}
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

type showEventCommand struct {
	open.Flags
	cli.Output
	ID     string `arg:"" help:"The event's id."`
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
}

func (c showEventCommand) Run(ctx context.Context, streams cli.Streams) error {
	db, err := c.OpenExisting(ctx)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	defer func() { _ = db.Close() }()
	event, err := findEvent(ctx, db, c.ID)
	if err != nil {
		return err
	}
	attempts, err := db.Attempts(ctx, c.ID)
	if err != nil {
		return fmt.Errorf("read the attempts of event %s: %w", c.ID, err)
	}
	value := struct {
		eventRow
		Tries []attemptRow `json:"tries"`
	}{rowOf(event, c.Reveal), attemptRows(attempts)}
	table := make([][]string, 0, len(attempts))
	for _, a := range value.Tries {
		finished := "unfinished"
		if a.FinishedAt != nil {
			finished = a.FinishedAt.Sub(a.StartedAt).Round(time.Millisecond).String()
		}
		table = append(table, []string{fmt.Sprint(a.Number), a.StartedAt.Local().Format(time.DateTime), finished, a.Outcome, a.ProviderID, a.ErrorCode, a.Error, a.Owner})
	}
	if c.Output.Output == "table" {
		_, _ = fmt.Fprintf(streams.Out, "%s  %s %s  %s  to %s\n%s\n", value.ID, value.Channel, value.Type, value.Status, value.To, value.why())
	}
	return c.Print(streams.Out, value, []string{"ATTEMPT", "STARTED", "TOOK", "OUTCOME", "PROVIDER ID", "CODE", "ERROR", "OWNER"}, table)
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

// why is what is wrong with the event, on a line of its own, or nothing: what
// was refused before any attempt has no other place to say so.
func (r eventRow) why() string {
	if r.ErrorCode == "" && r.Error == "" {
		return ""
	}
	return strings.TrimPrefix(r.ErrorCode+": "+r.Error, ": ") + "\n"
}

func attemptRows(attempts []store.Attempt) []attemptRow {
	rows := make([]attemptRow, 0, len(attempts))
	for _, a := range attempts {
		rows = append(rows, attemptRow{a.Number, a.Owner, a.StartedAt, known(a.FinishedAt), a.Outcome, a.Provider, a.ProviderID, a.ErrorCode, a.Error})
	}
	return rows
}
