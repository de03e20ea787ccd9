package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
)

// sms sends one text to the notification's recipient, within the receiver's
// budget of an hour.
func (n *Notifier) sms(r config.Receiver, what alerting.Notification) (func(context.Context) error, error) {
	if n.options.SMS == nil {
		return nil, permanent(ConfigError, errors.New("texts cannot be sent: set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_FROM_NUMBER"))
	}
	text := &message.Message{
		Channel: message.SMS, Type: message.Send, To: r.SMS.To[what.Index], Body: redact.Personal(texted(what)), Priority: message.Transactional,
	}
	if !n.budget(what.AlertPolicy+"/"+r.Name, r.SMS.MaxPerHour).Allow() {
		return nil, permanent(BudgetExhausted, fmt.Errorf("its texts of this hour are spent (maxPerHour %d)", perHour(r.SMS.MaxPerHour)))
	}
	return try(n.options.SMS, text), nil
}

// email sends one mail to the notification's recipient.
func (n *Notifier) email(r config.Receiver, what alerting.Notification) (func(context.Context) error, error) {
	if n.options.Email == nil {
		return nil, permanent(ConfigError, errors.New("mails cannot be sent: set EMAIL_PROVIDER and EMAIL_FROM"))
	}
	return try(n.options.Email, &message.Message{
		Channel: message.Email, Type: message.Send, To: r.Email.To[what.Index], Priority: message.Transactional,
		Subject: redact.Personal(title(what)), Body: redact.Personal(written(what, n.options.PageURL)),
	}), nil
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

func perHour(most int) int {
	if most == 0 {
		return defaultRate
	}
	return most
}

// budget bounds the texts of a receiver: so many at once, and as many an hour.
func (n *Notifier) budget(receiver string, most int) *rate.Limiter {
	n.mu.Lock()
	defer n.mu.Unlock()
	limit := rate.Limit(float64(perHour(most)) / time.Hour.Seconds())
	known := n.budgets[receiver]
	if known == nil || known.Burst() != perHour(most) {
		known = rate.NewLimiter(limit, perHour(most))
		n.budgets[receiver] = known
	}
	return known
}
