package twilio

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/novaura/acs-operator/internal/redact"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/twilio"
)

const hookURL = "https://abc123.execute-api.us-east-1.amazonaws.com/twilio/status?acs_id=01JD"

var hookForm = url.Values{"MessageSid": {"SM1"}, "MessageStatus": {"delivered"}, "To": {"+14155550123"}, "Body": {"Ünïcode & more=+"}}

// held is a token that may be changed, and says how often it was read again.
type held struct {
	now, then redact.Secret // then is what it holds once it is read again
	again     int
	err       error
}

func (h *held) token(_ context.Context, refused bool) (redact.Secret, error) {
	if refused {
		h.again++
		h.now = h.then
	}
	return h.now, h.err
}

func TestOnlyTheAccountsTokenSigns(t *testing.T) {
	t.Parallel()
	// Twilio's own example, with what it signs for.
	const (
		example   = "https://mycompany.com/myapp.php?foo=1&bar=2"
		form      = "Digits=1234&CallSid=CA1234567890ABCDE&To=%2B18005551212&Caller=%2B14158675309&From=%2B14158675309&Reason=Participant&ReasonConferenceEnded=test"
		signature = "vOEb5UThFn24KEfnOFLQY2AE5FY="
	)
	ours := sandbox.Signature("secret", hookURL, hookForm)
	for name, tc := range map[string]struct {
		token                    redact.Secret
		address, form, signature string
		want                     bool
	}{
		"Twilio's example":               {"12345", example, form, signature, true},
		"Twilio's example, another body": {"12345", example, form + "0", signature, false},
		"ours":                           {"secret", hookURL, hookForm.Encode(), ours, true},
		"the token of another":           {"other", hookURL, hookForm.Encode(), ours, false},
		"another URL":                    {"secret", hookURL + "2", hookForm.Encode(), ours, false},
		"a field more":                   {"secret", hookURL, hookForm.Encode() + "&OptOutType=STOP", ours, false},
		"no form":                        {"secret", hookURL, "%", ours, false},
		"no signature":                   {"secret", hookURL, hookForm.Encode(), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := NewWebhooks((&held{now: tc.token, then: tc.token}).token).Verify(t.Context(), tc.address, tc.form, tc.signature)
			if got != tc.want || err != nil {
				t.Errorf("got %t, %v; want %t", got, err, tc.want)
			}
		})
	}
}

func TestARotatedTokenIsReadAgainAndTheFormerCountsForAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		secret := &held{now: "old", then: "new"}
		hooks := NewWebhooks(secret.token)
		verify := func(token string) bool {
			t.Helper()
			genuine, err := hooks.Verify(t.Context(), hookURL, hookForm.Encode(), sandbox.Signature(token, hookURL, hookForm))
			if err != nil {
				t.Fatal(err)
			}
			return genuine
		}
		if !verify("old") || secret.again != 0 {
			t.Errorf("before: the old token is refused, or was read again %d times", secret.again)
		}
		if !verify("new") || secret.again != 1 {
			t.Errorf("promoted: the new token is refused, or was read again %d times", secret.again)
		}
		time.Sleep(formerToken)
		if !verify("old") {
			t.Error("within the hour: what the old token signed is refused")
		}
		time.Sleep(time.Second)
		if verify("old") || !verify("new") {
			t.Error("after the hour: the old token counts still, or the new does not")
		}
	})
}

func TestATokenThatCannotBeReadIsNoVerdict(t *testing.T) {
	t.Parallel()
	for _, secret := range []*held{{}, {now: "secret", err: errors.New("access denied")}} {
		if genuine, err := NewWebhooks(secret.token).Verify(t.Context(), hookURL, hookForm.Encode(), "x"); genuine || err == nil {
			t.Errorf("got %t, %v; want an error", genuine, err)
		}
	}
}
