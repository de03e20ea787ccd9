package store

import (
	"context"
	"time"
)

// Silence is one row of controller_silences: a person's order to tell nobody
// of some alerts for a while. The store knows nothing of what Matchers mean.
type Silence struct {
	ID       string    `json:"id"`
	Matchers []byte    `json:"matchers"` // a JSON list
	StartsAt time.Time `json:"startsAt"`
	EndsAt   time.Time `json:"endsAt"`
	Author   string    `json:"author"`
	Comment  string    `json:"comment"`
}

// Silencing is what people order about alerts.
type Silencing interface {
	// SaveSilence inserts a silence, or replaces the one of its ID.
	SaveSilence(ctx context.Context, s Silence) error
	// EndSilence ends a silence at a time, and reports whether it would have
	// lasted longer.
	EndSilence(ctx context.Context, id string, at time.Time) (ended bool, err error)
	// Silences lists those that end after a time, those that end first first.
	Silences(ctx context.Context, endingAfter time.Time) ([]Silence, error)
}
