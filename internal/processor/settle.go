package processor

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

// end settles the claim and then lets the message go as then says. A claim
// that cannot be settled keeps its message.
func (s *send) end(ctx context.Context, settlement store.Settlement, then consumer.Outcome) consumer.Outcome {
	settlement.Keep = s.received.Pointed && (settlement.Status == store.Failed || settlement.Status == store.InDoubt)
	settlement.ID, settlement.Owner, settlement.Attempt = s.m.ID, s.Owner, s.result.Event.Attempts
	err := s.keep(ctx, func(ctx context.Context) error {
		settlement.Exclusive = settlement.Exclusive || s.late(settlement)
		answers, err := s.Store.Settle(ctx, []store.Settlement{settlement})
		if err != nil {
			return err
		}
		return answers[0]
	})
	if err != nil {
		return s.unsettled(ctx, err)
	}
	return then
}

// release hands a claim back: nothing was sent, and no try was spent.
func (s *send) release(ctx context.Context, code string, after time.Duration) consumer.Outcome {
	return s.back(ctx, store.Settlement{Status: store.Scheduled, ErrorCode: code},
		consumer.Outcome{Action: consumer.Retry, After: after, Reason: code, Limited: code == rateLimited})
}

func (s *send) drained(ctx context.Context) consumer.Outcome {
	return s.back(ctx, store.Settlement{Status: store.Scheduled, ErrorCode: "drained"},
		consumer.Outcome{Action: consumer.HandBack, Reason: "drained"})
}

// unsettled is a claim that the store would not settle: its lease lapses, and
// the next claimer asks the provider.
func (s *send) unsettled(ctx context.Context, err error) consumer.Outcome {
	s.log().ErrorContext(ctx, failed, "reason", "store", "error", err)
	outcome := s.afterLease(ctx, "store")
	if !errors.Is(err, store.ErrLost) && !errors.Is(err, store.ErrTaken) {
		outcome.Pause, outcome.Gate = storePause, true
	}
	return outcome
}

// late says that a settlement as sent may come after the claim's lease: others
// may have taken this message of the provider's for theirs meanwhile.
func (s *send) late(settlement store.Settlement) bool {
	return settlement.Status == store.Sent && settlement.ProviderID != "" && !s.Now().Before(s.leaseEnd.Add(-s.StoreTimeout))
}

// afterLease lets the message come again when its claim has lapsed.
func (s *send) afterLease(ctx context.Context, why string) consumer.Outcome {
	return s.leave(ctx, consumer.Outcome{
		Action: consumer.Retry, After: max(s.leaseEnd.Sub(s.Now()), 0) + time.Second, Failed: true, Reason: why,
	})
}

// spent is the settlement of a try that the provider ended. That it names the
// provider is what makes the try count against MaxAttempts.
func (s *send) spent(status store.Status, err *provider.Error) store.Settlement {
	settlement := unspent(err)
	settlement.Status, settlement.Provider = status, s.sender.Name()
	return settlement
}

// unspent releases the claim of a try that does not count.
func unspent(err *provider.Error) store.Settlement {
	return store.Settlement{
		Status: store.Scheduled, ErrorCode: reason(err.Code, err.Class.String()), Error: err.Error(), Reason: err.Message,
	}
}

// reason is a code, or the otherwise in snake_case.
func reason(code, otherwise string) string {
	return cmp.Or(code, strings.ReplaceAll(otherwise, " ", "_"))
}

// keep writes to the store, again and again while it does not answer, within
// StoreTimeout. It outlives the job's context: what was done must be written
// although the worker drains.
func (p *Processor) keep(ctx context.Context, write func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.StoreTimeout)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		err := write(bounded)
		if err == nil || errors.Is(err, store.ErrLost) || errors.Is(err, store.ErrTaken) || errors.Is(err, store.ErrNotFound) {
			return err
		}
		select {
		case <-bounded.Done():
			return err
		case <-time.After(wait/2 + p.jitter(wait)):
		}
	}
}
