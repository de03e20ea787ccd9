package processor

import "time"

// The bounds of waiting.
const (
	firstWait     = 2 * time.Second
	longestDelay  = 15 * time.Minute // between two tries
	longestAway   = 2 * time.Minute  // between two looks for a provider that is away
	longestOutage = 24 * time.Hour   // of a provider or its list, that a message lives through
	largestFactor = 10               // doublings after which longestDelay is surely reached
)

// backoff is the wait before the try after the tries-th: up to 2 s, doubled
// with each, up to 15 min, with full jitter, so that what failed together does
// not come back together.
func (p *Processor) backoff(tries int) time.Duration {
	doublings := min(max(tries-1, 0), largestFactor)
	return p.jitter(min(firstWait<<doublings, longestDelay))
}

// jitter is a random part of d.
func (p *Processor) jitter(d time.Duration) time.Duration {
	return time.Duration(p.Random() * float64(d))
}
