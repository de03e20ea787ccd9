package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Incident is one thing that goes wrong, and what must be seen of it.
type Incident struct {
	ID    string // for --only
	Name  string // a sentence
	Short bool   // one of the short selection
	Slots int    // how much of --parallel it takes; 0: 1
	Setup Setup

	Cause  func(context.Context, *Stage) error
	During time.Duration // from the cause to its end; 0: usualLength
	End    func(context.Context, *Stage) error

	Expect Expect
}

// Setup is how the system runs before the cause. Zero values stand for the usual.
type Setup struct {
	Rate     float64       // messages/s; 0: usualRate
	Channels string        // of the load
	MinTasks int           // 0: usualTasks
	MaxTasks int           // 0: usualMost
	StartLag time.Duration // how long a task takes to start
	Postgres bool          // instead of SQLite
}

const (
	usualLength   = 150 * time.Second
	usualRate     = 10.0
	usualChannels = "sms,push" // local's e-mail load always has bounces and complaints
	usualTasks    = 2
	usualMost     = 6 // a controller that goes wrong must not fill this machine
	usualLag      = 2 * time.Second
)

// noticeWithin is how soon people must know.
const noticeWithin = 2 * time.Minute

// Expect is what must be seen of an incident. What it leaves out is not judged.
type Expect struct {
	Count    CountRule
	Alerts   []string // each must be notified within noticeWithin
	Words    []string // each must stand in a notice of these alerts
	Status   []string // `controller get` must say one of these, and not OK after noticeWithin
	Printed  []string // local must print each
	Resolves bool     // each of the alerts must be resolved
	Loses    string   // why messages are lost by the cause itself; empty: none may be
}

// A CountRule says what the desired count may do from the cause to its end.
type CountRule struct {
	words string
	wrong func(before, least, most int) bool
}

// Held allows no change.
func Held() CountRule {
	return CountRule{"held", func(before, least, most int) bool { return least != before || most != before }}
}

// NeverOut allows no more tasks than before.
func NeverOut() CountRule {
	return CountRule{"never more", func(before, _, most int) bool { return most > before }}
}

// NeverIn allows no fewer tasks than before.
func NeverIn() CountRule {
	return CountRule{"never fewer", func(before, least, _ int) bool { return least < before }}
}

// AtMost allows up to n tasks, and no fewer than before.
func AtMost(n int) CountRule {
	return CountRule{fmt.Sprintf("never fewer, and at most %d", n), func(before, least, most int) bool { return most > n || least < before }}
}

// Reaches wants n tasks at the most seen, exactly.
func Reaches(n int) CountRule {
	return CountRule{fmt.Sprintf("up to %d, no more", n), func(_, _, most int) bool { return most != n }}
}

// LeftAt wants the count that somebody set to stay.
func LeftAt(n int) CountRule {
	return CountRule{fmt.Sprintf("left at %d", n), func(before, least, most int) bool { return least != n || most > before }}
}

func (i Incident) slots() int { return max(1, i.Slots) }

func (i Incident) length() time.Duration {
	if i.During == 0 {
		return usualLength
	}
	return i.During
}

func (s Setup) withUsual() Setup {
	if s.Rate == 0 {
		s.Rate = usualRate
	}
	if s.Channels == "" {
		s.Channels = usualChannels
	}
	if s.MinTasks == 0 {
		s.MinTasks = usualTasks
	}
	if s.MaxTasks == 0 {
		s.MaxTasks = usualMost
	}
	if s.StartLag == 0 {
		s.StartLag = usualLag
	}
	return s
}

// table lists every incident, in the order of the page that asks for them.
func table() []Incident {
	return slices.Concat(providerIncidents(), databaseIncidents(), taskIncidents(), awsIncidents(), policyIncidents(), messageIncidents(), peopleIncidents())
}

// choose returns the incidents with these ids, or all; short leaves the short
// selection.
func choose(all []Incident, only []string, short bool) ([]Incident, error) {
	var ids []string
	for _, incident := range all {
		ids = append(ids, incident.ID)
	}
	for _, id := range only {
		if !slices.Contains(ids, id) {
			return nil, fmt.Errorf("there is no incident %q; there are: %s", id, strings.Join(ids, ", "))
		}
	}
	return slices.DeleteFunc(all, func(i Incident) bool {
		return len(only) > 0 && !slices.Contains(only, i.ID) || len(only) == 0 && short && !i.Short
	}), nil
}
