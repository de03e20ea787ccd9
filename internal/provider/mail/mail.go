// Package mail composes a message into MIME, once for every provider that
// sends mail, and fetches what its attachments refer to.
//
// It imports provider, message and redact. Start with Composer.Compose.
package mail

import (
	"context"
)

// Fetcher reads what an attachment refers to. Implementations are safe for
// concurrent use; an error is a *provider.Error whose class says what becomes
// of the message.
type Fetcher interface {
	// Fetch returns the content at url, at most limit bytes of it: what is
	// longer is an error.
	Fetch(ctx context.Context, url string, limit int64) ([]byte, error)
}
