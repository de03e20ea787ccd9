package processor

import (
	"context"
	"testing"

	"github.com/novaura/acs-operator/internal/consumer"
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
