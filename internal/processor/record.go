package processor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/store"
)

// receive records an inbound message and acts on STOP and START. The row is
// written last, so that a message that is recorded has been acted on, and an
// old STOP that is delivered twice does not undo a START that came between.
func (i *item) receive(ctx context.Context) consumer.Outcome {
	known, err := i.known(ctx)
	switch {
	case err != nil:
		return i.storeDown(ctx, "read", err)
	case known != nil && known.PayloadHash != i.m.Hash:
		return i.conflict(ctx)
	case known != nil:
		i.log().DebugContext(ctx, "recorded before")
		return consumer.Outcome{Action: consumer.Delete}
	}
	if err := i.optInOrOut(ctx); err != nil {
		return i.storeDown(ctx, "suppress", err)
	}
	return i.record(ctx, i.event(store.Received))
}

// known is the row under the message's key, or nil.
func (i *item) known(ctx context.Context) (*store.Event, error) {
	bounded, cancel := context.WithTimeout(ctx, i.StoreTimeout)
	defer cancel()
	events, err := i.Store.Events(bounded, store.Filter{ID: i.m.ID, Limit: 1})
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return &events[0], nil
}

func (i *item) optInOrOut(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, i.StoreTimeout)
	defer cancel()
	switch i.m.OptOut {
	case message.Stop:
		return i.Store.OptOut(bounded, string(i.m.Channel), i.m.From, i.came())
	case message.Start:
		return i.Store.OptIn(bounded, string(i.m.Channel), i.m.From, i.came())
	}
	return nil
}

// came is when the message, or the first of its copies, was put on its queue.
func (i *item) came() time.Time {
	first, sent := i.received.FirstSentAt, i.received.SentAt
	switch {
	case !first.IsZero() && (sent.IsZero() || first.Before(sent)):
		return first
	case sent.IsZero(): // a look-alike of SQS may not say
		return i.Now()
	}
	return sent
}

// The patience with a report on a message that no row is settled for yet: its
// worker may be settling it now.
const (
	earlyReports   = 3
	earlyReportGap = 10 * time.Second
)

// report applies a delivery report, and records it.
func (i *item) report(ctx context.Context) consumer.Outcome {
	known, err := i.known(ctx)
	if known != nil && known.PayloadHash != i.m.Hash { // two that a provider tells apart by nothing but what they say
		i.m.ID += "/" + i.m.Hash[:12]
		known, err = i.known(ctx)
	}
	switch {
	case err != nil:
		return i.storeDown(ctx, "read", err)
	case known != nil:
		i.log().DebugContext(ctx, "recorded before")
		return consumer.Outcome{Action: consumer.Delete}
	}
	if status, ok := i.reported(); ok {
		err := i.update(ctx, status)
		if errors.Is(err, store.ErrNotFound) {
			var wait time.Duration
			if wait, err = i.early(ctx); wait > 0 {
				return consumer.Outcome{Action: consumer.Retry, After: wait, Reason: "early_report"}
			}
		}
		if err != nil {
			return i.storeDown(ctx, "update", err)
		}
	}
	if err := i.feedback(ctx); err != nil {
		return i.storeDown(ctx, "suppress", err)
	}
	event := i.event(store.Received)
	event.ErrorCode, event.SettledReason = i.m.ProviderCode, store.Reported(i.m.ProviderStatus)
	return i.record(ctx, event)
}

// early is after when to look again at a report for which no row is settled; 0:
// not any more. One that names an event that somebody still works on is kept until
// that claim has ended: an owner that died leaves a doubt which this report alone
// may be able to resolve.
func (i *item) early(ctx context.Context) (time.Duration, error) {
	switch {
	case i.received.LastReceives():
		return 0, nil
	case i.received.ReceiveCount <= earlyReports:
		return earlyReportGap + i.jitter(earlyReportGap), nil
	case i.m.EventID == "":
		return 0, nil
	}
	bounded, cancel := context.WithTimeout(ctx, i.StoreTimeout)
	defer cancel()
	events, err := i.Store.Events(bounded, store.Filter{ID: i.m.EventID, Limit: 1})
	if err != nil || len(events) == 0 || events[0].Status != store.Processing {
		return 0, err
	}
	return min(max(events[0].LeaseUntil.Sub(i.Now()), 0), i.Lease) + time.Second + i.jitter(time.Second), nil
}

func (i *item) update(ctx context.Context, status store.Status) error {
	bounded, cancel := context.WithTimeout(ctx, i.StoreTimeout)
	defer cancel()
	if i.m.ProviderCode == optedOut && i.m.To != "" {
		if err := i.Store.Suppress(bounded, string(i.m.Channel), i.m.To, "reported "+optedOut); err != nil {
			return err
		}
	}
	if about, err := i.concerns(bounded); err != nil || !about {
		return err
	}
	return i.Store.UpdateStatus(bounded, store.StatusUpdate{
		CameBack: i.m.Channel == message.Email && status == store.Undelivered, ProviderID: i.m.ProviderID, Status: status, ErrorCode: i.m.ProviderCode, EventID: i.m.EventID, Provider: i.reporter(),
	})
}

// reported is what the report makes of the event; false: it says no more than
// that the message is out.
func (i *item) reported() (store.Status, bool) {
	statuses := providerStatuses
	if i.m.Channel == message.Email {
		statuses = mailStatuses
	}
	status, ok := statuses[i.m.ProviderStatus]
	return status, ok
}

// reporter is whose report this is: the channel's sender's.
func (i *item) reporter() string {
	if sender := i.Senders[i.m.Channel]; sender != nil {
		return sender.Name()
	}
	return ""
}

// event is the row of a message that needs no provider.
func (i *item) event(status store.Status) store.Event {
	e := store.Event{
		ID: i.m.ID, Channel: string(i.m.Channel), Type: string(i.m.Type), Status: status, From: i.m.From, To: i.m.To,
		ProviderID: i.m.ProviderID, Queue: i.received.Queue.Name, SQSMessageID: i.received.MessageID,
		PayloadHash: i.m.Hash, BodyHash: i.m.BodyHash(), Priority: string(i.m.Priority), EnqueuedAt: i.received.SentAt,
	}
	if i.m.Type == message.Received && i.m.Channel == message.SMS {
		e.Segments, e.SettledReason = message.Segments(i.m.Body.Reveal()), i.m.OptOut
	}
	return e
}

// record writes a row and deletes the message.
func (i *item) record(ctx context.Context, e store.Event) consumer.Outcome {
	if err := i.insert(ctx, e); err != nil {
		return i.storeDown(ctx, "record", err)
	}
	i.succeeded(ctx, slog.String("type", string(i.m.Type)))
	return consumer.Outcome{Action: consumer.Delete}
}

func (p *Processor) insert(ctx context.Context, e store.Event) error {
	bounded, cancel := context.WithTimeout(ctx, p.StoreTimeout)
	defer cancel()
	_, err := p.Store.Record(bounded, e)
	return err
}

// idReuse is the reason of a message whose ID stands for other content.
const idReuse = "id_reuse"

// conflict records the second content of an ID under the SQS id, and keeps the
// message for a person: the row belongs to the first.
func (i *item) conflict(ctx context.Context) consumer.Outcome {
	e := i.event(store.Failed)
	e.ID, e.ProviderID, e.ErrorCode = i.received.MessageID, "", idReuse
	e.Error = fmt.Sprintf("the id %q was used before, by a message with other content", i.m.ID)
	e.SettledReason = store.RejectedAs(i.m.ID)
	if err := i.insert(ctx, e); err != nil {
		return i.storeDown(ctx, "record", err)
	}
	i.log().ErrorContext(ctx, failed, "reason", idReuse)
	return consumer.Outcome{Action: consumer.DeadLetter, Failed: true, Row: e.ID, Reason: idReuse}
}

// refuse records what is known of a message that cannot be understood, and
// keeps the message. The row's key is never the body's own id: a corrected
// message may come under that.
func (p *Processor) refuse(ctx context.Context, received consumer.Received, err error) consumer.Outcome {
	invalid := (*message.Invalid)(nil)
	if !errors.As(err, &invalid) { // Parse promises one
		invalid = &message.Invalid{Reason: message.NotJSON, Detail: "not understood", Known: &message.Message{ID: received.MessageID}}
	}
	one := p.item(received, invalid.Known)
	e := one.event(store.Failed)
	e.Channel, e.ProviderID = received.Queue.Channel, ""
	e.ErrorCode, e.Error = string(invalid.Reason), invalid.Detail
	sum := sha256.Sum256([]byte(received.Body))
	e.PayloadHash = hex.EncodeToString(sum[:])
	if invalid.OwnID != "" {
		e.SettledReason = store.RejectedAs(invalid.OwnID)
	}
	if err := p.insert(ctx, e); err != nil {
		return one.storeDown(ctx, "record", err)
	}
	one.log().ErrorContext(ctx, failed, "reason", e.ErrorCode, "detail", invalid.Detail)
	return consumer.Outcome{Action: consumer.DeadLetter, Failed: true, Reason: e.ErrorCode}
}
