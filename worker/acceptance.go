package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/novaura/acs-operator/config"
)

// acceptance logs which version of the DeliveryPolicy is followed, and why a
// newer one is not, in the controller's words. Its calls do not overlap.
type acceptance struct {
	source  string
	logger  *slog.Logger
	refused time.Time // since when newer versions are rejected; zero: the newest is followed
}

// accept logs that policy is followed from now on.
func (a *acceptance) accept(ctx context.Context, policy *config.DeliveryPolicy) {
	logger := a.logger
	if !a.refused.IsZero() {
		logger = logger.With("rejected_from", a.refused.UTC().Format(time.RFC3339), "rejected_to", time.Now().UTC().Format(time.RFC3339))
	}
	a.refused = time.Time{}
	logger.InfoContext(ctx, "delivery policy accepted", "policy", policy.Metadata.Name,
		"generation", policy.Metadata.Generation, "condition", "PolicyAccepted=True", "source", a.source)
}

// refuse logs why a newer version is not followed in place of running.
func (a *acceptance) refuse(ctx context.Context, running *config.DeliveryPolicy, err error) {
	if a.refused.IsZero() {
		a.refused = time.Now()
	}
	reason, late := "UnreadablePolicy", interface{ Timeout() bool }(nil)
	switch {
	case len(config.FieldErrors(err)) > 0:
		reason = "InvalidPolicy"
	case errors.As(err, &late) && late.Timeout():
		reason = "PolicyNotRead"
	}
	a.logger.ErrorContext(ctx, "delivery policy rejected, the running one stays", "policy", running.Metadata.Name,
		"condition", "PolicyAccepted=False", "reason", reason, "source", a.source, "error", err)
}
