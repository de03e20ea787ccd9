package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
)

// sms sends one text to the notification's recipient, within the receiver's
// budget of an hour.
func (n *Notifier) sms(ctx context.Context, r config.Receiver, what alerting.Notification) (func(context.Context) error, error) {
	if n.options.SMS == nil {
		return nil, permanent(ConfigError, errors.New("texts cannot be sent: set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_FROM_NUMBER"))
	}
	text := &message.Message{
		Channel: message.SMS, Type: message.Send, To: r.SMS.To[what.Index], Body: redact.Personal(texted(what)), Priority: message.Transactional,
	}
	if most := perHour(r.SMS.MaxPerHour); !n.spend(ctx, what.AlertPolicy+"/"+r.Name, most) {
		return nil, permanent(BudgetExhausted, fmt.Errorf("its texts of this hour are spent (maxPerHour %d)", most))
	}
	return try(n.options.SMS, text), nil
}

// email sends one mail to the notification's recipient.
func (n *Notifier) email(r config.Receiver, what alerting.Notification) (func(context.Context) error, error) {
	if n.options.Email == nil {
		return nil, permanent(ConfigError, errors.New("mails cannot be sent: set EMAIL_PROVIDER and EMAIL_FROM"))
	}
	return try(n.options.Email, &message.Message{
		ID: mailID(what), Channel: message.Email, Type: message.Send, To: r.Email.To[what.Index], Priority: message.Transactional,
		Subject: redact.Personal(title(what)), Body: redact.Personal(written(what, n.options.PageURL)),
	}), nil
}

// mailID is the same for each try, and another for each notification: the Message-ID
// follows from it, and mailboxes show only one of the mails that share a Message-ID.
func mailID(what alerting.Notification) string {
	return what.Key + "/" + what.Time.UTC().Format(time.RFC3339Nano)
}

// try sends m once a call. Where the last try is in doubt, the provider is
// asked first whether it has m: what it has is not sent again.
func try(sender provider.Sender, m *message.Message) func(context.Context) error {
	began, doubtful := time.Now(), false
	return func(ctx context.Context) error {
		if doubtful {
			if found, err := sender.Find(ctx, m, began); err == nil && len(found) > 0 {
				return nil
			}
		}
		_, err := sender.Send(ctx, m)
		if err == nil {
			return nil
		}
		doubtful = provider.AsError(err).Class == provider.InDoubt
		return providerError(err)
	}
}
