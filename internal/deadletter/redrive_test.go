package deadletter_test

import (
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/store"
)

// A rejected message is filed under its SQS id. Its own id decides whether it has
// had its effect.
func TestRedriveNeverSendsAKeyThatHasHadItsEffect(t *testing.T) {
	t.Parallel()
	const again = `{"id":"m5","type":"message_send","to":"+14155550123","body":"other content"}`
	const first = `{"id":"m5","type":"message_send","to":"+14155550123","body":"first content"}`
	const nameless = `{"type":"message_send","to":"+14155550123","body":"first content"}`
	rejected := func(d *desk, code, hash string) {
		d.record(store.Event{ID: "sqs-1", SQSMessageID: "sqs-1", Status: store.Failed, ErrorCode: code, PayloadHash: hash, SettledReason: store.RejectedAs("m5")})
	}
	taken := func(status store.Status) func(*desk) {
		return func(d *desk) {
			d.record(store.Event{ID: "m5", Status: status, Attempts: 1, PayloadHash: hashOf(d.t, first)})
			rejected(d, "id_reuse", hashOf(d.t, again))
			d.put(again, "acs_id", "sqs-1", "acs_reason", "id_reuse")
		}
	}
	for name, tc := range map[string]struct {
		play func(*desk)
		want string // how the reason begins, or what was done
		key  string // on the queue afterwards
		left int    // dead letters afterwards
	}{
		"an id of other content that was delivered is left": {taken(store.Delivered), `its id "m5" was already delivered with other content; correct the id and send it anew, or discard it: worker deadletters discard --id sqs-1`, "", 1},
		"so is one of other content that was suppressed":    {taken(store.Suppressed), `its id "m5" was already used (suppressed) with other content`, "", 1},
		"so is one of other content that is being sent":     {taken(store.Processing), `its id "m5" is in use with other content`, "", 1},
		"so is one of other content that failed":            {taken(store.Failed), `its id "m5" was already used (failed) with other content`, "", 1},
		"a letter that SQS moved, whose id was delivered with other content, is left": {func(d *desk) {
			d.record(store.Event{ID: "m5", Status: store.Delivered, Attempts: 1, PayloadHash: hashOf(d.t, first)})
			d.put(again)
		}, `its id "m5" was already delivered with other content`, "", 1},
		"a letter that SQS moved, whose id was delivered with the same content, is deleted": {func(d *desk) {
			d.record(store.Event{ID: "m5", Status: store.Delivered, Attempts: 1, PayloadHash: hashOf(d.t, first)})
			d.put(first)
		}, "it is settled: delivered", "", 0},
		"a message that was rejected by an older worker goes under its own id": {func(d *desk) {
			rejected(d, "bad_field", "of the body")
			d.put(first, "acs_id", "sqs-1", "acs_reason", "bad_field")
		}, "redriven", "m5", 0},
		"and is deleted where a corrected one was delivered": {func(d *desk) {
			rejected(d, "bad_field", "of the body")
			d.record(store.Event{ID: "m5", Status: store.Delivered, Attempts: 1, PayloadHash: hashOf(d.t, first)})
			d.put(first, "acs_id", "sqs-1", "acs_reason", "bad_field")
		}, "it is settled: delivered", "", 0},
		"and is left where a corrected one has other content": {func(d *desk) {
			rejected(d, "bad_field", "of the body")
			d.record(store.Event{ID: "m5", Status: store.Sent, Attempts: 1, PayloadHash: hashOf(d.t, again)})
			d.put(first, "acs_id", "sqs-1", "acs_reason", "bad_field")
		}, `its id "m5" was already sent with other content`, "", 1},
		"one without an id of its own gets a key that its rejection does not hold": {func(d *desk) {
			rejected(d, "bad_field", "of the body")
			d.put(nameless, "acs_id", "sqs-1", "acs_reason", "bad_field")
		}, "redriven", "sqs-1/redriven", 0},
		"and only once": {func(d *desk) {
			rejected(d, "bad_field", "of the body")
			d.record(store.Event{ID: "sqs-1/redriven", Status: store.Sent, Attempts: 1, PayloadHash: hashOf(d.t, nameless)})
			d.put(nameless, "acs_id", "sqs-1", "acs_reason", "bad_field")
		}, "it is settled: sent", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			tc.play(d)
			if got := d.redrive(); !strings.HasPrefix(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if got := d.keys(); got != tc.key {
				t.Errorf("on the queue: %q, want %q", got, tc.key)
			}
			d.left(tc.left)
		})
	}
}

// The first message's row must not be reopened for the second one's letter: nobody
// would ever end it.
func TestRedriveLeavesTheRowOfOtherContentAsItIs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.record(store.Event{ID: "m5", Status: store.Failed, Attempts: 1, ErrorCode: "21211", PayloadHash: "first"})
	d.put(`{"id":"m5","type":"message_send","to":"+14155550123","body":"other content"}`)
	if got := d.redrive(); !strings.Contains(got, "already used (failed)") || d.row("m5").Status != store.Failed {
		t.Errorf("got %q, and the row is %s", got, d.row("m5").Status)
	}
}
