package reconcile

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/config"
)

// This file says which version of the policies is followed, and why a newer one
// is not: as a condition, as events, and in the words that an alert quotes.

// The reasons of the condition PolicyAccepted when it is False.
const (
	invalidPolicy    = "InvalidPolicy"    // it was read, and is wrong
	unreadablePolicy = "UnreadablePolicy" // the source answered that it cannot be read
	policyNotRead    = "PolicyNotRead"    // the source did not answer in time
)

// refusal is why the newest version of the policies is not followed.
type refusal struct {
	message string
	reason  string    // the condition's
	since   time.Time // of the first one after the last version that was accepted
}

// Refuse says that a newer version of the policies was not accepted; the
// running ones stay. Its error is a joined list of config.FieldError, or says
// why the source could not be read.
func (l *Loop) Refuse(err error) {
	l.mu.Lock()
	next := &refusal{message: err.Error(), reason: refusalReason(err), since: time.Now()}
	if l.refusal != nil {
		next.since = l.refusal.since
	}
	l.refusal = next
	runners := l.sorted()
	l.mu.Unlock()
	l.options.Logger.Error("policy rejected, the running one stays", "reason", next.reason, "error", err)
	event := "PolicyRefused"
	if next.reason == policyNotRead {
		event = policyNotRead
	}
	for _, running := range runners {
		running.setCondition(PolicyAccepted, False, next.reason, next.message)
		running.notice(Warning, event, next.message)
		running.poke()
	}
}

// refusalReason tells what was read and is wrong from what could not be read,
// and from what did not answer.
func refusalReason(err error) string {
	var late interface{ Timeout() bool }
	switch {
	case len(config.FieldErrors(err)) > 0:
		return invalidPolicy
	case errors.As(err, &late) && late.Timeout():
		return policyNotRead
	}
	return unreadablePolicy
}

// readmit is called when a version was accepted after a refusal (nil: there was
// none). A version that the store has counted is announced now, a new one when
// its generation is known.
func (r *runner) readmit(after *refusal) {
	r.mu.Lock()
	if after != nil {
		r.refused, r.readmitted = after, time.Now()
	}
	counted := r.versioned
	r.mu.Unlock()
	if counted && after != nil {
		r.announceAccepted(true)
	}
}

// announceAccepted notes which version is followed; again says that it was
// followed before.
func (r *runner) announceAccepted(again bool) {
	r.mu.Lock()
	generation, after, until := r.policy.Metadata.Generation, r.refused, r.readmitted
	r.refused = nil
	r.mu.Unlock()
	message := fmt.Sprintf("generation %d of %s is followed", generation, r.name)
	if again {
		message += " again"
	}
	if after != nil {
		what := "newer versions were rejected"
		if after.reason != invalidPolicy {
			what = "the source could not be read"
		}
		const clock = "15:04:05Z"
		message += fmt.Sprintf("; %s from %s to %s", what, after.since.UTC().Format(clock), until.UTC().Format(clock))
	}
	r.notice(Normal, PolicyAccepted, message)
}

// announceAlertPolicies notes, with every ScalingPolicy, which AlertPolicies are
// followed in a new version.
func (l *Loop) announceAlertPolicies(before, after []*config.AlertPolicy) {
	l.mu.Lock()
	runners := l.sorted()
	l.mu.Unlock()
	for _, next := range after {
		same := func(p *config.AlertPolicy) bool {
			return p.Metadata.Name == next.Metadata.Name && reflect.DeepEqual(p.Spec, next.Spec)
		}
		if slices.ContainsFunc(before, same) {
			continue
		}
		for _, r := range runners {
			r.notice(Normal, PolicyAccepted, fmt.Sprintf("generation %d of AlertPolicy %s is followed", next.Metadata.Generation, next.Metadata.Name))
		}
	}
}

// problemLength is how many characters of a refusal an alert quotes.
const problemLength = 200

// policyProblem is the refusal in short, for an alert: its first lines, and how
// many more there are. Empty: the newest version is followed.
func (r *runner) policyProblem() string {
	if c := r.condition(PolicyAccepted); c.Status == False {
		return firstLines(c.Message)
	}
	return ""
}

// firstLines is as many lines of text as an alert takes, the first one at least.
func firstLines(text string) string {
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	if len(lines) == 0 {
		return ""
	}
	shown := lines[0]
	for i, line := range lines[1:] {
		if longer := shown + "; " + line; len([]rune(longer)) <= problemLength {
			shown = longer
			continue
		}
		return clip(shown, problemLength) + fmt.Sprintf(" (and %d more)", len(lines)-1-i)
	}
	return clip(shown, problemLength)
}

func clip(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}
