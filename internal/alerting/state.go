package alerting

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// stateVersion is the layout of State that this code writes and reads.
const stateVersion = 1

// State is what one step hands to the next, for one ScalingPolicy. It is a
// plain value that survives JSON; its zero value is a controller's first
// step. It holds what is pending, firing, or was resolved of late, and what
// was told to whom: nothing while all is well.
type State struct {
	Version int              `json:"version"`
	Time    time.Time        `json:"time"`             // of the last step
	Alerts  map[string]Alert `json:"alerts,omitempty"` // by Alert.key
	Groups  map[string]Group `json:"groups,omitempty"` // by Notification.Key
}

// Group is what is remembered of one group and recipient.
type Group struct {
	Next time.Time `json:"next"`           // when it is looked at again
	Told *Entry    `json:"told,omitempty"` // nil: nothing yet
}

// Entry is what a recipient was last told: sets of alerts' fingerprints.
type Entry struct {
	Time     time.Time `json:"time"` // of the look that told it
	Firing   []string  `json:"firing,omitempty"`
	Resolved []string  `json:"resolved,omitempty"`
}

// knows tells whether the recipient was told of an alert; nil: of none.
func (e *Entry) knows(fingerprint string) bool {
	return e != nil && (slices.Contains(e.Firing, fingerprint) || slices.Contains(e.Resolved, fingerprint))
}

// UnmarshalJSON refuses a state of another version.
func (s *State) UnmarshalJSON(data []byte) error {
	type plain State
	var read plain
	if err := json.Unmarshal(data, &read); err != nil {
		return fmt.Errorf("read alert state: %w", err)
	}
	if read.Version > stateVersion {
		return fmt.Errorf("read alert state: it has version %d, this program reads %d", read.Version, stateVersion)
	}
	*s = State(read)
	return nil
}

// clone returns a copy that shares nothing that changes.
func (s State) clone() State {
	s.Version = stateVersion
	s.Alerts, s.Groups = maps.Clone(s.Alerts), maps.Clone(s.Groups)
	if s.Alerts == nil {
		s.Alerts = map[string]Alert{}
	}
	if s.Groups == nil {
		s.Groups = map[string]Group{}
	}
	return s
}

// Owes tells whether anyone was told last that something fires, and so waits to
// hear that it is over.
func (s State) Owes() bool {
	for _, group := range s.Groups {
		if group.Told != nil && len(group.Told.Firing) > 0 {
			return true
		}
	}
	return false
}

// Confirm returns the state in which n's recipient was told n. It is called
// after the receiver has taken it. A group that is gone meanwhile stays gone.
func (s State) Confirm(n Notification) State {
	next := s.clone()
	if group, known := next.Groups[n.Key]; known {
		group.Told = &Entry{Time: n.Time, Firing: slices.Clone(n.firing), Resolved: slices.Clone(n.resolved)}
		next.Groups[n.Key] = group
	}
	return next
}
