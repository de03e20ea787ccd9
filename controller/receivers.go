package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/notify"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/ses"
	"github.com/novaura/acs-operator/internal/provider/smtp"
	"github.com/novaura/acs-operator/internal/provider/twilio"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/secret"
)

// receiverFlags are what receivers of alerts send with; the worker's settings
// of the same names.
type receiverFlags struct {
	TwilioAccountSID          string        `env:"TWILIO_ACCOUNT_SID" name:"twilio-account-sid" help:"Twilio's account, for receivers by sms."`
	TwilioAuthToken           redact.Secret `env:"TWILIO_AUTH_TOKEN" name:"twilio-auth-token" help:"Its token."`
	TwilioAuthTokenARN        string        `env:"TWILIO_AUTH_TOKEN_ARN" name:"twilio-auth-token-arn" placeholder:"ARN" help:"Or the secret that holds it."`
	TwilioCredentials         redact.Secret `env:"TWILIO_CREDENTIALS" name:"twilio-credentials" placeholder:"JSON" help:"All of Twilio's as JSON: account_sid, auth_token, from_number, messaging_service_sid."`
	TwilioCredentialsARN      string        `env:"TWILIO_CREDENTIALS_ARN" name:"twilio-credentials-arn" placeholder:"ARN" help:"Or the secret that holds them; read again when they are refused."`
	TwilioFromNumber          string        `env:"TWILIO_FROM_NUMBER" name:"twilio-from-number" help:"The sender of texts."`
	TwilioMessagingServiceSID string        `env:"TWILIO_MESSAGING_SERVICE_SID" name:"twilio-messaging-service-sid" help:"Or a messaging service, which picks the sender."`
	TwilioBaseURL             string        `env:"TWILIO_BASE_URL" name:"twilio-base-url" default:"https://api.twilio.com" help:"Where Twilio's API is."`
	EmailProvider             string        `env:"EMAIL_PROVIDER" name:"email-provider" enum:",ses,smtp" default:"" help:"How mails are sent, for receivers by email: ses or smtp."`
	EmailFrom                 string        `env:"EMAIL_FROM" name:"email-from" help:"The sender of mails."`
	SMTPURL                   redact.Secret `env:"SMTP_URL" name:"smtp-url" help:"The mail server: smtp://user:password@host:587."`
	SMTPURLARN                string        `env:"SMTP_URL_ARN" name:"smtp-url-arn" placeholder:"ARN" help:"Or the secret that holds it."`
	PagerDutyURL              string        `env:"PAGERDUTY_URL" name:"pagerduty-url" help:"Where PagerDuty's Events API is, if not at its own address."`
	PageURL                   string        `env:"CONTROLLER_PAGE_URL" name:"page-url" help:"Where people reach the page: a link in every alert."`
}

// notifier is made of what is set; a receiver says what it lacks when it is
// used. page is the page's address unless one is set; memory is notify.Options'.
func (f receiverFlags) notifier(ctx context.Context, page string, memory notify.Memory) (*notify.Notifier, error) {
	options := notify.Options{Secret: os.LookupEnv, PageURL: f.PageURL, PagerDutyURL: f.PagerDutyURL, Memory: memory}
	if options.PageURL == "" {
		options.PageURL = page
	}
	settings, err := awsclient.Load(ctx)
	switch {
	case err == nil:
		options.SNS = sns.NewFromConfig(settings)
		options.Secret = (&named{settings: settings, kept: map[string]*secret.Secret{}}).lookup
	case !errors.Is(err, awsclient.ErrNoRegion):
		return nil, err
	}
	if options.SMS, err = f.sms(ctx, settings); err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	if options.Email, err = f.mail(ctx, settings); err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	return notify.New(options), nil
}

// sms is nil where no setting of Twilio's is there.
func (f receiverFlags) sms(ctx context.Context, settings aws.Config) (provider.Sender, error) {
	if f.TwilioCredentials == "" && f.TwilioCredentialsARN == "" && (f.TwilioAccountSID == "" || f.TwilioAuthToken == "" && f.TwilioAuthTokenARN == "") {
		return nil, nil
	}
	all, token := secretPlace{"TWILIO_CREDENTIALS_ARN", f.TwilioCredentialsARN}, secretPlace{"TWILIO_AUTH_TOKEN_ARN", f.TwilioAuthTokenARN}
	build := func(ctx context.Context) (provider.Sender, error) {
		tokenNow, err := token.read(ctx, settings, f.TwilioAuthToken)
		if err != nil {
			return nil, err
		}
		credentials, err := all.read(ctx, settings, f.TwilioCredentials)
		if err != nil {
			return nil, err
		}
		config, err := twilio.Config{
			AccountSID: f.TwilioAccountSID, AuthToken: cmp.Or(tokenNow.Field("auth_token", ""), redact.Secret(tokenNow)),
			From: f.TwilioFromNumber, MessagingServiceSID: f.TwilioMessagingServiceSID, BaseURL: f.TwilioBaseURL,
		}.With(credentials)
		if err != nil {
			return nil, fmt.Errorf("TWILIO_CREDENTIALS: %w", err)
		}
		return twilio.New(config)
	}
	if all.arn == "" && token.arn == "" {
		return build(ctx)
	}
	return &lateSender{name: twilio.Name, build: build}, nil
}

// mail is nil where no provider of mails is named.
func (f receiverFlags) mail(ctx context.Context, settings aws.Config) (provider.Sender, error) {
	server := secretPlace{"SMTP_URL_ARN", f.SMTPURLARN}
	build := func(ctx context.Context) (provider.Sender, error) {
		url, err := server.read(ctx, settings, f.SMTPURL)
		if err != nil {
			return nil, err
		}
		return smtp.New(smtp.Config{URL: cmp.Or(url.Field("smtp_url", ""), redact.Secret(url)), From: f.EmailFrom})
	}
	switch {
	case f.EmailProvider == ses.Name:
		return ses.New(ses.Config{AWS: settings, From: f.EmailFrom})
	case f.EmailProvider == smtp.Name && server.arn != "":
		return &lateSender{name: smtp.Name, build: build}, nil
	case f.EmailProvider == smtp.Name:
		return build(ctx)
	}
	return nil, nil
}

// secretPlace is where a secret lies, and the setting that says so.
type secretPlace struct{ variable, arn string }

// read is what the secret holds now, or given where none is named.
func (s secretPlace) read(ctx context.Context, settings aws.Config, given redact.Secret) (secret.Value, error) {
	if s.arn == "" {
		return secret.Value(given), nil
	}
	kept, err := secret.New(settings, s.arn)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.variable, err)
	}
	value, err := kept.Get(ctx)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.variable, err)
	}
	return value, nil
}

// lateSender reads its credentials when it is first used: a secret that cannot
// be read keeps alerts from people, but the controller from nothing else.
type lateSender struct {
	name  string
	build func(context.Context) (provider.Sender, error)

	mu     sync.Mutex
	sender provider.Sender
}

var _ provider.Sender = (*lateSender)(nil)

// Name implements provider.Sender.
func (l *lateSender) Name() string { return l.name }

// Send implements provider.Sender.
func (l *lateSender) Send(ctx context.Context, m *message.Message) (provider.Receipt, error) {
	sender, err := l.get(ctx)
	if err != nil {
		return provider.Receipt{}, err
	}
	return sender.Send(ctx, m)
}

// Find implements provider.Sender.
func (l *lateSender) Find(ctx context.Context, m *message.Message, since time.Time) ([]provider.Receipt, error) {
	sender, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return sender.Find(ctx, m, since)
}

func (l *lateSender) get(ctx context.Context) (provider.Sender, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sender == nil {
		sender, err := provider.Renew(ctx, l.build)
		if err != nil {
			return nil, err
		}
		l.sender = sender
	}
	return l.sender, nil
}
