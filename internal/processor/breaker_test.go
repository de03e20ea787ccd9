package processor

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

var smsQueue = consumer.Queue{Name: "sms-events", Channel: "sms"}

// numbered is a text of its own id, to a person of its own.
func numbered(i int) consumer.Received {
	r := received(fmt.Sprintf(`{"id":"n%d","type":"message_send","to":"+14155551%03d","body":"Hello"}`, i, i))
	r.MessageID = fmt.Sprint("sqs-n", i)
	return r
}

// always answers every call to come with an error; nil accepts.
func (b *bench) always(err *provider.Error) {
	b.sender.mu.Lock()
	defer b.sender.mu.Unlock()
	b.sender.always = err
}

// outage is a provider that fails each call until its breaker is open.
func (b *bench) outage(err *provider.Error) {
	b.t.Helper()
	b.always(err)
	for i := range breakerCalls {
		b.handle(numbered(i))
	}
	if n, _ := b.Admit(smsQueue, 10); n != 0 {
		b.t.Fatalf("%d messages are admitted when %d calls have failed", n, breakerCalls)
	}
}

var (
	down     = &provider.Error{Provider: "fake", Class: provider.InDoubt, HTTPStatus: 500, Code: "20500", Message: "no"}
	errAway  = &provider.Error{Provider: "fake", Class: provider.Transient, Away: true, Err: errors.New("connection refused")}
	throttle = &provider.Error{Provider: "fake", Class: provider.Throttled, HTTPStatus: 429, Code: "20429"}
	wrong    = &provider.Error{Provider: "fake", Class: provider.Permanent, HTTPStatus: 400, Code: "21211"}
)

func TestABreakerOpensByTheProvidersFaultAlone(t *testing.T) {
	t.Parallel()
	refusal := func(class provider.Class, change func(*provider.Error)) *provider.Error {
		e := &provider.Error{Provider: "fake", Class: class, HTTPStatus: 400, Code: "x"}
		change(e)
		return e
	}
	same := func(*provider.Error) {}
	for name, tc := range map[string]struct {
		err    *provider.Error
		failed int // of each ten calls
		before int // calls that are accepted before
		every  time.Duration
		open   bool
	}{
		"HTTP 500":                        {err: down, failed: 10, open: true},
		"no connection":                   {err: errAway, failed: 10, open: true},
		"HTTP 500 to six of ten":          {err: down, failed: 6, open: true},
		"HTTP 500 to three of ten":        {err: down, failed: 3},
		"HTTP 500, after much success":    {err: down, failed: 10, before: 500, open: true},
		"HTTP 500, one call in 2 s":       {err: down, failed: 10, every: 2 * time.Second},
		"throttled":                       {err: throttle, failed: 10},
		"the message is not valid":        {err: wrong, failed: 10},
		"the recipient is gone":           {err: refusal(provider.Suppress, same), failed: 10},
		"the credentials are refused":     {err: refusal(provider.Config, func(e *provider.Error) { e.Credentials = true }), failed: 10},
		"one mailbox puts mails off":      {err: refusal(provider.Transient, func(e *provider.Error) { e.HTTPStatus, e.Code = 0, "450 4.7.1" }), failed: 10},
		"one recipient's server is away":  {err: refusal(provider.Transient, func(e *provider.Error) { e.Away, e.Alone = true, true }), failed: 10},
		"a server that shuts down":        {err: refusal(provider.Transient, func(e *provider.Error) { e.Away = true }), failed: 10, open: true},
		"a server that ends its dialogue": {err: refusal(provider.Transient, func(e *provider.Error) { e.HTTPStatus, e.Code = 0, "" }), failed: 10, open: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for range tc.before {
				b.calls.answered("sms-events", circuit{message.SMS, "fake"}, b.clock.now(), time.Second, false, nil)
			}
			for i := range 3 * breakerCalls {
				b.always(nil)
				if i%10 < tc.failed {
					b.always(tc.err)
				}
				b.handle(numbered(i))
				b.clock.turn(tc.every)
			}
			n, _ := b.Admit(smsQueue, 10)
			if open := b.Breakers(message.SMS)["fake"]; open != tc.open || (n == 0) != tc.open {
				t.Errorf("got open %v and %d messages admitted, want open %v", open, n, tc.open)
			}
		})
	}
}

func TestWhileABreakerIsOpenNothingIsSentAndNoTryIsSpent(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]*provider.Error{"in doubt": down, "away": errAway} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.outage(err)
			got := b.handle(text(""))
			b.want(got, consumer.Retry, store.Scheduled, breakerCalls)
			if got.Failed || !got.Limited || got.After < probeEvery/2 || got.After > probeEvery {
				t.Errorf("got %+v", got)
			}
			if e := b.event("a"); e.ErrorCode != providerFailing || !strings.Contains(e.Error, "fake fails") {
				t.Errorf("the row says %q: %q", e.ErrorCode, e.Error)
			}
			last := text("")
			last.MaxReceives, last.ReceiveCount = 5, 4
			if got := b.handle(last); got.Action != consumer.Park || b.sender.sends != breakerCalls {
				t.Errorf("a message whose receives are nearly spent: got %+v", got)
			}
			b.clock.turn(time.Hour)
			b.always(nil)
			b.want(b.handle(text("")), consumer.Delete, store.Sent, breakerCalls+1)
		})
	}
}

func TestOneProbeEveryTenSecondsClosesTheBreaker(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.outage(down)
	for i := range 3 {
		b.clock.turn(probeEvery - time.Millisecond)
		if n, again := b.Admit(smsQueue, 10); n != 0 || again > admitAgain {
			t.Fatalf("before a probe is due: %d are admitted, again after %s", n, again)
		}
		b.clock.turn(time.Millisecond)
		if n, _ := b.Admit(smsQueue, 10); n != 1 {
			t.Fatalf("a probe is due: %d are admitted", n)
		}
		b.handle(numbered(100 + i))
		if n, _ := b.Admit(smsQueue, 10); n != 0 || b.sender.sends != breakerCalls+1+i {
			t.Fatalf("after the probe: %d are admitted, %d sends", n, b.sender.sends)
		}
	}
	b.clock.turn(probeEvery)
	b.always(nil)
	if got := b.handle(text("")); got.Action != consumer.Delete {
		t.Errorf("the probe: got %+v", got)
	}
	if n, _ := b.Admit(smsQueue, 10); n != 10 {
		t.Errorf("%d are admitted when the provider works again", n)
	}
	for line, want := range map[string]int{
		"circuit breaker opened": 1, "failed_percent=100 code=20500 http_status=500": 1, "circuit breaker closed": 1, "was_open=40s": 1,
	} {
		if got := strings.Count(b.logs.String(), line); got != want {
			t.Errorf("the log says %q %d times, want %d", line, got, want)
		}
	}
}

func TestAMessageThatWasNoProbeIsFollowedByAnotherAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.outage(down)
	b.clock.turn(probeEvery)
	for range 5 {
		if n, _ := b.Admit(smsQueue, 10); n != 1 {
			t.Fatalf("%d are admitted", n)
		}
		if n, again := b.Admit(smsQueue, 10); n != 0 || again != admitEvery {
			t.Fatalf("at the same moment: %d are admitted, again after %s", n, again)
		}
		b.handle(received(`{"type":"message_received","from":"` + person + `","to":"` + ours + `","body":"Hi","provider_id":"SM9"}`))
		b.clock.turn(admitEvery)
	}
}

// An outage of hours, met by one message alone: it is the probe, each time.
func TestAProbeSpendsNoTryHoweverLongTheOutage(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]*provider.Error{"in doubt": down, "transient": {Provider: "fake", Class: provider.Transient, HTTPStatus: 503, Code: "busy"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *Options) { o.MaxAttempts = 3 })
			b.outage(err)
			for i := range 30 {
				b.clock.turn(lapse + probeEvery)
				if got := b.handle(text("")); got.Action != consumer.Retry && got.Action != consumer.Park {
					t.Fatalf("probe %d: got %+v, %s", i, got, b.event("a").Error)
				}
			}
			b.always(nil)
			b.clock.turn(longestDelay)
			b.want(b.handle(text("")), consumer.Delete, store.Sent, breakerCalls+31)
		})
	}
}

func TestWhatIsInDoubtStaysSoWhileTheBreakerIsOpen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "20500", true))
	b.handle(text("")) // the provider has it, and its answer was lost
	b.clock.turn(lapse)
	b.outage(down)
	lookups := b.sender.lookups
	b.want(b.handle(text("")), consumer.Retry, store.Processing, breakerCalls+1)
	if b.sender.lookups != lookups {
		t.Error("a provider that fails was asked")
	}
	b.clock.turn(probeEvery)
	b.want(b.handle(text("")), consumer.Delete, store.Sent, breakerCalls+1) // found, not sent again
}

func TestAPushProviderThatFailsDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	apple := &fakeSender{clock: b.clock, name: "apple"}
	b.Senders[message.Push] = provider.Platforms{FCM: b.sender, APNs: apple}
	queue := consumer.Queue{Name: "push-events", Channel: "push"}
	send := func(id, platform string) consumer.Outcome {
		r := received(`{"id":"` + id + `","type":"message_send","body":"Hello","platform":"` + platform + `","tokens":["t1","t2","t3"]}`)
		r.Queue = queue
		return b.handle(r)
	}
	b.always(errAway)
	for i := range breakerCalls {
		send(fmt.Sprint("a", i), "android")
	}
	sends := b.sender.sends
	if got := send("late", "android"); got.Action != consumer.Retry || got.Failed || b.sender.sends != sends {
		t.Errorf("a push of the provider that fails: got %+v, %d sends", got, b.sender.sends-sends)
	}
	if got := send("i1", "ios"); got.Action != consumer.Delete || apple.sends != 3 {
		t.Errorf("a push of the other: got %+v, %d sends", got, apple.sends)
	}
	if n, _ := b.Admit(queue, 10); n != 10 {
		t.Errorf("%d are admitted", n)
	}
	b.clock.turn(probeEvery)
	if send("late", "android"); b.sender.sends != sends+1 {
		t.Errorf("the probe was written to %d devices, want one", b.sender.sends-sends)
	}
	b.clock.turn(probeEvery)
	b.always(nil)
	if got := send("late", "android"); got.Action != consumer.Delete {
		t.Errorf("when it works again: got %+v", got)
	}
}

func TestAWorkerSaysHowProvidersAndClaimsFare(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sender.before = func() { b.clock.turn(100 * time.Millisecond) }
	began := b.clock.now()
	b.handle(numbered(50))
	const failed = breakerCalls - 4 // with the four others that makes the fewest calls
	for _, err := range []*provider.Error{throttle, wrong, {Provider: "fake", Class: provider.Config, HTTPStatus: 401, Code: "20003", Credentials: true}} {
		b.always(err)
		b.handle(numbered(60 + b.sender.sends))
	}
	b.outage(down)
	providers, claims := b.Standing(smsQueue)
	want := []store.ProviderReport{{
		Provider: "fake", Calls: breakerCalls, Failed: failed, Mean: 100 * time.Millisecond,
		FailedAt: began.Add(500 * time.Millisecond), RejectedAt: began.Add(400 * time.Millisecond), OpenedAt: began.Add(breakerCalls * 100 * time.Millisecond),
		Failures: []store.Failure{
			{Class: "in doubt", Code: "20500", HTTPStatus: 500, Count: failed, Message: "no", ProviderFault: true},
			{Class: "config", Code: "20003", HTTPStatus: 401, Count: 1, Credentials: true},
			{Class: "permanent", Code: "21211", HTTPStatus: 400, Count: 1}, {Class: "throttled", Code: "20429", HTTPStatus: 429, Count: 1},
		},
	}}
	if diff := cmp.Diff(want, providers, cmpopts.SortSlices(func(a, b store.Failure) bool { return a.Class < b.Class })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if claims.Calls != breakerCalls+4 || claims.Failed != 0 || !claims.FailedAt.IsZero() {
		t.Errorf("claims: got %+v", claims)
	}
	totals := b.Totals("sms-events")
	if diff := cmp.Diff(map[string]map[string]int{"fake": {"ok": 1, "throttled": 1, "permanent": 1, "config": 1, "in_doubt": failed}}, totals.Calls); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	b.clock.turn(2 * time.Minute)
	if providers, _ := b.Standing(smsQueue); len(providers) != 1 || providers[0].Calls != 0 || providers[0].OpenedAt.IsZero() || len(providers[0].Failures) != 1 {
		t.Errorf("an open breaker without a call for minutes: got %+v", providers)
	}
}

func TestClaimsThatFailAreReportedUntilOneWorks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.store.set("Claim", 2)
	b.handle(text(""))
	since := b.clock.now()
	b.clock.turn(10 * time.Second)
	b.handle(text(""))
	_, claims := b.Standing(smsQueue)
	if claims.Calls != 2 || claims.Failed != 2 || claims.Error != errDown.Error() || !claims.FailedAt.Equal(since) {
		t.Errorf("got %+v", claims)
	}
	if lines := b.Unclaimable(); len(lines) != 1 || !strings.Contains(lines[0], "since 2026-01-05T08:00:00Z") || !strings.Contains(lines[0], errDown.Error()) {
		t.Errorf("got %q", lines)
	}
	for range 10 {
		b.clock.turn(20 * time.Second)
		b.Unwritable("sms-events", errDown) // nothing is received
	}
	if _, claims := b.Standing(smsQueue); !claims.FailedAt.Equal(since) || len(b.Unclaimable()) != 1 {
		t.Errorf("while the store takes no writes: got %+v", claims)
	}
	b.clock.turn(2 * time.Minute)
	if len(b.Unclaimable()) != 0 {
		t.Errorf("an idle worker, long after: got %q", b.Unclaimable())
	}
	b.store.set("Claim", 1)
	b.handle(text(""))
	b.handle(text(""))
	if _, claims := b.Standing(smsQueue); !claims.FailedAt.IsZero() || len(b.Unclaimable()) != 0 {
		t.Errorf("after one that worked: got %+v", claims)
	}
}

func TestFailuresOfOneKindAreCountedAsOneWhateverOurPortWas(t *testing.T) {
	t.Parallel()
	of := func(port int) store.Failure {
		return kindOf(&provider.Error{Class: provider.InDoubt, Err: fmt.Errorf("read the answer: %w", &net.OpError{
			Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: port}, Err: errors.New("connection reset by peer"),
		})})
	}
	if of(1) != of(2) || of(1).Message != "read: connection reset by peer" {
		t.Errorf("got %+v and %+v", of(1), of(2))
	}
}
