// Package notify takes notifications to people: by text, mail, Slack, SNS,
// PagerDuty, or a webhook of Alertmanager's format.
//
// It imports alerting's values, config, provider and the AWS SDK. Start with
// Notifier.Send; a receiver has a file.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/provider"
)

const (
	tryBound    = 15 * time.Second // one try
	longestWait = time.Minute      // between two tries
	atOnce      = 4                // sends to one receiver
)

// Options are what a Notifier is made of. What is nil or empty cannot be used
// by a receiver, which then says what is missing.
type Options struct {
	SMS   provider.Sender
	Email provider.Sender
	SNS   Publisher
	// Secret looks up what {env: NAME} stands for; os.LookupEnv.
	Secret func(name string) (value string, known bool)
	// PageURL is where people see more; it goes along as a link.
	PageURL      string
	PagerDutyURL string            // empty: PagerDuty's own
	Transport    http.RoundTripper // nil: one that keeps off link-local addresses
	Memory       Memory            // nil: budgets begin afresh with the process
}

// Notifier sends. It is safe for concurrent use; what hangs at one receiver
// holds up no other.
type Notifier struct {
	options Options
	client  *http.Client

	mu    sync.Mutex
	slots map[string]chan struct{} // by AlertPolicy/receiver

	spending sync.Mutex
	budgets  map[string]budget // by AlertPolicy/receiver
}

// New returns a Notifier.
func New(options Options) *Notifier {
	if options.Secret == nil {
		options.Secret = func(string) (string, bool) { return "", false }
	}
	return &Notifier{options: options, client: newClient(options.Transport), slots: map[string]chan struct{}{}, budgets: map[string]budget{}}
}

// Send takes n to its recipient, and tries again, ever less often, while that
// may help and ctx lasts. It returns nil once the receiver has taken it; an
// error is an *Error, the last one.
func (n *Notifier) Send(ctx context.Context, receiver config.Receiver, what alerting.Notification) error {
	leave, err := n.enter(ctx, what.AlertPolicy+"/"+receiver.Name)
	if err != nil {
		return &Error{Receiver: receiver.Name, Reason: reasonOf(err), Err: fmt.Errorf("wait for earlier ones: %w", err)}
	}
	defer leave()
	send, err := n.way(ctx, receiver, what)
	if err != nil {
		return asError(receiver.Name, err)
	}
	var last error
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		bounded, cancel := context.WithTimeout(ctx, tryBound)
		defer cancel()
		last = send(bounded)
		return struct{}{}, again(last)
	}, backoff.WithBackOff(pace()), backoff.WithMaxElapsedTime(0))
	if err == nil {
		return nil
	}
	if last == nil { // not even tried
		last = err
	}
	return asError(receiver.Name, last) // the cause, not that the time ran out
}

func pace() backoff.BackOff {
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval, pace.MaxInterval = time.Second, longestWait
	return pace
}

// again is what the back-off makes of an error.
func again(err error) error {
	typed := (*Error)(nil)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typed) && !typed.Retryable:
		return backoff.Permanent(err)
	case errors.As(err, &typed) && typed.After > 0:
		return backoff.RetryAfter(int(min(typed.After, longestWait).Seconds()))
	default:
		return err
	}
}

// enter waits for a slot of the receiver.
func (n *Notifier) enter(ctx context.Context, receiver string) (leave func(), err error) {
	n.mu.Lock()
	slots := n.slots[receiver]
	if slots == nil {
		slots = make(chan struct{}, atOnce)
		n.slots[receiver] = slots
	}
	n.mu.Unlock()
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// way is one try of a receiver; an error says what it lacks.
func (n *Notifier) way(ctx context.Context, r config.Receiver, what alerting.Notification) (func(context.Context) error, error) {
	switch {
	case r.SMS != nil:
		return n.sms(ctx, r, what)
	case r.Email != nil:
		return n.email(r, what)
	case r.Slack != nil:
		return n.slack(r, what)
	case r.SNS != nil:
		return n.sns(r, what)
	case r.PagerDuty != nil:
		return n.pagerDuty(r, what)
	case r.Webhook != nil:
		return n.webhook(r, what)
	default:
		return nil, permanent(ConfigError, errors.New("it says no way to reach people"))
	}
}

// secret is a secret's text; an error names the variable that is not set.
func (n *Notifier) secret(ref config.SecretRef) (string, error) {
	if ref.Env == "" {
		return ref.Value.Reveal(), nil
	}
	value, known := n.options.Secret(ref.Env)
	if !known || value == "" {
		return "", permanent(ConfigError, fmt.Errorf("the variable %s is not set", ref.Env))
	}
	return value, nil
}
