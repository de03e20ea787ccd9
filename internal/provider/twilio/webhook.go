package twilio

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twilio/twilio-go/client"

	"github.com/novaura/acs-operator/internal/redact"
)

// formerToken is how long a signature by the token before is still taken:
// Twilio signs with the primary token, and between the secret's change and the
// promotion that is the former one
// (https://www.twilio.com/docs/iam/api/authtoken).
const formerToken = time.Hour

// Webhooks tells Twilio's own posts from those of others, by the signature
// over their URL and form that the account's token alone can make
// (https://www.twilio.com/docs/usage/webhooks/webhooks-security). It is safe
// for concurrent use.
type Webhooks struct {
	token func(ctx context.Context, refused bool) (redact.Secret, error)
	now   func() time.Time

	mu              sync.Mutex
	current, former redact.Secret
	changed         time.Time
}

// NewWebhooks verifies with the token that token returns; refused says that
// the one it returned last did not fit, so that a secret is read again.
func NewWebhooks(token func(ctx context.Context, refused bool) (redact.Secret, error)) *Webhooks {
	return &Webhooks{token: token, now: time.Now}
}

// Verify says whether signature is Twilio's for a form that it posted to
// address (the whole URL with its query). An error means that nobody can say
// now: the token cannot be read.
func (w *Webhooks) Verify(ctx context.Context, address, form, signature string) (bool, error) {
	for _, refused := range []bool{false, true} {
		token, err := w.token(ctx, refused)
		switch {
		case err != nil:
			return false, fmt.Errorf("read Twilio's token: %w", err)
		case token == "":
			return false, fmt.Errorf("read Twilio's token: %w", errNoToken)
		}
		for _, one := range w.accepted(token) {
			validator := client.NewRequestValidator(one.Reveal())
			if validator.ValidateBody(address, []byte(form), signature) {
				return true, nil
			}
		}
	}
	return false, nil
}

// accepted are the tokens that count now, the current one first.
func (w *Webhooks) accepted(token redact.Secret) []redact.Secret {
	w.mu.Lock()
	defer w.mu.Unlock()
	if token != w.current {
		w.former, w.current, w.changed = w.current, token, w.now()
	}
	if w.former == "" || w.now().Sub(w.changed) > formerToken {
		return []redact.Secret{token}
	}
	return []redact.Secret{token, w.former}
}
