package processor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// The outcomes of a device that are statuses of an event too.
const (
	tokenSent       = string(store.Sent)
	tokenFailed     = string(store.Failed)
	tokenSuppressed = string(store.Suppressed)
	tokenInDoubt    = string(store.InDoubt)
)

// pushRun is one claim's work on a push's devices.
type pushRun struct {
	*send

	pending  []redact.Personal // the devices to write to
	checked  time.Time         // when it was last looked whether they may be written to
	probe    bool              // the call under way is one, and the only one
	reopened time.Time         // when a person last had the event tried again; zero: never

	mu         sync.Mutex
	known      map[string]store.Token // by hash, of earlier claims and of this one
	stop       *provider.Error        // why no further device is written to in this claim
	later      *provider.Error        // why a device comes later, where others need not wait for it
	refusal    *provider.Error        // the last refusal
	missing    *provider.Error        // the first answer that is missing
	cause      string                 // why one was in an earlier claim, where that is known
	unresolved bool                   // an answer is missing: its provider may be at work still
	unwritten  error                  // an answer that the store did not take
}

// pushTokens writes to each device that is not settled yet. A device's own row
// is claimed before its call and settled right after it; the event's settlement
// sums them up.
func (s *send) pushTokens(ctx context.Context) consumer.Outcome {
	if blocked := s.blocked(ctx, false); blocked != nil {
		return *blocked
	}
	run := &pushRun{send: s, known: map[string]store.Token{}}
	if err := run.load(ctx); err != nil {
		return s.unsettled(ctx, err)
	}
	if held := run.heldNow(ctx); held != nil {
		return *held
	}
	for len(run.pending) > 0 && ctx.Err() == nil && run.stop == nil && run.unwritten == nil {
		held, err := run.some(ctx)
		switch {
		case err != nil:
			return s.unsettled(ctx, err)
		case held != nil:
			return *held
		}
	}
	return run.conclude(ctx)
}

// heldNow is held for what is left of a push: where some devices have it, the rest
// is given up and not the event.
func (r *pushRun) heldNow(ctx context.Context) *consumer.Outcome {
	if r.over() {
		r.pending = nil
		return nil
	}
	return r.held(ctx)
}

// over says that the devices which are left come too late, or that the recipient
// has opted out, and that others have the push.
func (r *pushRun) over() bool {
	return (r.expired() || r.result.Suppressed != "") && r.count(tokenSent) > 0
}

// load reads what became of the devices before, and which of them are dead.
func (r *pushRun) load(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, r.StoreTimeout)
	defer cancel()
	r.checked = r.Now()
	before, err := r.Store.Tokens(bounded, r.m.ID)
	if err != nil {
		return err
	}
	for _, token := range before {
		r.known[token.Hash] = token
	}
	dead, err := r.Store.SuppressedAmong(bounded, string(r.m.Channel), r.m.Tokens)
	if err != nil {
		return err
	}
	if r.reopened, err = r.lastReopened(bounded); err != nil {
		return err
	}
	var over []store.Token // whose rows do not say it yet
	for _, token := range r.m.Tokens {
		hash := store.TokenHash(token)
		known := r.known[hash]
		switch {
		case known.Outcome == tokenSent:
		case dead[token] != "":
			r.known[hash] = store.Token{Hash: hash, Outcome: tokenSuppressed, ErrorCode: "suppressed", Error: dead[token]}
			if known.Tries > 0 && known.Outcome == "" { // by a worker that died before it wrote so
				over = append(over, r.known[hash])
			}
		case r.doubtful(known):
			known.Outcome, known.ErrorCode = tokenInDoubt, "in_doubt"
			r.known[hash], over = known, append(over, known)
		case settledToken(known) && !known.FinishedAt.Before(r.reopened):
		default:
			if known.FinishedAt.Before(r.reopened) && !known.FinishedAt.IsZero() {
				delete(r.known, hash) // as a new one, with all its tries
			}
			r.pending = append(r.pending, token)
		}
	}
	if len(over) == 0 {
		return nil
	}
	return r.Store.SettleTokens(bounded, r.m.ID, over) // so that a person's word finds something to reopen
}

// doubtful says that a device's answer is missing, and that it is not written to
// again: else its collapse id folds a second push.
func (r *pushRun) doubtful(known store.Token) bool {
	return known.Outcome == "" && known.Tries > 0 && (known.Tries >= r.maxAttempts() || !r.Resend(r.m))
}

// settledToken says that a device is done with.
func settledToken(known store.Token) bool {
	return known.Outcome == tokenFailed || known.Outcome == tokenSuppressed || known.Outcome == tokenInDoubt
}

// lastReopened is when a person last had the event tried again; zero: never. It
// keeps why an answer was missing since.
func (r *pushRun) lastReopened(ctx context.Context) (at time.Time, err error) {
	if len(r.known) == 0 {
		return at, nil
	}
	attempts, err := r.Store.Attempts(ctx, r.m.ID)
	for _, attempt := range attempts {
		switch {
		case attempt.Outcome == store.Reopened:
			at = attempt.StartedAt.Add(time.Millisecond) // what was settled at that moment was settled before
			r.cause = ""
		case attempt.FinishedAt.IsZero() && attempt.Number < r.result.Event.Attempts:
			r.cause = cmp.Or(r.cause, attempt.Error)
		}
	}
	return at, err
}

// some claims some of the devices that are left and writes to all of them at once,
// or returns what becomes of the message where none may be written to now.
func (r *pushRun) some(ctx context.Context) (*consumer.Outcome, error) {
	if err := r.prolong(ctx); err != nil {
		return nil, err
	}
	most := min(len(r.pending), r.tokensAtOnce)
	var allowed bool
	if r.probe, allowed = r.calls.begin(r.circuit(), r.Now()); !allowed {
		r.stop = &provider.Error{Provider: r.sender.Name(), Class: provider.Transient, Away: true, Code: providerFailing}
		return nil, nil
	}
	if r.probe {
		most = 1
	}
	n := r.mayCall(ctx, most)
	if n == 0 {
		return nil, nil
	}
	if r.Now().Sub(r.checked) > longTurn {
		if held, err := r.checkAgain(ctx); held != nil || err != nil {
			return held, err
		}
	}
	n = min(n, len(r.pending))
	tokens := r.pending[:n]
	r.pending = r.pending[n:]
	if n == 0 {
		return nil, nil
	}
	return nil, r.write(ctx, tokens)
}

// checkAgain is what load and held found out, after a while: the recipient may have
// opted out, a device be dead by another push, or the message have expired.
func (r *pushRun) checkAgain(ctx context.Context) (*consumer.Outcome, error) {
	r.checked = r.Now()
	bounded, cancel := context.WithTimeout(ctx, r.StoreTimeout)
	defer cancel()
	dead, err := r.Store.SuppressedAmong(bounded, string(r.m.Channel), r.pending)
	if err != nil {
		return nil, err
	}
	r.pending = slices.DeleteFunc(slices.Clone(r.pending), func(token redact.Personal) bool {
		why, is := dead[token]
		if is {
			hash := store.TokenHash(token)
			r.known[hash] = store.Token{Hash: hash, Outcome: tokenSuppressed, ErrorCode: "suppressed", Error: why}
		}
		return is
	})
	if to := recipient(r.m); to != "" {
		if r.result.Suppressed, err = r.Store.SuppressionReason(bounded, string(r.m.Channel), to); err != nil {
			return nil, err
		}
	}
	if r.unresolved { // the next claim sees to it: this one must not end the event
		return nil, nil
	}
	return r.heldNow(ctx), nil
}

// write claims devices and writes to all of them at once.
func (r *pushRun) write(ctx context.Context, tokens []redact.Personal) error {
	hashes := make([]string, len(tokens))
	for i, token := range tokens {
		hashes[i] = store.TokenHash(token)
	}
	claim := store.TokenClaim{
		EventID: r.m.ID, Owner: r.Owner, Attempt: r.result.Event.Attempts, Token: rand.Text(), Reopened: r.reopened,
	}
	// An answer that is lost is asked for again, or the claim given back later:
	// else the devices are in doubt, though nothing went to them.
	if err := r.keep(ctx, func(ctx context.Context) error { return r.Store.ClaimTokens(ctx, claim, hashes) }); err != nil {
		if !errors.Is(err, store.ErrLost) {
			r.remember(ctx, claim)
		}
		return err
	}
	if ctx.Err() == nil && !r.late() {
		var calls sync.WaitGroup
		for i, token := range tokens {
			calls.Go(func() { r.one(ctx, token, hashes[i]) })
		}
		calls.Wait()
	} else {
		r.unclaim(ctx, hashes)
	}
	return nil
}

// remember has a claim of devices given back later, of which the store never told.
func (r *pushRun) remember(ctx context.Context, claim store.TokenClaim) {
	r.Processor.mu.Lock()
	r.lostDevices = newest(append(r.lostDevices, claim))
	r.Processor.mu.Unlock()
	r.lastChance(ctx)
}

// mayCall waits for the turns of up to so many calls, and returns how many may
// begin. Where turns are slow it waits for no more of them than come within a
// second: those in hand are for now.
func (r *pushRun) mayCall(ctx context.Context, calls int) (turns int) {
	for began := r.Now(); turns < calls && (turns == 0 || r.Now().Sub(began) < longTurn); turns++ {
		if r.turn(ctx) != nil {
			break
		}
	}
	switch {
	case turns == 0:
		r.stop = &provider.Error{Provider: r.sender.Name(), Class: provider.Throttled, Code: rateLimited, Message: "over the rate"}
	case r.late():
		r.stop, turns = r.tooLate(), 0
	}
	return turns
}

// late says that no call may begin any more.
func (r *pushRun) late() bool { return !r.Now().Before(r.latestCall()) }

func (r *pushRun) tooLate() *provider.Error {
	return &provider.Error{Provider: r.sender.Name(), Class: provider.Throttled, Code: "lease_too_short"}
}

// unclaim gives devices back that were claimed too late to be written to.
func (r *pushRun) unclaim(ctx context.Context, hashes []string) {
	r.stop = r.tooLate()
	free := make([]store.Token, len(hashes))
	for i, hash := range hashes {
		free[i] = store.Token{Hash: hash, Outcome: store.Released, ErrorCode: r.stop.Code, Unspent: true}
	}
	r.unwritten = r.keep(ctx, func(ctx context.Context) error { return r.Store.SettleTokens(ctx, r.m.ID, free) })
}

// prolong renews the event's lease once half of the time for calls is over.
func (r *pushRun) prolong(ctx context.Context) error {
	if r.Now().Before(r.latestCall().Add(-(r.Lease - max(r.ProviderTimeout, r.ProviderSettles)) / 2)) {
		return nil
	}
	began := r.Now()
	bounded, cancel := context.WithTimeout(ctx, r.StoreTimeout)
	defer cancel()
	lost, err := r.Store.Extend(bounded, r.Owner, r.Lease, []store.Lease{{ID: r.m.ID, Attempt: r.result.Event.Attempts}})
	switch {
	case err != nil:
		return err
	case len(lost) > 0:
		return store.ErrLost
	}
	r.leaseEnd = began.Add(r.Lease)
	return nil
}

// one writes to one device and records the answer.
func (r *pushRun) one(ctx context.Context, token redact.Personal, hash string) {
	m := *r.m
	m.Tokens = []redact.Personal{token}
	receipt, _, refusal := r.ask(ctx, &m, r.probe)
	settled := store.Token{Hash: hash, Provider: r.sender.Name()}
	if refusal == nil {
		r.heard(settled.Provider, nil)
		settled.Outcome, settled.ProviderID = tokenSent, receipt.ID
	} else if !r.refusedToken(ctx, token, refusal, &settled) {
		return // the row says that an answer is missing
	}
	err := r.keep(ctx, func(ctx context.Context) error {
		return r.Store.SettleTokens(ctx, r.m.ID, []store.Token{settled})
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	settled.Tries = r.known[hash].Tries + 1
	if settled.Unspent {
		settled.Tries--
	}
	r.known[hash], r.unwritten = settled, cmp.Or(r.unwritten, err)
}

// refusedToken says what a refusal makes of the device; false: nobody knows
// whether it was accepted.
func (r *pushRun) refusedToken(ctx context.Context, token redact.Personal, err *provider.Error, settled *store.Token) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	settled.Outcome, settled.ErrorCode, settled.Error = store.Released, reason(err.Code, err.Class.String()), err.Error()
	r.refusal = err
	r.heard(r.sender.Name(), err)
	switch err.Class {
	case provider.InDoubt:
		r.unresolved, r.missing = true, cmp.Or(r.missing, err)
		if !r.Resend(r.m) {
			settled.Outcome, settled.ErrorCode = tokenInDoubt, "in_doubt"
			return true
		}
		return false
	case provider.Permanent:
		settled.Outcome = tokenFailed
	case provider.Suppress:
		settled.Outcome = tokenSuppressed
		why := r.sender.Name() + " " + settled.ErrorCode
		if keepErr := r.keep(ctx, func(ctx context.Context) error {
			return r.Store.Suppress(ctx, string(r.m.Channel), token, why)
		}); keepErr != nil {
			r.unwritten = keepErr
		}
	case provider.Config, provider.Throttled, provider.Transient:
		switch {
		case err.Class == provider.Transient && ctx.Err() != nil:
			settled.Unspent = true // our own end of the call
		case r.spends(err) && r.known[settled.Hash].Tries+1 >= r.maxAttempts():
			settled.Outcome = tokenFailed
		default:
			settled.Unspent = !r.spends(err)
			r.wait(err)
		}
	}
	return true
}

// wait has a device come later, and the others too where the refusal is about
// more than the one: what is away for one is away for the next. Of several the
// one that asks for the least is kept.
func (r *pushRun) wait(err *provider.Error) {
	switch {
	case !err.Alone:
		r.stop = err
	case r.later == nil || err.RetryAfter < r.later.RetryAfter:
		r.later = err
	}
}

// count is how many devices have an outcome.
func (r *pushRun) count(outcome string) (n int) {
	for _, token := range r.m.Tokens {
		if known, ok := r.known[store.TokenHash(token)]; ok && known.Outcome == outcome {
			n++
		}
	}
	return n
}

// conclude settles the event by its devices, or hands it back for those that
// are left.
func (r *pushRun) conclude(ctx context.Context) consumer.Outcome {
	sent, failed, dead, doubt := r.count(tokenSent), r.count(tokenFailed), r.count(tokenSuppressed), r.count(tokenInDoubt)
	left := len(r.m.Tokens) - sent - failed - dead - doubt
	switch {
	case r.unwritten != nil:
		return r.unsettled(ctx, r.unwritten)
	case left > 0 && r.unresolved:
		r.explain(ctx, r.missing)
		return r.afterLease(ctx, "in_doubt")
	case left > 0 && ctx.Err() != nil:
		return r.drained(ctx)
	case left > 0 && r.stop != nil && r.stop.Code == providerFailing:
		return r.comeBack(ctx)
	case left > 0 && r.stop == nil && r.later != nil && !r.over():
		return r.comeLater(ctx)
	case left > 0 && !r.lastTry(ctx):
		return r.refused(ctx, r.whyLeft())
	}
	counts := counted(len(r.m.Tokens), []string{"accepted", "dead", "refused", "in doubt", "given up"}, sent, dead, failed, doubt, left)
	switch {
	case sent > 0:
		return r.sent(ctx, store.Settlement{ProviderID: r.firstID(), Reason: counts},
			slog.Int("tokens", len(r.m.Tokens)), slog.Int("accepted", sent), slog.Int("dead", dead), slog.Int("refused", failed), slog.Int("doubtful", doubt))
	case doubt > 0:
		return r.holdTokens(ctx, counts)
	}
	refusal := cmp.Or(r.refusal, &provider.Error{Provider: r.sender.Name(), Class: provider.Suppress, Code: "suppressed", Message: "no token is left"})
	settlement := r.spent(store.Failed, refusal)
	settlement.Reason = counts
	return r.endFailed(ctx, settlement, refusal)
}

// comeLater hands the event back for devices that were each refused for the
// moment. It is no try of the event's: each device has its own, all have had
// theirs, and nothing keeps other messages waiting.
func (r *pushRun) comeLater(ctx context.Context) consumer.Outcome {
	r.log().InfoContext(ctx, "some devices come later", "reason", r.later.Kind(), "code", r.later.Code, "retry_after", r.later.RetryAfter, "error", r.later)
	wait := r.backoff(r.attempt)
	if r.later.Away {
		wait = min(wait, longestAway)
	}
	return r.back(ctx, unspent(r.later), consumer.Outcome{
		Action: consumer.Retry, After: max(wait, r.later.RetryAfter), Failed: r.later.Class != provider.Throttled,
		Reason: reason(r.later.Code, r.later.Class.String()), Refused: r.later.Credentials,
	})
}

// lastTry says that the devices which are left are given up: it is too late for
// them, or the message has been tried as often as it may be.
func (r *pushRun) lastTry(ctx context.Context) bool {
	if r.over() {
		return true
	}
	why := r.whyLeft()
	return why.Class == provider.Transient && r.spends(why) && 1+r.triesBefore(ctx) >= r.maxAttempts()
}

// whyLeft is the refusal that hands the event back.
func (r *pushRun) whyLeft() *provider.Error {
	return cmp.Or(r.stop, r.refusal, &provider.Error{Provider: r.sender.Name(), Class: provider.Transient, Code: "tokens_left"})
}

func (r *pushRun) endFailed(ctx context.Context, settlement store.Settlement, refusal *provider.Error) consumer.Outcome {
	r.log().WarnContext(ctx, failed, "reason", refusal.Kind(), "code", refusal.Code, "error", refusal)
	return r.end(ctx, settlement, consumer.Outcome{
		Action: consumer.DeadLetter, Failed: true, Key: r.m.ID, Reason: settlement.ErrorCode,
	})
}

func (r *pushRun) holdTokens(ctx context.Context, counts string) consumer.Outcome {
	missing := cmp.Or(r.missing, r.doubt(errors.New(cmp.Or(r.cause, lostWorker))))
	settlement := r.spent(store.InDoubt, missing)
	settlement.Error = cmp.Or(r.cause, missing.Error())
	settlement.ErrorCode, settlement.Reason = "in_doubt", counts+": held for a person"
	return r.end(ctx, settlement, consumer.Outcome{Action: consumer.DeadLetter, Failed: true, Key: r.m.ID, Reason: "in_doubt"})
}

// firstID is the provider's id of the first device that was accepted, in the
// message's order.
func (r *pushRun) firstID() string {
	for _, token := range r.m.Tokens {
		if known := r.known[store.TokenHash(token)]; known.Outcome == tokenSent {
			return known.ProviderID
		}
	}
	return ""
}

// counted says in words what became of the devices.
func counted(all int, words []string, counts ...int) string {
	var parts []string
	for i, word := range words {
		if counts[i] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[i], word))
		}
	}
	return fmt.Sprintf("of %d tokens %s", all, strings.Join(parts, ", "))
}
