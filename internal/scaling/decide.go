// Package scaling decides how many tasks a service needs.
//
// It is pure: values in, values out; no I/O, no clock, no goroutine. It
// imports config, the standard library and pure libraries. Start with Decide.
package scaling

import (
	"time"

	"github.com/novaura/acs-operator/config"
)

// State is what one decision hands to the next. It is a plain value that
// survives JSON; its zero value is a controller's first tick.
type State struct {
	LastDesired int `json:"lastDesired,omitempty"` // placeholder: the owner of this package completes it
}

// Decide returns the fewest tasks that keep the oldest message of every queue
// younger than its MaxAge, and the state to hand to the next call.
//
// Depths are in messages, rates in messages/s, the result in tasks. A metric
// that is missing, or older at now than p.Spec.Fallback.After, never lowers
// the count. There is no error: p was validated when it was loaded, and what
// obs does not tell is named in Decision.Reason.
func Decide(p *config.ScalingPolicy, obs Observation, prev State, now time.Time) (Decision, State) {
	return Decision{Time: now, Policy: p.Metadata.Name, Alerts: []any{}}, prev
}
