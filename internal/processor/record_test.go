package processor

import (
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

func inbound(id, body string) consumer.Received {
	return received(`{"id":"` + id + `","type":"message_received","from":"` + person + `","to":"` + ours + `","body":"` + body + `"}`)
}

func (b *bench) suppression() string {
	b.t.Helper()
	why, err := b.store.SuppressionReason(b.t.Context(), "sms", person)
	if err != nil {
		b.t.Fatal(err)
	}
	return why
}

func TestAnInboundMessageIsRecorded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(b.handle(inbound("a", "Thanks!")), consumer.Delete, store.Received, 0)
	event := b.event("a")
	if event.From.Reveal() != person || event.Type != "message_received" || event.Segments != 1 || b.suppression() != "" {
		t.Errorf("got row %+v, suppressed for %q", event, b.suppression())
	}
	if !strings.Contains(b.logs.String(), `msg="Successfully processed" id=a channel=sms queue=sms-events type=message_received`) {
		t.Errorf("got log %s", b.logs)
	}
}

func TestStopAndStartHold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.handle(inbound("s1", "stop"))
	if b.suppression() != "STOP" {
		t.Errorf("after STOP: suppressed for %q", b.suppression())
	}
	b.want(b.handle(text("")), consumer.Delete, store.Suppressed, 0)
	b.handle(inbound("s2", "HELP"))
	if b.suppression() != "STOP" {
		t.Errorf("HELP changed the list: %q", b.suppression())
	}
	b.handle(inbound("s3", "START"))
	b.handle(inbound("s1", "stop")) // SQS delivers the STOP once more
	if b.suppression() != "" {
		t.Errorf("after START: suppressed for %q", b.suppression())
	}
}

// SQS keeps no order, and a database that is away shuffles what it has.
func TestAStartThatWasSaidBeforeAStopDoesNotUndoIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	stop, start := inbound("s2", "STOP"), inbound("s1", "START")
	stop.SentAt = start.SentAt.Add(time.Second)
	b.want(b.handle(stop), consumer.Delete, "", 0)
	b.want(b.handle(start), consumer.Delete, "", 0)
	if b.suppression() != "STOP" {
		t.Errorf("suppressed for %q", b.suppression())
	}
}

// Dead letters are redriven in any order, and a redriven one is sent anew.
func TestARedrivenStartIsAsOldAsItWas(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	stop, start := inbound("s2", "STOP"), inbound("s1", "START")
	start.FirstSentAt, start.SentAt = stop.SentAt.Add(-time.Second), stop.SentAt.Add(time.Hour)
	b.want(b.handle(stop), consumer.Delete, "", 0)
	b.want(b.handle(start), consumer.Delete, "", 0)
	if b.suppression() != "STOP" {
		t.Errorf("suppressed for %q", b.suppression())
	}
}

func TestAStopIsActedOnBeforeItIsRecorded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store.set("Record", 1)
	b.want(b.handle(inbound("a", "STOP")), consumer.Retry, "", 0)
	b.want(b.handle(inbound("a", "STOP")), consumer.Delete, store.Received, 0)
	if b.suppression() != "STOP" {
		t.Errorf("suppressed for %q", b.suppression())
	}
}

func TestInboundMessagesAreRecordedWithoutASender(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.Senders = nil })
	b.want(b.handle(inbound("a", "Thanks!")), consumer.Delete, store.Received, 0)
}

func TestAnInboundIDForOtherContentIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.handle(inbound("a", "one"))
	b.want(b.handle(inbound("a", "two")), consumer.DeadLetter, store.Received, 0)
}

func reported(status, code string, receives int) consumer.Received {
	r := received("MessageSid=SM1&MessageStatus=" + status + "&ErrorCode=" + code + "&To=%2B14155550123&From=%2B14155550100")
	r.ReceiveCount = receives
	return r
}

func TestADeliveryReportUpdatesTheEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.handle(text(""))
	b.want(b.handle(reported("queued", "", 1)), consumer.Delete, store.Sent, 1)
	b.want(b.handle(reported("delivered", "", 1)), consumer.Delete, store.Delivered, 1)
	b.want(b.handle(reported("sent", "", 1)), consumer.Delete, store.Delivered, 1) // late, and no step back
	report := b.event("SM1/delivered")
	if report.Status != store.Received || report.Type != string(message.Status) || report.SettledReason != "reported delivered" {
		t.Errorf("the report's own row is %+v", report)
	}
}

func TestAReportOfAnOptOutSuppresses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.handle(text(""))
	b.want(b.handle(reported("undelivered", "21610", 1)), consumer.Delete, store.Undelivered, 1)
	if b.suppression() != "reported 21610" {
		t.Errorf("suppressed for %q", b.suppression())
	}
}

func TestAReportThatComesBeforeTheSettlementWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for receives := 1; receives <= earlyReports; receives++ {
		if got := b.handle(reported("delivered", "", receives)); got.Action != consumer.Retry || got.Failed {
			t.Errorf("received %d times: got %+v", receives, got)
		}
	}
	if got := b.handle(reported("delivered", "", earlyReports+1)); got.Action != consumer.Delete || b.event("SM1/delivered").ID == "" {
		t.Errorf("after that: got %+v, want it recorded", got)
	}
}

// Its owner died after SES had the mail, and SES cannot be asked: the event is the
// only word there is, and it must not be spent before the lease is over.
func TestAReportOnWhatADeadWorkerHoldsIsKeptUntilItCanResolveTheDoubt(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailing)
	b.sender.findError = provider.ErrNoLookup
	b.sender.next = append(b.sender.next, func(f *fakeSender, m *message.Message) error {
		f.accept(m)
		return errDown // not typed: in doubt
	})
	b.handle(mail(aMail))
	report := notice("Delivery", `"delivery":{"timestamp":"T","recipients":["alice@example.com"]}`)
	for report.ReceiveCount = 1; report.ReceiveCount <= earlyReports+2; report.ReceiveCount++ {
		if got := b.handle(report); got.Action != consumer.Retry || report.ReceiveCount > earlyReports && got.After < b.Lease {
			t.Errorf("received %d times: got %+v, want it to come again", report.ReceiveCount, got)
		}
	}
	b.clock.turn(lapse)
	b.want(b.handle(report), consumer.Delete, store.Delivered, 1)
}

func TestAReportOnAMessageDoesNotHideItFromItsResolution(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, func(f *fakeSender, m *message.Message) error {
		f.accept(m)
		return errDown // not typed: in doubt
	})
	b.handle(text(""))
	b.handle(reported("delivered", "", earlyReports+1)) // recorded with the same provider id
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
}

func TestWhatCannotBeUnderstoodIsRecordedAndDeadLettered(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body, key, row, code string
	}{
		"not JSON":                    {body: "{", row: "sqs-1", code: "not_json"},
		"a copy, under its key":       {body: "{", key: "a", row: "a", code: "not_json"},
		"a wrong number":              {body: `{"id":"a","type":"message_send","to":"5","body":"Hello"}`, row: "sqs-1", code: "bad_address"},
		"a channel that there is not": {body: `{"id":"a","channel":"fax","type":"message_send"}`, row: "sqs-1", code: "unknown_channel"},
		"nothing":                     {row: "sqs-1", code: "not_json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := received(tc.body)
			r.Key = tc.key
			for range 2 { // and once more, when the copy was not made
				got := b.handle(r)
				if got.Action != consumer.DeadLetter || !got.Failed || got.Reason != tc.code {
					t.Errorf("got %+v", got)
				}
			}
			event := b.event(tc.row)
			if event.Status != store.Failed || event.ErrorCode != tc.code || event.Channel != "sms" || event.Error == "" {
				t.Errorf("got row %+v", event)
			}
			if strings.HasPrefix(tc.body, `{"id"`) && !strings.Contains(event.SettledReason, `"a"`) {
				t.Errorf("the row does not name the message's own id: %q", event.SettledReason)
			}
		})
	}
}

func TestACorrectedMessageMayComeUnderItsID(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.handle(received(`{"id":"a","type":"message_send","to":"5","body":"Hello"}`))
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
}

func TestARefusalThatCannotBeRecordedComesAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store.set("Record", 1)
	if got := b.handle(received("{")); got.Action != consumer.Retry {
		t.Errorf("got %+v", got)
	}
}
