package processor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/attribute"
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

// A message that has no room for its key (ten attributes, or a mebibyte, and no id)
// comes back as a pointer to its row.
func TestAMessageThatItsRowKeepsIsWorkedOnFromThere(t *testing.T) {
	t.Parallel()
	attributes := attribute.Set{"campaign": attribute.Text("spring")}
	pointed := func(t *testing.T) (*bench, consumer.Received) {
		b := newBench(t)
		r := received(`{"type":"message_send","to":"` + person + `","body":"Hello","not_before":"2026-01-05T08:05:00Z"}`)
		r.Attributes, r.GroupID, r.MessageID = attributes, "tenant", "a"
		b.want(b.handle(r), consumer.Park, store.Scheduled, 0)
		b.clock.turn(6 * time.Minute)
		due, err := b.store.LeaseDue(t.Context(), []string{r.Queue.Name}, time.Minute, 10)
		if err != nil || len(due) != 1 {
			t.Fatal(due, err)
		}
		due[0].Points = true
		if err := b.store.Unpark(t.Context(), due); err != nil {
			t.Fatal(err)
		}
		pointer := received(attribute.Pointer)
		pointer.MessageID, pointer.Key, pointer.Attributes = "another", "a", attribute.Set{attribute.Key: attribute.Text("a")}
		return b, pointer
	}
	kept := func(b *bench) store.Parked {
		kept, err := b.store.Kept(b.t.Context(), "a")
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			b.t.Fatal(err)
		}
		return kept
	}
	t.Run("it is sent once, and kept no more", func(t *testing.T) {
		t.Parallel()
		b, pointer := pointed(t)
		b.want(b.handle(pointer), consumer.Delete, store.Sent, 1)
		if b.sender.accepted[0].key != "a" || kept(b).Body != "" {
			t.Errorf("sent as %q, kept %d bytes", b.sender.accepted[0].key, len(kept(b).Body))
		}
		b.want(b.handle(pointer), consumer.Delete, store.Sent, 1)
	})
	t.Run("one that is parked again is whole", func(t *testing.T) {
		t.Parallel()
		b, pointer := pointed(t)
		b.sender.next = append(b.sender.next, refuses(provider.Transient, "503", false))
		pointer.MaxReceives, pointer.ReceiveCount = 5, 4
		b.want(b.handle(pointer), consumer.Park, store.Scheduled, 1)
		if got := kept(b); !strings.Contains(got.Body.Reveal(), "Hello") || got.Attributes != attributes.Encode() || got.GroupID != "tenant" {
			t.Errorf("kept %q, %q", got.Body.Reveal(), got.Attributes.Reveal())
		}
	})
	t.Run("of one that fails the dead letter points to the row, which keeps it", func(t *testing.T) {
		t.Parallel()
		b, pointer := pointed(t)
		b.sender.next = append(b.sender.next, refuses(provider.Permanent, "21211", false))
		for range 2 { // the copy may not have been made
			b.want(b.handle(pointer), consumer.DeadLetter, store.Failed, 1)
			if got := kept(b); !strings.Contains(got.Body.Reveal(), "Hello") {
				t.Errorf("kept %q", got.Body.Reveal())
			}
		}
	})
	t.Run("with the store away it comes again", func(t *testing.T) {
		t.Parallel()
		b, pointer := pointed(t)
		b.store.set("Kept", 1)
		b.want(b.handle(pointer), consumer.Retry, store.Scheduled, 0)
		b.want(b.handle(pointer), consumer.Delete, store.Sent, 1)
	})
	t.Run("of a person who is forgotten nothing is sent", func(t *testing.T) {
		t.Parallel()
		b, pointer := pointed(t)
		if _, err := b.store.Forget(t.Context(), person); err != nil {
			t.Fatal(err)
		}
		b.want(b.handle(pointer), consumer.Delete, store.Suppressed, 0)
	})
}
