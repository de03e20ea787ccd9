package processor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

func pushing(o *Options) { o.Senders[message.Push] = o.Senders[message.SMS] }

// push is a push to n devices with id "a".
func push(n int) consumer.Received {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = fmt.Sprintf(`"t%d"`, i)
	}
	r := received(`{"id":"a","type":"message_send","body":"Hello","tokens":[` + strings.Join(tokens, ",") + `]}`)
	r.Queue = consumer.Queue{Name: "push-events", Channel: "push"}
	return r
}

// tokens are what the store knows of the devices of "a".
func (b *bench) tokens() []store.Token {
	b.t.Helper()
	tokens, err := b.store.Tokens(b.t.Context(), "a")
	if err != nil {
		b.t.Fatal(err)
	}
	return tokens
}

func devices(b *bench) map[string]int {
	b.t.Helper()
	outcomes := map[string]int{}
	for _, token := range b.tokens() {
		outcomes[token.Outcome]++
	}
	return outcomes
}

func TestAPushGoesToEachDeviceOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing)
	b.want(b.handle(push(45)), consumer.Delete, store.Sent, 45)
	b.want(b.handle(push(45)), consumer.Delete, store.Sent, 45)
	if got := devices(b); got[tokenSent] != 45 {
		t.Errorf("got %v", got)
	}
	if why := b.event("a").SettledReason; why != "of 45 tokens 45 accepted" {
		t.Errorf("got %q", why)
	}
}

func TestADeadTokenIsSkippedNextTimeAndOneThatIsAcceptedMakesThePushSent(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing)
	b.sender.next = []func(*fakeSender, *message.Message) error{refuses(provider.Suppress, "UNREGISTERED", false)}
	b.want(b.handle(push(2)), consumer.Delete, store.Sent, 2)
	if why := b.event("a").SettledReason; why != "of 2 tokens 1 accepted, 1 dead" {
		t.Errorf("got %q", why)
	}
	again := push(2)
	again.Body = strings.Replace(again.Body, `"id":"a"`, `"id":"b"`, 1)
	if got := b.handle(again); got.Action != consumer.Delete || b.sender.sends != 3 {
		t.Errorf("got %+v after %d sends, want the dead token skipped", got, b.sender.sends)
	}
}

func TestAPushThatNobodyTookIsFailed(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing)
	b.sender.next = []func(*fakeSender, *message.Message) error{
		refuses(provider.Suppress, "UNREGISTERED", false), refuses(provider.Permanent, "400", false),
	}
	b.want(b.handle(push(2)), consumer.DeadLetter, store.Failed, 2)
	if why := b.event("a").SettledReason; why != "of 2 tokens 1 dead, 1 refused" {
		t.Errorf("got %q", why)
	}
}

func TestACrashBetweenDevicesRepeatsNoneThatWasAccepted(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing)
	b.sender.next = []func(*fakeSender, *message.Message) error{nil, refuses(provider.InDoubt, "", true)}
	b.sender.next[0] = func(*fakeSender, *message.Message) error { return nil }
	b.want(b.handle(push(3)), consumer.Retry, store.Processing, 3)
	if got := devices(b); got[tokenSent] != 2 || got[""] != 1 {
		t.Fatalf("got %v", got)
	}
	b.clock.turn(lapse)
	b.want(b.handle(push(3)), consumer.Delete, store.Sent, 4) // the one in doubt, whose collapse id folds it
	if got := devices(b); got[tokenSent] != 3 {
		t.Errorf("got %v", got)
	}
}

func TestAPushInDoubtIsHeldWhereThePolicySaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing, func(o *Options) { o.Resend = func(*message.Message) bool { return false } })
	b.sender.next = []func(*fakeSender, *message.Message) error{refuses(provider.InDoubt, "", false)}
	b.want(b.handle(push(1)), consumer.DeadLetter, store.InDoubt, 1)
	if got := b.event("a").Error; got != "fake: in doubt: no" {
		t.Errorf("got %q", got)
	}
}

// dieWithItsAnswers has a worker write to the device of a push, for the n-th time in
// all, and tell nobody.
func (b *bench) dieWithItsAnswers(n int) {
	b.t.Helper()
	b.store.set("SettleTokens", -1)
	patience := b.StoreTimeout
	b.StoreTimeout = 500 * time.Millisecond
	b.want(b.handle(push(1)), consumer.Retry, store.Processing, n)
	b.StoreTimeout = patience
	b.store.set("SettleTokens", 0)
	b.clock.turn(lapse)
}

func TestAPersonHasAPushInDoubtAfterACrashSentAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing, func(o *Options) { o.Resend = func(*message.Message) bool { return false } })
	b.dieWithItsAnswers(1)
	b.want(b.handle(push(1)), consumer.DeadLetter, store.InDoubt, 1)
	if got := devices(b); got[tokenInDoubt] != 1 {
		t.Errorf("the device's row says %v", got)
	}
	b.clock.turn(lapse)
	if err := b.store.Resolve(t.Context(), store.Resolution{ID: "a", From: store.InDoubt, By: "anna", Reason: "the device has nothing"}); err != nil {
		t.Fatal(err)
	}
	b.want(b.handle(push(1)), consumer.Delete, store.Sent, 2)
}

func TestARedrivenPushGoesToTheDevicesThatFailed(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing)
	b.sender.next = []func(*fakeSender, *message.Message) error{
		refuses(provider.Suppress, "UNREGISTERED", false), refuses(provider.Permanent, "400", false), refuses(provider.Permanent, "400", false),
	}
	b.want(b.handle(push(3)), consumer.DeadLetter, store.Failed, 3)
	b.want(b.handle(push(3)), consumer.DeadLetter, store.Failed, 3) // a copy is no person's word
	if err := b.store.Resolve(t.Context(), store.Resolution{ID: "a", From: store.Failed, By: "anna", Reason: "the payload is mended"}); err != nil {
		t.Fatal(err)
	}
	b.want(b.handle(push(3)), consumer.Delete, store.Sent, 5)
	if why := b.event("a").SettledReason; why != "of 3 tokens 2 accepted, 1 dead" {
		t.Errorf("got %q", why)
	}
}

// reopen is a person's word that an event is tried again: worker redrive, or
// worker events resolve --not-sent.
func (b *bench) reopen(from store.Status) {
	b.t.Helper()
	b.clock.turn(time.Minute)
	if err := b.store.Resolve(b.t.Context(), store.Resolution{ID: "a", From: from, By: "anna"}); err != nil {
		b.t.Fatal(err)
	}
	b.clock.turn(time.Minute)
}

func TestARedrivenPushHasAllItsTriesAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing, func(o *Options) { o.MaxAttempts = 2 })
	for _, sends := range []int{0, 2} {
		b.sender.next = append(b.sender.next, refuses(provider.Transient, "503", false), refuses(provider.Transient, "503", false))
		b.want(b.handle(push(1)), consumer.Retry, store.Scheduled, sends+1)
		b.want(b.handle(push(1)), consumer.DeadLetter, store.Failed, sends+2)
		b.reopen(store.Failed)
	}
	b.want(b.handle(push(1)), consumer.Delete, store.Sent, 5)
}

// A device that failed before, and that a redriven push has not come to yet, is
// left, not failed.
func TestARedrivenPushComesToEachOfItsDevices(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing, func(o *Options) { o.tokensAtOnce = 1 })
	refusal := refuses(provider.Permanent, "400", false)
	b.sender.next = []func(*fakeSender, *message.Message) error{refusal, refusal, refusal}
	b.want(b.handle(push(3)), consumer.DeadLetter, store.Failed, 3)
	b.reopen(store.Failed)
	limiters := b.Limiters
	b.Limiters = map[message.Channel]Limiter{message.Push: full{}}
	b.want(b.handle(push(3)), consumer.Retry, store.Scheduled, 3)
	b.Limiters = limiters
	b.sender.next = []func(*fakeSender, *message.Message) error{accepts, refuses(provider.Transient, "503", false)}
	b.want(b.handle(push(3)), consumer.Retry, store.Scheduled, 5)
	b.want(b.handle(push(3)), consumer.Delete, store.Sent, 7)
	if why := b.event("a").SettledReason; why != "of 3 tokens 3 accepted" {
		t.Errorf("got %q", why)
	}
}

func TestWhatHappensWhileAPushWaitsForItsTurnCounts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		more   string
		happen func(*bench)
		status store.Status
		sends  int
		why    string
	}{
		"nothing": {happen: func(*bench) {}, status: store.Sent, sends: 3, why: "of 3 tokens 3 accepted"},
		"a device turns out to be dead": {
			happen: func(b *bench) { _ = b.store.Suppress(b.t.Context(), "push", "t1", "UNREGISTERED") },
			status: store.Sent, sends: 2, why: "of 3 tokens 2 accepted, 1 dead",
		},
		"the recipient opts out": {
			more: `,"topic":"news"`, happen: func(b *bench) { _ = b.store.Suppress(b.t.Context(), "push", "/topics/news", "STOP") },
			status: store.Suppressed, why: "the recipient is suppressed: STOP",
		},
		"it expires": {
			more: `,"expires_at":"2026-01-05T08:00:02Z"`, happen: func(*bench) {},
			status: store.Expired, why: "expired at 2026-01-05T08:00:02Z",
		},
		"it expires between two devices": {
			more: `,"expires_at":"2026-01-05T08:00:04Z"`, happen: func(*bench) {},
			status: store.Sent, sends: 1, why: "of 3 tokens 1 accepted, 2 given up",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, pushing)
			b.Limiters = map[message.Channel]Limiter{message.Push: slow(func() { b.clock.turn(3 * time.Second); tc.happen(b) })}
			r := push(3)
			if strings.Contains(tc.more, "topic") {
				r.Body = strings.Replace(r.Body, `"tokens":["t0","t1","t2"]`, `"topic":"news"`, 1)
				tc.more = ""
			}
			r.Body = strings.Replace(r.Body, `,"body"`, tc.more+`,"body"`, 1)
			b.want(b.handle(r), consumer.Delete, tc.status, tc.sends)
			if why := b.event("a").SettledReason; why != tc.why {
				t.Errorf("got %q", why)
			}
		})
	}
}

// With ten pushes of twenty devices at ten a second, twenty turns take longer than a
// lease has: who waits for all of them sends to none, time and again.
func TestAPushWritesToAsManyDevicesAsItHasTurnsFor(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing)
	b.Limiters = map[message.Channel]Limiter{message.Push: slow(func() { b.clock.turn(2 * time.Second) })}
	b.want(b.handle(push(45)), consumer.Delete, store.Sent, 45)
	if got := devices(b); got[tokenSent] != 45 {
		t.Errorf("got %v", got)
	}
}

func accepts(*fakeSender, *message.Message) error { return nil }

// A person's word is about what was in doubt then: what is in doubt since is held
// again, and nobody but a person or the policy has a device written to twice.
func TestADeviceThatIsInDoubtAgainAfterAPersonsWordIsHeldAgain(t *testing.T) {
	t.Parallel()
	for name, crash := range map[string]bool{"for an answer that did not come": false, "for a worker that died": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, pushing, func(o *Options) { o.Resend = func(*message.Message) bool { return false } })
			for n := range 2 {
				if crash {
					b.dieWithItsAnswers(n + 1)
				} else {
					b.sender.next = append(b.sender.next, refuses(provider.InDoubt, "", false))
				}
				b.want(b.handle(push(1)), consumer.DeadLetter, store.InDoubt, n+1)
				b.want(b.handle(push(1)), consumer.DeadLetter, store.InDoubt, n+1)
				b.reopen(store.InDoubt)
			}
			b.want(b.handle(push(1)), consumer.Delete, store.Sent, 3)
		})
	}
}

func TestWhatIsLeftOfAPushComesAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing, func(o *Options) { o.MaxAttempts = 2 })
	b.sender.next = []func(*fakeSender, *message.Message) error{refuses(provider.Transient, "503", false)}
	b.want(b.handle(push(3)), consumer.Retry, store.Scheduled, 3)
	b.want(b.handle(push(3)), consumer.Delete, store.Sent, 4)
	if got := devices(b); got[tokenSent] != 3 {
		t.Errorf("got %v", got)
	}
}

func TestAPushWhoseLastTryFailsForSomeIsSentWithCounts(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing, func(o *Options) { o.MaxAttempts = 1 })
	b.sender.next = []func(*fakeSender, *message.Message) error{refuses(provider.Transient, "503", false)}
	b.want(b.handle(push(3)), consumer.Delete, store.Sent, 3)
	if why := b.event("a").SettledReason; why != "of 3 tokens 2 accepted, 1 refused" {
		t.Errorf("got %q", why)
	}
}

// mail is a send with id "a".
func mail(body string) consumer.Received {
	r := received(body)
	r.Queue = consumer.Queue{Name: "email-events", Channel: "email"}
	return r
}

const aMail = `{"id":"a","type":"message_send","to":"Alice <alice@example.com>","subject":"S","body":"Hello"}`

func mailing(o *Options) { o.Senders[message.Email] = o.Senders[message.SMS] }

func notice(kind, detail string) consumer.Received {
	r := mail(`{"eventType":"` + kind + `","mail":{"messageId":"SM1","timestamp":"T","tags":{"acs_id":["a"]}},` + detail + `}`)
	r.MessageID = "sqs-" + kind + detail
	return r
}

func TestWhatSESTellsBecomesOfTheMailAndItsAddress(t *testing.T) {
	t.Parallel()
	delivery := notice("Delivery", `"delivery":{"recipients":["alice@example.com"],"timestamp":"1"}`)
	bounce := notice("Bounce", `"bounce":{"bounceType":"Permanent","bounceSubType":"General","feedbackId":"1","bouncedRecipients":[{"emailAddress":"Alice@Example.com"}]}`)
	copyBounce := notice("Bounce", `"bounce":{"bounceType":"Permanent","bounceSubType":"General","feedbackId":"1","bouncedRecipients":[{"emailAddress":"cc@example.com"}]}`)
	for name, tc := range map[string]struct {
		reports    []consumer.Received
		status     store.Status
		suppressed bool
	}{
		"a delivery":                     {[]consumer.Received{delivery}, store.Delivered, false},
		"a bounce for good":              {[]consumer.Received{bounce}, store.Undelivered, true},
		"a delivery and then a bounce":   {[]consumer.Received{delivery, bounce}, store.Undelivered, true},
		"a bounce and then a delivery":   {[]consumer.Received{bounce, delivery}, store.Undelivered, true},
		"the bounce of one with a copy":  {[]consumer.Received{delivery, copyBounce}, store.Delivered, false},
		"a complaint":                    {[]consumer.Received{notice("Complaint", `"complaint":{"feedbackId":"1","complaintFeedbackType":"abuse","complainedRecipients":[{"emailAddress":"alice@example.com"}]}`)}, store.Delivered, true},
		"a complaint that is taken back": {[]consumer.Received{notice("Complaint", `"complaint":{"feedbackId":"1","complaintFeedbackType":"not-spam","complainedRecipients":[{"emailAddress":"alice@example.com"}]}`)}, store.Delivered, false},
		"an open":                        {[]consumer.Received{notice("Open", `"open":{"timestamp":"1"}`)}, store.Sent, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, mailing)
			b.want(b.handle(mail(aMail)), consumer.Delete, store.Sent, 1)
			for _, report := range tc.reports {
				if got := b.handle(report); got.Action != consumer.Delete {
					t.Fatalf("the report: %+v", got)
				}
			}
			reason, err := b.store.SuppressionReason(t.Context(), "email", "alice@example.com")
			if got := b.event("a").Status; err != nil || got != tc.status || (reason != "") != tc.suppressed {
				t.Errorf("got %s, suppressed %q, %v", got, reason, err)
			}
		})
	}
}

// Who complained of a mail, or is forgotten, is written to no more: in no copy either.
func TestACopyOfAMailGoesToNobodyWhoIsSuppressed(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailing)
	for _, address := range []redact.Personal{"bob@example.com", "carol@example.com"} {
		if err := b.store.Suppress(t.Context(), "email", address, "complained"); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	b.sender.accepting = func(m *message.Message) {
		for _, one := range slices.Concat(m.Cc, m.Bcc) {
			got = append(got, one.Reveal())
		}
	}
	b.want(b.handle(mail(`{"id":"a","type":"message_send","to":"alice@example.com","subject":"S","body":"Hello",
		"cc":["Bob <Bob@Example.com>","dan@example.com"],"bcc":["carol@example.com","eve@example.com"]}`)), consumer.Delete, store.Sent, 1)
	if len(got) != 2 || got[0] != "dan@example.com" || got[1] != "eve@example.com" {
		t.Errorf("copies to %v", got)
	}
	if why := b.event("a").SettledReason; why != "copies left out, for their recipients are suppressed: 2" {
		t.Errorf("the history says %q", why)
	}
	b.sender.accepting = nil
	b.store.set("SuppressedAmong", 1)
	other := mail(`{"id":"b","type":"message_send","to":"alice@example.com","subject":"S","body":"Hello","cc":["dan@example.com"]}`)
	if got := b.handle(other); got.Action != consumer.Retry || b.sender.sends != 1 {
		t.Errorf("with the store away: got %+v after %d sends", got, b.sender.sends)
	}
}

func TestAMailInDoubtIsResolvedByItsEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailing)
	b.sender.findError = provider.ErrNoLookup
	b.sender.next = []func(*fakeSender, *message.Message) error{refuses(provider.InDoubt, "", true)}
	b.want(b.handle(mail(aMail)), consumer.Retry, store.Processing, 1)
	b.clock.turn(lapse)
	b.want(b.handle(mail(aMail)), consumer.DeadLetter, store.InDoubt, 1)
	b.handle(notice("Send", `"send":{}`))
	if event := b.event("a"); event.Status != store.Sent || event.ProviderID != "SM1" {
		t.Errorf("got %+v", event)
	}
}

func TestTheFifthSoftBounceInARowSuppresses(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailing)
	b.handle(mail(aMail))
	for i := range 6 {
		reason, _ := b.store.SuppressionReason(t.Context(), "email", "alice@example.com")
		if (reason != "") != (i > 4) {
			t.Fatalf("after %d bounces: suppressed %q", i, reason)
		}
		report := notice("Bounce", fmt.Sprintf(`"bounce":{"bounceType":"Transient","bounceSubType":"MailboxFull","feedbackId":"%d","bouncedRecipients":[{"emailAddress":"alice@example.com"}]}`, i))
		b.handle(report)
		b.handle(report) // SNS repeats itself
	}
}

func TestQuietHoursAreTheRecipients(t *testing.T) {
	t.Parallel()
	quiet := &config.QuietHours{From: "21:00", To: "08:00", AppliesTo: []string{"marketing"}}
	at := func(hour, minute int) time.Time { return time.Date(2026, 1, 5, hour, minute, 0, 0, time.UTC) }
	for name, tc := range map[string]struct {
		m    message.Message
		now  time.Time
		want time.Time // zero: not quiet
	}{
		"a number's region":                {message.Message{Channel: message.SMS, To: "+14155550123"}, at(6, 0), at(16, 0)},
		"by day":                           {message.Message{Channel: message.SMS, To: "+14155550123"}, at(20, 0), time.Time{}},
		"the first minute":                 {message.Message{Channel: message.SMS, To: "+442071838750"}, at(21, 0), at(32, 0)},
		"the last minute is not":           {message.Message{Channel: message.SMS, To: "+442071838750"}, at(8, 0), time.Time{}},
		"several zones: while any is":      {message.Message{Channel: message.SMS, To: "+77012345678"}, at(15, 30), time.Time{}},
		"a freephone number of everywhere": {message.Message{Channel: message.SMS, To: "+80012345678"}, at(12, 0), time.Time{}},
		"a zone that the message names":    {message.Message{Channel: message.Email, Metadata: map[string]string{"time_zone": "Asia/Tokyo"}}, at(14, 0), at(23, 0)},
		"one that it names in data":        {message.Message{Channel: message.Push, Data: map[string]any{"time_zone": "Asia/Tokyo"}}, at(14, 0), at(23, 0)},
		"a zone that is none is UTC":       {message.Message{Channel: message.Email, Metadata: map[string]string{"time_zone": "Mars"}}, at(7, 0), at(8, 0)},
	} {
		if got := quietEnd(quiet, zonesOf(&tc.m), tc.now); !got.Equal(tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

// alone is a refusal that is about one device.
func alone(class provider.Class, after time.Duration) func(*fakeSender, *message.Message) error {
	return func(*fakeSender, *message.Message) error {
		return &provider.Error{Provider: "fake", Class: class, Code: "alone", Alone: true, RetryAfter: after}
	}
}

// Two devices, whose own push services are away for good, keep no other device
// waiting, and no other message.
func TestADeviceThatIsRefusedAloneKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	for class, after := range map[provider.Class]time.Duration{provider.Transient: 0, provider.Throttled: 20 * time.Second} {
		b := newBench(t, pushing, func(o *Options) { o.tokensAtOnce = 2 })
		b.sender.next = []func(*fakeSender, *message.Message) error{alone(class, after), alone(class, after)}
		got := b.handle(push(6))
		b.want(got, consumer.Retry, store.Scheduled, 6)
		if got.Pause != 0 || got.Limited || got.After < after {
			t.Errorf("%s: got %+v, want no other message to wait", class, got)
		}
		if got := devices(b); got[tokenSent] != 4 || got[store.Released] != 2 {
			t.Errorf("%s: got %v, want four written to", class, got)
		}
		b.want(b.handle(push(6)), consumer.Delete, store.Sent, 8)
	}
}

// What never comes right is given up for that device, and the others have had
// their push.
func TestADeviceThatIsAlwaysRefusedAloneIsGivenUpAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing, func(o *Options) { o.tokensAtOnce, o.MaxAttempts = 1, 3 })
	dead := func(f *fakeSender, m *message.Message) error { return alone(provider.Transient, 0)(f, m) }
	b.sender.next = []func(*fakeSender, *message.Message) error{dead, func(*fakeSender, *message.Message) error { return nil }, dead, dead, dead}
	b.want(b.handle(push(3)), consumer.Retry, store.Scheduled, 3) // t0 and t2 are refused
	b.want(b.handle(push(3)), consumer.Retry, store.Scheduled, 5)
	b.want(b.handle(push(3)), consumer.Delete, store.Sent, 7)
	b.sender.next = nil
	if why := b.event("a").SettledReason; why != "of 3 tokens 3 accepted" {
		t.Errorf("got %q", why)
	}

	b = newBench(t, pushing, func(o *Options) { o.tokensAtOnce, o.MaxAttempts = 1, 2 })
	b.sender.next = []func(*fakeSender, *message.Message) error{dead, func(*fakeSender, *message.Message) error { return nil }, dead}
	b.want(b.handle(push(2)), consumer.Retry, store.Scheduled, 2)
	b.want(b.handle(push(2)), consumer.Delete, store.Sent, 3)
	if why := b.event("a").SettledReason; why != "of 2 tokens 1 accepted, 1 refused" {
		t.Errorf("got %q", why)
	}
}

// A worker that dies after it has given a dead token up leaves its row open.
func TestADeviceThatIsSuppressedIsSaidToBeInItsRow(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing)
	b.sender.next = []func(*fakeSender, *message.Message) error{refuses(provider.Suppress, "UNREGISTERED", false)}
	b.dieWithItsAnswers(1)
	b.clock.turn(lapse)
	b.want(b.handle(push(1)), consumer.DeadLetter, store.Failed, 1)
	if got := devices(b); got[tokenSuppressed] != 1 {
		t.Errorf("got %v", got)
	}
}
