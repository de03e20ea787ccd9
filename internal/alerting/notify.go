package alerting

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/config"
)

// Reason is why a look at a group told its recipient something, or did not.
type Reason string

// The reasons, in the order in which they are looked for: the first that
// holds is it.
const (
	Silenced     Reason = "silenced"           // not told: every alert of it is silenced, or inhibited
	NothingFires Reason = "nothing fires"      // not told: it never heard of the group
	FirstAlert   Reason = "first notification" // told: it hears of the group, or of a new bout of it
	NewAlerts    Reason = "new alerts"         // told: something fires that did not
	AllResolved  Reason = "all resolved"       // told
	NeverHeard   Reason = "nobody was told"    // not told: fired and resolved between two looks
	SomeResolved Reason = "some resolved"      // told
	Repeated     Reason = "repeated"           // told: repeatInterval is over
	Unchanged    Reason = "unchanged"          // not told
	Waiting      Reason = "waiting"            // not looked at: groupWait or groupInterval
)

// Look is what became of one group for one recipient in one step.
type Look struct {
	Key    string
	Told   bool
	Reason Reason
}

// Notification is what one recipient is to be told. Alerts lists what fires, and
// what was resolved of that which the recipient was told; silenced and inhibited
// alerts are left out.
type Notification struct {
	// Key names the group and the recipient, and stays the same for its life:
	// AlertPolicy/alert/ScalingPolicy/receiver/index.
	Key         string
	AlertPolicy string
	Alert       string
	Policy      string
	Receiver    string
	Index       int // which of the receiver's recipients
	Reason      Reason
	Time        time.Time
	// Within is how long a receiver may try: by then the group is looked at
	// again.
	Within time.Duration
	Alerts []Alert

	firing, resolved []string
}

// Firing tells whether anything of it does.
func (n Notification) Firing() bool { return len(n.firing) > 0 }

// decide is Alertmanager's: what is to be told to one who was told last what
// entry says.
func decide(entry *Entry, firing, resolved []string, repeat time.Duration, now time.Time) (told bool, why Reason) {
	switch {
	case entry == nil && len(firing) == 0:
		return false, NothingFires
	case entry == nil:
		return true, FirstAlert
	case !within(firing, entry.Firing) && len(entry.Firing) == 0:
		return true, FirstAlert
	case !within(firing, entry.Firing):
		return true, NewAlerts
	case len(firing) == 0 && len(entry.Firing) > 0:
		return true, AllResolved
	case len(firing) == 0:
		return false, NeverHeard
	case !within(resolved, entry.Resolved):
		return true, SomeResolved
	case now.Sub(entry.Time) >= repeat:
		return true, Repeated
	default:
		return false, Unchanged
	}
}

// within tells whether every one of some is one of all.
func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

// tell looks at every group of a policy.
func (s *stepping) tell(policy *config.AlertPolicy) {
	groups := map[string][]Alert{}
	for _, a := range s.state.Alerts {
		if told, ok := a.tellable(); ok && a.AlertPolicy == policy.Metadata.Name {
			groups[a.group()] = append(groups[a.group()], told)
		}
	}
	for _, alerts := range groups {
		slices.SortFunc(alerts, func(a, b Alert) int {
			return cmp.Or(cmp.Compare(phaseRank[a.State], phaseRank[b.State]), cmp.Compare(a.Queue, b.Queue))
		})
		for _, receiver := range policy.Spec.Receivers {
			if !slices.Contains(alerts[0].Receivers, receiver.Name) {
				continue
			}
			for i := range receiver.Recipients() {
				s.look(policy, receiver.Name, i, alerts)
			}
		}
	}
	slices.SortFunc(s.due, func(a, b Notification) int { return cmp.Compare(a.Key, b.Key) })
	slices.SortFunc(s.looks, func(a, b Look) int { return cmp.Compare(a.Key, b.Key) })
}

// look decides for one recipient of one group.
func (s *stepping) look(policy *config.AlertPolicy, receiver string, index int, alerts []Alert) {
	n := Notification{
		AlertPolicy: policy.Metadata.Name, Alert: alerts[0].Alert, Policy: s.name, Receiver: receiver, Index: index,
		Time: s.now, Within: policy.Spec.GroupInterval,
	}
	n.Key = strings.Join([]string{n.AlertPolicy, n.Alert, n.Policy, n.Receiver, fmt.Sprint(index)}, "/")
	group, known := s.state.Groups[n.Key]
	for _, a := range alerts {
		switch fingerprint := a.Fingerprint(); {
		case a.muted(), a.State != Firing && !group.Told.knows(fingerprint):
			continue
		case a.State == Firing:
			n.firing = append(n.firing, fingerprint)
		default:
			n.resolved = append(n.resolved, fingerprint)
		}
		n.Alerts = append(n.Alerts, a)
	}
	if !known && alerts[0].State != Firing {
		return // resolved, and nobody is owed the word
	}
	if !known {
		group = Group{Next: firstFired(alerts).Add(policy.Spec.GroupWait)}
	}
	told, reason := false, Waiting
	if !s.now.Before(group.Next) {
		told, reason = decide(group.Told, n.firing, n.resolved, policy.Spec.RepeatInterval, s.now)
		if len(n.Alerts) == 0 && slices.ContainsFunc(alerts, Alert.muted) {
			told, reason = false, Silenced
		}
		group.Next = nextLook(group.Next, policy.Spec.GroupInterval, s.now)
		inhibited := func(a Alert) bool { return len(a.InhibitedBy) > 0 }
		if reason == Silenced && group.Told == nil && slices.ContainsFunc(alerts, inhibited) {
			group.Next = s.now.Add(min(policy.Spec.GroupWait, policy.Spec.GroupInterval)) // soon after the cause is over
		}
	}
	if n.Reason = reason; told {
		s.due = append(s.due, n)
	}
	s.looks = append(s.looks, Look{Key: n.Key, Told: told, Reason: reason})
	if reason == NothingFires || reason == NeverHeard {
		delete(s.state.Groups, n.Key)
		return
	}
	s.visit(n.Key)
	s.state.Groups[n.Key] = group
}

func (s *stepping) visit(key string) {
	if s.visited == nil {
		s.visited = map[string]bool{}
	}
	s.visited[key] = true
}

func firstFired(alerts []Alert) time.Time {
	first := time.Time{}
	for _, a := range alerts {
		if a.State == Firing && (first.IsZero() || a.FiredAt.Before(first)) {
			first = a.FiredAt
		}
	}
	return first
}

// nextLook is the first multiple of interval past now: late steps do not
// shift the rhythm.
func nextLook(last time.Time, interval time.Duration, now time.Time) time.Time {
	return last.Add(now.Sub(last).Truncate(interval) + interval)
}
