package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

func events(t *testing.T, open Open) {
	t.Run("a recorded row reads as it was written, and the second record of an id leaves it", func(t *testing.T) {
		r := enter(t, open)
		e := store.Event{
			ID: "in", Channel: "sms", Type: "message_received", Status: store.Received, From: "+14155550123", To: "+14155550100",
			Provider: "twilio", ProviderID: "SM9", Attempts: 1, ErrorCode: "1", Error: "e", Queue: "q", SQSMessageID: "s",
			PayloadHash: "p", BodyHash: "b", Segments: 2, Template: "t", Priority: "marketing", Owner: "worker-1",
			LeaseUntil: start, CreatedAt: start.Add(-time.Hour), UpdatedAt: start, SentAt: start.Add(time.Millisecond),
			EnqueuedAt: start.Add(-time.Minute), SettledReason: "STOP",
		}
		r.record(e)
		if diff := cmp.Diff(e, r.row("in")); diff != "" {
			t.Errorf("row (-want +got):\n%s", diff)
		}
		second := e
		second.Status = store.Failed
		if inserted, err := r.Record(context.Background(), second); inserted || err != nil {
			t.Errorf("second record: got inserted %v and error %v, want false and none", inserted, err)
		}
		if got := r.row("in"); got.Status != store.Received {
			t.Errorf("got status %s, want received", got.Status)
		}
	})
	t.Run("a recorded row without times is of now", func(t *testing.T) {
		r := enter(t, open)
		r.record(store.Event{ID: "in", Channel: "sms", Type: "message_received", Status: store.Received})
		if e := r.row("in"); !e.CreatedAt.Equal(start) || !e.UpdatedAt.Equal(start) || e.LeaseUntil.IsZero() || !e.SentAt.IsZero() {
			t.Errorf("got created %v, updated %v, lease until %v, sent %v", e.CreatedAt, e.UpdatedAt, e.LeaseUntil, e.SentAt)
		}
	})
	t.Run("a status that is none is refused", func(t *testing.T) {
		r := enter(t, open)
		if _, err := r.Record(context.Background(), store.Event{ID: "x", Status: "unheard-of"}); err == nil {
			t.Error("got no error")
		}
	})
	t.Run("no error tells an address", func(t *testing.T) {
		r := enter(t, open)
		_, err := r.Record(context.Background(), store.Event{ID: "x", Status: "unheard-of", To: someone})
		if err == nil || strings.Contains(err.Error(), someone.Reveal()) {
			t.Errorf("got %v", err)
		}
	})
	filters(t, open)
	providerIDs(t, open)
}

func filters(t *testing.T, open Open) {
	r := enter(t, open)
	for _, e := range []store.Event{
		{ID: "1", Channel: "sms", Type: "message_send", Status: store.Sent, ProviderID: "SM1", CreatedAt: start},
		{ID: "2", Channel: "email", Queue: "q2", Type: "message_send", Status: store.Failed, CreatedAt: start.Add(time.Second)},
		{ID: "3", Channel: "sms", Type: "message_received", Status: store.Received, ProviderID: "SM3", CreatedAt: start.Add(2 * time.Second)},
		{ID: "4", Channel: "sms", ErrorCode: "21211", Type: "message_send", Status: store.Failed, CreatedAt: start.Add(2 * time.Second)},
	} {
		r.record(e)
	}
	for name, tc := range map[string]struct {
		filter store.Filter
		want   []string
	}{
		"an empty filter lists all, newest first":  {store.Filter{}, []string{"4", "3", "2", "1"}},
		"a limit keeps the newest":                 {store.Filter{Limit: 2}, []string{"4", "3"}},
		"by id":                                    {store.Filter{ID: "2"}, []string{"2"}},
		"by channel":                               {store.Filter{Channel: "sms"}, []string{"4", "3", "1"}},
		"by type":                                  {store.Filter{Type: "message_received"}, []string{"3"}},
		"by status":                                {store.Filter{Status: store.Failed}, []string{"4", "2"}},
		"by provider id":                           {store.Filter{ProviderID: "SM1"}, []string{"1"}},
		"since a time, which counts itself":        {store.Filter{Since: start.Add(time.Second)}, []string{"4", "3", "2"}},
		"by error code":                            {store.Filter{ErrorCode: "21211"}, []string{"4"}},
		"by queue":                                 {store.Filter{Queue: "q2", Status: store.Failed}, []string{"2"}},
		"all conditions must hold":                 {store.Filter{Channel: "sms", Status: store.Failed}, []string{"4"}},
		"what is not there is no error":            {store.Filter{ID: "no"}, nil},
		"a quote in a filter is a quote, not code": {store.Filter{ID: "' OR 1=1 --"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := r.Events(context.Background(), tc.filter)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range found {
				got = append(got, e.ID)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
		})
	}
}

func providerIDs(t *testing.T, open Open) {
	t.Run("provider ids of other events are told, one's own, unknown and other providers' are not", func(t *testing.T) {
		r := enter(t, open)
		r.finish(r.want("worker-1", "other", store.Granted), "SM1")
		r.finish(r.want("worker-1", "own", store.Granted), "SM2")
		r.record(store.Event{ID: "mail", Channel: "email", Status: store.Sent, Provider: "ses", ProviderID: "SM3"})
		got, err := r.SettledProviderIDs(context.Background(), "twilio", []string{"SM1", "SM2", "SM3", "SM4"}, "own")
		r.must(err)
		if diff := cmp.Diff(map[string]bool{"SM1": true}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got, err := r.SettledProviderIDs(context.Background(), "twilio", nil, "own"); err != nil || len(got) != 0 {
			t.Errorf("no ids: got %v and error %v", got, err)
		}
	})
}

func deliveryReports(t *testing.T, open Open) {
	for name, tc := range map[string]struct{ from, report, want store.Status }{
		"sent becomes delivered":                {store.Sent, store.Delivered, store.Delivered},
		"sent becomes undelivered":              {store.Sent, store.Undelivered, store.Undelivered},
		"sent becomes failed":                   {store.Sent, store.Failed, store.Failed},
		"delivered does not go back to sent":    {store.Delivered, store.Sent, store.Delivered},
		"undelivered does not go back to sent":  {store.Undelivered, store.Sent, store.Undelivered},
		"delivered stays when failed comes":     {store.Delivered, store.Failed, store.Delivered},
		"failed stays when delivered comes":     {store.Failed, store.Delivered, store.Failed},
		"a report twice is one report":          {store.Delivered, store.Delivered, store.Delivered},
		"what was in doubt is known to be sent": {store.InDoubt, store.Sent, store.Sent},
		"what was in doubt is delivered":        {store.InDoubt, store.Delivered, store.Delivered},
	} {
		t.Run(name, func(t *testing.T) {
			r := enter(t, open)
			r.record(store.Event{ID: "m", Channel: "sms", Status: tc.from, ProviderID: "SM1"})
			r.record(store.Event{ID: "other", Channel: "sms", Status: store.Sent, ProviderID: "SM2"})
			r.must(r.UpdateStatus(context.Background(), store.StatusUpdate{ProviderID: "SM1", Status: tc.report, ErrorCode: "30003"}))
			e := r.row("m")
			if e.Status != tc.want {
				t.Errorf("got %s, want %s", e.Status, tc.want)
			}
			if applied := tc.from != tc.want; applied != (e.ErrorCode == "30003") {
				t.Errorf("got error code %q, and the report applied: %v", e.ErrorCode, applied)
			}
			if other := r.row("other"); other.Status != store.Sent {
				t.Errorf("another event became %s", other.Status)
			}
		})
	}
	t.Run("a report about what is not known, or only recorded, is not found", func(t *testing.T) {
		r := enter(t, open)
		r.record(store.Event{ID: "report", Channel: "sms", Type: "message_status", Status: store.Received, ProviderID: "SM1"})
		for _, id := range []string{"SM1", "SM2", ""} {
			err := r.UpdateStatus(context.Background(), store.StatusUpdate{ProviderID: id, Status: store.Delivered})
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%q: got %v, want %v", id, err, store.ErrNotFound)
			}
		}
	})
	t.Run("a status that is no report is refused", func(t *testing.T) {
		r := enter(t, open)
		err := r.UpdateStatus(context.Background(), store.StatusUpdate{ProviderID: "SM1", Status: store.Processing})
		if err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func suppressions(t *testing.T, open Open) {
	ctx := context.Background()
	t.Run("an address is found however it is written, on its channel alone", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.Suppress(ctx, "email", someone, "complaint"))
		for _, tc := range []struct {
			channel string
			address redact.Personal
			want    string
		}{{"email", " ann@example.COM", "complaint"}, {"sms", someone, ""}, {"email", "bob@example.com", ""}} {
			got, err := r.SuppressionReason(ctx, tc.channel, tc.address)
			if err != nil || got != tc.want {
				t.Errorf("%s %s: got %q and error %v, want %q", tc.channel, tc.address, got, err, tc.want)
			}
		}
	})
	t.Run("suppressing and unsuppressing may be repeated, and the newest reason counts", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.Suppress(ctx, "email", someone, "bounce"))
		r.must(r.Suppress(ctx, "email", someone, "complaint"))
		if got, _ := r.SuppressionReason(ctx, "email", someone); got != "complaint" {
			t.Errorf("got %q, want complaint", got)
		}
		r.must(r.Unsuppress(ctx, "email", someone))
		r.must(r.Unsuppress(ctx, "email", someone))
		if got, _ := r.SuppressionReason(ctx, "email", someone); got != "" {
			t.Errorf("got %q, want nothing", got)
		}
	})
	t.Run("what a person said last counts, in whatever order it comes", func(t *testing.T) {
		r := enter(t, open)
		suppressed := func(want string) {
			t.Helper()
			if got, err := r.SuppressionReason(ctx, "sms", someone); err != nil || got != want {
				t.Errorf("got %q and error %v, want %q", got, err, want)
			}
		}
		r.must(r.OptOut(ctx, "sms", someone, start.Add(time.Minute)))
		r.must(r.OptIn(ctx, "sms", someone, start.Add(time.Minute-time.Millisecond))) // said before, comes after
		suppressed(store.OptedOut)
		r.must(r.OptOut(ctx, "sms", someone, start)) // an older one takes nothing back
		r.must(r.OptIn(ctx, "sms", someone, start.Add(time.Second)))
		suppressed(store.OptedOut)
		r.must(r.OptIn(ctx, "sms", someone, start.Add(2*time.Minute)))
		suppressed("")
		r.must(r.Suppress(ctx, "sms", someone, "reported 21610")) // found out later than it was so
		r.must(r.OptIn(ctx, "sms", someone, start.Add(-time.Hour)))
		suppressed("")
	})
	t.Run("a claim tells that its recipient is suppressed, not its sender", func(t *testing.T) {
		r := enter(t, open)
		r.must(r.Suppress(ctx, "sms", message("m").To, "STOP"))
		if got := r.claim("worker-1", message("m")); got.Suppressed != "STOP" || got.Outcome != store.Granted {
			t.Errorf("got %q with outcome %d, want STOP, granted", got.Suppressed, got.Outcome)
		}
		back := message("back")
		back.From, back.To = back.To, back.From
		if got := r.claim("worker-1", back); got.Suppressed != "" {
			t.Errorf("got %q, want nothing", got.Suppressed)
		}
	})
}
