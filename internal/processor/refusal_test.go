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

func credentials(alone bool) func(*fakeSender, *message.Message) error {
	return func(*fakeSender, *message.Message) error {
		return &provider.Error{Provider: "fake", Class: provider.Config, Credentials: true, Code: "20003", Message: "no", Alone: alone}
	}
}

// A key that expires on a Friday must cost no message its life until Monday.
func TestRefusedCredentialsStopTheChannelSpendNoTryAndAreTold(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for n := range 20 {
		b.sender.next = append(b.sender.next, credentials(false))
		got := b.handle(text(""))
		b.want(got, consumer.HandBack, store.Scheduled, n+1)
		if got.Pause == 0 || !got.Refused || !got.Limited || got.Reason != "20003" {
			t.Fatalf("got %+v", got)
		}
		b.clock.turn(longestOutage / 4)
	}
	if !strings.Contains(b.logs.String(), `reason="credentials refused" code=20003`) {
		t.Errorf("got log %s", b.logs)
	}
	b.sender.next = append(b.sender.next, credentials(false))
	b.handle(text(""))
	if told := b.Refusals(); len(told) != 1 || told[0] != "credentials refused since 2026-01-10T08:00:00Z: fake: credentials refused, code 20003: no" {
		t.Errorf("it is told: %q", told)
	}
	last := text("")
	last.MaxReceives, last.ReceiveCount = 5, 4
	b.sender.next = append(b.sender.next, credentials(false))
	b.want(b.handle(last), consumer.Park, store.Scheduled, 22)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 23)
	if told := b.Refusals(); len(told) != 0 {
		t.Errorf("after they were taken it is told: %q", told)
	}
}

// Firebase's key for Apple devices is one of its own: the other devices go on.
func TestAKeyOfOnePlatformThatIsRefusedSpendsNoTryOfItsDevices(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing)
	b.sender.next = append(b.sender.next, credentials(true))
	for n := range 20 {
		got := b.handle(push(2))
		if got.Action != consumer.Retry && got.Action != consumer.Park || b.event("a").Status != store.Scheduled || b.sender.sends != n+2 {
			t.Fatalf("got %+v after %d sends", got, b.sender.sends)
		}
		if got.Pause != 0 || !got.Refused {
			t.Fatalf("got %+v", got)
		}
		b.sender.next = append(b.sender.next, credentials(true))
		b.clock.turn(longestOutage / 4)
	}
	b.sender.next = nil
	b.want(b.handle(push(2)), consumer.Delete, store.Sent, 22)
	if why := b.event("a").SettledReason; why != "of 2 tokens 2 accepted" {
		t.Errorf("got %q", why)
	}
	if told := b.Refusals(); len(told) != 0 {
		t.Errorf("a quarter of a day after the last it is told: %q", told)
	}
}

// SES says AccessDenied of one message's own sender too, where the role is allowed
// ours alone.
func TestARefusalThatMayBeOneMessagesStopsNoOther(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	refusal := func(*fakeSender, *message.Message) error {
		return &provider.Error{Provider: "fake", Class: provider.Transient, Away: true, Alone: true, Credentials: true, Code: "AccessDenied"}
	}
	for n := range 20 {
		b.sender.next = append(b.sender.next, refusal)
		got := b.handle(text(""))
		if got.Pause != 0 || !got.Refused || b.event("a").Status != store.Scheduled || b.sender.sends != n+1 {
			t.Fatalf("got %+v after %d sends", got, b.sender.sends)
		}
		b.clock.turn(time.Hour)
	}
	if told := b.Refusals(); len(told) != 0 {
		t.Errorf("an hour later it is told: %q", told)
	}
	b.clock.turn(longestOutage)
	for range 8 {
		b.sender.next = append(b.sender.next, refusal)
		b.handle(text(""))
	}
	if got := b.event("a"); got.Status != store.Failed {
		t.Errorf("after a day and eight tries it is %s", got.Status)
	}
}

func TestATextInDoubtWaitsForCredentialsThatAreRefusedToItsLookup(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", true))
	b.handle(text(""))
	b.clock.turn(lapse)
	b.sender.findError = credentials(false)(nil, nil)
	for range 12 {
		if got := b.handle(text("")); got.Action != consumer.Park && got.Action != consumer.Retry || got.Pause == 0 || !got.Refused {
			t.Fatalf("got %+v", got)
		}
		b.clock.turn(longestOutage / 4)
	}
	if len(b.Refusals()) != 0 {
		t.Error("an old refusal is told")
	}
	b.sender.findError = nil
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
}

func TestARefusalThatNobodyTriesAgainIsForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, credentials(false))
	b.handle(text(""))
	b.clock.turn(refusalTold - time.Second)
	if told := b.Refusals(); len(told) != 1 {
		t.Errorf("got %q", told)
	}
	b.clock.turn(2 * time.Second)
	if told := b.Refusals(); len(told) != 0 {
		t.Errorf("got %q", told)
	}
}
