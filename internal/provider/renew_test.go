package provider

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/novaura/acs-operator/internal/message"
)

// keyed answers as its key deserves.
type keyed struct{ err error }

func (k keyed) Name() string { return "keyed" }

func (k keyed) Send(context.Context, *message.Message) (Receipt, error) {
	return Receipt{ID: "1"}, k.err
}

func (k keyed) Find(context.Context, *message.Message, time.Time) ([]Receipt, error) {
	return nil, k.err
}

func TestCredentialsAreReadAgainOnlyWhenTheyAreRefused(t *testing.T) {
	t.Parallel()
	refused := &Error{Class: Config}
	for name, tc := range map[string]struct {
		first  error         // of the sender as it was built at first
		after  time.Duration // from then to the send
		broken bool          // the credentials cannot be read again
		builds int
		last   error // of the send after
	}{
		"a refusal renews":                      {first: refused, after: time.Minute, builds: 2},
		"a refusal of what is new waits":        {first: refused, after: time.Second, builds: 1, last: refused},
		"another error does not":                {first: &Error{Class: Throttled}, after: time.Minute, builds: 1, last: &Error{Class: Throttled}},
		"one recipient's does not":              {first: &Error{Class: Config, Alone: true}, after: time.Minute, builds: 1, last: refused},
		"success does not":                      {after: time.Minute, builds: 1},
		"the old stays where there is no other": {first: refused, after: time.Minute, broken: true, builds: 2, last: refused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				builds := 0
				r, err := Renew(t.Context(), func(context.Context) (Sender, error) {
					builds++
					switch {
					case builds == 1:
						return keyed{tc.first}, nil
					case tc.broken:
						return nil, errors.New("the secret is away")
					}
					return keyed{}, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(tc.after)
				if _, err := r.Send(t.Context(), nil); !same(err, tc.first) {
					t.Errorf("the refused send is not handed back: %v", err)
				}
				if _, err := r.Send(t.Context(), nil); !same(err, tc.last) {
					t.Errorf("the next send: %v, want %v", err, tc.last)
				}
				if builds != tc.builds {
					t.Errorf("built %d times, want %d", builds, tc.builds)
				}
			})
		})
	}
}

func same(a, b error) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return AsError(a).Class == AsError(b).Class
}
