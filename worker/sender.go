package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/apns"
	"github.com/novaura/acs-operator/internal/provider/fcm"
	"github.com/novaura/acs-operator/internal/provider/mail"
	"github.com/novaura/acs-operator/internal/provider/ses"
	"github.com/novaura/acs-operator/internal/provider/smtp"
	"github.com/novaura/acs-operator/internal/provider/twilio"
	"github.com/novaura/acs-operator/internal/provider/webpush"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/secret"
)

// senderFlags are the settings of those who deliver.
type senderFlags struct {
	twilioFlags
	mailFlags
	pushFlags
}

// twilioFlags are the settings of texts.
type twilioFlags struct {
	AccountSID          string        `env:"TWILIO_ACCOUNT_SID" name:"twilio-account-sid" help:"Twilio's account."`
	AuthToken           redact.Secret `env:"TWILIO_AUTH_TOKEN" name:"twilio-auth-token" help:"Its token."`
	AuthTokenARN        string        `env:"TWILIO_AUTH_TOKEN_ARN" name:"twilio-auth-token-arn" placeholder:"ARN" help:"Or the secret that holds it."`
	FromNumber          string        `env:"TWILIO_FROM_NUMBER" name:"twilio-from-number" help:"The sender of messages that name none."`
	MessagingServiceSID string        `env:"TWILIO_MESSAGING_SERVICE_SID" name:"twilio-messaging-service-sid" help:"Or a messaging service, which picks the sender."`
	Credentials         redact.Secret `env:"TWILIO_CREDENTIALS" name:"twilio-credentials" placeholder:"JSON" help:"All of these as JSON: account_sid, auth_token, from_number, messaging_service_sid."`
	CredentialsARN      string        `env:"TWILIO_CREDENTIALS_ARN" name:"twilio-credentials-arn" placeholder:"ARN" help:"Or the secret that holds them; read again when they are refused."`
	StatusCallbackURL   string        `env:"TWILIO_STATUS_CALLBACK_URL" name:"twilio-status-callback-url" help:"Where Twilio reports deliveries; our own id goes in its query as acs_id, which settles what is in doubt."`
	TwilioBaseURL       string        `env:"TWILIO_BASE_URL" name:"twilio-base-url" default:"https://api.twilio.com" help:"Where Twilio's API is."`
}

// mailFlags are the settings of mails.
type mailFlags struct {
	EmailProvider    string        `env:"EMAIL_PROVIDER" enum:",ses,smtp" default:"" help:"Who sends mails: ses or smtp."`
	EmailFrom        string        `env:"EMAIL_FROM" help:"The sender of mails that name none."`
	ConfigurationSet string        `env:"SES_CONFIGURATION_SET" name:"ses-configuration-set" help:"Where SES publishes what becomes of a mail."`
	SMTPURL          redact.Secret `env:"SMTP_URL" name:"smtp-url" placeholder:"URL" help:"smtp://USER:PASSWORD@HOST:587 or smtps://…:465."`
	SMTPURLARN       string        `env:"SMTP_URL_ARN" name:"smtp-url-arn" placeholder:"ARN" help:"Or the secret that holds it."`
	Attachments      []string      `env:"EMAIL_ATTACHMENT_PREFIXES" name:"email-attachment-prefixes" placeholder:"s3://BUCKET/FOLDER/" help:"Under which attachments may lie."`
}

// pushFlags are the settings of pushes.
type pushFlags struct {
	FCMCredentials    redact.Secret `env:"FCM_CREDENTIALS" name:"fcm-credentials" placeholder:"JSON|PATH" help:"Firebase: a service account's key."`
	FCMCredentialsARN string        `env:"FCM_CREDENTIALS_ARN" name:"fcm-credentials-arn" placeholder:"ARN" help:"Or the secret that holds it."`
	FCMBaseURL        string        `env:"FCM_BASE_URL" name:"fcm-base-url" help:"Where FCM's API is, if not at Google's."`
	APNSKey           redact.Secret `env:"APNS_KEY" name:"apns-key" placeholder:"PEM|PATH" help:"Apple: the .p8 signing key."`
	APNSKeyARN        string        `env:"APNS_KEY_ARN" name:"apns-key-arn" placeholder:"ARN" help:"Or the secret that holds it."`
	APNSKeyID         string        `env:"APNS_KEY_ID" name:"apns-key-id" help:"The key's id."`
	APNSTeamID        string        `env:"APNS_TEAM_ID" name:"apns-team-id" help:"The team's id."`
	APNSTopic         string        `env:"APNS_TOPIC" name:"apns-topic" help:"The app's bundle id."`
	APNSBaseURL       string        `env:"APNS_BASE_URL" name:"apns-base-url" help:"Where APNs is, if not at Apple's production."`
	VAPIDPublicKey    string        `env:"VAPID_PUBLIC_KEY" name:"vapid-public-key" help:"Web Push: the public key, base64url."`
	VAPIDPrivateKey   redact.Secret `env:"VAPID_PRIVATE_KEY" name:"vapid-private-key" help:"Its private key."`
	VAPIDKeyARN       string        `env:"VAPID_PRIVATE_KEY_ARN" name:"vapid-private-key-arn" placeholder:"ARN" help:"Or the secret that holds it."`
	VAPIDSubject      string        `env:"VAPID_SUBJECT" name:"vapid-subject" help:"A mailto: or https: URL at which a push service reaches us."`
	WebPushHosts      []string      `env:"WEBPUSH_ALLOWED_HOSTS" name:"webpush-allowed-hosts" help:"Hosts that may be plain http or private, for tests."`
}

// missing names the first variable that a channel's sending needs and that is
// not set; empty: it is configured.
func (f senderFlags) missing(channel message.Channel) string {
	switch channel {
	case message.SMS:
		return f.missingSMS()
	case message.Email:
		return f.missingEmail()
	case message.Push:
		return f.missingPush()
	}
	return ""
}

func (f twilioFlags) missingSMS() string {
	switch {
	case f.CredentialsARN != "" || f.Credentials != "":
		return "" // what they lack shows when they are read
	case f.AccountSID == "":
		return "TWILIO_ACCOUNT_SID"
	case f.AuthToken == "" && f.AuthTokenARN == "":
		return "TWILIO_AUTH_TOKEN"
	case f.FromNumber == "" && f.MessagingServiceSID == "":
		return "TWILIO_FROM_NUMBER or TWILIO_MESSAGING_SERVICE_SID"
	}
	return ""
}

func (f mailFlags) missingEmail() string {
	switch {
	case f.EmailProvider == "":
		return "EMAIL_PROVIDER"
	case f.EmailProvider == smtp.Name && f.SMTPURL == "" && f.SMTPURLARN == "":
		return "SMTP_URL"
	}
	return ""
}

func (f pushFlags) missingPush() string {
	if f.FCMCredentials == "" && f.FCMCredentialsARN == "" && f.APNSKey == "" && f.APNSKeyARN == "" && f.VAPIDPrivateKey == "" && f.VAPIDKeyARN == "" {
		return "FCM_CREDENTIALS, APNS_KEY or VAPID_PRIVATE_KEY"
	}
	return ""
}

// checkNamed fails where a channel that WORKER_TYPE names one by one cannot
// send.
func (f senderFlags) checkNamed(named map[message.Channel]bool) error {
	for _, channel := range channels {
		if missing := f.missing(channel); named[channel] && missing != "" {
			return cli.Usagef("%s is not set, and WORKER_TYPE names %s, which cannot be sent without it", missing, channel)
		}
	}
	return nil
}

// senders are those of the channels that are on and configured. A channel
// without one still records what comes in; its sends wait on the queue.
func (f senderFlags) senders(ctx context.Context, config aws.Config, on map[message.Channel]bool, timeout time.Duration, logger *slog.Logger) (map[message.Channel]provider.Sender, error) {
	builder := builder{senderFlags: f, aws: config, kept: map[string]*secret.Secret{}, timeout: timeout}
	senders := map[message.Channel]provider.Sender{}
	for _, channel := range channels {
		if !on[channel] {
			continue
		}
		if missing := f.missing(channel); missing != "" {
			logger.WarnContext(ctx, "messages of this channel are not sent, only what comes in is recorded",
				"channel", channel, "condition", "SenderConfigured=False", "variable", missing)
			continue
		}
		sender, err := builder.sender(ctx, channel)
		if err != nil {
			return nil, err
		}
		senders[channel] = sender
		logger.InfoContext(ctx, "sender configured", "channel", channel, "provider", sender.Name(), "condition", "SenderConfigured=True")
	}
	return senders, nil
}

// builder makes senders, and makes them anew when their credentials change.
type builder struct {
	senderFlags

	aws  aws.Config
	kept map[string]*secret.Secret

	timeout time.Duration // of one text: Twilio may take 26 s to give up
}

func (b builder) sender(ctx context.Context, channel message.Channel) (provider.Sender, error) {
	switch channel {
	case message.SMS:
		return b.renewing(ctx, b.AuthTokenARN+b.CredentialsARN != "", b.sms)
	case message.Email:
		return b.renewing(ctx, b.SMTPURLARN != "", b.mail)
	case message.Push:
	}
	return b.push(ctx)
}

// renewing is a sender whose credentials are read again when they are refused,
// where they come from a place that can be read again: a secret, or a file.
func (b builder) renewing(ctx context.Context, may bool, build func(context.Context) (provider.Sender, error)) (provider.Sender, error) {
	if !may {
		sender, err := build(ctx)
		if err != nil {
			return nil, &cli.UsageError{Err: err}
		}
		return sender, nil
	}
	sender, err := provider.Renew(ctx, build)
	if err != nil {
		return nil, err
	}
	return sender, nil
}

// secret is a setting: as it was given, or else what the secret behind arn
// holds now, the named field of a JSON object or the whole.
func (b builder) secret(ctx context.Context, given redact.Secret, variable, arn, field string) (redact.Secret, error) {
	if arn == "" {
		return given, nil
	}
	value, err := b.read(ctx, variable, arn)
	if err != nil {
		return "", err
	}
	return cmp.Or(value.Field(field, ""), redact.Secret(value)), nil
}

func (b builder) read(ctx context.Context, variable, arn string) (secret.Value, error) {
	kept := b.kept[arn]
	if kept == nil {
		var err error
		if kept, err = secret.New(b.aws, arn); err != nil {
			return "", fmt.Errorf("%s: %w", variable, err)
		}
		b.kept[arn] = kept
	}
	kept.Refused() // who asks again was refused
	value, err := kept.Get(ctx)
	if err != nil {
		return "", fmt.Errorf("%s: %w", variable, err)
	}
	return value, nil
}

func (b builder) sms(ctx context.Context) (provider.Sender, error) {
	token, err := b.secret(ctx, b.AuthToken, "TWILIO_AUTH_TOKEN_ARN", b.AuthTokenARN, "auth_token")
	if err != nil {
		return nil, err
	}
	all, variable := secret.Value(b.Credentials), "TWILIO_CREDENTIALS"
	if b.CredentialsARN != "" {
		variable = "TWILIO_CREDENTIALS_ARN"
		if all, err = b.read(ctx, variable, b.CredentialsARN); err != nil {
			return nil, err
		}
	}
	config, err := twilio.Config{
		AccountSID: b.AccountSID, AuthToken: token, From: b.FromNumber, MessagingServiceSID: b.MessagingServiceSID,
		BaseURL: b.TwilioBaseURL, StatusCallbackURL: b.StatusCallbackURL, Timeout: b.timeout,
	}.With(all)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	return twilio.New(config)
}

func (b builder) mail(ctx context.Context) (provider.Sender, error) {
	fetcher := mail.Fetcher(nil)
	if len(b.Attachments) > 0 {
		fetcher = mail.S3{Prefixes: b.Attachments, Client: s3.NewFromConfig(b.aws, func(o *s3.Options) {
			o.UsePathStyle = b.aws.BaseEndpoint != nil // a stand-in has no host a bucket
		})}
	}
	if b.EmailProvider == ses.Name {
		return ses.New(ses.Config{AWS: b.aws, From: b.EmailFrom, ConfigurationSet: b.ConfigurationSet, Attachments: fetcher})
	}
	server, err := b.secret(ctx, b.SMTPURL, "SMTP_URL_ARN", b.SMTPURLARN, "smtp_url")
	if err != nil {
		return nil, err
	}
	return smtp.New(smtp.Config{URL: server, From: b.EmailFrom, Attachments: fetcher})
}

// push is who delivers to each platform.
func (b builder) push(ctx context.Context) (provider.Sender, error) {
	var platforms provider.Platforms
	for _, one := range []struct {
		place *provider.Sender
		given redact.Secret
		arn   string
		build func(context.Context) (provider.Sender, error)
	}{
		{&platforms.FCM, b.FCMCredentials, b.FCMCredentialsARN, b.fcm},
		{&platforms.APNs, b.APNSKey, b.APNSKeyARN, b.apns},
		{&platforms.WebPush, b.VAPIDPrivateKey, b.VAPIDKeyARN, b.webPush},
	} {
		if one.given == "" && one.arn == "" {
			continue
		}
		var err error
		*one.place, err = b.renewing(ctx, true, one.build) // a key may be in a file, which changes too
		if err != nil && one.arn == "" {
			err = &cli.UsageError{Err: err}
		}
		if err != nil {
			return nil, err
		}
	}
	return platforms, nil
}

func (b builder) fcm(ctx context.Context) (provider.Sender, error) {
	key, err := b.secret(ctx, b.FCMCredentials, "FCM_CREDENTIALS_ARN", b.FCMCredentialsARN, "fcm_credentials")
	if err != nil {
		return nil, err
	}
	return fcm.New(fcm.Config{Credentials: key, BaseURL: b.FCMBaseURL})
}

func (b builder) apns(ctx context.Context) (provider.Sender, error) {
	key, err := b.secret(ctx, b.APNSKey, "APNS_KEY_ARN", b.APNSKeyARN, "apns_key")
	if err != nil {
		return nil, err
	}
	return apns.New(apns.Config{Key: key, KeyID: b.APNSKeyID, TeamID: b.APNSTeamID, Topic: b.APNSTopic, BaseURL: b.APNSBaseURL})
}

func (b builder) webPush(ctx context.Context) (provider.Sender, error) {
	key, err := b.secret(ctx, b.VAPIDPrivateKey, "VAPID_PRIVATE_KEY_ARN", b.VAPIDKeyARN, "vapid_private_key")
	if err != nil {
		return nil, err
	}
	return webpush.New(webpush.Config{PublicKey: b.VAPIDPublicKey, PrivateKey: key, Subject: b.VAPIDSubject, AllowedHosts: b.WebPushHosts})
}
