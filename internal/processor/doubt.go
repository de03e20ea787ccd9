package processor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

// clockSlack is how far the database's clock may be ahead of the provider's.
const clockSlack = 2 * time.Minute

// resolve asks the provider whether it has a message that an earlier owner may
// have sent. Until there is an answer the row stays processing: to release it
// would be to forget the doubt.
func (s *send) resolve(ctx context.Context) consumer.Outcome {
	if len(s.m.Tokens) > 0 { // each device has a doubt of its own
		return s.pushTokens(ctx)
	}
	if blocked := s.blocked(ctx, true); blocked != nil {
		return *blocked
	}
	doubt, err := s.doubts(ctx)
	if err != nil {
		return s.unsettled(ctx, err)
	}
	bounded, cancel := context.WithTimeout(ctx, s.LookupTimeout)
	defer cancel()
	receipts, err := s.sender.Find(bounded, s.m, doubt.since.Add(-clockSlack))
	if err != nil {
		return s.unanswered(ctx, err, doubt)
	}
	receipt, found, err := s.own(ctx, receipts)
	switch {
	case err != nil:
		return s.unsettled(ctx, err)
	case !found && doubt.count >= s.maxAttempts():
		return s.fail(ctx, &provider.Error{
			Provider: s.sender.Name(), Class: provider.Transient, Code: "not_accepted",
			Message: "no try was answered, and the provider has the message from none",
		})
	case !found:
		s.log().InfoContext(ctx, "the provider does not have the message", "provider", s.sender.Name())
		return s.deliver(ctx)
	}
	rival, err := s.rival(ctx, receipt)
	switch {
	case err != nil:
		return s.unsettled(ctx, err)
	case rival:
		return s.yield(ctx)
	}
	return s.found(ctx, receipt)
}

// rival reports whether what the provider has may be the answer that another
// event, to the same person, waits for just now. One whose claim began after
// the provider took this cannot; one whose lease has lapsed finds out in time,
// for what it settles then it settles exclusively.
func (s *send) rival(ctx context.Context, receipt provider.Receipt) (bool, error) {
	before := s.Now().Add(clockSlack)
	if !receipt.Created.IsZero() {
		before = receipt.Created.Add(clockSlack)
	}
	bounded, cancel := context.WithTimeout(ctx, s.StoreTimeout)
	defer cancel()
	return s.Store.Rival(bounded, store.Rivalry{
		EventID: s.m.ID, Channel: string(s.m.Channel), To: recipient(s.m), Before: before,
	})
}

// yielded is the code of an attempt that gave way to another event's, and unheard
// of one whose lookup the provider did not answer.
const (
	yielded = "in_doubt"
	unheard = "lookup_failed"
)

// yield gives the claim up and keeps the doubt, so that of two who wait for
// each other none is in the other's way. It may be its turn to wait many times,
// and so it waits in its row, where that costs no receive.
func (s *send) yield(ctx context.Context) consumer.Outcome {
	return s.end(ctx, store.Settlement{
		Status: store.Processing, ErrorCode: yielded, Park: s.parked(firstWait + s.jitter(2*firstWait)),
	}, consumer.Outcome{Action: consumer.Park, Reason: "in_doubt"})
}

// doubt is what the attempts tell of a message whose end nobody recorded.
type doubt struct {
	count   int       // attempts without an end, but for those made while the provider was known to fail
	probes  int       // these
	since   time.Time // when the first of them began
	cause   string    // why it has no end, where its worker could say so
	lookups int       // that failed since the provider answered one
	unheard time.Time // when the first of those began; zero: there is none
}

// doubts reads the message's doubt from its attempts before this one.
func (s *send) doubts(ctx context.Context) (d doubt, err error) {
	bounded, cancel := context.WithTimeout(ctx, s.StoreTimeout)
	defer cancel()
	attempts, err := s.Store.Attempts(bounded, s.m.ID)
	if err != nil {
		return d, err
	}
	d.since = s.result.Event.CreatedAt
	for _, attempt := range attempts {
		switch {
		case attempt.Outcome == store.Reopened: // a person has answered what was in doubt before
			d = doubt{since: attempt.StartedAt}
		case attempt.Number >= s.result.Event.Attempts: // this one
		case attempt.Outcome == store.Unresolved && attempt.ErrorCode == unheard:
			if d.lookups++; d.lookups == 1 {
				d.unheard = attempt.StartedAt
			}
		case attempt.FinishedAt.IsZero():
			if d.count+d.probes == 0 {
				d.since, d.cause = attempt.StartedAt, attempt.Error
			}
			if s.calls.open(s.circuit(), attempt.StartedAt) {
				d.probes++
			} else {
				d.count++
			}
		case attempt.Outcome != store.Unresolved || attempt.ErrorCode == yielded: // the provider answered
			d.lookups, d.unheard = 0, time.Time{}
		}
	}
	return d, nil
}

// own picks, of what the provider has, the oldest that is not another event's.
// Two events may say the same to one person, and then which is whose cannot be
// told: the oldest is the one that the fewest others could still claim.
func (s *send) own(ctx context.Context, receipts []provider.Receipt) (own provider.Receipt, found bool, err error) {
	if len(receipts) == 0 {
		return own, false, nil
	}
	ids := make([]string, len(receipts))
	for i, receipt := range receipts {
		ids[i] = receipt.ID
	}
	bounded, cancel := context.WithTimeout(ctx, s.StoreTimeout)
	defer cancel()
	others, err := s.Store.SettledProviderIDs(bounded, s.sender.Name(), ids, s.m.ID)
	if err != nil {
		return own, false, err
	}
	for _, receipt := range slices.Backward(receipts) {
		if !others[receipt.ID] {
			return receipt, true, nil
		}
	}
	return own, false, nil
}

// found settles a message that the provider had all along, and applies what it
// says of the delivery, whose report may have come before this.
func (s *send) found(ctx context.Context, receipt provider.Receipt) consumer.Outcome {
	outcome := s.take(ctx, receipt)
	status, ok := providerStatuses[receipt.Status]
	if outcome.Action != consumer.Delete || !ok || status == store.Sent {
		return outcome
	}
	if err := s.keep(ctx, func(ctx context.Context) error {
		return s.Store.UpdateStatus(ctx, store.StatusUpdate{ProviderID: receipt.ID, Status: status})
	}); err != nil {
		s.log().WarnContext(ctx, "the delivery status is not recorded", "provider_id", receipt.ID, "error", err)
	}
	return outcome
}

// unanswered is a lookup that failed. That is no fault of the message's: it waits
// as for a provider that is away, spends no try, and is held for a person when
// that has lasted for long.
func (s *send) unanswered(ctx context.Context, err error, d doubt) consumer.Outcome {
	if ctx.Err() != nil {
		return s.lookAgain(ctx, "drained", err, consumer.Outcome{Action: consumer.HandBack, Reason: "drained"})
	}
	s.log().WarnContext(ctx, failed, "reason", "in_doubt", "lookups", d.lookups+1, "error", err)
	typed := provider.AsError(err)
	s.heard(s.sender.Name(), typed)
	refused := typed.Class == provider.Config // which lasts until it is mended
	if errors.Is(err, provider.ErrNoLookup) || d.lookups > 0 && !refused && !s.Now().Before(d.unheard.Add(longestOutage)) {
		if d.count < s.maxAttempts() && s.Resend(s.m) {
			s.log().WarnContext(ctx, "sent again, though the provider may have it", "policy", "resend")
			return s.deliver(ctx)
		}
		return s.hold(ctx, err, d)
	}
	outcome := consumer.Outcome{
		Action: consumer.Retry, After: max(firstWait+min(s.backoff(d.lookups+1), longestAway), typed.RetryAfter), Failed: true, Reason: unheard,
	}
	if refused {
		outcome.Pause, outcome.Limited, outcome.Refused = configPause, true, typed.Credentials
	}
	return s.lookAgain(ctx, unheard, err, outcome)
}

// lookAgain gives the claim up and keeps the doubt: the next claim asks again.
func (s *send) lookAgain(ctx context.Context, code string, err error, then consumer.Outcome) consumer.Outcome {
	return s.back(ctx, store.Settlement{Status: store.Processing, ErrorCode: code, Error: s.doubt(err).Error()}, then)
}

// doubt is why nobody knows what the provider did, in its name.
func (s *send) doubt(err error) *provider.Error {
	if typed := (*provider.Error)(nil); errors.As(err, &typed) {
		return typed
	}
	return &provider.Error{Provider: s.sender.Name(), Class: provider.InDoubt, Err: err}
}

// lostWorker is why a message is in doubt whose worker did not say so.
const lostWorker = "its worker died, or could not write down what became of it"

func (s *send) hold(ctx context.Context, err error, d doubt) consumer.Outcome {
	settlement := s.spent(store.InDoubt, s.doubt(err))
	settlement.Error = cmp.Or(d.cause, lostWorker) + "; then " + settlement.Error
	settlement.ErrorCode = "in_doubt"
	settlement.Reason = "nobody knows whether the provider has it: held for a person"
	return s.end(ctx, settlement, consumer.Outcome{Action: consumer.DeadLetter, Failed: true, Key: s.m.ID, Reason: "in_doubt"})
}
