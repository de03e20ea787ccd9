//go:build chaos_without_claim

package main

import (
	"context"
	"time"

	"github.com/novaura/acs-operator/internal/store"
)

// claims is a store whose claims mean nothing: everyone is granted everything.
// It is there to show that chaos finds what it looks for, and is in no image.
func claims(db store.Messages) store.Messages { return unclaimed{db} }

type unclaimed struct{ store.Messages }

func (u unclaimed) Claim(ctx context.Context, owner string, lease time.Duration, claims []store.Claim) ([]store.ClaimResult, error) {
	results, err := u.Messages.Claim(ctx, owner, lease, claims)
	for i := range results {
		results[i].Outcome = store.Granted
	}
	return results, err
}
