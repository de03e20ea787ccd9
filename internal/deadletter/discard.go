package deadletter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"

	"github.com/novaura/acs-operator/internal/store"
)

// Discarder removes letters on a person's word, and records who gave it and why.
type Discarder struct {
	Reader

	By, Because string // for the history
	DryRun      bool
	// Wait is called before each change, for a rate; nil: no wait.
	Wait func(context.Context) error
}

// Run looks at every letter once, and tells what becomes of each.
func (d *Discarder) Run(ctx context.Context, tell func(Verdict)) error {
	return d.walk(ctx, func(letter Letter, selected bool) (gone bool, err error) {
		verdict := Verdict{Letter: letter, Skipped: !selected}
		if selected {
			verdict, err = d.judge(ctx, letter)
		}
		if err == nil {
			tell(verdict)
		}
		return (verdict.Discarded || verdict.Deleted) && !d.DryRun, err
	})
}

// judge decides about one letter. Its word is recorded before the letter goes:
// whatever ends it between the two, it may be discarded again.
func (d *Discarder) judge(ctx context.Context, letter Letter) (Verdict, error) {
	verdict := Verdict{Letter: letter}
	fate, why := letter.Fate()
	row := letter.Row
	if !letter.owns(row) {
		row = store.Event{}
	}
	switch {
	case fate == Settled && letter.Queue != "":
		verdict.Deleted, verdict.Why = true, why
	case row.Status == store.InDoubt:
		verdict.Why = why
		return verdict, nil
	case row.Status == store.Processing:
		verdict.Why = "a worker holds it, or died while it did: redrive it, and the next worker finds out whether it was sent"
		return verdict, nil
	default:
		verdict.Discarded = true
	}
	if d.DryRun {
		return verdict, nil
	}
	if d.Wait != nil {
		if err := d.Wait(ctx); err != nil {
			return verdict, err
		}
	}
	if verdict.Discarded {
		if err := d.record(ctx, letter, row); errors.Is(err, store.ErrLost) {
			verdict.Discarded, verdict.Why = false, "it has changed meanwhile, or waits in its row for its next attempt"
			return verdict, nil
		} else if err != nil {
			return verdict, err
		}
	}
	return verdict, d.delete(ctx, letter)
}

// owns says that a row is about this letter, and not about other content that its
// id stands for.
func (l Letter) owns(row store.Event) bool {
	rejected := row.Status == store.Failed && row.Attempts == 0
	return row.ID != "" && (l.points || l.Invalid != "" || rejected || row.PayloadHash == l.hash)
}

// record ends the letter's row. A letter that has none gets one under its SQS id,
// as a rejected message does: its own id stays free for a corrected one.
func (d *Discarder) record(ctx context.Context, letter Letter, row store.Event) error {
	if row.ID == "" {
		id := letter.ID
		if letter.Row.ID != "" || id == letter.OwnID {
			id = letter.SQSMessageID
		}
		sum := sha256.Sum256([]byte(letter.Body.Reveal()))
		row = store.Event{
			ID: id, Channel: string(d.Channel), Type: string(letter.kind), Status: store.Failed, ErrorCode: letter.Reason,
			Error: letter.Invalid, Queue: path.Base(letter.source.Queue), SQSMessageID: letter.SQSMessageID, PayloadHash: hex.EncodeToString(sum[:]),
		}
		if letter.OwnID != "" {
			row.SettledReason = store.RejectedAs(letter.OwnID)
		}
		if _, err := d.Store.Record(ctx, row); err != nil {
			return fmt.Errorf("record that %s is discarded: %w", letter.ID, err)
		}
	}
	return d.Store.Discard(ctx, store.Discarding{ID: row.ID, By: d.By, Reason: d.Because})
}
