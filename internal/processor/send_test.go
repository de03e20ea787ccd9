package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

func TestAnAcceptedMessageIsSentAndDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
	event := b.event("a")
	if event.ProviderID != "SM1" || event.Provider != "fake" || event.Segments != 1 || event.Queue != "sms-events" ||
		event.To.Reveal() != person || event.SQSMessageID != "sqs-1" || event.BodyHash == "" || event.EnqueuedAt.IsZero() {
		t.Errorf("got row %+v", event)
	}
	if !strings.Contains(b.logs.String(), `msg="Successfully processed" id=a channel=sms queue=sms-events attempt=1`) {
		t.Errorf("got log %s", b.logs)
	}
}

func TestASecondDeliveryHasNoEffect(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.handle(text(""))
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
}

func TestTwoCopiesInOneBatchHaveOneEffect(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	jobs := b.Prepare(t.Context(), []consumer.Received{text(""), text("")})
	second, first := jobs[1](t.Context()), jobs[0](t.Context())
	b.want(first, consumer.Delete, store.Sent, 1)
	if second.Action != consumer.Retry || second.After != 2*time.Second {
		t.Errorf("the copy: got %+v, want it soon again", second)
	}
}

func TestAClaimOfALiveWorkerIsLeftToIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.abandon(text(""))
	b.clock.turn(20 * time.Second)
	for receives, want := range map[int]time.Duration{
		1: 2 * time.Second, 2: 4 * time.Second, 3: 41 * time.Second, // what is left of the lease, and a second
	} {
		again := text("")
		again.ReceiveCount = receives
		got := b.handle(again)
		b.want(got, consumer.Retry, store.Processing, 0)
		if got.After != want {
			t.Errorf("received %d times, it comes again after %v, want %v", receives, got.After, want)
		}
	}
}

func TestRulesBeforeASend(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		more   string
		setUp  func(*bench)
		action consumer.Action
		status store.Status
		after  time.Duration
	}{
		"a suppressed recipient gets nothing": {
			setUp:  func(b *bench) { _ = b.store.Suppress(b.t.Context(), "sms", person, "STOP") },
			action: consumer.Delete, status: store.Suppressed,
		},
		"what came too late is not sent":      {more: `,"expires_at":"2026-01-05T08:00:00Z"`, action: consumer.Delete, status: store.Expired},
		"what is due soon waits on its queue": {more: `,"not_before":"2026-01-05T08:01:00Z"`, action: consumer.Retry, status: store.Scheduled, after: time.Minute},
		"what is due later waits in its row":  {more: `,"not_before":"2026-02-05T08:10:00Z"`, action: consumer.Park, status: store.Scheduled},
		"suppression comes before any waiting": {
			more:   `,"not_before":"2026-01-05T08:10:00Z"`,
			setUp:  func(b *bench) { _ = b.store.Suppress(b.t.Context(), "sms", person, "STOP") },
			action: consumer.Delete, status: store.Suppressed,
		},
		"over the rate it waits": {
			setUp:  func(b *bench) { b.Limiters = map[message.Channel]Limiter{message.SMS: full{}} },
			action: consumer.Retry, status: store.Scheduled, after: 2 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if tc.setUp != nil {
				tc.setUp(b)
			}
			got := b.handle(text(tc.more))
			b.want(got, tc.action, tc.status, 0)
			if got.After != tc.after {
				t.Errorf("comes again after %v, want %v", got.After, tc.after)
			}
		})
	}
}

// slow is a limiter whose turn comes after a while, in which something happens.
type slow func()

func (s slow) Wait(context.Context, int) error { s(); return nil }

func TestWhatHappensWhileASendWaitsForItsTurnCounts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		more   string
		happen func(*bench)
		action consumer.Action
		status store.Status
		sends  int
	}{
		"nothing": {happen: func(*bench) {}, action: consumer.Delete, status: store.Sent, sends: 1},
		"the recipient opts out": {
			happen: func(b *bench) { _ = b.store.Suppress(b.t.Context(), "sms", person, "STOP") },
			action: consumer.Delete, status: store.Suppressed,
		},
		"it expires": {more: `,"expires_at":"2026-01-05T08:00:02Z"`, happen: func(*bench) {}, action: consumer.Delete, status: store.Expired},
		"the store goes away": {
			happen: func(b *bench) { b.store.set("SuppressionReason", 1) }, action: consumer.Retry, status: store.Scheduled,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.Limiters = map[message.Channel]Limiter{message.SMS: slow(func() { b.clock.turn(3 * time.Second); tc.happen(b) })}
			b.want(b.handle(text(tc.more)), tc.action, tc.status, tc.sends)
		})
	}
}

// A provider's list may take 25 seconds to come.
func TestWhoOptsOutWhileTheProviderIsAskedGetsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", false))
	b.handle(text(""))
	b.clock.turn(lapse)
	b.sender.asked = func() {
		b.clock.turn(5 * time.Second)
		_ = b.store.Suppress(b.t.Context(), "sms", person, "STOP")
	}
	b.want(b.handle(text("")), consumer.Delete, store.Suppressed, 1)
}

// full is a limiter whose turn is too far away.
type full struct{}

func (full) Wait(context.Context, int) error { return errors.New("would exceed context deadline") }

func TestASendWaitsForItsTimeAndGoes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.handle(text(`,"not_before":"2026-01-05T08:10:00Z"`))
	b.clock.turn(10 * time.Minute)
	b.want(b.handle(text(`,"not_before":"2026-01-05T08:10:00Z"`)), consumer.Delete, store.Sent, 1)
}

func TestWhatARefusalComesTo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		class  provider.Class
		code   string
		action consumer.Action
		status store.Status
		after  time.Duration
		pause  time.Duration
		failed bool
	}{
		"permanent: failed, dead-lettered":            {class: provider.Permanent, code: "21211", action: consumer.DeadLetter, status: store.Failed, failed: true},
		"suppress: suppressed, deleted":               {class: provider.Suppress, code: "21610", action: consumer.Delete, status: store.Suppressed},
		"config: handed back, the queue rests":        {class: provider.Config, code: "20003", action: consumer.HandBack, status: store.Scheduled, pause: 30 * time.Second, failed: true},
		"throttled: retried soon, the queue rests":    {class: provider.Throttled, code: "20429", action: consumer.Retry, status: store.Scheduled, after: 2 * time.Second, pause: time.Second},
		"transient: retried with backoff":             {class: provider.Transient, code: "20503", action: consumer.Retry, status: store.Scheduled, after: time.Second, failed: true},
		"in doubt: the row stays, until its lease is": {class: provider.InDoubt, action: consumer.Retry, status: store.Processing, after: 61 * time.Second, failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.sender.next = append(b.sender.next, refuses(tc.class, tc.code, false))
			got := b.handle(text(""))
			b.want(got, tc.action, tc.status, 1)
			if got.After != tc.after || got.Pause != tc.pause || got.Failed != tc.failed {
				t.Errorf("got %+v", got)
			}
			if event := b.event("a"); event.ErrorCode != cmp.Or(tc.code, "in_doubt") || event.Error == "" && tc.class != provider.Suppress {
				t.Errorf("the row has code %q and error %q, want %q", event.ErrorCode, event.Error, tc.code)
			}
			if tc.failed != strings.Contains(b.logs.String(), `msg="Error processing"`) && tc.class != provider.Suppress {
				t.Errorf("got log %s", b.logs)
			}
		})
	}
}

func TestWhoOptedOutAtTheProviderIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.Suppress, "21610", false))
	b.handle(text(""))
	if why, err := b.store.SuppressionReason(t.Context(), "sms", person); why != "fake 21610" || err != nil {
		t.Errorf("suppressed for %q, %v", why, err)
	}
}

func TestAThrottledSendWaitsAsLongAsTheProviderSays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, func(*fakeSender, *message.Message) error {
		return &provider.Error{Provider: "fake", Class: provider.Throttled, RetryAfter: 40 * time.Second}
	})
	if got := b.handle(text("")); got.After != 41*time.Second || got.Pause != 30*time.Second {
		t.Errorf("got %+v", got)
	}
}

func TestTransientRefusalsAreRetriedEverLaterAndThenFail(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.MaxAttempts = 4 })
	var waits []time.Duration
	for i := range 4 {
		b.sender.next = append(b.sender.next, refuses(provider.Throttled, "20429", false), refuses(provider.Transient, "20503", false))
		b.want(b.handle(text("")), consumer.Retry, store.Scheduled, 2*i+1) // costs no attempt
		got := b.handle(text(""))
		if i == 3 {
			b.want(got, consumer.DeadLetter, store.Failed, 8)
			break
		}
		waits = append(waits, got.After)
	}
	if fmt.Sprint(waits) != "[1s 2s 4s]" {
		t.Errorf("waits were %v", waits)
	}
}

func TestBackoffIsBounded(t *testing.T) {
	t.Parallel()
	p := New(Options{Random: func() float64 { return 1 }})
	for tries, want := range map[int]time.Duration{
		0: 2 * time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 9: 512 * time.Second, 10: 15 * time.Minute, 1000: 15 * time.Minute,
	} {
		if got := p.backoff(tries); got != want {
			t.Errorf("after %d tries: %v, want %v", tries, got, want)
		}
	}
}

func TestAFailedMessageThatComesAgainIsDeadLetteredAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.Permanent, "21211", false))
	b.handle(text(""))
	got := b.handle(text("")) // its worker died before the copy was made
	b.want(got, consumer.DeadLetter, store.Failed, 1)
	if got.Reason != "21211" {
		t.Errorf("got reason %q", got.Reason)
	}
}

func TestWhatFailedAfterItWasSentIsNoDeadLetter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.handle(text(""))
	if err := b.store.UpdateStatus(t.Context(), store.StatusUpdate{ProviderID: "SM1", Status: store.Failed}); err != nil {
		t.Fatal(err)
	}
	b.want(b.handle(text("")), consumer.Delete, store.Failed, 1)
}

func TestAnIDForOtherContentIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.handle(text(""))
	second := received(`{"id":"a","type":"message_send","to":"` + person + `","body":"Other"}`)
	second.MessageID = "sqs-2"
	got := b.handle(second)
	b.want(got, consumer.DeadLetter, store.Sent, 1)
	if event := b.event("sqs-2"); got.Reason != "id_reuse" || event.Status != store.Failed || event.ErrorCode != "id_reuse" {
		t.Errorf("got %+v, row %+v", got, event)
	}
}

func TestWithoutASenderASendIsHandedBackUnclaimed(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.Senders = nil })
	got := b.handle(text(""))
	b.want(got, consumer.HandBack, "", 0)
	if got.Pause == 0 || !strings.Contains(b.logs.String(), "TWILIO_ACCOUNT_SID") {
		t.Errorf("got %+v and log %s", got, b.logs)
	}
}

func TestWithTheStoreDownNothingIsSentAndNothingDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store.set("Claim", -1)
	got := b.handle(text(""))
	b.want(got, consumer.Retry, "", 0)
	if got.Pause == 0 || got.After == 0 {
		t.Errorf("got %+v, want a rest", got)
	}
}

func TestADrainBeforeTheCallHandsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	job := b.Prepare(t.Context(), []consumer.Received{text("")})[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.want(job(ctx), consumer.HandBack, store.Scheduled, 0)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1) // and nothing is in doubt
	if b.sender.lookups != 0 {
		t.Errorf("%d lookups", b.sender.lookups)
	}
}

func TestADrainDuringTheCallStillSettles(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.sender.before = cancel
	b.want(b.Prepare(ctx, []consumer.Received{text("")})[0](ctx), consumer.Delete, store.Sent, 1)
}

func TestACallThatTheDrainCutOffIsInDoubt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.sender.before = cancel
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", true))
	b.want(b.Prepare(ctx, []consumer.Received{text("")})[0](ctx), consumer.Retry, store.Processing, 1)
}

func TestASettlementIsRepeatedUntilTheStoreTakesIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store.set("Settle", 2)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, 1)
}

func TestNoCallBeginsLateInTheLease(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	job := b.Prepare(t.Context(), []consumer.Received{text("")})[0]
	b.clock.turn(30 * time.Second) // 30 s are left: as long as the provider may take to settle
	b.want(job(t.Context()), consumer.Retry, store.Scheduled, 0)
}

func TestAShortLeaseIsRaised(t *testing.T) {
	t.Parallel()
	if p := New(Options{Lease: time.Second, ProviderTimeout: 40 * time.Second}); p.Lease != 80*time.Second {
		t.Errorf("the lease is %v", p.Lease)
	}
}

// away is a provider that nobody can reach.
func away(*fakeSender, *message.Message) error {
	return &provider.Error{Provider: "fake", Class: provider.Transient, Away: true, Message: "connection refused"}
}

// An outage of a provider is longer than MaxAttempts last: it must not empty the
// queue into the dead-letter queue.
func TestAProviderThatIsAwaySpendsNoTry(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		received consumer.Received
		with     func(*Options)
	}{"a text": {text(""), func(*Options) {}}, "a push": {push(1), pushing}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, one.with, func(o *Options) { o.MaxAttempts, o.Random = 2, func() float64 { return 0.999 } })
			for range 12 {
				b.sender.next = append(b.sender.next, away)
			}
			var got consumer.Outcome
			for n := range 12 {
				got = b.handle(one.received)
				if got.Action != consumer.Retry && got.Action != consumer.Park || got.After > 2*time.Minute {
					t.Fatalf("look %d: got %+v", n+1, got)
				}
				b.clock.turn(2 * time.Minute)
			}
			b.want(b.handle(one.received), consumer.Delete, store.Sent, 13)
			for range 9 {
				b.sender.next = append(b.sender.next, away)
			}
			again := one.received
			again.Body = strings.Replace(again.Body, `"id":"a"`, `"id":"b"`, 1)
			again.MessageID = "again"
			for range 3 {
				b.handle(again)
				b.clock.turn(2 * time.Minute)
			}
			b.clock.turn(longestOutage)
			if first, second := b.handle(again), b.handle(again); first.Action == consumer.DeadLetter || second.Action != consumer.DeadLetter {
				t.Errorf("after a day: %+v, then %+v, want its tries spent", first, second)
			}
		})
	}
}
