package deadletter_test

import (
	"testing"

	"github.com/novaura/acs-operator/internal/deadletter"
	"github.com/novaura/acs-operator/internal/store"
)

func TestDiscardRecordsItsWordBeforeALetterGoes(t *testing.T) {
	t.Parallel()
	const body = `{"id":"m5","type":"message_send","to":"+14155550123","body":"x"}`
	const bad = `{"id":"m5","type":"message_send","to":42,"body":"x"}`
	for name, tc := range map[string]struct {
		play func(*desk)
		told string // whose row tells of it; "m5": the letter's own id leads to it; empty: none
		why  string // it is left or only deleted
		left int
	}{
		"a rejected message": {func(d *desk) {
			d.record(store.Event{ID: "sqs-1", Status: store.Failed, ErrorCode: "bad_field", SettledReason: store.RejectedAs("m5"), PayloadHash: "h"})
			d.put(bad, "acs_id", "sqs-1", "acs_reason", "bad_field")
		}, "sqs-1", "", 0},
		"a message that failed for good": {func(d *desk) {
			d.record(store.Event{ID: "m5", Status: store.Failed, Attempts: 1, ErrorCode: "21211", PayloadHash: hashOf(d.t, body)})
			d.put(body, "acs_id", "m5", "acs_reason", "21211")
		}, "m5", "", 0},
		"a message that SQS moved while it waited for its next attempt": {func(d *desk) {
			d.record(store.Event{ID: "m5", Status: store.Scheduled, Attempts: 1, PayloadHash: hashOf(d.t, body)})
			d.put(body)
		}, "m5", "", 0},
		"a message that no worker has claimed":                   {func(d *desk) { d.put(body) }, "search m5", "", 0},
		"a message that nobody can read, and no worker has seen": {func(d *desk) { d.put("nonsense", "acs_id", "sqs-1") }, "sqs-1", "", 0},
		"a message whose id stands for other content": {func(d *desk) {
			d.record(store.Event{ID: "m5", Status: store.Delivered, Attempts: 1, PayloadHash: "first"})
			d.put(body)
		}, "search m5", "", 0},
		"one that has ended since is only deleted": {func(d *desk) {
			d.record(store.Event{ID: "m5", Status: store.Delivered, Attempts: 1, PayloadHash: hashOf(d.t, body)})
			d.put(body)
		}, "", "it is settled: delivered", 0},
		"one in doubt is left": {func(d *desk) {
			d.record(store.Event{ID: "m5", Status: store.InDoubt, Attempts: 1, PayloadHash: hashOf(d.t, body)})
			d.put(body, "acs_id", "m5", "acs_reason", "in_doubt")
		}, "", "nobody knows whether it was sent: worker events resolve m5", 1},
		"one that a worker may hold is left": {func(d *desk) {
			d.record(store.Event{ID: "m5", Status: store.Processing, Attempts: 1, PayloadHash: hashOf(d.t, body)})
			d.put(body)
		}, "", "a worker holds it, or died while it did: redrive it, and the next worker finds out whether it was sent", 1},
		"one that its row will bring back is left": {func(d *desk) {
			d.record(store.Event{ID: "m5", Status: store.New, PayloadHash: hashOf(d.t, body)})
			if err := d.db.Park(d.t.Context(), "m5", hashOf(d.t, body), store.Parked{Body: body}); err != nil {
				d.t.Fatal(err)
			}
			d.put(body)
		}, "", "it has changed meanwhile, or waits in its row for its next attempt", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			tc.play(d)
			discard := deadletter.Discarder{Reader: d.reader, By: "ann", Because: "a rehearsal", DryRun: true}
			var verdict deadletter.Verdict
			run := func() {
				t.Helper()
				if err := discard.Run(t.Context(), func(v deadletter.Verdict) { verdict = v }); err != nil {
					t.Fatal(err)
				}
			}
			run()
			d.left(1)
			discard.DryRun = false
			run()
			d.left(tc.left)
			if verdict.Why != tc.why || verdict.Discarded != (tc.told != "") || d.keys() != "" {
				t.Errorf("got %+v, want discarded: %v, why: %q", verdict, tc.told != "", tc.why)
			}
			if tc.told != "" {
				d.tells(tc.told)
			}
		})
	}
}

// tells checks that an event's history has the word.
func (d *desk) tells(id string) {
	d.t.Helper()
	if id == "search m5" {
		found, err := d.db.Search(d.t.Context(), "m5")
		if err != nil || len(found) != 1 {
			d.t.Fatalf("m5 leads to %v, %v", found, err)
		}
		id = found[0].ID
	}
	attempts, err := d.db.Attempts(d.t.Context(), id)
	if err != nil || len(attempts) != 1 || attempts[0].Outcome != store.Discarded || attempts[0].Owner != "ann" || attempts[0].Error != "a rehearsal" {
		d.t.Errorf("%s: got %+v, %v", id, attempts, err)
	}
	if row := d.row(id); row.Status != store.Failed || row.ErrorCode == "" {
		d.t.Errorf("%s: got %+v", id, row)
	}
}
