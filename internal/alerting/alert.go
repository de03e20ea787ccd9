package alerting

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/config"
)

// Phase is where an alert stands.
type Phase string

// The phases. NotKnown is that of an alert that is neither pending nor firing
// and whose condition cannot be judged.
const (
	Pending  Phase = "pending"
	Firing   Phase = "firing"
	Resolved Phase = "resolved"
	NotKnown Phase = "unknown"
)

// resolvedFor is how long a resolved alert is kept at least, to be shown; and
// resolvedAtMost how long for want of a receiver that takes it.
const (
	resolvedFor    = 15 * time.Minute
	resolvedAtMost = 24 * time.Hour
)

// Alert is one rule and what it was judged on.
type Alert struct {
	Alert       string `json:"alert"`
	Severity    string `json:"severity"`
	AlertPolicy string `json:"alertPolicy"` // the policy of the rule
	Policy      string `json:"policy"`      // the ScalingPolicy
	Queue       string `json:"queue,omitempty"`
	State       Phase  `json:"state"`
	// Since is when the condition began to hold, FiredAt when it had held for
	// long enough, ResolvedAt when it held no more; zero: not yet.
	Since      time.Time `json:"since,omitzero"`
	FiredAt    time.Time `json:"firedAt,omitzero"`
	ResolvedAt time.Time `json:"resolvedAt,omitzero"`
	Message    string    `json:"message,omitempty"` // of the last time it held
	// Unknown says for want of what the condition cannot be judged now.
	Unknown     string   `json:"unknown,omitempty"`
	SilencedBy  []string `json:"silencedBy,omitempty"`  // ids of silences
	InhibitedBy []string `json:"inhibitedBy,omitempty"` // names of firing alerts that explain this one
	RunbookURL  string   `json:"runbookURL,omitempty"`

	// What the state machine needs, kept with the state.
	LapsedAt  time.Time     `json:"lapsedAt,omitzero"`   // firing: the first time it held no more
	Blind     time.Duration `json:"blind,omitempty"`     // time without a verdict since Since or LapsedAt
	Receivers []string      `json:"receivers,omitempty"` // whom it concerns
}

// Labels identify an alert; silences match them.
func (a Alert) Labels() map[string]string {
	labels := map[string]string{"alertname": a.Alert, "severity": a.Severity, "policy": a.Policy}
	if a.Queue != "" {
		labels["queue"] = a.Queue
	}
	return labels
}

// Fingerprint is 16 hexadecimal digits that stand for the labels and the
// AlertPolicy.
func (a Alert) Fingerprint() string {
	hash, labels := fnv.New64a(), a.Labels()
	labels["alertPolicy"] = a.AlertPolicy
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		_, _ = fmt.Fprintf(hash, "%s\xff%s\xff", name, labels[name]) // a hash takes everything
	}
	return fmt.Sprintf("%016x", hash.Sum64())
}

// Shown is the alert without what only the state machine needs.
func (a Alert) Shown() Alert {
	a.LapsedAt, a.Blind, a.Receivers = time.Time{}, 0, nil
	return a
}

func (a Alert) key() string   { return strings.Join([]string{a.AlertPolicy, a.Alert, a.Queue}, "/") }
func (a Alert) group() string { return a.AlertPolicy + "/" + a.Alert }

// Moment is what one judgement sees.
type moment struct {
	rule   *config.Rule
	values config.Values
	now    time.Time
	since  time.Duration // since the last step
}

// judge turns the alert to a moment; keep is whether it is worth keeping.
func (a Alert) judge(m moment) (next Alert, keep bool) {
	verdict, why := m.rule.Judge(m.values)
	a.Severity, a.Receivers, a.RunbookURL, a.Unknown = m.rule.Severity, m.rule.Receivers, m.rule.RunbookURL, why
	switch verdict {
	case config.Holds:
		return a.holds(m), true
	case config.HoldsNot:
		return a.lapses(m.rule.KeepFiringFor, m.now)
	case config.Unknown:
	}
	if a.State == "" {
		a.State = NotKnown
	}
	a.Blind += m.since
	return a, true
}

// holds is Prometheus' rule: pending from the first time on, firing once it
// has held for long enough, at once where that is nothing.
func (a Alert) holds(m moment) Alert {
	if a.State != Pending && a.State != Firing {
		a.State, a.Since, a.Blind = Pending, m.now, 0
	}
	if a.State == Pending && m.now.Sub(a.Since)-a.Blind >= m.rule.For {
		a.State, a.FiredAt, a.ResolvedAt = Firing, m.now, time.Time{}
	}
	if a.State == Firing {
		a.LapsedAt, a.Blind = time.Time{}, 0
	}
	a.Message = m.rule.Text(m.values)
	return a
}

// lapses: one time resets what is pending; what fires goes on for
// keepFiringFor, counted from the first time that it held no more.
func (a Alert) lapses(keepFiringFor time.Duration, now time.Time) (next Alert, keep bool) {
	switch a.State {
	case Firing:
		if a.LapsedAt.IsZero() {
			a.LapsedAt, a.Blind = now, 0
		}
		if now.Sub(a.LapsedAt)-a.Blind < keepFiringFor {
			return a, true
		}
		return a.resolve(now), true
	case Pending, Resolved, NotKnown:
	}
	return a.settle()
}

// settle puts an alert that neither fires nor is pending back to what it was:
// resolved, where it fired before, or nothing.
func (a Alert) settle() (settled Alert, keep bool) {
	if a.ResolvedAt.IsZero() {
		return a, false
	}
	a.State, a.Unknown = Resolved, ""
	return a, true
}

// muted tells whether no notification is sent for the alert.
func (a Alert) muted() bool { return len(a.SilencedBy) > 0 || len(a.InhibitedBy) > 0 }

// tellable is the alert as receivers see it: one that fired, was resolved, and
// is pending anew is still the resolved one to them.
func (a Alert) tellable() (told Alert, ok bool) {
	if a.State == Firing {
		return a, true
	}
	return a.settle()
}

func (a Alert) resolve(now time.Time) Alert {
	a.State, a.ResolvedAt, a.LapsedAt, a.Blind, a.Unknown = Resolved, now, time.Time{}, 0, ""
	return a
}
