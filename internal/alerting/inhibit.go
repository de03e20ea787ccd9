package alerting

import (
	"slices"
	"time"

	"github.com/novaura/acs-operator/config"
)

// aftermath is how long after a cause is resolved it still explains what follows from
// it: a backlog is worked off, and messages in doubt are looked up. What fires on after
// that is sent.
const aftermath = 3 * time.Minute

// inhibit notes, for every alert that fires, which alerts explain it: they fire, or
// were resolved within aftermath. An
// alert that is sent to nobody inhibits nothing: someone must hear of the cause.
// A silenced one does inhibit, as in Alertmanager: whoever silenced the cause
// knows of it.
func (s *stepping) inhibit(policies []*config.AlertPolicy) {
	causes := map[string][]Alert{} // by name
	for _, a := range s.state.Alerts {
		recent := a.State == Resolved && s.now.Sub(a.ResolvedAt) < aftermath
		if (a.State == Firing || recent) && len(a.Receivers) > 0 {
			causes[a.Alert] = append(causes[a.Alert], a)
		}
	}
	names := map[string][]string{} // of what inhibits a rule, by Alert.group
	for _, policy := range policies {
		for _, rule := range policy.Rules() {
			if len(rule.InhibitedBy) > 0 {
				names[Alert{AlertPolicy: policy.Metadata.Name, Alert: rule.Alert}.group()] = rule.InhibitedBy
			}
		}
	}
	for key, a := range s.state.Alerts {
		before := a.InhibitedBy
		a.InhibitedBy = nil
		if a.State == Firing {
			a.InhibitedBy = slices.DeleteFunc(slices.Clone(names[a.group()]), func(name string) bool {
				return !slices.ContainsFunc(causes[name], a.explainedBy)
			})
			if len(a.InhibitedBy) == 0 && !a.LapsedAt.IsZero() {
				// The cause is over, and so is this one: it fires on only for
				// keepFiringFor, which is no news to anybody.
				a.InhibitedBy = before
			}
		}
		s.state.Alerts[key] = a
	}
}

// explainedBy tells whether cause is about the same queue, or either of them is
// about the whole service.
func (a Alert) explainedBy(cause Alert) bool {
	return cause.key() != a.key() && (a.Queue == "" || cause.Queue == "" || a.Queue == cause.Queue)
}
