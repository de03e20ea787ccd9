package main

import (
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/store"
)

func TestAnEventIsToldInASentence(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)
	const twilio500 = "twilio: in doubt, HTTP 500, code 20500: see https://www.twilio.com/docs/errors/20500"
	for name, tc := range map[string]struct {
		event   store.Event
		last    store.Attempt // with an error
		since   time.Time     // of the suppression
		want    string
		problem string // in the column
	}{
		"a message that waits for its time": {
			event: store.Event{Status: store.Scheduled, Attempts: 1, ErrorCode: store.NotBefore, DueAt: now.Add(10 * time.Minute)},
			want:  "waits until 03:10:00Z (not_before)", problem: "waits until 03:10:00Z (not_before)",
		},
		"a time of another day has its date": {
			event: store.Event{Status: store.Scheduled, Attempts: 1, ErrorCode: store.QuietHours, DueAt: now.Add(24 * time.Hour)},
			want:  "waits until 2026-01-06T03:00:00Z (quiet_hours)", problem: "waits until 2026-01-06T03:00:00Z (quiet_hours)",
		},
		"a message that failed for the moment": {
			event: store.Event{Status: store.Scheduled, Attempts: 2, ErrorCode: "20503", Error: "twilio: transient, HTTP 503, code 20503: away", DueAt: now.Add(time.Minute)},
			want:  "failed: HTTP 503 (20503), will retry at 03:01:00Z", problem: "20503: HTTP 503",
		},
		"one that comes back from its queue": {
			event: store.Event{Status: store.Scheduled, Attempts: 2, ErrorCode: "transient", Error: "twilio: transient: connection refused", UpdatedAt: now.Add(-time.Second)},
			want:  "failed: connection refused (transient), will retry within a minute", problem: "transient: connection refused",
		},
		"one that did not come back": {
			event: store.Event{Status: store.Scheduled, Attempts: 2, ErrorCode: "drained", UpdatedAt: now.Add(-time.Hour)},
			want:  "given back by a worker that stopped (drained), will retry when a worker receives it again", problem: "drained",
		},
		"an answer that tells nothing": {
			event: store.Event{Status: store.Processing, Attempts: 2, LeaseUntil: now.Add(30 * time.Second)},
			last:  store.Attempt{Number: 2, ErrorCode: "20500", Error: twilio500},
			want:  "failed: HTTP 500 (20500), will retry at 03:00:30Z, after asking the provider whether it was sent", problem: "20500: HTTP 500",
		},
		"an attempt after one that failed": {
			event: store.Event{Status: store.Processing, Attempts: 3, LeaseUntil: now.Add(30 * time.Second)},
			last:  store.Attempt{Number: 2, ErrorCode: "20500", Error: twilio500, FinishedAt: now},
			want:  "attempt 3 is under way; attempt 2 failed: HTTP 500 (20500)", problem: "20500: HTTP 500",
		},
		"a first attempt":                  {event: store.Event{Status: store.Processing, Attempts: 1, LeaseUntil: now.Add(time.Second)}, want: "attempt 1 is under way"},
		"a worker that died":               {event: store.Event{Status: store.Processing, Attempts: 1, LeaseUntil: now.Add(-time.Second)}, want: "its worker died, or could not record the outcome; the next worker tries it again, after asking the provider whether it was sent"},
		"what came too late":               {event: store.Event{Status: store.Expired, ErrorCode: "expired", SettledReason: "expired at 2026-01-05T01:39:36Z", EnqueuedAt: time.Date(2026, 1, 5, 2, 39, 36, 0, time.UTC)}, want: "expired at 01:39:36Z, 1 h before it came", problem: "expired"},
		"what waited too long":             {event: store.Event{Status: store.Expired, ErrorCode: "expired", SettledReason: "expired at 2026-01-05T01:39:36Z", CreatedAt: time.Date(2026, 1, 5, 1, 34, 0, 0, time.UTC)}, want: "expired at 01:39:36Z, 5 min after it came", problem: "expired"},
		"a recipient who sent STOP":        {event: store.Event{Status: store.Suppressed, ErrorCode: "suppressed", SettledReason: "the recipient is suppressed: STOP", UpdatedAt: now}, since: now.Add(-48 * time.Hour), want: "suppressed: the recipient sent STOP on 2026-01-03", problem: "suppressed: STOP"},
		"a STOP that was taken back since": {event: store.Event{Status: store.Suppressed, ErrorCode: "suppressed", SettledReason: "the recipient is suppressed: STOP", UpdatedAt: now}, want: "suppressed: the recipient had sent STOP", problem: "suppressed: STOP"},
		"a STOP that came later":           {event: store.Event{Status: store.Suppressed, ErrorCode: "suppressed", SettledReason: "the recipient is suppressed: STOP", UpdatedAt: now}, since: now.Add(time.Hour), want: "suppressed: the recipient had sent STOP", problem: "suppressed: STOP"},
		"a recipient on the list":          {event: store.Event{Status: store.Suppressed, ErrorCode: "suppressed", SettledReason: "the recipient is suppressed: bounced 5.1.1", UpdatedAt: now}, since: now.Add(-time.Hour), want: "suppressed: the recipient is on the suppression list since 2026-01-05 (bounced 5.1.1)", problem: "suppressed: bounced 5.1.1"},
		"a recipient that Twilio refuses":  {event: store.Event{Status: store.Suppressed, Provider: "twilio", ErrorCode: "21610", Error: "twilio: suppress, HTTP 400, code 21610: unsubscribed"}, want: "suppressed: twilio does not send to this recipient: HTTP 400 (21610)", problem: "suppressed: 21610"},
		"a rejected message":               {event: store.Event{Status: store.Failed, ErrorCode: "bad_field", Error: "to: not a string"}, want: "rejected: bad_field: to: not a string", problem: "bad_field: to"},
		"fields that do not go together":   {event: store.Event{Status: store.Failed, ErrorCode: "too_many", Error: "cc, bcc: with to, more than 50 recipients"}, want: "rejected: too_many: cc, bcc: with to, more than 50 recipients", problem: "too_many: cc, bcc"},
		"what the provider refused":        {event: store.Event{Status: store.Failed, Provider: "twilio", Attempts: 1, ErrorCode: "21211", Error: "twilio: permanent, HTTP 400, code 21211: the number is not valid", UpdatedAt: now}, want: "failed for good at 03:00:00Z: HTTP 400 (21211)", problem: "21211: HTTP 400"},
		"what failed after it was sent":    {event: store.Event{Status: store.Failed, Provider: "twilio", ErrorCode: "30003", SentAt: now, UpdatedAt: now}, want: "twilio accepted it, and reported at 03:00:00Z that it failed (30003)", problem: "30003"},
		"what SQS gave up":                 {event: store.Event{Status: store.Failed, ErrorCode: "max_receives"}, want: "given up: SQS moved it to the dead-letter queue, since it was received too often", problem: "max_receives"},
		"what was sent":                    {event: store.Event{Status: store.Sent, SentAt: now}, want: "sent at 03:00:00Z, no delivery report yet"},
		"what arrived":                     {event: store.Event{Status: store.Delivered, UpdatedAt: now}, want: "delivered at 03:00:00Z"},
		"what did not arrive":              {event: store.Event{Status: store.Undelivered, UpdatedAt: now, ErrorCode: "30003"}, want: "sent, but reported as not delivered at 03:00:00Z (30003)", problem: "30003"},
		"a delivery report":                {event: store.Event{Status: store.Received, SettledReason: store.Reported("delivered")}, want: "recorded: the provider reported delivered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := story{Event: tc.event, now: now, lastError: tc.last, suppressed: store.Suppression{CreatedAt: tc.since}}
			if got := s.sentence(); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
			if got := s.problem(); got != tc.problem {
				t.Errorf("column: got %q, want %q", got, tc.problem)
			}
		})
	}
}

func TestAnAttemptIsToldInASentence(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 5, 3, 0, 0, 0, time.UTC)
	event := store.Event{Status: store.Scheduled, Attempts: 9, ErrorCode: "20503", Error: "twilio: transient, HTTP 503, code 20503", DueAt: now.Add(time.Minute)}
	for want, attempt := range map[string]store.Attempt{
		"failed: HTTP 503 (20503), will retry at 03:01:00Z":                {Number: 9, Outcome: store.ParkedOutcome, ErrorCode: "20503", Error: event.Error},
		"failed: HTTP 503 (20503)":                                         {Number: 2, Outcome: store.ParkedOutcome, ErrorCode: "20503", Error: event.Error},
		"came too early (not_before)":                                      {Number: 2, Outcome: store.ParkedOutcome, ErrorCode: store.NotBefore},
		"waits for its turn (rate_limit)":                                  {Number: 2, Outcome: store.Released, ErrorCode: "rate_limit"},
		"failed: HTTP 500 (20500); whether it was sent was not known":      {Number: 2, ErrorCode: "20500", Error: "twilio: in doubt, HTTP 500"},
		"its worker died, or could not record the outcome":                 {Number: 2},
		"could not find out whether it was sent: HTTP 500 (lookup_failed)": {Number: 2, Outcome: store.Unresolved, ErrorCode: "lookup_failed", Error: "twilio: transient, HTTP 500"},
		"discarded by ann: a rehearsal":                                    {Number: 2, Outcome: store.Discarded, Owner: "ann", Error: "a rehearsal"},
		"failed for good: HTTP 400 (21211)":                                {Number: 2, Outcome: string(store.Failed), ErrorCode: "21211", Error: "twilio: permanent, HTTP 400, code 21211: no"},
	} {
		if got := (story{Event: event, now: now}).attempt(attempt); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A message that is being retried is what an on-call engineer looks for first.
func TestAMessageThatIsRetriedShowsItsLastError(t *testing.T) {
	d := newDesk(t)
	claim := store.Claim{ID: "m1", Channel: "sms", Type: "message_send", To: "+14155550123", Queue: "q", SQSMessageID: "sqs-1", PayloadHash: "h"}
	if _, err := d.db.Claim(t.Context(), "w", time.Minute, []store.Claim{claim}); err != nil {
		t.Fatal(err)
	}
	if err := d.db.Explain(t.Context(), store.Attempt{EventID: "m1", Number: 1, Owner: "w", Provider: "twilio", ErrorCode: "20500", Error: "twilio: in doubt, HTTP 500, code 20500"}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"events"}, {"events", "--error", "20500"}, {"events", "--queue", "q"}, {"events", "show", "m1"}, {"events", "show", "sqs-1"}} {
		if code, out, errOut := worker(t, d.env, args...); code != 0 || !strings.Contains(out, "20500") || !strings.Contains(out, "HTTP 500") {
			t.Errorf("%v: exit code %d, %s%s", args, code, out, errOut)
		}
	}
	if code, out, errOut := worker(t, d.env, "events", "--error", "20501"); code != 0 || strings.Contains(out, "m1") {
		t.Errorf("another error: exit code %d, %s%s", code, out, errOut)
	}
	if code, out, _ := worker(t, d.env, "events", "-o", "json"); code != 0 || !strings.Contains(out, `"last_error_code": "20500"`) || !strings.Contains(out, `"next_try_at": "20`) {
		t.Errorf("exit code %d, %s", code, out)
	}
}

func TestAnEventIsFoundByEveryIDThatLeadsToIt(t *testing.T) {
	d := newDesk(t)
	d.record(store.Event{ID: "m1", SQSMessageID: "sqs-1", Status: store.Delivered, Attempts: 1, Provider: "twilio", ProviderID: "SM1"})
	d.record(store.Event{ID: "sqs-5", SQSMessageID: "sqs-5", Status: store.Failed, ErrorCode: "bad_address", Error: "to: no", SettledReason: store.RejectedAs("m5")})
	d.record(store.Event{ID: "sqs-6", SQSMessageID: "sqs-6", Status: store.Failed, ErrorCode: "id_reuse", SettledReason: store.RejectedAs("m1")})
	for id, want := range map[string]string{
		"m1":    "Also found by this id: sqs-6 (worker events show ID).\nm1  sms",
		"SM1":   "Found by its provider id \"SM1\".\nm1  sms",
		"sqs-1": "Found by its SQS message id \"sqs-1\".\nm1  sms",
		"m5":    "so that a corrected one may come under its own.\nsqs-5  sms",
		"sqs-5": "sqs-5  sms",
	} {
		if code, out, errOut := worker(t, d.env, "events", "show", id); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, %s%s; want %q", id, code, out, errOut, want)
		}
	}
}
