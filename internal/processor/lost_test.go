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

// A claim whose answer is lost holds, and nothing was sent under it: of that no
// provider must be asked, and for that no person.
func TestAClaimWhoseAnswerIsLostLeavesNoDoubt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.findError = provider.ErrNoLookup
	b.store.deaf = true
	got := b.handle(text(""))
	b.want(got, consumer.Retry, store.Processing, 0)
	if !got.Gate {
		t.Error("the gate is open")
	}
	if err := b.Unclaim(t.Context()); err != nil { // as the gate does when the store answers
		t.Fatal(err)
	}
	b.clock.turn(lapse)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
	if b.sender.lookups != 0 {
		t.Errorf("%d lookups", b.sender.lookups)
	}
}

func TestAWorkerThatDrainsGivesBackTheClaimItDoesNotHearOf(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	b.store.deaf = true
	b.want(b.Prepare(ctx, []consumer.Received{text("")})[0](ctx), consumer.HandBack, store.Scheduled, 0)
}

func TestASettlementWhoseAnswerIsLostIsDone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store.lose = map[string]int{"Settle": 2}
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
}

// What becomes of a device is in doubt only once a push may have left for it.
func TestAClaimOfDevicesWhoseAnswerIsLostLeavesNoDoubt(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing, func(o *Options) { o.Resend = func(*message.Message) bool { return false } })
	b.store.lose = map[string]int{"ClaimTokens": 2}
	b.want(b.handle(push(3)), consumer.Delete, store.Sent, 3)
	for _, device := range b.tokens() {
		if device.Tries != 1 {
			t.Errorf("%d tries were spent", device.Tries)
		}
	}
}

func TestAClaimOfDevicesWhoseAnswerNeverCameIsGivenBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing, func(o *Options) {
		o.Resend = func(*message.Message) bool { return false }
		o.StoreTimeout = 500 * time.Millisecond
	})
	b.store.lose = map[string]int{"ClaimTokens": -1}
	b.want(b.handle(push(3)), consumer.Retry, store.Processing, 0)
	b.store.lose = nil
	b.StoreTimeout = 10 * time.Second
	if err := b.Unclaim(t.Context()); err != nil { // as the gate does when the store answers
		t.Fatal(err)
	}
	b.clock.turn(lapse)
	b.want(b.handle(push(3)), consumer.Delete, store.Sent, 3)
}

func TestAWorkerThatDrainsGivesBackTheDevicesThatItDoesNotHearOf(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing, func(o *Options) { o.StoreTimeout = 500 * time.Millisecond })
	ctx, stop := context.WithCancel(t.Context())
	b.store.lose, b.store.done = map[string]int{"ClaimTokens": -1}, stop
	if got := b.Prepare(ctx, []consumer.Received{push(2)})[0](ctx); got.Action != consumer.Retry || b.sender.sends != 0 {
		t.Errorf("got %+v", got)
	}
	if got := devices(b); got[store.Released] != 2 {
		t.Errorf("got %v", got)
	}
}

func TestDevicesThatAreClaimedTooLateToBeWrittenToAreGivenBack(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		done func(b *bench, stop func())
		want consumer.Action
	}{
		"because the worker drains":      {func(_ *bench, stop func()) { stop() }, consumer.HandBack},
		"because the lease is near done": {func(b *bench, _ func()) { b.clock.turn(31 * time.Second) }, consumer.Retry},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, pushing, func(o *Options) { o.Resend = func(*message.Message) bool { return false } })
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			b.store.lose, b.store.done = map[string]int{"ClaimTokens": 1}, func() { tc.done(b, stop) }
			b.want(b.Prepare(ctx, []consumer.Received{push(2)})[0](ctx), tc.want, store.Scheduled, 0)
			for _, device := range b.tokens() {
				if device.Tries != 0 || device.Outcome != store.Released {
					t.Errorf("got %+v", device)
				}
			}
			b.want(b.handle(push(2)), consumer.Delete, store.Sent, 2)
		})
	}
}
