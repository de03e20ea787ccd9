package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// MaxReceives is the reason of a letter that SQS moved by itself, since it was
// received too often.
const MaxReceives = "max_receives"

// idReuse is the reason of a letter whose id stands for other content.
const idReuse = "id_reuse"

// Letter is one dead letter.
type Letter struct {
	ID     string // its row's: its idempotency key, or the SQS id where it was rejected
	OwnID  string // by which its body names itself; empty: it names none, or cannot be read
	Reason string // why its worker put it there, or MaxReceives
	// Invalid is why it cannot be understood; empty: it can be.
	Invalid string
	Row     store.Event // the zero Event: it has none, as no worker has claimed it

	SQSMessageID string
	Queue        string    // the name of the dead-letter queue; empty: its row keeps it
	CameAt       time.Time // when it became a dead letter
	Receives     int       // from the dead-letter queue
	Attributes   attribute.Set
	Body         redact.Personal

	key     string      // under which it would be sent
	keyRow  store.Event // what is known of that key
	kind    message.Type
	hash    string // of its content
	points  bool   // its row has the message
	source  Source
	message types.Message
	kept    store.Parked // the message itself
}

// Fate is what a redrive would do with a letter.
type Fate string

// The fates.
const (
	Redrivable Fate = "redrivable" // it would be tried again
	Settled    Fate = "settled"    // its message has ended since: it would be deleted
	InDoubt    Fate = "in_doubt"   // nobody knows whether it was sent: a person decides
	Reused     Fate = "id_reuse"   // its id stands for other content
	Unreadable Fate = "unreadable" // no worker would understand it
)

// Fate is what a redrive would do with the letter, and why it would not be
// tried again.
func (l Letter) Fate() (fate Fate, why string) {
	same := l.keyRow.PayloadHash == l.hash || l.points && l.key == l.ID
	switch {
	case over(l.keyRow) && same && l.keyRow.Status == store.Failed:
		return Settled, "the provider had it, and reported that it failed"
	case over(l.keyRow) && same:
		return Settled, "it is settled: " + string(l.keyRow.Status)
	case l.Invalid != "":
		return Unreadable, "it would not be understood again: " + l.Invalid
	case l.keyRow.ID != "" && !same:
		return Reused, fmt.Sprintf("its id %q %s with other content; correct the id and send it anew, or discard it: worker deadletters discard --id %s",
			l.key, history(l.keyRow.Status), l.ID)
	case l.keyRow.Status == store.InDoubt:
		return InDoubt, "nobody knows whether it was sent: worker events resolve " + l.keyRow.ID
	}
	return Redrivable, ""
}

// history is what became of the message that an id stands for.
func history(status store.Status) string {
	switch status {
	case store.Sent, store.Delivered:
		return "was already " + string(status)
	case store.Undelivered:
		return "was already sent, and not delivered,"
	case store.Suppressed, store.Expired, store.Received, store.Failed:
		return "was already used (" + string(status) + ")"
	case store.New, store.Scheduled, store.Processing, store.InDoubt:
	}
	return "is in use"
}

// over says that a letter with this row has nothing left to do: a report or a
// person settled what was in doubt, or another copy was worked on. Its worker
// would delete it.
func over(row store.Event) bool {
	switch row.Status {
	case store.Sent, store.Delivered, store.Undelivered, store.Suppressed, store.Expired, store.Received:
		return true
	case store.Failed:
		return !row.SentAt.IsZero()
	case store.New, store.Scheduled, store.Processing, store.InDoubt:
	}
	return false
}

// fromQueue reads a message of a dead-letter queue, and its row.
func (r *Reader) fromQueue(ctx context.Context, source Source, m types.Message) (letter Letter, err error) {
	attributes := attribute.Set(m.MessageAttributes)
	key := attributes.Text(attribute.Key)
	receives, _ := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	letter = Letter{
		ID: aws.ToString(m.MessageId), SQSMessageID: aws.ToString(m.MessageId), Queue: path.Base(source.DeadLetters), Receives: receives,
		Attributes: attributes, CameAt: sentAt(m), Reason: attributes.Text(attribute.Reason), source: source, message: m,
	}
	letter.kept = store.Parked{Body: redact.Personal(aws.ToString(m.Body)), Attributes: attributes.Encode(), GroupID: group(m)}
	body := aws.ToString(m.Body)
	_, posted := attributes[consumer.WebhookURL]
	switch {
	case posted:
		body = message.Posted(body)
	case body == attribute.Pointer && key != "":
		letter.ID, letter.points = key, true
		letter.kept, err = r.Store.Kept(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			letter.Invalid = "its row keeps the message no more"
			return r.withRow(ctx, letter)
		}
		if err != nil {
			return letter, err
		}
		body = letter.kept.Body.Reveal()
	}
	letter.Body = redact.Personal(body)
	r.parse(&letter, key)
	return r.withRow(ctx, letter)
}

// fromRow is the letter that a row keeps. What no worker ever claimed is read
// once more, to tell what is wrong with it.
func (r *Reader) fromRow(ctx context.Context, row store.Event) (letter Letter, err error) {
	letter = Letter{
		ID: row.ID, SQSMessageID: row.SQSMessageID, Reason: row.ErrorCode, CameAt: row.UpdatedAt, Row: row,
		key: row.ID, keyRow: row, points: true, hash: row.PayloadHash, kind: message.Type(row.Type),
	}
	if row.Attempts > 0 {
		return letter, nil
	}
	letter.kept, err = r.Store.Kept(ctx, row.ID)
	if errors.Is(err, store.ErrNotFound) { // it was taken up meanwhile
		return letter, nil
	}
	if err != nil {
		return letter, err
	}
	letter.Body = letter.kept.Body
	if letter.Attributes, err = attribute.Decode(letter.kept.Attributes); err != nil {
		return letter, err
	}
	r.parse(&letter, row.ID)
	letter, err = r.withRow(ctx, letter)
	if row.Attempts == 0 && letter.Reason != idReuse {
		letter.Invalid = row.Error // a row's message goes back under its own key alone, which was rejected
	}
	return letter, err
}

// parse reads what a letter says; key is the one that goes with it.
func (r *Reader) parse(letter *Letter, key string) {
	body := []byte(letter.Body.Reveal())
	parsed, err := message.Parse(body, key, letter.SQSMessageID, r.Channel)
	if err != nil {
		letter.Invalid = err.Error()
		if invalid := (*message.Invalid)(nil); errors.As(err, &invalid) {
			letter.OwnID, letter.kind = invalid.OwnID, invalid.Known.Type
		}
		letter.ID = cmp.Or(key, letter.ID)
		return
	}
	letter.ID, letter.hash, letter.kind = parsed.ID, parsed.Hash, parsed.Type
	if own, err := message.Parse(body, "", letter.SQSMessageID, r.Channel); err == nil && own.ID != letter.SQSMessageID {
		letter.OwnID = own.ID
	}
}

// withRow adds the letter's row, and the key under which it would be sent. A
// message that was rejected was recorded under its SQS id, so that a corrected
// one may come under its own: that one decides whether it has had its effect.
func (r *Reader) withRow(ctx context.Context, letter Letter) (Letter, error) {
	var err error
	if letter.Row.ID == "" {
		if letter.Row, err = r.row(ctx, letter.ID); err != nil {
			return letter, err
		}
	}
	if letter.Row.Status == store.Failed || letter.Row.Status == store.InDoubt {
		letter.Reason = cmp.Or(letter.Reason, letter.Row.ErrorCode)
	}
	letter.Reason = cmp.Or(letter.Reason, MaxReceives)
	letter.key, letter.keyRow = letter.ID, letter.Row
	switch rejected := letter.Row.Status == store.Failed && letter.Row.Attempts == 0; {
	case letter.Invalid != "" || !rejected && letter.Reason != idReuse:
		return letter, nil
	case letter.OwnID != "" && letter.OwnID != letter.ID:
		letter.key = letter.OwnID
	case rejected && letter.Row.PayloadHash != letter.hash: // understood now, with no id of its own; its SQS id stands for the rejection
		letter.key += "/redriven"
	}
	if letter.key != letter.ID {
		letter.keyRow, err = r.row(ctx, letter.key)
	}
	return letter, err
}

// row is the event of an id, or the zero Event.
func (r *Reader) row(ctx context.Context, id string) (store.Event, error) {
	rows, err := r.Store.Events(ctx, store.Filter{ID: id, Limit: 1})
	if err != nil || len(rows) == 0 {
		return store.Event{}, err
	}
	return rows[0], nil
}

// sentAt is when SQS got a message.
func sentAt(m types.Message) time.Time {
	ms, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// group is a message's tenant, for fair queues.
func group(m types.Message) string {
	return m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
}
