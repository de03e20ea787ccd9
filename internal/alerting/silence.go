package alerting

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Silence keeps matching alerts from being told while it lasts; they are
// judged and shown all the same.
type Silence struct {
	ID        string    `json:"id"`
	Matchers  []Matcher `json:"matchers"` // all must match
	StartsAt  time.Time `json:"startsAt"`
	EndsAt    time.Time `json:"endsAt"`
	CreatedBy string    `json:"createdBy"`
	Comment   string    `json:"comment"`
}

// Active tells whether it holds at now.
func (s Silence) Active(now time.Time) bool { return !now.Before(s.StartsAt) && now.Before(s.EndsAt) }

// Matches tells whether every matcher does.
func (s Silence) Matches(a Alert) bool {
	labels := a.Labels()
	return len(s.Matchers) > 0 && !slices.ContainsFunc(s.Matchers, func(m Matcher) bool { return !m.matches(labels) })
}

// The ways to match, as Alertmanager writes them.
const (
	Equal        = "="
	NotEqual     = "!="
	MatchesRE    = "=~" // the whole value
	MatchesNotRE = "!~"
)

// Matcher is one condition on a label: alertname, severity, policy or queue.
// An absent label is an empty one.
type Matcher struct {
	Label string `json:"label"`
	Op    string `json:"op"`
	Value string `json:"value"`
}

func (m Matcher) String() string { return fmt.Sprintf("%s%s%q", m.Label, m.Op, m.Value) }

// The bounds of a silence: it is matched against every alert at every step.
const (
	maxMatchers = 20
	maxMatcher  = 255  // characters of a value
	maxComment  = 1000 // characters
)

var (
	matcherShape  = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*$`)
	matcherLabels = []string{"alertname", "severity", "policy", "queue"}
)

// ParseMatcher reads queue=texts, alertname=~"Oldest.*", severity!=critical;
// alert is short for alertname, and a word alone is an alert's name.
func ParseMatcher(text string) (Matcher, error) {
	parts := matcherShape.FindStringSubmatch(text)
	if parts == nil {
		word := strings.TrimSpace(text)
		if word == "" || strings.ContainsAny(word, `=!~" `) {
			return Matcher{}, fmt.Errorf("%q is not a matcher; write one like queue=novaura-acs-sms-events or alertname=~\"Oldest.*\"", text)
		}
		parts = []string{"", "alertname", Equal, word}
	}
	m := Matcher{Label: parts[1], Op: parts[2], Value: strings.Trim(parts[3], `"`)}
	if m.Label == "alert" {
		m.Label = "alertname"
	}
	if !slices.Contains(matcherLabels, m.Label) {
		return m, fmt.Errorf("%q is not a label of alerts; they are %s", m.Label, strings.Join(matcherLabels, ", "))
	}
	if length := utf8.RuneCountInString(m.Value); length > maxMatcher {
		return m, fmt.Errorf("the value of the matcher of %s has %d characters, and may have %d; make it shorter", m.Label, length, maxMatcher)
	}
	if m.Op == MatchesRE || m.Op == MatchesNotRE {
		if _, err := regexp.Compile(m.Value); err != nil {
			return m, fmt.Errorf("%q is not a regular expression: %w", m.Value, err)
		}
	}
	return m, nil
}

// Check finds what makes a silence impossible.
func (s Silence) Check() error {
	switch {
	case len(s.Matchers) == 0:
		return errors.New("a silence needs a matcher: name what it is about, like alertname=OldestMessageTooOld")
	case len(s.Matchers) > maxMatchers:
		return fmt.Errorf("a silence may have %d matchers, not %d; make several silences", maxMatchers, len(s.Matchers))
	case utf8.RuneCountInString(s.Comment) > maxComment:
		return fmt.Errorf("a comment may have %d characters; make it shorter", maxComment)
	case !s.EndsAt.After(s.StartsAt):
		return errors.New("a silence ends after it starts")
	case s.CreatedBy == "":
		return errors.New("a silence has an author")
	case s.Comment == "":
		return errors.New("a silence has a comment: say why, for whoever finds it")
	}
	return nil
}

func (m Matcher) matches(labels map[string]string) bool {
	value := labels[m.Label]
	switch m.Op {
	case Equal:
		return value == m.Value
	case NotEqual:
		return value != m.Value
	default:
		shape, err := regexp.Compile("^(?:" + m.Value + ")$")
		return err == nil && shape.MatchString(value) == (m.Op == MatchesRE)
	}
}

// matching lists the ids of the silences that hold for a at now.
func matching(silences []Silence, a Alert, now time.Time) []string {
	var ids []string
	for _, s := range silences {
		if s.Active(now) && s.Matches(a) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
