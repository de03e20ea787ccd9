package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

func watching(t *testing.T, open Open) {
	unsettled(t, open)
	feedback(t, open)
}

// release hands a claim back, with the code of why.
func (r room) release(e store.Event, code string) {
	r.t.Helper()
	r.must(r.settle(store.Settlement{ID: e.ID, Attempt: e.Attempts, Owner: e.Owner, Status: store.Scheduled, ErrorCode: code}))
}

func unsettled(t *testing.T, open Open) {
	const queue = "novaura-acs-sms-events"
	came := start.Add(-3 * time.Second) // see message
	for name, tc := range map[string]struct {
		play func(room)
		want map[string]store.Unsettled
	}{
		"without rows nothing is unsettled": {func(room) {}, map[string]store.Unsettled{}},
		"what is claimed, handed back or recorded as new counts by queue": {func(r room) {
			r.want("w", "a", store.Granted)
			r.release(r.want("w", "b", store.Granted), "20500")
			r.record(store.Event{ID: "c", Queue: "other", Status: store.New, CreatedAt: start.Add(time.Minute)})
		}, map[string]store.Unsettled{queue: {Messages: 2, Oldest: came}, "other": {Messages: 1, Oldest: start.Add(time.Minute)}}},
		"what has ended does not count": {func(r room) {
			r.finish(r.want("w", "a", store.Granted), "SM1")
			r.record(store.Event{ID: "c", Queue: queue, Status: store.Failed})
			r.record(store.Event{ID: "d", Queue: queue, Status: store.InDoubt})
		}, map[string]store.Unsettled{}},
		"what waits on purpose does not count": {func(r room) {
			r.release(r.want("w", "a", store.Granted), store.NotBefore)
			r.release(r.want("w", "b", store.Granted), store.QuietHours)
		}, map[string]store.Unsettled{}},
		"what waited on purpose is as old as the time since it was due": {func(r room) {
			r.release(r.want("w", "a", store.Granted), store.NotBefore)
			r.Advance(time.Hour)
			r.release(r.want("w", "a", store.Granted), "20500")
			r.Advance(time.Minute)
			r.want("w", "a", store.Granted)
		}, map[string]store.Unsettled{queue: {Messages: 1, Oldest: start.Add(time.Hour)}}},
		"a retry does not make a message younger": {func(r room) {
			r.release(r.want("w", "a", store.Granted), "20500")
			r.Advance(time.Hour)
			r.release(r.want("w", "a", store.Granted), "20500")
		}, map[string]store.Unsettled{queue: {Messages: 1, Oldest: came}}},
		"what a person had tried again is as old as that word": {func(r room) {
			e := r.want("w", "a", store.Granted)
			r.must(r.settle(store.Settlement{ID: "a", Attempt: e.Attempts, Owner: "w", Status: store.Failed, ErrorCode: "21211"}))
			r.Advance(time.Hour)
			r.must(r.Resolve(context.Background(), store.Resolution{ID: "a", From: store.Failed, By: "ann", Reason: "again"}))
		}, map[string]store.Unsettled{queue: {Messages: 1, Oldest: start.Add(time.Hour)}}},
	} {
		t.Run("unsettled: "+name, func(t *testing.T) {
			r := enter(t, open)
			tc.play(r)
			got, err := r.OldestUnsettled(context.Background())
			r.must(err)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func feedback(t *testing.T, open Open) {
	const shop, number = "shop@example.com", "+14155550100"
	t.Run("sends, bounces, complaints and opt-outs count for their sender and template", func(t *testing.T) {
		r := enter(t, open)
		send := func(id, channel string, from, to redact.Personal, template string) {
			e := store.Event{ID: id, Channel: channel, Type: "message_send", Status: store.Sent, From: from, To: to, Template: template, Provider: "p", ProviderID: "P" + id, CreatedAt: start, SentAt: start}
			r.record(e)
		}
		report := func(id, about, status string) {
			r.record(store.Event{ID: id, Channel: "email", Type: "message_status", Status: store.Received, ProviderID: "P" + about, SettledReason: store.Reported(status), CreatedAt: start.Add(time.Second)})
		}
		send("old", "email", shop, "x@example.com", "spring")
		r.Advance(time.Hour)
		for i := range 3 {
			send(fmt.Sprint("m", i), "email", shop, "a@example.com", "spring")
		}
		send("plain", "email", "", "a@example.com", "")
		report("r1", "m0", "bounced")
		report("r2", "m0", "bounced") // of another recipient of the same mail
		report("r3", "m1", "complained")
		report("r4", "m2", "delivered")
		report("r5", "m2", "soft_bounced")
		send("t1", "sms", number, "+14155550123", "spring")
		send("t2", "sms", "", "+14155550124", "sale")
		stop := func(id string, from redact.Personal, word string) {
			r.record(store.Event{ID: id, Channel: "sms", Type: "message_received", Status: store.Received, From: from, To: number, SettledReason: word, CreatedAt: start.Add(time.Second)})
		}
		stop("s1", "+14155550123", store.OptedOut)
		stop("s2", "+14155550124", store.OptedOut)
		stop("s3", "+14155550199", store.OptedOut) // whom no text of this time went to
		stop("s4", "+14155550123", "START")
		r.record(store.Event{ID: "unsent", Channel: "email", Type: "message_send", Status: store.Failed, From: shop, CreatedAt: start})
		got, err := r.Feedback(context.Background(), start)
		r.must(err)
		want := []store.Feedback{
			{Channel: "email", Sent: 1},
			{Channel: "email", Sender: shop, Template: "spring", Sent: 4, Bounced: 1, Complained: 1},
			{Channel: "sms", Template: "sale", Sent: 1, OptedOut: 1},
			{Channel: "sms", Sender: number, OptedOut: 1},
			{Channel: "sms", Sender: number, Template: "spring", Sent: 1, OptedOut: 1},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("what happened before is left out", func(t *testing.T) {
		r := enter(t, open)
		r.record(store.Event{ID: "m", Channel: "email", Type: "message_send", Status: store.Sent, From: shop, CreatedAt: start, SentAt: start})
		got, err := r.Feedback(context.Background(), start.Add(time.Millisecond))
		if err != nil || len(got) != 0 {
			t.Errorf("got %v and error %v, want none", got, err)
		}
	})
}

func searching(t *testing.T, open Open) {
	ctx := context.Background()
	t.Run("an event is found by its SQS id, and a rejected one by its own id", func(t *testing.T) {
		r := enter(t, open)
		r.want("w", "m1", store.Granted) // SQS calls it sqs-m1
		r.record(store.Event{ID: "sqs-5", Status: store.Failed, SettledReason: store.RejectedAs("m5")})
		r.record(store.Event{ID: "sqs-6", Status: store.Failed, SettledReason: store.RejectedAs("m6")})
		for id, want := range map[string]string{"sqs-m1": "m1", "m5": "sqs-5", "m1": "", "nobody": ""} {
			found, err := r.Search(ctx, id)
			r.must(err)
			if want == "" && len(found) != 0 || want != "" && (len(found) != 1 || found[0].ID != want) {
				t.Errorf("%q leads to %+v, want %q", id, found, want)
			}
		}
	})
	t.Run("the last error is the newest attempt's that has one", func(t *testing.T) {
		r := enter(t, open)
		r.release(r.want("w", "a", store.Granted), "20500")
		r.release(r.want("w", "a", store.Granted), "20503")
		r.want("w", "a", store.Granted)
		e := r.want("w", "doubt", store.Granted)
		r.must(r.Explain(ctx, store.Attempt{EventID: "doubt", Number: e.Attempts, Owner: "w", Provider: "twilio", ErrorCode: "20500", Error: "HTTP 500"}))
		r.want("w", "fresh", store.Granted)
		got, err := r.LastErrors(ctx, []string{"a", "doubt", "fresh", "nobody"})
		r.must(err)
		if len(got) != 2 || got["a"].Number != 2 || got["a"].ErrorCode != "20503" || got["doubt"].Error != "HTTP 500" || !got["doubt"].FinishedAt.IsZero() {
			t.Errorf("got %+v", got)
		}
		for code, want := range map[string]int{"20500": 1, "20503": 1, "20404": 0} { // doubt; a, whose first attempt is long over
			if found, err := r.Events(ctx, store.Filter{ErrorCode: code}); err != nil || len(found) != want {
				t.Errorf("events with error %s: got %d and error %v, want %d", code, len(found), err, want)
			}
		}
		if got, err := r.LastErrors(ctx, nil); err != nil || len(got) != 0 {
			t.Errorf("of no events: got %v and error %v", got, err)
		}
	})
	t.Run("a suppression tells since when", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.OptOut(ctx, "sms", someone, start.Add(-time.Hour)))
		got, err := r.SuppressionOf(ctx, "sms", someone)
		if err != nil || got.Reason != store.OptedOut || !got.CreatedAt.Equal(start.Add(-time.Hour)) {
			t.Errorf("got %+v and error %v", got, err)
		}
		if _, err := r.SuppressionOf(ctx, "email", someone); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v, want %v", err, store.ErrNotFound)
		}
	})
}

func discarding(t *testing.T, open Open) {
	ctx := context.Background()
	discard := func(r room, id string) error {
		return r.Discard(ctx, store.Discarding{ID: id, By: "ann@desk", Reason: "never meant to be sent"})
	}
	t.Run("what is given up has ended, keeps nothing, and tells who and why", func(t *testing.T) {
		for name, play := range map[string]func(r room){
			"failed": func(r room) {
				r.record(store.Event{ID: "m", Status: store.Failed, ErrorCode: "bad_field", SettledReason: store.RejectedAs("m5")})
			},
			"new": func(r room) {
				r.record(store.Event{ID: "m", Status: store.New, ErrorCode: "bad_field", SettledReason: store.RejectedAs("m5")})
			},
			"kept in rows": func(r room) {
				r.record(store.Event{ID: "m", Status: store.Failed, ErrorCode: "bad_field", SettledReason: store.RejectedAs("m5")})
				r.must(r.Keep(ctx, "m", store.Parked{Body: "x"}))
			},
		} {
			t.Run(name, func(t *testing.T) {
				r := enter(t, open)
				play(r)
				r.must(discard(r, "m"))
				e := r.row("m")
				if e.Status != store.Failed || e.ErrorCode != "bad_field" || e.SettledReason != store.RejectedAs("m5") || e.Attempts != 1 {
					t.Errorf("got %+v", e)
				}
				attempts, err := r.Attempts(ctx, "m")
				if err != nil || len(attempts) != 1 || attempts[0].Outcome != store.Discarded || attempts[0].Owner != "ann@desk" || attempts[0].Error != "never meant to be sent" {
					t.Errorf("attempts %+v and error %v", attempts, err)
				}
				if _, err := r.Kept(ctx, "m"); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("kept: got %v, want %v", err, store.ErrNotFound)
				}
			})
		}
	})
	t.Run("what has no error of its own gets one", func(t *testing.T) {
		r := enter(t, open)
		r.record(store.Event{ID: "m", Status: store.New})
		r.must(discard(r, "m"))
		if got := r.row("m").ErrorCode; got != store.Discarded {
			t.Errorf("got %q, want %q", got, store.Discarded)
		}
	})
	t.Run("what is worked on, in doubt, sent or parked is not given up", func(t *testing.T) {
		r := enter(t, open)
		r.want("w", "held", store.Granted)
		r.record(store.Event{ID: "doubt", Status: store.InDoubt})
		r.record(store.Event{ID: "sent", Status: store.Sent, SentAt: start})
		r.record(store.Event{ID: "failed later", Status: store.Failed, SentAt: start})
		r.record(store.Event{ID: "parked", Status: store.New, PayloadHash: "h"})
		r.must(r.Park(ctx, "parked", "h", store.Parked{Body: "x", After: time.Hour}))
		for _, id := range []string{"held", "doubt", "sent", "failed later", "parked", "nobody"} {
			if err := discard(r, id); !errors.Is(err, store.ErrLost) {
				t.Errorf("%s: got %v, want %v", id, err, store.ErrLost)
			}
		}
	})
}
