package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/sandbox/apns"
	"github.com/novaura/acs-operator/internal/sandbox/fcm"
	"github.com/novaura/acs-operator/internal/sandbox/outbox"
	"github.com/novaura/acs-operator/internal/sandbox/ses"
	"github.com/novaura/acs-operator/internal/sandbox/smtp"
	"github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/sandbox/twilio"
	"github.com/novaura/acs-operator/internal/sandbox/webpush"
)

// providers are those who would deliver, all but SMTP on the endpoint's
// address.
type providers struct {
	endpoint string
	twilio   *twilio.Server
	ses      *ses.Server
	smtp     *smtp.Server
	fcm      *fcm.Server
	apns     *apns.Server
	webpush  *webpush.Server

	mail          net.Listener // the SMTP server's
	reports       atomic.Int64 // delivery reports put on the queues
	env           map[string]string
	subscriptions []string // of browsers
}

const (
	mailSender       = "Novaura <hello@example.com>"
	configurationSet = "local"
	eventTopic       = "novaura-acs-email-feedback"
	browsers         = 20
	// callbackPath is where texts say that their delivery reports go. The
	// stand-in puts them on the queue itself; the path tells it our own ids.
	callbackPath = "/_sandbox/twilio/status"
)

// newProviders starts none of them yet. What becomes of messages goes back to
// the queues, as in an account: Twilio's callbacks as the webhook's form, SES's
// events in SNS's envelope.
func newProviders(ctx context.Context, endpoint, account string, queues *sqs.Service) (*providers, error) {
	topic := fmt.Sprintf("arn:aws:sns:%s:%s:%s", region, account, eventTopic)
	p := &providers{endpoint: endpoint, smtp: smtp.New(smtp.Options{Latency: 30 * time.Millisecond})}
	report := func(queue, body string) {
		// The queue may not be there yet, or any more: then nobody listens.
		if queues.Deliver(fmt.Sprintf("arn:aws:sqs:%s:%s:%s", region, account, queue), body, nil) == nil {
			p.reports.Add(1)
		}
	}
	p.twilio = twilio.New(twilio.Options{
		AccountSID: twilioAccount, AuthToken: twilioToken, Latency: 150 * time.Millisecond, StatusCallback: endpoint + callbackPath,
		OnStatus: func(_ context.Context, form url.Values) { report(smsQueue, form.Encode()) },
	})
	p.ses = ses.New(ses.Options{
		Account: account, Region: region, Latency: 60 * time.Millisecond,
		OnEvent: func(_ context.Context, event []byte) { report(emailQueue, string(ses.Envelope(topic, event))) },
	})
	public, private, err := webpush.NewVAPID()
	if err != nil {
		return nil, fmt.Errorf("make a VAPID key: %w", err)
	}
	p.webpush = webpush.New(webpush.Options{Latency: 40 * time.Millisecond, PublicKey: public})
	if p.fcm, err = fcm.New(fcm.Options{Latency: 40 * time.Millisecond}); err != nil {
		return nil, fmt.Errorf("make a key for FCM: %w", err)
	}
	if p.apns, err = apns.New(apns.Options{Latency: 30 * time.Millisecond}); err != nil {
		return nil, fmt.Errorf("make a key for APNs: %w", err)
	}
	for n := range browsers {
		subscription, err := p.webpush.Subscribe(endpoint, fmt.Sprintf("browser-%02d", n))
		if err != nil {
			return nil, fmt.Errorf("subscribe a browser: %w", err)
		}
		p.subscriptions = append(p.subscriptions, subscription)
	}
	if p.mail, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("serve SMTP: %w", err)
	}
	return p, p.settings(public, private)
}

// settings are the worker's, for all channels.
func (p *providers) settings(vapidPublic, vapidPrivate string) error {
	credentials, err := p.fcm.Credentials(p.endpoint)
	key, keyErr := p.apns.Key()
	if err := errors.Join(err, keyErr); err != nil {
		return err
	}
	p.env = map[string]string{
		"TWILIO_BASE_URL": p.endpoint, "TWILIO_ACCOUNT_SID": twilioAccount, "TWILIO_AUTH_TOKEN": twilioToken, "TWILIO_FROM_NUMBER": senderNumber,
		"TWILIO_STATUS_CALLBACK_URL": p.endpoint + callbackPath,
		"EMAIL_PROVIDER":             "ses", "EMAIL_FROM": mailSender, "SES_CONFIGURATION_SET": configurationSet, "SMTP_URL": p.smtpURL(),
		"FCM_CREDENTIALS": credentials, "FCM_BASE_URL": p.endpoint,
		"APNS_KEY": key, "APNS_KEY_ID": apns.KeyID, "APNS_TEAM_ID": apns.TeamID, "APNS_TOPIC": apns.Topic, "APNS_BASE_URL": p.endpoint,
		"VAPID_PUBLIC_KEY": vapidPublic, "VAPID_PRIVATE_KEY": vapidPrivate, "VAPID_SUBJECT": "mailto:hello@example.com",
		"WEBPUSH_ALLOWED_HOSTS": strings.TrimPrefix(p.endpoint, "http://"),
	}
	return nil
}

func (p *providers) smtpURL() string { return "smtp://" + p.mail.Addr().String() }

func (p *providers) sources() []outbox.Source {
	return []outbox.Source{p.twilio, p.ses, p.smtp, p.fcm, p.apns, p.webpush}
}

// totals are a channel's, over its providers.
func (p *providers) totals(channel message.Channel) outbox.Totals {
	var sum outbox.Totals
	for _, source := range p.sources() {
		if _, of := source.Names(); of == string(channel) {
			totals := source.Totals()
			sum.Accepted += totals.Accepted
			sum.Doubled += totals.Doubled
			sum.Folded += totals.Folded
			sum.Refused += totals.Refused
		}
	}
	return sum
}

// run lets time pass for what was accepted, until ctx ends.
func (p *providers) run(ctx context.Context, goes func(func())) {
	goes(func() { p.twilio.Run(ctx) })
	goes(func() { p.ses.Run(ctx) })
	goes(func() { _ = p.smtp.Serve(p.mail) })
	goes(func() { <-ctx.Done(); _ = p.smtp.Close() })
}

// routes are the providers' paths beside AWS's.
func (p *providers) routes(mux *http.ServeMux) {
	shown := outbox.Handler(p.sources()...)
	for path, handler := range map[string]http.Handler{
		"/2010-04-01/": p.twilio, "/_sandbox/twilio/": p.twilio,
		"/v1/projects/": p.fcm, fcm.TokenPath: p.fcm, "/_sandbox/fcm/": p.fcm,
		"/3/device/": p.apns, "/_sandbox/apns/": p.apns,
		"/webpush/": p.webpush, "/_sandbox/webpush/": p.webpush,
		"/outbox": shown, "/outbox.json": shown,
	} {
		mux.Handle(path, handler)
	}
	for _, source := range p.sources() { // exactly: what lies below is the provider's own
		name, _ := source.Names()
		mux.Handle("/_sandbox/"+name, shown)
	}
}

// device makes up a push's token, and says whose it is.
func (p *providers) device() (redact.Personal, message.Platform) {
	n := rand.IntN(1000)  //nolint:gosec // made-up tokens
	switch rand.IntN(3) { //nolint:gosec // no secret
	case 0:
		return redact.Personal(fmt.Sprintf("local-android-%04d:APA91b", n)), message.Android
	case 1:
		return redact.Personal(fmt.Sprintf("%064x", n+1)), message.IOS
	default:
		return redact.Personal(p.subscriptions[n%len(p.subscriptions)]), message.Web
	}
}
