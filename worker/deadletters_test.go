package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/deadletter"
	"github.com/novaura/acs-operator/internal/store"
)

const secretBody = `{"id":"m5","type":"message_send","to":"+14155550123","body":"the secret"}`

// fillDesk has a letter of each fate.
func fillDesk(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t)
	d.letter("failed", store.Failed, "21211")
	d.letter("doubt", store.InDoubt, "in_doubt")
	d.letter("settled", store.Delivered, "in_doubt")
	d.record(store.Event{ID: "sqs-1", Status: store.Failed, ErrorCode: "bad_field", Error: "to: not a string", SettledReason: store.RejectedAs("bad")})
	d.put(`{"id":"bad","type":"message_send","to":42,"body":"x"}`, "acs_id", "sqs-1", "acs_reason", "bad_field", "tenant", "the secret")
	d.record(store.Event{ID: "m5", Status: store.Delivered, Attempts: 1, PayloadHash: "first"})
	d.record(store.Event{ID: "sqs-2", Status: store.Failed, ErrorCode: "id_reuse", PayloadHash: hashOf(t, secretBody), SettledReason: store.RejectedAs("m5")})
	d.put(secretBody, "acs_id", "sqs-2", "acs_reason", "id_reuse")
	d.put(`{"id":"unclaimed","type":"message_send","to":"+14155550123","body":"x"}`)
	return d
}

func TestDeadLettersAreListedByReasonWithWhatToDo(t *testing.T) {
	d := fillDesk(t)
	code, out, errOut := worker(t, d.env, "deadletters", "-o", "json")
	var groups []letterGroup
	if code != 0 || json.Unmarshal([]byte(out), &groups) != nil {
		t.Fatalf("exit code %d, %s%s", code, out, errOut)
	}
	got := map[string]letterGroup{}
	for _, g := range groups {
		got[g.Reason] = g
	}
	for reason, want := range map[string]struct {
		count int
		fate  deadletter.Fate
		text  string
	}{
		"21211":        {1, deadletter.Redrivable, "worker redrive --reason 21211"},
		"in_doubt":     {2, deadletter.InDoubt, "worker events resolve"},
		"bad_field":    {1, deadletter.Unreadable, "worker deadletters discard --reason bad_field"},
		"id_reuse":     {1, deadletter.Reused, "ids of their own"},
		"max_receives": {1, deadletter.Redrivable, "worker doctor"},
	} {
		g := got[reason]
		if g.Count != want.count || g.Fates[want.fate] != 1 || !strings.Contains(g.Advice, want.text) || g.Oldest.IsZero() || g.Oldest.After(g.Newest) {
			t.Errorf("%s: got %+v, want %d letters and %q", reason, g, want.count, want.text)
		}
	}
	if visible, hidden, err := d.depth(); visible != 6 || hidden != 0 || err != nil {
		t.Errorf("after a look %d letters are visible and %d hidden, %v", visible, hidden, err)
	}
	code, out, errOut = worker(t, d.env, "deadletters", "--reason", "id_reuse")
	if code != 0 || !strings.Contains(out, "sqs-2") || strings.Contains(out, "sqs-1") || strings.Contains(out, "secret") {
		t.Errorf("of one reason: exit code %d, %s%s", code, out, errOut)
	}
	if code, _, errOut := worker(t, d.env, "deadletters", "--limit", "1"); code != 0 || !strings.Contains(errOut, "Raise --limit") {
		t.Errorf("cut short: exit code %d, %s", code, errOut)
	}
}

func TestADeadLetterIsShownWithoutWhatIsPersonal(t *testing.T) {
	d := fillDesk(t)
	for _, id := range []string{"sqs-2", "m5"} {
		code, out, errOut := worker(t, d.env, "deadletters", "show", id)
		if code != 0 || strings.Contains(out, "secret") || strings.Contains(out, "+1415") || !strings.Contains(out, `its id "m5" was already delivered with other content`) {
			t.Errorf("%s: exit code %d, %s%s", id, code, out, errOut)
		}
	}
	if code, out, errOut := worker(t, d.env, "deadletters", "show", "sqs-1"); code != 0 || strings.Contains(out, "secret") || !strings.Contains(out, "tenant = (hidden)") || !strings.Contains(out, "to: not a string") {
		t.Errorf("exit code %d, %s%s", code, out, errOut)
	}
	if code, out, errOut := worker(t, d.env, "deadletters", "show", "m5", "--reveal", "-o", "json"); code != 0 || !strings.Contains(out, "the secret") {
		t.Errorf("revealed: exit code %d, %s%s", code, out, errOut)
	}
	if code, _, errOut := worker(t, d.env, "deadletters", "show", "nobody"); code != 1 || !strings.Contains(errOut, "worker events show nobody") {
		t.Errorf("one that is not there: exit code %d, %s", code, errOut)
	}
}

func TestDiscardedLettersAreGoneAndTheHistoryTellsWhoAndWhy(t *testing.T) {
	const why = "rehearsal of the spring campaign"
	d := fillDesk(t)
	args := []string{"deadletters", "discard", "--because", why, "--by", "ann", "--rate", "1000", "--reason", "bad_field", "--id", "bad"}
	if code, out, errOut := worker(t, d.env, append(args, "--dry-run")...); code != 0 || !strings.Contains(out, "would be discarded") {
		t.Errorf("dry run: exit code %d, %s%s", code, out, errOut)
	}
	if code, out, errOut := worker(t, d.env, append(args, "--yes")...); code != 0 || !strings.Contains(errOut, "not selected: 5") {
		t.Errorf("exit code %d, %s%s", code, out, errOut)
	}
	if code, out, errOut := worker(t, d.env, "events", "show", "bad"); code != 0 || !strings.Contains(out, "discarded by ann") || !strings.Contains(out, why) {
		t.Errorf("events show: exit code %d, %s%s", code, out, errOut)
	}
	if code, out, errOut := worker(t, d.env, append(args, "--yes")...); code != 1 || !strings.Contains(errOut, `"bad"`) {
		t.Errorf("once more: exit code %d, %s%s", code, out, errOut)
	}
}

func TestDiscardAsksForAWordAndASelection(t *testing.T) {
	d := newDesk(t)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no confirmation": {[]string{"--reason", "bad_field", "--because", "x"}, "--dry-run first"},
		"no reason why":   {[]string{"--reason", "bad_field", "--yes"}, "--because"},
		"an empty why":    {[]string{"--reason", "bad_field", "--because", " ", "--yes"}, "--because is empty"},
		"no selection":    {[]string{"--because", "x", "--yes"}, "--reason or --id"},
		"an empty id":     {[]string{"--id", "", "--because", "x", "--yes"}, "--id"},
		"both words":      {[]string{"--id", "x", "--because", "x", "--yes", "--dry-run"}, "--dry-run"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, out, errOut := worker(t, d.env, append([]string{"deadletters", "discard"}, tc.args...)...); code != 2 || !strings.Contains(errOut, tc.want) {
				t.Errorf("exit code %d, %s%s; want %q", code, out, errOut, tc.want)
			}
		})
	}
}

// Without a dead-letter queue rows keep the letters.
func TestALetterThatItsRowKeepsIsShownAndDiscarded(t *testing.T) {
	d := newDesk(t)
	d.record(store.Event{ID: "sqs-1", Status: store.Failed, ErrorCode: "bad_field", Error: "to: not a string", SettledReason: store.RejectedAs("bad")})
	if err := d.db.Keep(t.Context(), "sqs-1", store.Parked{Body: `{"id":"bad","type":"message_send","to":42,"body":"the secret"}`}); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := worker(t, d.env, "deadletters", "show", "sqs-1"); code != 0 || !strings.Contains(out, "its row keeps it") || !strings.Contains(out, "bad_field") {
		t.Errorf("show: exit code %d, %s%s", code, out, errOut)
	}
	if code, out, errOut := worker(t, d.env, "deadletters", "discard", "--reason", "bad_field", "--because", "x", "--yes"); code != 0 || !strings.Contains(out, "discarded") {
		t.Errorf("discard: exit code %d, %s%s", code, out, errOut)
	}
	if code, out, errOut := worker(t, d.env, "deadletters"); code != 0 || strings.Contains(out, "bad_field") {
		t.Errorf("afterwards: exit code %d, %s%s", code, out, errOut)
	}
}
