package scaling

import (
	"encoding/json"
	"fmt"
	"time"
)

// stateVersion is the layout of State that this code writes and reads.
const stateVersion = 2

// maxMemory and maxRuns bound the lists in a State, so that it stays a few KiB.
const (
	maxMemory = 96 // what behavior remembers
	maxRuns   = 48 // changes of the running count
)

// stamp is a point in time in Unix milliseconds: short in JSON, and free of
// the time zones and monotonic readings that make equal times differ.
type stamp int64

func stampOf(t time.Time) stamp                        { return stamp(t.UnixMilli()) }
func (s stamp) add(d time.Duration) stamp              { return s + stamp(d.Milliseconds()) }
func (s stamp) sub(earlier stamp) float64              { return float64(s-earlier) / 1000 } // seconds
func (s stamp) within(d time.Duration, now stamp) bool { return s > now.add(-d) }

// State is what one decision hands to the next. It is a plain value that
// survives JSON; its zero value is a controller's first tick. Its size is
// bounded, whatever is observed.
type State struct {
	Version int   `json:"version"`
	Time    stamp `json:"time"` // of the newest decision
	// Wanted is the count of the last decision, nil before the first. A
	// service that is found with another one was changed by someone else.
	Wanted *int `json:"wanted,omitempty"`
	// Found is the count that the last decision found; nil: not remembered.
	Found *int `json:"found,omitempty"`
	// Stopped: someone set 0 although minTasks is above; until it is raised.
	Stopped     bool                    `json:"stopped,omitempty"`
	Tasks       taskMemory              `json:"tasks"`
	Behavior    behaviorMemory          `json:"behavior"`
	Competition competition             `json:"competition"`
	Queues      map[string]*queueMemory `json:"queues,omitempty"`
}

// UnmarshalJSON refuses a state of another version, and one that this code
// cannot have written.
func (s *State) UnmarshalJSON(data []byte) error {
	type plain State
	var read plain
	if err := json.Unmarshal(data, &read); err != nil {
		return fmt.Errorf("read scaling state: %w", err)
	}
	// Version 1 knew less, in the same words: what it learned stays.
	if (read.Version < 1 || read.Version > stateVersion) && (read.Version != 0 || read.Time != 0) {
		return fmt.Errorf("read scaling state: it has version %d, this program reads 1 to %d", read.Version, stateVersion)
	}
	*s = State(read)
	return nil
}

// clone returns a copy that a decision may change: it shares nothing with s that
// is written to.
func (s State) clone() State {
	s.Version = stateVersion
	s.Tasks = s.Tasks.clone()
	s.Behavior = s.Behavior.clone()
	queues := make(map[string]*queueMemory, len(s.Queues))
	for name, q := range s.Queues {
		if q != nil { // null in JSON
			queues[name] = q.clone()
		}
	}
	s.Queues = queues
	return s
}

// copied returns a copy of a list, with room for one item more: most of those
// that change grow by one a decision.
func copied[T any](items []T) []T {
	if len(items) == 0 {
		return nil
	}
	return append(make([]T, 0, len(items)+1), items...)
}

// turnTo moves the state to now. When the clock went back, what lies in the
// future never happened.
func (s *State) turnTo(now stamp) {
	if now < s.Time {
		s.Tasks.forgetAfter(now)
		s.Behavior.forgetAfter(now)
		s.Competition.Seen = min(s.Competition.Seen, now)
		for _, q := range s.Queues {
			q.forgetAfter(now)
		}
	}
	s.Time = now
}

// newest keeps the last so many items of a list.
func newest[T any](items []T, most int) []T {
	if len(items) > most {
		return items[len(items)-most:]
	}
	return items
}
