package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/novaura/acs-operator/internal/redact"
)

// Token is what is known of one device of a push: each is an effect of its own.
type Token struct {
	Hash string // TokenHash of the token; the token itself is not kept
	// Outcome is Sent, Failed, Suppressed, InDoubt, or Released: it may be
	// tried again. Empty: it is being sent, or its owner died meanwhile.
	Outcome    string
	Tries      int // that were spent, since a person last had the event tried again
	Provider   string
	ProviderID string
	ErrorCode  string
	Error      string
	FinishedAt time.Time // zero: not yet
	// Unspent gives the try back of what is being sent, for SettleTokens: it did
	// not count.
	Unspent bool
}

// TokenHash is the SHA-256, in hex, of a push token. Unlike a mail address, a
// token has its case.
func TokenHash(token redact.Personal) string {
	sum := sha256.Sum256([]byte(token.Reveal()))
	return hex.EncodeToString(sum[:])
}

// TokenClaim is the event's claim under which its tokens are sent.
type TokenClaim struct {
	EventID string
	Owner   string
	Attempt int // Event.Attempts as the claim gave it
	// Token is of this claim alone, of all that ever were: whoever got no answer
	// may claim again with it, before anything is settled, and spends no other
	// try. Empty: each is another claim.
	Token string
	// Reopened is when a person last had the event tried again: a token that was
	// settled before begins its tries anew. Zero: never.
	Reopened time.Time
}

// Tokens keeps what became of each device of a push, so that a crash between
// two of them repeats none that was accepted.
type Tokens interface {
	// Tokens lists what is known of an event's tokens, in no order.
	Tokens(ctx context.Context, eventID string) ([]Token, error)
	// ClaimTokens marks tokens as being sent, and spends a try of each.
	// ErrLost: the event's claim is another's, or a token was accepted before;
	// then none is claimed.
	ClaimTokens(ctx context.Context, claim TokenClaim, hashes []string) error
	// UnclaimTokens gives back claims whose answers were lost, and under which
	// nothing was sent: what they hold still is Released, and its try unspent.
	UnclaimTokens(ctx context.Context, claims []TokenClaim) error
	// SettleTokens records what became of tokens. It is not fenced: that a
	// provider took one stays true whoever owns the event now. What is Sent
	// stays so.
	SettleTokens(ctx context.Context, eventID string, tokens []Token) error
	// SuppressedAmong returns, of many addresses, those on a channel's
	// suppression list, with the reasons.
	SuppressedAmong(ctx context.Context, channel string, addresses []redact.Personal) (map[redact.Personal]string, error)
}

// Turns spreads one rate over all workers.
type Turns interface {
	// TakeTurns reserves the next n turns of a schedule that has perSecond of
	// them. They begin after wait and follow each other by 1/perSecond. ok is
	// false, and nothing reserved, where wait would be longer than ahead.
	TakeTurns(ctx context.Context, name string, perSecond float64, n int, ahead time.Duration) (wait time.Duration, ok bool, err error)
}

// Suppression is one line of the suppression list. The address itself is not
// kept.
type Suppression struct {
	Channel     string
	AddressHash string
	Reason      string
	CreatedAt   time.Time
}

// Bounces counts the mails to an address that came back for the moment, and
// lists who is suppressed.
type Bounces interface {
	// CountBounce counts one more, and returns how many there were since the
	// last ClearBounces.
	CountBounce(ctx context.Context, channel string, address redact.Personal) (count int, err error)
	// ClearBounces forgets them: a mail has arrived.
	ClearBounces(ctx context.Context, channel string, address redact.Personal) error
	// Suppressions lists a channel's suppression list (empty: all of them),
	// newest first, at most limit.
	Suppressions(ctx context.Context, channel string, limit int) ([]Suppression, error)
	// SuppressionOf is the line of one address; ErrNotFound: it is not on the list.
	SuppressionOf(ctx context.Context, channel string, address redact.Personal) (Suppression, error)
}

// SpacingOf is the time from one turn to the next, in microseconds.
func SpacingOf(perSecond float64) float64 { return 1e6 / perSecond }
