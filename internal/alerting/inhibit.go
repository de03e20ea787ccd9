package alerting

import (
	"slices"

	"github.com/novaura/acs-operator/config"
)

// inhibit notes, for every alert that fires, which firing alerts explain it. An
// alert that is sent to nobody inhibits nothing: someone must hear of the cause.
// A silenced one does inhibit, as in Alertmanager: whoever silenced the cause
// knows of it.
func (s *stepping) inhibit(policies []*config.AlertPolicy) {
	causes := map[string][]Alert{} // that fire, by name
	for _, a := range s.state.Alerts {
		if a.State == Firing && len(a.Receivers) > 0 {
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
