package processor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// send is one outbound message under its claim.
type send struct {
	item

	sender   provider.Sender
	result   store.ClaimResult
	leaseEnd time.Time // by our clock, never later than the database's
	remark   string    // for the history of what was sent
}

func (s *send) claim() store.Claim {
	c := store.Claim{
		ID: s.m.ID, Channel: string(s.m.Channel), Type: string(s.m.Type), From: s.m.From, To: recipient(s.m),
		Queue: s.received.Queue.Name, SQSMessageID: s.received.MessageID, PayloadHash: s.m.Hash,
		BodyHash: s.m.BodyHash(), Template: s.m.Template, Priority: string(s.m.Priority), EnqueuedAt: s.received.SentAt,
		Token: rand.Text(),
	}
	if s.KeepBodies {
		c.Body = s.m.Body
	}
	if s.m.Channel == message.SMS {
		c.Segments = message.Segments(s.m.Body.Reveal())
	}
	return c
}

// run is the job: what the claim came to says what is done.
func (s *send) run(ctx context.Context) consumer.Outcome {
	switch s.result.Outcome {
	case store.Granted:
		return s.deliver(ctx)
	case store.Doubtful:
		return s.resolve(ctx)
	case store.Busy:
		return s.leave(ctx, consumer.Outcome{Action: consumer.Retry, After: s.busyWait(), Reason: "busy"})
	case store.Conflict:
		return s.conflict(ctx)
	case store.Done:
		return s.done(ctx)
	}
	return s.storeDown(ctx, "claim", errors.New("unknown outcome"))
}

// busyWait is when to look again at what another owner works on. Most are
// settled within a second or two, so the first looks come soon; the later ones
// wait the lease out, so that a copy of what a dead worker held does not spend
// its receives towards the dead-letter queue before anybody may claim it.
func (s *send) busyWait() time.Duration {
	const soon = 2
	left := min(max(s.result.Event.LeaseUntil.Sub(s.Now()), 0), s.Lease) + time.Second
	if s.received.ReceiveCount > soon {
		return left
	}
	return min(left, firstWait*time.Duration(max(s.received.ReceiveCount, 1)))
}

// done is a message whose row is settled. Of what failed or is held, the
// dead-letter copy may not have been made before its worker died: one copy too
// many has the same key and does no harm, one too few is a message lost. What
// failed after the provider had taken it is no dead letter.
func (s *send) done(ctx context.Context) consumer.Outcome {
	event := s.result.Event
	s.log().DebugContext(ctx, "settled before", "status", event.Status)
	if event.Status == store.InDoubt || event.Status == store.Failed && event.SentAt.IsZero() {
		return consumer.Outcome{Action: consumer.DeadLetter, Key: s.m.ID, Reason: reason(event.ErrorCode, string(event.Status))}
	}
	return consumer.Outcome{Action: consumer.Delete}
}

// recipient is whom a message goes to, as history and the suppression list
// know them. A push's devices have rows of their own.
func recipient(m *message.Message) redact.Personal {
	switch {
	case m.Channel == message.Email:
		return message.Bare(m.To)
	case m.Topic != "":
		return redact.Personal("/topics/" + m.Topic)
	}
	return m.To
}

// deliver applies the rules and calls the provider; nothing is with it yet.
func (s *send) deliver(ctx context.Context) consumer.Outcome {
	if len(s.m.Tokens) > 0 {
		return s.pushTokens(ctx)
	}
	if held := cmp.Or(s.held(ctx), s.blocked(ctx, false)); held != nil {
		return *held
	}
	if err := s.turn(ctx); err != nil && ctx.Err() == nil {
		return s.release(ctx, rateLimited, time.Second+s.jitter(2*time.Second))
	}
	if ctx.Err() != nil {
		return s.drained(ctx)
	}
	if s.Now().Sub(s.leaseEnd.Add(-s.Lease)) > longTurn { // for its turn, or for a provider's list
		if held := s.heldMeanwhile(ctx); held != nil {
			return *held
		}
	}
	if err := s.leaveOut(ctx); err != nil { // nothing was sent
		return s.release(ctx, "store", storePause)
	}
	if !s.Now().Before(s.latestCall()) {
		return s.release(ctx, "lease_too_short", s.jitter(2*time.Second))
	}
	return s.call(ctx)
}

// expired says that a message came too late.
func (s *send) expired() bool { return !s.m.ExpiresAt.IsZero() && !s.m.ExpiresAt.After(s.Now()) }

// held is what becomes of a message that is not sent now; nil: it is.
func (s *send) held(ctx context.Context) *consumer.Outcome {
	now := s.Now()
	quiet := s.quietUntil(now)
	var outcome consumer.Outcome
	switch {
	case s.result.Suppressed != "":
		outcome = s.end(ctx, store.Settlement{
			Status: store.Suppressed, ErrorCode: "suppressed", Reason: "the recipient is suppressed: " + s.result.Suppressed,
		}, consumer.Outcome{Action: consumer.Delete, Reason: "suppressed"})
	case s.expired():
		outcome = s.end(ctx, store.Settlement{
			Status: store.Expired, ErrorCode: "expired", Reason: "expired at " + s.m.ExpiresAt.UTC().Format(time.RFC3339),
		}, consumer.Outcome{Action: consumer.Delete, Reason: "expired"})
	case s.m.NotBefore.After(now):
		outcome = s.release(ctx, store.NotBefore, s.m.NotBefore.Sub(now))
	case quiet.After(now):
		outcome = s.release(ctx, store.QuietHours, quiet.Sub(now))
	default:
		return nil
	}
	return &outcome
}

// longTurn is a wait under a claim after which the world may be another.
const longTurn = time.Second

// heldMeanwhile is held after a long wait under the claim: the recipient may have
// opted out, or the message have expired.
func (s *send) heldMeanwhile(ctx context.Context) *consumer.Outcome {
	bounded, cancel := context.WithTimeout(ctx, s.StoreTimeout)
	defer cancel()
	suppressed, err := s.Store.SuppressionReason(bounded, string(s.m.Channel), recipient(s.m))
	if err != nil { // nothing was sent
		outcome := s.release(ctx, "store", storePause)
		return &outcome
	}
	s.result.Suppressed = suppressed
	return s.held(ctx)
}

// latestCall is when a call may begin at the latest: see doc.go.
func (s *send) latestCall() time.Time {
	return s.leaseEnd.Add(-max(s.ProviderTimeout, s.ProviderSettles))
}

// rateLimited is the code of a send that the channel's rate holds back.
const rateLimited = "rate_limit"

// turn waits for the channel's rate.
func (s *send) turn(ctx context.Context) error {
	limiter := s.Limiters[s.m.Channel]
	if limiter == nil {
		return nil
	}
	return limiter.Wait(ctx, s.received.Queue.Rank)
}

// call asks the provider once, unless its breaker has opened meanwhile.
func (s *send) call(ctx context.Context) consumer.Outcome {
	probe, allowed := s.calls.begin(s.circuit(), s.Now())
	if !allowed {
		return s.comeBack(ctx)
	}
	receipt, took, err := s.ask(ctx, s.m, probe)
	if err != nil {
		return s.refused(ctx, err)
	}
	return s.accepted(ctx, receipt, slog.Duration("took", took))
}

// take settles a message that the provider had all along, unless another event
// was quicker to.
func (s *send) take(ctx context.Context, receipt provider.Receipt) consumer.Outcome {
	return s.sent(ctx, store.Settlement{ProviderID: receipt.ID, Exclusive: true}, slog.Bool("resolved", true))
}

// accepted records that the provider has the message.
func (s *send) accepted(ctx context.Context, receipt provider.Receipt, attrs ...slog.Attr) consumer.Outcome {
	return s.sent(ctx, store.Settlement{ProviderID: receipt.ID}, attrs...)
}

func (s *send) sent(ctx context.Context, settlement store.Settlement, attrs ...slog.Attr) consumer.Outcome {
	settlement.Status, settlement.Provider = store.Sent, s.sender.Name()
	settlement.Reason = cmp.Or(settlement.Reason, s.remark)
	s.heard(settlement.Provider, nil)
	outcome := s.end(ctx, settlement, consumer.Outcome{Action: consumer.Delete})
	if outcome.Action == consumer.Delete {
		s.succeeded(ctx, append(attrs, slog.String("provider", settlement.Provider), slog.String("provider_id", settlement.ProviderID))...)
	}
	return outcome
}

// refused is doc.go's table of classes.
func (s *send) refused(ctx context.Context, err *provider.Error) consumer.Outcome {
	if ctx.Err() != nil && err.Class == provider.Transient {
		return s.drained(ctx) // our own end of the call, before it began
	}
	if err.Class == provider.Throttled {
		s.log().InfoContext(ctx, "throttled", "code", err.Code, "retry_after", err.RetryAfter)
		return s.throttled(ctx, err)
	}
	s.heard(s.sender.Name(), err)
	s.log().WarnContext(ctx, failed, "reason", err.Kind(), "code", err.Code, "error", err)
	switch err.Class { //nolint:exhaustive // Throttled is above, and InDoubt is every other
	case provider.Permanent:
		return s.fail(ctx, err)
	case provider.Suppress:
		return s.suppress(ctx, err)
	case provider.Config:
		return s.hand(ctx, err)
	case provider.Transient:
		return s.again(ctx, err)
	}
	s.explain(ctx, err)
	return s.afterLease(ctx, "in_doubt")
}

// explain keeps why an answer is missing, for the person who may have to decide.
// That it is not kept changes nothing.
func (s *send) explain(ctx context.Context, err *provider.Error) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.StoreTimeout)
	defer cancel()
	if failed := s.Store.Explain(bounded, store.Attempt{
		EventID: s.m.ID, Number: s.result.Event.Attempts, Owner: s.Owner, Provider: s.sender.Name(), ErrorCode: reason(err.Code, "in_doubt"), Error: err.Error(),
	}); failed != nil {
		s.log().WarnContext(ctx, "cannot record why a message is in doubt", "error", failed)
	}
}

func (s *send) throttled(ctx context.Context, err *provider.Error) consumer.Outcome {
	wait := max(err.RetryAfter, time.Second)
	return s.back(ctx, unspent(err), consumer.Outcome{
		Action: consumer.Retry, After: wait + s.jitter(2*time.Second), Reason: "throttled", Pause: min(wait, configPause), Limited: true,
	})
}

func (s *send) fail(ctx context.Context, err *provider.Error) consumer.Outcome {
	return s.end(ctx, s.spent(store.Failed, err), consumer.Outcome{
		Action: consumer.DeadLetter, Failed: true, Key: s.m.ID, Reason: reason(err.Code, err.Class.String()),
	})
}

func (s *send) suppress(ctx context.Context, err *provider.Error) consumer.Outcome {
	why := s.sender.Name() + " " + reason(err.Code, "refused the recipient")
	if err := s.keep(ctx, func(ctx context.Context) error {
		return s.Store.Suppress(ctx, string(s.m.Channel), recipient(s.m), why)
	}); err != nil {
		return s.unsettled(ctx, err)
	}
	return s.end(ctx, s.spent(store.Suppressed, err), consumer.Outcome{Action: consumer.Delete, Reason: "suppressed"})
}

func (s *send) hand(ctx context.Context, err *provider.Error) consumer.Outcome {
	then := consumer.Outcome{
		Action: consumer.HandBack, Failed: true, Reason: reason(err.Code, "config"), Pause: configPause,
		Limited: true, Refused: err.Credentials, // more workers would not help
	}
	if s.received.LastReceives() {
		then.After = configPause // parked
	}
	return s.back(ctx, unspent(err), then)
}

func (s *send) again(ctx context.Context, err *provider.Error) consumer.Outcome {
	if !s.spends(err) {
		return s.back(ctx, unspent(err), consumer.Outcome{
			Action: consumer.Retry, After: max(min(s.backoff(s.attempt), longestAway), err.RetryAfter), Failed: true, Reason: reason(err.Code, "provider_away"), Refused: err.Credentials,
		})
	}
	tries := 1 + s.triesBefore(ctx)
	if tries >= s.maxAttempts() {
		return s.fail(ctx, err)
	}
	return s.back(ctx, s.spent(store.Scheduled, err), consumer.Outcome{
		Action: consumer.Retry, After: max(s.backoff(tries), err.RetryAfter), Failed: true, Reason: reason(err.Code, "transient"),
	})
}

// spends says that a refusal for the moment counts against MaxAttempts. What is
// no fault of the message's own does so when it has lasted for long: no message
// comes back for ever. A set-up that is wrong is all messages', and is mended; so is
// a provider whose circuit breaker is open.
func (s *send) spends(err *provider.Error) bool {
	if err.Class == provider.Config || err.ProviderFault() && s.calls.open(s.circuit(), s.Now()) {
		return false
	}
	if err.Away || err.Alone {
		return !s.Now().Before(s.result.Event.CreatedAt.Add(longestOutage)) || err.Class == provider.Transient && !err.Away
	}
	return err.Class == provider.Transient
}

// triesBefore counts the tries that a provider refused for the moment. A store
// that does not tell now costs a message another try, not its life.
func (s *send) triesBefore(ctx context.Context) (tries int) {
	if s.result.Event.Attempts == 1 {
		return 0
	}
	bounded, cancel := context.WithTimeout(ctx, s.StoreTimeout)
	defer cancel()
	attempts, err := s.Store.Attempts(bounded, s.m.ID)
	if err != nil {
		return 0
	}
	for _, attempt := range attempts {
		switch {
		case attempt.Outcome == store.Reopened:
			tries = 0 // a person said: try again
		case attempt.Provider != "" && (attempt.Outcome == store.Released || attempt.Outcome == store.ParkedOutcome):
			tries++
		}
	}
	return tries
}
