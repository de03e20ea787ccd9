package processor

import (
	"context"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

// carry is what a worker does with parked messages: it leases what is due, and
// puts copies with their keys on the queue.
func (b *bench) carry() (copies []consumer.Received) {
	b.t.Helper()
	due, err := b.store.LeaseDue(b.t.Context(), []string{"sms-events"}, time.Minute, 10)
	if err != nil {
		b.t.Fatal(err)
	}
	for i, d := range due {
		r := received(d.Body.Reveal())
		r.Key, r.MessageID = d.ID, "copy-"+string(rune('a'+i))
		copies = append(copies, r)
	}
	if err := b.store.Unpark(b.t.Context(), due); err != nil {
		b.t.Fatal(err)
	}
	return copies
}

// nearly is text with its receives nearly spent.
func nearly(r consumer.Received) consumer.Received {
	r.ReceiveCount, r.MaxReceives = 4, 5
	return r
}

func TestAParkedMessageComesBackUnderItsKeyAndIsSentOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	original := received(`{"type":"message_send","to":"` + person + `","body":"Hello","not_before":"2026-01-05T09:00:00Z"}`)
	original.MessageID = "a" // no id of its own: the SQS id is the key
	b.want(b.handle(original), consumer.Park, store.Scheduled, 0)
	b.want(b.handle(original), consumer.Park, store.Scheduled, 0) // its delete was lost
	if due := b.carry(); len(due) != 0 {
		t.Fatalf("before its time: %v", due)
	}
	b.clock.turn(time.Hour)
	copies := b.carry()
	if len(copies) != 1 || copies[0].Key != "a" {
		t.Fatalf("got %+v", copies)
	}
	b.want(b.handle(copies[0]), consumer.Delete, store.Sent, 1)
	b.want(b.handle(copies[0]), consumer.Delete, store.Sent, 1)
}

func TestAHealthyMessageIsParkedBeforeItsReceivesAreSpent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		setUp  func(*bench)
		sends  int
		wait   time.Duration
		status store.Status
	}{
		"throttled":                         {setUp: answers(provider.Throttled), sends: 1, wait: time.Minute, status: store.Scheduled},
		"refused for the moment":            {setUp: answers(provider.Transient), sends: 1, wait: time.Minute, status: store.Scheduled},
		"our set-up is wrong":               {setUp: answers(provider.Config), sends: 1, wait: time.Minute, status: store.Scheduled},
		"over the rate":                     {setUp: func(b *bench) { b.Limiters = map[message.Channel]Limiter{message.SMS: full{}} }, wait: time.Minute, status: store.Scheduled},
		"no answer, until the lease lapses": {setUp: answers(provider.InDoubt), sends: 1, wait: lapse, status: store.Processing},
		"no sender":                         {setUp: func(b *bench) { b.Senders = nil }, wait: time.Minute, status: store.New},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			senders := b.Senders
			tc.setUp(b)
			b.want(b.handle(nearly(text(""))), consumer.Park, tc.status, tc.sends)
			b.Limiters, b.Senders = nil, senders
			b.clock.turn(tc.wait)
			copies := b.carry()
			if len(copies) != 1 {
				t.Fatalf("got %d copies", len(copies))
			}
			if copies[0].ReceiveCount != 1 {
				t.Error("the copy has spent receives")
			}
			b.want(b.handle(copies[0]), consumer.Delete, store.Sent, tc.sends+1)
		})
	}
}

// Where the server does not say how often a message was received, its attempts
// tell, those of other workers too.
func TestAMessageIsParkedBeforeItsReceivesAreSpentThoughNobodyCountsThem(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	uncounted := text("")
	uncounted.Uncounted, uncounted.MaxReceives = true, 4
	for n, want := range []consumer.Action{consumer.Retry, consumer.Retry, consumer.Park} {
		answers(provider.Transient)(b)
		b.want(b.handle(uncounted), want, store.Scheduled, n+1)
	}
	b.clock.turn(time.Minute)
	b.want(b.handle(b.carry()[0]), consumer.Delete, store.Sent, 4)
}

func answers(class provider.Class) func(*bench) {
	return func(b *bench) { b.sender.next = append(b.sender.next, refuses(class, "", false)) }
}

func TestADrainDoesNotSpendTheLastReceive(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(b.drained(nearly(text(""))), consumer.Park, store.Scheduled, 0)
	b.clock.turn(time.Second)
	b.want(b.handle(b.carry()[0]), consumer.Delete, store.Sent, 1)
}

// drained handles a message whose worker stops before the call.
func (b *bench) drained(r consumer.Received) consumer.Outcome {
	b.t.Helper()
	job := b.Prepare(b.t.Context(), []consumer.Received{r})[0]
	return job(ended(b.t))
}

func TestWhatIsBusyForAnotherIsParkedAndWaitsForTheOthersEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.abandon(text(""))
	b.want(b.handle(nearly(text(""))), consumer.Park, store.Processing, 0)
	if copies := b.carry(); len(copies) != 0 {
		t.Fatalf("while the other may work on it: %v", copies)
	}
	b.clock.turn(2 * lapse)
	b.want(b.handle(b.carry()[0]), consumer.Delete, store.Sent, 1)
	if b.sender.lookups != 1 {
		t.Errorf("%d lookups, want the doubt to outlive the parking", b.sender.lookups)
	}
}

func TestADatabaseThatIsDownSpendsFewReceives(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store.set("Claim", 1)
	got := b.handle(nearly(text("")))
	if got.Action != consumer.Retry || !got.Gate || got.After < 10*time.Minute {
		t.Errorf("got %+v, want it hidden for long, and receiving stopped until the database answers", got)
	}
}

func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
