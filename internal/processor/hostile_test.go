package processor

import (
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/postgres"
	"github.com/novaura/acs-operator/internal/store/postgres/pgtest"
)

func onPostgres(t *testing.T) *postgres.Store {
	t.Helper()
	dsn, schema := pgtest.DSN(t)
	db, err := postgres.Open(t.Context(), dsn, postgres.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// PostgreSQL's text has no NUL, and JSON has: "\u0000". One message that has it
// anywhere must not take the statement that it shares with others down, nor come
// again for ever.
func TestANULInAnyFieldHoldsUpNobody(t *testing.T) {
	t.Parallel()
	db := onPostgres(t)
	b := newBench(t, pushing, mailing, func(o *Options) { o.Store, o.KeepBodies, o.Now = db, true, time.Now })
	bodies := map[string][]string{
		"sms": {
			`{"id":"0!","type":"message_send","to":"+14155550123","body":"a"}`, `{"id":"i2","type":"message_send","to":"+1415555!0123","body":"a"}`,
			`{"id":"i3","type":"message_send","to":"+14155550123","body":"a!b"}`, `{"id":"i4","type":"message_send","to":"+14155550123","from":"A!B","body":"a"}`,
			`{"id":"i5","type":"message_send","to":"+14155550123","body":"a","template":"t!"}`, `{"id":"i6","type":"message_send!","to":"+14155550123","body":"a"}`,
			`{"id":"i7","channel":"sms!","type":"message_send","to":"+14155550123","body":"a"}`, `{"id":"i8","type":"message_received","from":"+1415!","to":"!","body":"!"}`,
			`{"id":"i9","type":"message_status","provider_id":"SM!","provider_status":"sent!"}`, "MessageSid=SM%00&MessageStatus=sent%00&ErrorCode=%00&To=%00&From=%00",
			"MessageSid=SM1&From=%00&To=%00&Body=%00&SmsStatus=received", `{"id":"i10","type":"message_send","to":"+14155550123","body":"a","priority":"marketing!"}`,
			`{"id":"i11","type":"message_send","to":"+14155550123","body":"a","metadata":{"a!":"b!"},"data":{"x":"!"}}`,
		},
		"push":  {`{"id":"p1","type":"message_send","title":"!","body":"!","tokens":["t!"]}`, `{"id":"p2","type":"message_send","body":"a","topic":"n!"}`},
		"email": {`{"id":"e1","type":"message_send","to":"a!@example.com","subject":"S","body":"b"}`, `{"id":"e2","type":"message_send","to":"a@example.com","subject":"S!","body":"b!"}`},
	}
	for channel, all := range bodies {
		for n, body := range all {
			bad := received(strings.ReplaceAll(body, "!", `\u0000`))
			bad.Queue, bad.MessageID = consumer.Queue{Name: channel, Channel: channel}, channel+string(rune('a'+n))
			bad.ReceiveCount = earlyReports + 1
			good := text("")
			good.Queue, good.MessageID = consumer.Queue{Name: "sms", Channel: "sms"}, "good-"+bad.MessageID
			good.Body = strings.ReplaceAll(good.Body, `"id":"a"`, `"id":"good-`+bad.MessageID+`"`)
			jobs := b.Prepare(t.Context(), []consumer.Received{bad, good})
			if got := jobs[0](t.Context()); got.Reason == "store" || got.Action != consumer.Delete && got.Action != consumer.DeadLetter {
				t.Errorf("%s: got %+v", body, got)
			}
			if got := jobs[1](t.Context()); got.Action != consumer.Delete {
				t.Errorf("its neighbour of %s: got %+v", body, got)
			}
		}
	}
}

func TestAGarbledStopIsKeptByEveryDatabase(t *testing.T) {
	t.Parallel()
	for name, setUp := range map[string]func(*Options){
		"SQLite":     func(*Options) {},
		"PostgreSQL": func(o *Options) { o.Store, o.Now = onPostgres(t), time.Now },
	} {
		for n, body := range []string{
			"MessageSid=SM1&From=%2B14155550123&Body=STOP%00&SmsStatus=received",
			"MessageSid=SM1&From=%2B14155550123&Body=STOP%FF%FE&SmsStatus=received",
			`{"type":"message_received","id":"SM1","from":"+14155550123","body":"STOP \ud83d\u0000"}`,
		} {
			b := newBench(t, setUp)
			got := b.handle(received(body))
			why, err := b.Store.SuppressionReason(t.Context(), "sms", person)
			if got.Action != consumer.Delete || err != nil || why != store.OptedOut {
				t.Errorf("%s, %d: got %+v, suppressed for %q, %v", name, n, got, why, err)
			}
			if events, err := b.Store.Events(t.Context(), store.Filter{ID: "SM1"}); err != nil || len(events) != 1 || events[0].Status != store.Received {
				t.Errorf("%s, %d: recorded as %+v, %v", name, n, events, err)
			}
		}
	}
}
