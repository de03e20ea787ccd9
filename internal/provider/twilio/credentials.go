package twilio

import (
	"cmp"
	"errors"

	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/secret"
)

var (
	errCredentials = errors.New("it is no JSON object: write account_sid, auth_token, and from_number or messaging_service_sid")
	errNoToken     = errors.New("there is none: set TWILIO_AUTH_TOKEN, or auth_token in TWILIO_CREDENTIALS")
)

// With is the configuration with what credentials hold in the places of its
// own: account_sid, auth_token, from_number and messaging_service_sid, also
// with twilio_ before them. Empty credentials change nothing.
func (c Config) With(credentials secret.Value) (Config, error) {
	if credentials == "" {
		return c, nil
	}
	if !credentials.IsObject() {
		return c, errCredentials
	}
	field := func(name, otherwise string) string {
		return cmp.Or(credentials.Field(name, "twilio_").Reveal(), otherwise)
	}
	c.AccountSID, c.AuthToken = field("account_sid", c.AccountSID), redact.Secret(field("auth_token", c.AuthToken.Reveal()))
	c.From, c.MessagingServiceSID = field("from_number", c.From), field("messaging_service_sid", c.MessagingServiceSID)
	return c, nil
}
