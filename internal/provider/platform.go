package provider

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/novaura/acs-operator/internal/message"
)

// Platforms is the Sender of pushes: whose tokens they are says who delivers.
// Any may be nil.
type Platforms struct {
	FCM     Sender // Android, and all that has no sender of its own
	APNs    Sender
	WebPush Sender
}

var _ Sender = Platforms{}

// Route is who delivers m; nil: nobody is configured for its platform. A topic
// is FCM's: the others have none.
func (p Platforms) Route(m *message.Message) Sender {
	switch {
	case m.Topic != "":
		return p.FCM
	case m.Platform == message.IOS && p.APNs != nil:
		return p.APNs
	case m.Platform == message.Web && p.WebPush != nil:
		return p.WebPush
	}
	return p.FCM
}

// All are the senders that are there.
func (p Platforms) All() []Sender {
	return slices.DeleteFunc([]Sender{p.FCM, p.APNs, p.WebPush}, func(s Sender) bool { return s == nil })
}

// Name implements Sender.
func (p Platforms) Name() string { return "push" }

// Send implements Sender.
func (p Platforms) Send(ctx context.Context, m *message.Message) (Receipt, error) {
	sender := p.Route(m)
	if sender == nil {
		return Receipt{}, &Error{Provider: p.Name(), Class: Config, Code: "no_sender", Message: "no sender is configured for the platform"}
	}
	return sender.Send(ctx, m)
}

// Find implements Sender: no push service can be asked.
func (p Platforms) Find(context.Context, *message.Message, time.Time) ([]Receipt, error) {
	return nil, ErrNoLookup
}

// Check implements Checker: all that are there are tried.
func (p Platforms) Check(ctx context.Context) error {
	var errs []error
	for _, sender := range p.All() {
		if err := Check(ctx, sender); err != nil && !errors.Is(err, ErrNoCheck) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
