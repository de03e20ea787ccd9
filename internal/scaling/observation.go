package scaling

import (
	"encoding/json"
	"time"
)

// Sample is a value and the time it was true at. In JSON it may also be a
// bare number, which is then true at the observation's time (its zero Time is
// filled in by Observation.Normalize).
type Sample struct {
	Value float64   `json:"value"`
	Time  time.Time `json:"time"`
	// Period is the length in seconds of the interval that ends at Time, for
	// counts (sent, received, deleted …); 0 for a gauge.
	Period float64 `json:"period,omitempty"`
}

// UnmarshalJSON reads an object, or a bare number.
func (s *Sample) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '{' {
		*s = Sample{}
		return json.Unmarshal(data, &s.Value)
	}
	type plain Sample
	return json.Unmarshal(data, (*plain)(s))
}

// Queue is what is known of one queue. Nil means unknown, never zero.
type Queue struct {
	Visible   *Sample `json:"visible,omitempty"`   // messages
	InFlight  *Sample `json:"inFlight,omitempty"`  // messages
	Delayed   *Sample `json:"delayed,omitempty"`   // messages
	OldestAge *Sample `json:"oldestAge,omitempty"` // seconds; AWS leaves out what was received three times

	Sent     *Sample `json:"sent,omitempty"`     // messages in Period
	Received *Sample `json:"received,omitempty"` // messages in Period
	Deleted  *Sample `json:"deleted,omitempty"`  // messages in Period

	Failed          *Sample `json:"failed,omitempty"`          // messages in Period
	DeadLettered    *Sample `json:"deadLettered,omitempty"`    // messages in Period
	ProviderLimited *bool   `json:"providerLimited,omitempty"` // the workers wait for the provider's rate limit
	OldestWaiting   *Sample `json:"oldestWaiting,omitempty"`   // seconds, by the workers' own reckoning
	Parked          *Sample `json:"parked,omitempty"`          // messages due within a start lag
}

// Service is the ECS service's task counts.
type Service struct {
	Desired      int   `json:"desired"`
	Running      int   `json:"running"`
	Pending      int   `json:"pending"`
	Rollout      *bool `json:"rollout,omitempty"`      // a deployment is in progress
	FailedStarts *int  `json:"failedStarts,omitempty"` // tasks that failed to start since the rollout began
	Protected    *int  `json:"protected,omitempty"`    // tasks under scale-in protection
}

// Observation is all that one decision sees. Queues are keyed by name.
type Observation struct {
	Time    time.Time        `json:"time"`
	Service *Service         `json:"service"`
	Queues  map[string]Queue `json:"queues"`
}
