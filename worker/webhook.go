package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/novaura/acs-operator/internal/processor"
	"github.com/novaura/acs-operator/internal/provider/twilio"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/secret"
)

// webhooks verifies Twilio's posts with the token that texts are sent with;
// nil: there is none.
func (f twilioFlags) webhooks(config aws.Config) (processor.Verifier, error) {
	kept, variable, named := (*secret.Secret)(nil), "TWILIO_CREDENTIALS_ARN", f.CredentialsARN != ""
	if !named {
		variable = "TWILIO_AUTH_TOKEN_ARN"
	}
	given := cmp.Or(tokenOf(secret.Value(f.Credentials)), f.AuthToken)
	if arn := cmp.Or(f.CredentialsARN, f.AuthTokenARN); arn != "" && (named || f.Credentials == "") {
		var err error
		if kept, err = secret.New(config, arn); err != nil {
			return nil, fmt.Errorf("%s: %w", variable, err)
		}
	}
	if kept == nil && given == "" {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return twilio.NewWebhooks(func(ctx context.Context, refused bool) (redact.Secret, error) {
		if kept == nil {
			return given, nil
		}
		if refused {
			kept.Refused()
		}
		value, err := kept.Get(ctx)
		if err != nil {
			return "", fmt.Errorf("%s: %w", variable, err)
		}
		if named {
			return cmp.Or(tokenOf(value), f.AuthToken), nil
		}
		return cmp.Or(value.Field("auth_token", ""), redact.Secret(value)), nil
	}), nil
}

// tokenOf is the token in credentials, which are a JSON object.
func tokenOf(credentials secret.Value) redact.Secret {
	if !credentials.IsObject() {
		return ""
	}
	return credentials.Field("auth_token", "twilio_")
}
