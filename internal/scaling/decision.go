package scaling

import (
	"slices"
	"time"
)

// Decision is the count of tasks a policy asks for, and why.
type Decision struct {
	Time    time.Time `json:"time"`
	Policy  string    `json:"policy"`
	Desired int       `json:"desired"` // tasks
	// Reason is one sentence for a tired person.
	Reason string `json:"reason"`
	// LimitedBy names the constraint that set Desired apart from the need:
	// minTasks, maxTasks, behavior, stabilization, tolerance, schedule,
	// fallback, unknown, paused, rollout …; empty: nothing did.
	LimitedBy string `json:"limitedBy,omitempty"`
	Alerts    []any  `json:"alerts"` // never nil, so that it prints as []

	Current int         `json:"current"`          // desired count before the decision
	Need    int         `json:"need"`             // tasks before any constraint
	Queues  []QueueNeed `json:"queues,omitempty"` // one a queue of the policy, in its order
	Steps   []Step      `json:"steps,omitempty"`  // the constraints that changed the count, in order
}

// Step is one constraint that changed the count.
type Step struct {
	Rule   string `json:"rule"`
	From   int    `json:"from"`
	To     int    `json:"to"`
	Reason string `json:"reason"`
}

// QueueNeed is what one queue asks for, with the estimates behind it.
type QueueNeed struct {
	Queue        string  `json:"queue"`
	Need         int     `json:"need"`    // tasks
	Known        bool    `json:"known"`   // the depth is fresh
	Backlog      float64 `json:"backlog"` // messages: visible, in flight, parked
	InFlight     float64 `json:"inFlight"`
	Age          float64 `json:"age"`                // seconds the oldest message waits; 0: unknown or none
	Arrival      float64 `json:"arrival"`            // messages/s, estimated
	ArrivalKnown bool    `json:"arrivalKnown"`       // Arrival rests on at least one sample
	Surge        bool    `json:"surge,omitempty"`    // Arrival is of a surge, which may be over
	PerTask      float64 `json:"perTask"`            // messages/s a task, estimated or told
	Learned      bool    `json:"learned"`            // PerTask comes from observations
	AtLeast      bool    `json:"atLeast,omitempty"`  // PerTask is a lower bound: a task may do far more
	Foreseen     float64 `json:"foreseen,omitempty"` // messages of the dump that the calendar expects
	Drain        float64 `json:"drain"`              // seconds until the backlog is gone with Desired tasks; 0: empty or never
	Why          string  `json:"why"`                // half a sentence: what set Need
	Stalled      string  `json:"stalled,omitempty"`  // why its tasks get nothing done; empty: they do
}

// AtMaximum reports whether maxTasks, the policy's or a schedule's, holds the count
// below the need.
func (d *Decision) AtMaximum() bool {
	return d.LimitedBy == "maxTasks" || d.Need > d.Desired && slices.ContainsFunc(d.Steps, func(s Step) bool {
		return s.To < s.From && (s.Rule == "maxTasks" || s.Rule == "schedule")
	})
}

// LastDone returns the queue whose backlog is worked off last at the desired count, and
// when, from the decision on. 0 with a queue: its backlog never is. 0 without one: there
// is no backlog, or its end is not known.
func (d *Decision) LastDone() (queue string, after time.Duration) {
	for i := range d.Queues {
		switch {
		case d.Queues[i].Stands():
			return d.Queues[i].Queue, 0
		case d.Queues[i].Backlog >= 1 && d.Queues[i].Drain <= 0:
			return "", 0
		}
		if drain := time.Duration(d.Queues[i].Drain * float64(time.Second)); drain > after {
			queue, after = d.Queues[i].Queue, drain
		}
	}
	return queue, after
}

// Stands reports whether the backlog is known not to be worked off at the desired count.
// While nobody knows what a task does, that is not known.
func (q QueueNeed) Stands() bool {
	return q.Backlog >= 1 && q.Drain <= 0 && q.PerTask > 0 && !q.AtLeast
}
