package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/novaura/acs-operator/internal/provider"
)

// Reason is why a receiver did not take something, as metrics and conditions
// name it.
type Reason string

// The reasons, Alertmanager's and two of our own.
const (
	ClientError     Reason = "clientError"             // a 4xx: the receiver understands, and refuses
	AuthError       Reason = "authError"               // 401, 403
	RateLimited     Reason = "rateLimited"             // 429
	ServerError     Reason = "serverError"             // a 5xx
	Unreachable     Reason = "unreachable"             // no answer
	TimedOut        Reason = "contextDeadlineExceeded" // not in time
	Stopped         Reason = "contextCanceled"         // the controller stops
	ConfigError     Reason = "configError"             // our set-up lacks something
	BudgetExhausted Reason = "budgetExhausted"         // the receiver's texts of this hour are spent
)

// Error is why a receiver did not take something.
type Error struct {
	Receiver  string
	Reason    Reason
	Retryable bool
	After     time.Duration // the receiver asked for so long a pause; 0: it did not
	Err       error         // without secrets and addresses
}

func (e *Error) Error() string {
	return fmt.Sprintf("receiver %q: %s: %v", e.Receiver, e.Reason, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func permanent(reason Reason, err error) *Error { return &Error{Reason: reason, Err: err} }

func temporary(reason Reason, err error) *Error {
	return &Error{Reason: reason, Retryable: true, Err: err}
}

// asError names the receiver in an error.
func asError(receiver string, err error) *Error {
	typed := (*Error)(nil)
	if errors.As(err, &typed) {
		named := *typed
		named.Receiver = receiver
		return &named
	}
	return &Error{Receiver: receiver, Reason: reasonOf(err), Retryable: true, Err: err}
}

func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, context.Canceled):
		return Stopped
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	default:
		return Unreachable
	}
}

// statusError is what an answer that is no success says.
func statusError(status int, after time.Duration, words string) *Error {
	err := fmt.Errorf("HTTP %d %s", status, http.StatusText(status))
	if words != "" {
		err = fmt.Errorf("%w: %s", err, words)
	}
	switch {
	case status == http.StatusTooManyRequests:
		return &Error{Reason: RateLimited, Retryable: true, After: after, Err: err}
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return permanent(AuthError, err)
	case status >= 500:
		return &Error{Reason: ServerError, Retryable: true, After: after, Err: err}
	case status == http.StatusRequestTimeout:
		return temporary(TimedOut, err)
	case status/100 == 3:
		return permanent(ClientError, fmt.Errorf("%w: a redirect, which is not followed; name the address itself", err))
	default:
		return permanent(ClientError, err)
	}
}

// providerError is what a provider's refusal says. What is in doubt is tried
// again: a second text is better than none.
func providerError(err error) *Error {
	typed := provider.AsError(err)
	switch typed.Class {
	case provider.Throttled:
		return &Error{Reason: RateLimited, Retryable: true, After: typed.RetryAfter, Err: err}
	case provider.Config:
		return permanent(AuthError, err)
	case provider.Permanent, provider.Suppress:
		return permanent(ClientError, err)
	case provider.InDoubt, provider.Transient:
	}
	return temporary(reasonOf(err), err)
}
