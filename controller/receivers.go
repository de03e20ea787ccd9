package main

import (
	"context"
	"os"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/notify"
	"github.com/novaura/acs-operator/internal/provider/ses"
	"github.com/novaura/acs-operator/internal/provider/smtp"
	"github.com/novaura/acs-operator/internal/provider/twilio"
	"github.com/novaura/acs-operator/internal/redact"
)

// receiverFlags are what receivers of alerts send with; the worker's settings
// of the same names.
type receiverFlags struct {
	TwilioAccountSID          string        `env:"TWILIO_ACCOUNT_SID" name:"twilio-account-sid" help:"Twilio's account, for receivers by sms."`
	TwilioAuthToken           redact.Secret `env:"TWILIO_AUTH_TOKEN" name:"twilio-auth-token" help:"Its token."`
	TwilioFromNumber          string        `env:"TWILIO_FROM_NUMBER" name:"twilio-from-number" help:"The sender of texts."`
	TwilioMessagingServiceSID string        `env:"TWILIO_MESSAGING_SERVICE_SID" name:"twilio-messaging-service-sid" help:"Or a messaging service, which picks the sender."`
	TwilioBaseURL             string        `env:"TWILIO_BASE_URL" name:"twilio-base-url" default:"https://api.twilio.com" help:"Where Twilio's API is."`
	EmailProvider             string        `env:"EMAIL_PROVIDER" name:"email-provider" enum:",ses,smtp" default:"" help:"How mails are sent, for receivers by email: ses or smtp."`
	EmailFrom                 string        `env:"EMAIL_FROM" name:"email-from" help:"The sender of mails."`
	SMTPURL                   redact.Secret `env:"SMTP_URL" name:"smtp-url" help:"The mail server: smtp://user:password@host:587."`
	PagerDutyURL              string        `env:"PAGERDUTY_URL" name:"pagerduty-url" help:"Where PagerDuty's Events API is, if not at its own address."`
	PageURL                   string        `env:"CONTROLLER_PAGE_URL" name:"page-url" help:"Where people reach the page: a link in every alert."`
}

// notifier is made of what is set; a receiver says what it lacks when it is
// used. page is the page's address unless one is set.
func (f receiverFlags) notifier(ctx context.Context, page string) (*notify.Notifier, error) {
	options := notify.Options{Secret: os.LookupEnv, PageURL: f.PageURL, PagerDutyURL: f.PagerDutyURL}
	if options.PageURL == "" {
		options.PageURL = page
	}
	if f.TwilioAccountSID != "" && f.TwilioAuthToken != "" {
		client, err := twilio.New(twilio.Config{
			AccountSID: f.TwilioAccountSID, AuthToken: f.TwilioAuthToken, From: f.TwilioFromNumber,
			MessagingServiceSID: f.TwilioMessagingServiceSID, BaseURL: f.TwilioBaseURL,
		})
		if err != nil {
			return nil, &cli.UsageError{Err: err}
		}
		options.SMS = client
	}
	aws, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	if aws.Region != "" {
		options.SNS = sns.NewFromConfig(aws)
	}
	switch f.EmailProvider {
	case "ses":
		options.Email, err = ses.New(ses.Config{AWS: aws, From: f.EmailFrom})
	case "smtp":
		options.Email, err = smtp.New(smtp.Config{URL: f.SMTPURL, From: f.EmailFrom})
	}
	if err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	return notify.New(options), nil
}
