package processor

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
)

// Verifier tells a provider's own posts from those of others.
type Verifier interface {
	// Verify says whether signature is the provider's for a form that was
	// posted to address, its query included. An error means that nobody can
	// say now.
	Verify(ctx context.Context, address, form, signature string) (genuine bool, err error)
}

const (
	// unsigned and forged are the reasons of posts that are not believed.
	unsigned = "webhook_unsigned"
	forged   = "webhook_signature"
	// unverified is the reason of a post that cannot be judged now.
	unverified = "webhook_unverified"

	// secondLook is after when a signature that does not fit is judged once
	// more: a secret is read again ten seconds after its last reading at the
	// soonest.
	secondLook = 15 * time.Second
)

var errNoVerifier = errors.New("TWILIO_AUTH_TOKEN is not set, nor TWILIO_CREDENTIALS: without the token a webhook cannot be verified")

// webhook is the job of a message that anyone may have posted. It is worth
// nothing until its signature fits: before that nothing of it is parsed, and
// nothing is written to the history.
//
//	no signature         dropped, with a warning: whoever knocks at every door
//	does not fit         once more after 15 s, then the dead-letter queue: a
//	                     token that is wrong here must lose no STOP
//	nobody can say now   it comes again
//	fits                 a report or an inbound message, like any other
func (p *Processor) webhook(ctx context.Context, received consumer.Received) consumer.Outcome {
	log := p.Logger.With("sqs_id", received.MessageID, "queue", received.Queue.Name)
	if received.Webhook.Signature == "" || received.Webhook.URL == "" {
		log.WarnContext(ctx, "dropped a post without a signature", "reason", unsigned)
		return consumer.Outcome{Action: consumer.Delete, Failed: true, Reason: unsigned}
	}
	body, genuine, err := p.genuine(ctx, *received.Webhook, received.Body)
	switch {
	case ctx.Err() != nil:
		return consumer.Outcome{Action: consumer.HandBack, Reason: "drained"}
	case err != nil:
		log.ErrorContext(ctx, failed, "reason", unverified, "error", err)
		return consumer.Outcome{Action: consumer.Retry, After: configPause + p.jitter(configPause), Failed: true, Reason: unverified}
	case !genuine && received.ReceiveCount <= 1 && !received.LastReceives():
		return consumer.Outcome{Action: consumer.Retry, After: secondLook, Reason: forged}
	case !genuine:
		log.ErrorContext(ctx, failed, "reason", forged,
			"detail", "its signature is not Twilio's for this URL and token: see Webhooks in docs/security.md")
		return consumer.Outcome{Action: consumer.DeadLetter, Failed: true, Reason: forged}
	}
	received.Body = body
	received.Key = "" // a post has its own id, also as a redriven letter
	m, err := message.Parse([]byte(body), "", received.MessageID, message.Channel(received.Queue.Channel))
	if err != nil {
		return p.refuse(ctx, received, err)
	}
	one := p.item(received, m)
	if m.Type == message.Received {
		return one.receive(ctx)
	}
	if m.Type == message.Status {
		return one.report(ctx)
	}
	return p.refuse(ctx, received, &message.Invalid{ // nothing that is posted is ever sent
		Reason: message.UnknownType, Detail: "type: a webhook is no message_send", Known: &message.Message{ID: received.MessageID},
	})
}

// genuine says whether a post is the provider's, and returns its form with our
// own id, which stood in the URL's query.
func (p *Processor) genuine(ctx context.Context, hook consumer.Webhook, body string) (form string, genuine bool, err error) {
	if p.Webhooks == nil {
		return "", false, errNoVerifier
	}
	body = message.Posted(body)
	if hook.Event == "" {
		genuine, err = p.Webhooks.Verify(ctx, hook.URL, body, hook.Signature)
		return body, genuine, err
	}
	// The gateway may hand the query's value on as it was, or decoded.
	asItWas, err := url.QueryUnescape(hook.Event)
	if err != nil {
		asItWas = hook.Event
	}
	for _, id := range []string{hook.Event, asItWas} {
		own := url.Values{message.EventIDParameter: {id}}.Encode()
		genuine, err = p.Webhooks.Verify(ctx, hook.URL+"?"+own, body, hook.Signature)
		if genuine || err != nil {
			return body + "&" + own, genuine, err
		}
	}
	return body, false, nil
}
