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

const lapse = 61 * time.Second

func TestWhatTheProviderHasIsNotSentAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", true))
	b.handle(text(""))
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
	if event := b.event("a"); event.ProviderID != "SM1" {
		t.Errorf("settled with %q", event.ProviderID)
	}
}

func TestWhatTheProviderHasNotIsSent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", false))
	b.handle(text(""))
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 2)
	if len(b.sender.accepted) != 1 || b.sender.lookups != 1 {
		t.Errorf("%d accepted after %d lookups", len(b.sender.accepted), b.sender.lookups)
	}
}

func TestTheProviderIsAskedSinceTheFirstDoubt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.Transient, "", false), refuses(provider.InDoubt, "", true))
	b.handle(text(""))
	b.clock.turn(time.Hour)
	doubt := b.clock.now()
	b.handle(text(""))
	b.clock.turn(lapse)
	b.sender.findError = errDown
	b.handle(text(""))
	b.clock.turn(lapse)
	b.handle(text(""))
	if want := doubt.Add(-clockSlack); !b.sender.since.Equal(want) {
		t.Errorf("asked since %v, want %v", b.sender.since, want)
	}
}

func TestAnOwnersDeathBeforeTheCallIsResolvedToo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.abandon(text(""))
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
	if b.sender.lookups != 1 {
		t.Errorf("%d lookups, want one before the send", b.sender.lookups)
	}
}

func TestASettlementThatIsLostIsResolved(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.StoreTimeout = time.Second })
	b.store.set("Settle", -1)
	b.want(b.handle(text("")), consumer.Retry, store.Processing, 1)
	b.store.set("Settle", 0)
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
}

func TestAClaimThatWasLostIsNotDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := b.worker("worker-2")
	b.sender.before = func() {
		b.sender.before = nil
		b.clock.turn(lapse) // the first worker hangs in its call, and another takes over
		if got := other.Prepare(t.Context(), []consumer.Received{text("")})[0](t.Context()); got.Action != consumer.Delete {
			t.Errorf("the other: got %+v", got)
		}
	}
	if got := b.handle(text("")); got.Action != consumer.Retry {
		t.Errorf("got %+v, want it to come again and find the row settled", got)
	}
}

func TestAMessageOfAnotherEventIsNotTakenForThisOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	twin := received(`{"id":"b","type":"message_send","to":"` + person + `","body":"Hello"}`)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", false))
	b.handle(text(""))
	b.handle(twin) // SM1 is b's
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 3)
	if event := b.event("a"); event.ProviderID != "SM2" {
		t.Errorf("a settled with %q", event.ProviderID)
	}
}

func TestOfTwinsInDoubtTheFirstTakesTheOldestText(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", true), refuses(provider.InDoubt, "", true))
	b.handle(text(""))
	b.clock.turn(time.Hour)
	twin := received(`{"id":"b","type":"message_send","to":"` + person + `","body":"Hello"}`)
	b.handle(twin)
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 2)
	b.handle(twin)
	if a, b2 := b.event("a"), b.event("b"); a.ProviderID != "SM1" || b2.ProviderID != "SM2" || b.sender.sends != 2 {
		t.Errorf("a has %q, b has %q, after %d sends", a.ProviderID, b2.ProviderID, b.sender.sends)
	}
}

// The list of the provider is away for most of a day: the text is neither held, nor
// sent again, nor has it spent a try when the list answers.
func TestALookupWithoutAnAnswerSpendsNoTry(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.MaxAttempts = 3 })
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", false))
	b.handle(text(""))
	b.clock.turn(lapse)
	b.sender.findError = &provider.Error{Provider: "fake", Class: provider.Transient}
	for range 40 {
		got := b.handle(text(""))
		if got.Action != consumer.Retry && got.Action != consumer.Park || b.event("a").Status != store.Processing {
			t.Fatalf("got %+v, row %s", got, b.event("a").Status)
		}
		b.clock.turn(30 * time.Minute)
	}
	if b.sender.sends != 1 {
		t.Fatalf("%d sends while nobody knows of the first", b.sender.sends)
	}
	b.sender.findError = nil
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 2)
}

// The claim ends with the lookup: whoever comes next need not wait for its lease.
func TestALookupWithoutAnAnswerIsRepeatedSoon(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", true))
	b.handle(text(""))
	b.clock.turn(lapse)
	b.sender.findError = errDown
	got := b.handle(text(""))
	b.want(got, consumer.Retry, store.Processing, 1)
	b.sender.findError = nil
	b.clock.turn(got.After)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
}

func TestALookupWithoutAnAnswerOnTheLastReceiveWaitsInItsRow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", true))
	b.handle(text(""))
	b.clock.turn(lapse)
	b.sender.findError = errDown
	last := text("")
	last.MaxReceives, last.ReceiveCount = 3, 2
	b.want(b.handle(last), consumer.Park, store.Processing, 1)
	b.sender.findError = nil
	b.clock.turn(time.Minute)
	copies := b.carry()
	if len(copies) != 1 {
		t.Fatalf("%d copies are due, want one", len(copies))
	}
	b.want(b.handle(copies[0]), consumer.Delete, store.Sent, 1)
}

func TestWhatCannotBeResolvedIsHeldForAPerson(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err     error
		lookups int
	}{
		"a provider that cannot be asked":       {provider.ErrNoLookup, 1},
		"one that does not answer, after a day": {&provider.Error{Provider: "fake", Class: provider.InDoubt}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.sender.findError = tc.err
			b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", false))
			b.handle(text(""))
			b.clock.turn(3 * longestOutage) // nobody looked: that is no silence of the provider's
			var got consumer.Outcome
			for range tc.lookups {
				got = b.handle(text(""))
				b.clock.turn(longestOutage / 2)
			}
			b.want(got, consumer.DeadLetter, store.InDoubt, 1)
			if why := b.event("a").Error; !strings.HasPrefix(why, "fake: in doubt") || !strings.Contains(why, "; then fake: in doubt") {
				t.Errorf("got %q, want the provider named", why)
			}
			if got.Reason != "in_doubt" || b.sender.lookups != tc.lookups {
				t.Errorf("got %+v after %d lookups", got, b.sender.lookups)
			}
			b.want(b.handle(text("")), consumer.DeadLetter, store.InDoubt, 1) // and stays held
		})
	}
}

// By the time a person looks, the provider has been asked for a day: what happened
// at first is what they need to know.
func TestAHeldMessageTellsWhyItCameInDoubt(t *testing.T) {
	t.Parallel()
	lost := func(*fakeSender, *message.Message) error {
		return &provider.Error{Provider: "fake", Class: provider.InDoubt, Code: "421", Message: "connection lost after DATA"}
	}
	for name, tc := range map[string]struct {
		prepare func(*bench)
		message consumer.Received
		want    string
	}{
		"a lost connection":              {func(b *bench) { b.sender.next = append(b.sender.next, lost); b.handle(text("")) }, text(""), "connection lost after DATA; then "},
		"a worker that died":             {func(b *bench) { b.abandon(text("")) }, text(""), lostWorker + "; then "},
		"a push":                         {func(b *bench) { b.sender.next = append(b.sender.next, lost) }, push(1), "connection lost after DATA"},
		"a push that a dead worker sent": {func(b *bench) { b.dieWithItsAnswers(1) }, push(1), lostWorker},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, pushing, func(o *Options) { o.Resend = func(*message.Message) bool { return false } })
			b.sender.findError = provider.ErrNoLookup
			tc.prepare(b)
			b.clock.turn(2 * time.Minute)
			if got := b.handle(tc.message); got.Action != consumer.DeadLetter || b.event("a").Status != store.InDoubt {
				t.Errorf("got %+v", got)
			}
			if why := b.event("a").Error; !strings.Contains(why, tc.want) {
				t.Errorf("the event says %q", why)
			}
		})
	}
	b := newBench(t)
	b.sender.next = append(b.sender.next, lost)
	b.handle(text(""))
	if a, err := b.store.Attempts(t.Context(), "a"); err != nil || len(a) != 1 || !a[0].FinishedAt.IsZero() || a[0].ErrorCode != "421" || !strings.Contains(a[0].Error, "connection lost after DATA") || a[0].Provider != "fake" {
		t.Errorf("before anybody asks, its attempt says %+v", a)
	}
}

// Texts that say the same to one person wait for each other for long: lookups that
// fail now and then in between add up to nothing.
func TestTheDayWithoutAnAnswerBeginsAfterTheLastAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", true))
	b.handle(text(""))
	b.clock.turn(lapse)
	fail := func() {
		t.Helper()
		b.sender.findError = errDown
		b.want(b.handle(text("")), consumer.Retry, store.Processing, 1)
		b.sender.findError = nil
		b.clock.turn(longestOutage)
	}
	twin := received(`{"id":"b","type":"message_send","to":"` + person + `","body":"Hello"}`)
	b.worker("worker-2", func(o *Options) { o.Lease = longestOutage + lapse }).Prepare(t.Context(), []consumer.Received{twin}) // which is about to be sent
	fail()
	b.want(b.handle(text("")), consumer.Park, store.Processing, 1)
	fail()
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
}

func TestADrainDuringALookupKeepsTheDoubt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.abandon(text(""))
	b.clock.turn(lapse)
	job := b.Prepare(t.Context(), []consumer.Received{text("")})[0]
	b.store.set("Attempts", 1)
	b.want(job(t.Context()), consumer.Retry, store.Processing, 0)
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
	if b.sender.lookups != 1 {
		t.Errorf("%d lookups, want the doubt to outlive a store that did not answer", b.sender.lookups)
	}
}

func TestADeliveryStatusThatCameDuringTheDoubtIsApplied(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next, b.sender.status = append(b.sender.next, refuses(provider.InDoubt, "", true)), "undelivered"
	b.handle(text(""))
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Undelivered, 1)
}

func TestASuppressionThatIsNotStoredIsNotForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.StoreTimeout = time.Second })
	b.store.set("Suppress", -1)
	b.sender.next = append(b.sender.next, refuses(provider.Suppress, "21610", false), refuses(provider.Suppress, "21610", false))
	b.want(b.handle(text("")), consumer.Retry, store.Processing, 1)
	b.store.set("Suppress", 0)
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Suppressed, 2)
}

func TestAMessageThatNoTryIsAnsweredForIsPutAsideInTheEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.MaxAttempts = 3 })
	for range 10 {
		b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", false))
	}
	for range 3 {
		b.handle(text(""))
		b.clock.turn(lapse)
	}
	outcome := b.handle(text(""))
	if event := b.event("a"); outcome.Action != consumer.DeadLetter || event.Status != store.Failed || event.ErrorCode != "not_accepted" {
		t.Errorf("got %+v, row %s %s", outcome, event.Status, event.ErrorCode)
	}
	if sends := 10 - len(b.sender.next); sends != 3 {
		t.Errorf("%d sends, want 3", sends)
	}
}

func TestATextThatAnotherWaitsForIsNotTaken(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", false)) // a: not accepted
	b.handle(text(""))
	b.clock.turn(lapse)
	other := b.worker("worker-2")
	twin := received(`{"id":"b","type":"message_send","to":"` + person + `","body":"Hello"}`)
	b.sender.after = func() { // b's text is accepted, and its answer on its way: a must not settle with it
		b.sender.after = nil
		if got := other.Prepare(t.Context(), []consumer.Received{text("")})[0](t.Context()); got.Action != consumer.Park {
			t.Errorf("a: got %+v, want it to wait for b where that costs no receive", got)
		}
	}
	b.handle(twin)
	b.clock.turn(3 * firstWait)
	copies := b.carry()
	if len(copies) != 1 {
		t.Fatalf("%d copies are due, want a's", len(copies))
	}
	b.want(b.handle(copies[0]), consumer.Delete, store.Sent, 3)
	if a, other := b.event("a"), b.event("b"); a.ProviderID == other.ProviderID {
		t.Errorf("both are settled with %s", a.ProviderID)
	}
}

func TestAnAnswerThatComesAfterTheLeaseIsNotShared(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", false)) // a: not accepted
	b.handle(text(""))
	other := b.worker("worker-2")
	b.sender.after = func() {
		b.sender.after = nil
		b.clock.turn(2 * lapse) // b's worker was asleep, and a is resolved meanwhile: with b's text
		if got := other.Prepare(t.Context(), []consumer.Received{text("")})[0](t.Context()); got.Action != consumer.Delete {
			t.Errorf("a: got %+v", got)
		}
	}
	twin := received(`{"id":"b","type":"message_send","to":"` + person + `","body":"Hello"}`)
	b.handle(twin)
	b.handle(twin)
	b.clock.turn(lapse)
	b.handle(twin)
	if a, other := b.event("a"), b.event("b"); a.ProviderID == other.ProviderID || other.Status != store.Sent || len(b.sender.accepted) != 2 {
		t.Errorf("a has %s, b %s has %s, %d texts", a.ProviderID, other.Status, other.ProviderID, len(b.sender.accepted))
	}
}

func TestWhatMayBeResentIsNotHeld(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.Resend = func(*message.Message) bool { return true } })
	b.sender.findError = provider.ErrNoLookup
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", false))
	b.handle(text(""))
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 2)
}

func TestACallbackThatNamesOurIDSettlesTheDoubt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", true))
	b.handle(text(""))
	b.clock.turn(lapse)
	callback := received("MessageSid=SM1&MessageStatus=delivered&acs_id=a")
	callback.MessageID = "callback"
	if got := b.handle(callback); got.Action != consumer.Delete {
		t.Fatalf("got %+v", got)
	}
	b.want(b.handle(text("")), consumer.Delete, store.Delivered, 1)
	if event := b.event("a"); event.ProviderID != "SM1" || b.sender.lookups != 0 {
		t.Errorf("settled with %q after %d lookups", event.ProviderID, b.sender.lookups)
	}
}
