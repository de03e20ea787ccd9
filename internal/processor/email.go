package processor

import (
	"context"
	"fmt"
	"slices"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// softBounces is how many mails in a row may come back for the moment before
// their address is suppressed: a mailbox that is full for weeks is given up.
const softBounces = 5

// mailStatuses are what reports on mails make of the event. What is not here
// (delayed, opened, clicked …) says no more than that the mail is out.
var mailStatuses = map[string]store.Status{
	"sent":                  store.Sent,
	"delivered":             store.Delivered,
	message.Bounced:         store.Undelivered,
	message.SoftBounced:     store.Undelivered,
	message.Rejected:        store.Failed,
	message.RenderingFailed: store.Failed,
	message.Complained:      store.Delivered, // who complains has got it
	message.NotSpam:         store.Delivered,
}

// feedback keeps the suppression list by what a report says of each recipient:
// a bounce for good and a complaint put an address on it, and so does the fifth
// bounce for the moment with no delivery between.
func (i *item) feedback(ctx context.Context) error {
	if i.m.Channel != message.Email {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, i.StoreTimeout)
	defer cancel()
	for _, address := range i.m.Recipients {
		var err error
		switch i.m.ProviderStatus {
		case message.Bounced, message.Complained:
			err = i.Store.Suppress(ctx, string(message.Email), address, i.m.ProviderStatus+" "+i.m.ProviderCode)
		case message.SoftBounced:
			var count int
			if count, err = i.Store.CountBounce(ctx, string(message.Email), address); err == nil && count >= softBounces {
				err = i.Store.Suppress(ctx, string(message.Email), address, fmt.Sprintf("%d mails bounced in a row, %s", count, i.m.ProviderCode))
			}
		case "delivered":
			err = i.Store.ClearBounces(ctx, string(message.Email), address)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leaveOut takes those off the copies of a mail who are on the suppression list.
func (s *send) leaveOut(ctx context.Context) error {
	if s.m.Channel != message.Email || len(s.m.Cc)+len(s.m.Bcc) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, s.StoreTimeout)
	defer cancel()
	var addresses []redact.Personal
	for _, address := range slices.Concat(s.m.Cc, s.m.Bcc) {
		addresses = append(addresses, message.Bare(address))
	}
	suppressed, err := s.Store.SuppressedAmong(bounded, string(message.Email), addresses)
	if err != nil || len(suppressed) == 0 {
		return err
	}
	out := func(address redact.Personal) bool { return suppressed[message.Bare(address)] != "" }
	m := *s.m
	m.Cc, m.Bcc = slices.DeleteFunc(slices.Clone(m.Cc), out), slices.DeleteFunc(slices.Clone(m.Bcc), out)
	s.remark = fmt.Sprintf("copies left out, for their recipients are suppressed: %d", len(addresses)-len(m.Cc)-len(m.Bcc))
	s.m = &m
	return nil
}

// concerns says that a report on a mail is about the event's own recipient, and
// not only about one who got a copy. Where that cannot be told, it is.
func (i *item) concerns(ctx context.Context) (bool, error) {
	if i.m.Channel != message.Email || len(i.m.Recipients) == 0 {
		return true, nil
	}
	filter := store.Filter{ProviderID: i.m.ProviderID, Type: string(message.Send), Limit: 1}
	events, err := i.Store.Events(ctx, filter)
	if err == nil && len(events) == 0 && i.m.EventID != "" {
		events, err = i.Store.Events(ctx, store.Filter{ID: i.m.EventID, Limit: 1})
	}
	if err != nil || len(events) == 0 || events[0].To == "" {
		return true, err
	}
	own := store.AddressHash(message.Bare(events[0].To))
	return slices.ContainsFunc(i.m.Recipients, func(one redact.Personal) bool { return store.AddressHash(one) == own }), nil
}
