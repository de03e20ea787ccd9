package main

import (
	"context"
	"fmt"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/store"
)

// held is what a queue and its dead-letter queue hold, by kind: delivery
// reports come on the same queue, but are no sends.
type held struct {
	ids         map[string]bool // of sends and inbound messages, dead letters included
	waiting     int             // of those, on the queue itself
	reports     int             // delivery reports on the queue
	deadLetters int             // of any kind
	deleted     bool            // the queue is not there any more, nor what it held
}

// holdings reads a channel's queues. A message that cannot be understood is
// known by its SQS id, as in the history.
func holdings(queues *sqs.Service, q queue) held {
	h := held{ids: map[string]bool{}}
	messages, found := queues.Messages(q.name)
	h.deleted = !found
	for _, m := range messages {
		id, kind := identify(m, q.channel)
		if kind == message.Status {
			h.reports++
			continue
		}
		h.ids[id] = true
		h.waiting++
	}
	letters, _ := queues.Messages(q.name + "-dlq")
	for _, m := range letters {
		id, _ := identify(m, q.channel)
		h.ids[id] = true
		h.deadLetters++
	}
	return h
}

// identify returns the idempotency key of a message, and its type.
func identify(m sqs.Message, channel message.Channel) (id string, kind message.Type) {
	key := ""
	if attribute := m.Attributes[message.EventIDParameter]; attribute.StringValue != nil {
		key = *attribute.StringValue
	}
	parsed, err := message.Parse([]byte(m.Body), key, m.ID, channel)
	if err != nil {
		return m.ID, ""
	}
	return parsed.ID, parsed.Type
}

// countLost counts the messages that neither the history nor a queue knows. A
// message that an earlier run left may have its row from then, so those without
// a row of this run are looked up one by one.
func countLost(ctx context.Context, db store.Store, rows map[string]bool, now held, sent []string, inherited map[string]bool) (lost int, err error) {
	for _, id := range sent {
		if !rows[id] && !now.ids[id] {
			lost++
		}
	}
	for id := range inherited {
		if rows[id] || now.ids[id] {
			continue
		}
		found, err := db.Events(ctx, store.Filter{ID: id, Limit: 1})
		if err != nil {
			return lost, fmt.Errorf("look up a message of the last run: %w", err)
		}
		if len(found) == 0 {
			lost++
		}
	}
	return lost, nil
}

// rowsOf are the ids of a channel's rows, how many have each status, and how
// many are delivery reports.
func rowsOf(events []store.Event, channel message.Channel) (ids map[string]bool, statuses map[store.Status]int64, reports int) {
	ids, statuses = map[string]bool{}, map[store.Status]int64{}
	for _, e := range events {
		switch {
		case e.Channel != string(channel):
		case e.Type == string(message.Status):
			reports++
		default:
			ids[e.ID] = true
			statuses[e.Status]++
		}
	}
	return ids, statuses, reports
}
