package processor

import (
	"context"
	"errors"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// parks says that a message which is to come again after so long waits in its
// row and not on its queue: because it is long, and a hidden message looks like
// one that is worked on; or because its receives are nearly spent, and SQS
// would put a healthy message on the dead-letter queue.
func (i *item) parks(after time.Duration) bool {
	return after > i.ParkAfter || i.received.LastReceives()
}

// parked is the message as its row keeps it.
func (i *item) parked(after time.Duration) *store.Parked {
	return &store.Parked{
		Body: redact.Personal(i.received.Body), Attributes: i.received.Attributes.Encode(), GroupID: i.received.GroupID, After: after,
	}
}

// back hands the claim back with a settlement, and the message, as then says,
// to its queue or to its row.
func (s *send) back(ctx context.Context, settlement store.Settlement, then consumer.Outcome) consumer.Outcome {
	if s.parks(then.After) {
		settlement.Park = s.parked(then.After)
		then.Action, then.After = consumer.Park, 0
	}
	return s.end(ctx, settlement, then)
}

// leave lets a message come again of which another claim may hold. Where its
// receives are nearly spent, its row is given the message, which goes back to
// its queue when that claim has ended.
func (s *send) leave(ctx context.Context, then consumer.Outcome) consumer.Outcome {
	if !s.received.LastReceives() {
		return then
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.StoreTimeout)
	defer cancel()
	err := s.Store.Park(bounded, s.m.ID, s.m.Hash, *s.parked(then.After))
	if err != nil && !errors.Is(err, store.ErrLost) {
		s.log().WarnContext(ctx, "cannot park a message", "error", err)
	}
	if err == nil {
		then.Action, then.After = consumer.Park, 0
	}
	return then
}

// withoutSender hands a send back that was never claimed; its row is made where
// it must wait there.
func (i *item) withoutSender(ctx context.Context) consumer.Outcome {
	i.log().WarnContext(ctx, "no sender is configured for the channel", "variable", settings[i.m.Channel])
	outcome := consumer.Outcome{Action: consumer.HandBack, Reason: "no_sender", Pause: configPause}
	if !i.received.LastReceives() {
		return outcome
	}
	if err := i.insert(ctx, i.event(store.New)); err != nil {
		return outcome
	}
	bounded, cancel := context.WithTimeout(ctx, i.StoreTimeout)
	defer cancel()
	if i.Store.Park(bounded, i.m.ID, i.m.Hash, *i.parked(configPause)) == nil {
		outcome.Action = consumer.Park
	}
	return outcome
}
