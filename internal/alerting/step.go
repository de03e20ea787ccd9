package alerting

import (
	"cmp"
	"slices"
	"time"

	"github.com/novaura/acs-operator/config"
)

// Outcome is what one step comes to.
type Outcome struct {
	// Alerts are those that are pending, firing, or resolved of late, and
	// those that cannot be judged; the most urgent first. Never nil.
	Alerts []Alert
	// Notifications are due now. Each is to be sent, and confirmed
	// (State.Confirm) once it is taken.
	Notifications []Notification
	// Looks are what became of every group, for logs and tests.
	Looks []Look
}

// Step judges every rule of the policies on one observation, and tells what
// is due. prev is not changed; equal arguments give equal results. Several
// ScalingPolicies have a state each.
func Step(policies []*config.AlertPolicy, in Input, silences []Silence, prev State, now time.Time) (Outcome, State) {
	s := &stepping{now: now, state: prev.clone(), judged: map[string]bool{}, name: in.Policy.Metadata.Name}
	if !prev.Time.IsZero() {
		s.since = max(0, now.Sub(prev.Time))
	}
	s.judgeAll(policies, in)
	s.retire()
	for key, a := range s.state.Alerts {
		a.SilencedBy = matching(silences, a, now)
		s.state.Alerts[key] = a
	}
	s.inhibit(policies)
	for _, policy := range policies {
		s.tell(policy)
	}
	s.forget()
	s.state.Time = now
	return Outcome{Alerts: s.alerts(), Notifications: s.due, Looks: s.looks}, s.state
}

// stepping is one step in the making.
type stepping struct {
	now     time.Time
	since   time.Duration // since the last step
	name    string        // the ScalingPolicy's
	state   State
	judged  map[string]bool // by Alert.key
	unknown []Alert         // not kept: there is nothing to remember of them
	due     []Notification
	looks   []Look
	visited map[string]bool // groups, by key
}

func (s *stepping) judgeAll(policies []*config.AlertPolicy, in Input) {
	common := in.values()
	perQueue := make([]config.Values, len(in.Policy.Spec.Queues))
	for i := range perQueue {
		perQueue[i] = in.queueValues(common, i, s.now)
	}
	for _, policy := range policies {
		for _, rule := range policy.Rules() {
			if !rule.PerQueue {
				s.judge(policy, rule, "", common)
				continue
			}
			for i, values := range perQueue {
				s.judge(policy, rule, in.Policy.Spec.Queues[i].Name, values)
			}
		}
	}
}

func (s *stepping) judge(policy *config.AlertPolicy, rule *config.Rule, queue string, values config.Values) {
	blank := Alert{Alert: rule.Alert, AlertPolicy: policy.Metadata.Name, Policy: s.name, Queue: queue}
	key := blank.key()
	known, before := s.state.Alerts[key]
	if !before {
		known = blank
	}
	s.judged[key] = true
	next, keep := known.judge(moment{rule: rule, values: values, now: s.now, since: s.since})
	switch {
	case !keep:
		delete(s.state.Alerts, key)
	case next.State == NotKnown:
		s.unknown = append(s.unknown, next)
	default:
		s.state.Alerts[key] = next
	}
}

// retire resolves what fires without a rule, or on a queue, that is gone.
func (s *stepping) retire() {
	for key, a := range s.state.Alerts {
		switch {
		case s.judged[key]:
		case a.State == Firing:
			s.state.Alerts[key] = a.resolve(s.now)
		case a.State == Pending:
			if settled, keep := a.settle(); keep {
				s.state.Alerts[key] = settled
			} else {
				delete(s.state.Alerts, key)
			}
		}
	}
}

// forget drops what was resolved long enough ago and is owed to nobody, and
// groups of which nothing is left.
func (s *stepping) forget() {
	owed := map[string]bool{}
	for key, group := range s.state.Groups {
		if !s.visited[key] {
			delete(s.state.Groups, key)
			continue
		}
		if group.Told != nil {
			for _, fingerprint := range group.Told.Firing {
				owed[fingerprint] = true
			}
		}
	}
	for key, a := range s.state.Alerts {
		age := s.now.Sub(a.ResolvedAt)
		if a.State == Resolved && (age >= resolvedAtMost || age >= resolvedFor && !owed[a.Fingerprint()]) {
			delete(s.state.Alerts, key)
		}
	}
}

// alerts lists every alert: by phase, severity, name and queue.
func (s *stepping) alerts() []Alert {
	return s.state.List(s.unknown...)
}

// List is every alert of a state, and others, in the order of Outcome.Alerts.
func (s State) List(others ...Alert) []Alert {
	all := make([]Alert, 0, len(s.Alerts)+len(others))
	for _, a := range s.Alerts {
		all = append(all, a)
	}
	all = append(all, others...)
	slices.SortFunc(all, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(phaseRank[a.State], phaseRank[b.State]), cmp.Compare(severityRank[a.Severity], severityRank[b.Severity]),
			cmp.Compare(a.Alert, b.Alert), cmp.Compare(a.AlertPolicy, b.AlertPolicy), cmp.Compare(a.Queue, b.Queue))
	})
	return all
}

var (
	phaseRank    = map[Phase]int{Firing: 0, Pending: 1, Resolved: 2, NotKnown: 3}
	severityRank = map[string]int{config.SeverityCritical: 0, config.SeverityWarning: 1, config.SeverityInfo: 2}
)
