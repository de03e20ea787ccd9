// Package iam evaluates IAM policies: is this call allowed, and by which
// statement? It knows what our own policies use, and refuses to read a policy
// that uses more, so that nothing is taken for allowed that was not understood.
//
// The rules are AWS's: an explicit deny wins, then an allow, and what nobody
// allows is denied
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).
// Only identity policies are looked at. The package imports the standard
// library alone. Start with Policy.Decide.
package iam

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// A Request is one call, as IAM sees it.
type Request struct {
	Action   string // sqs:SendMessage
	Resource string // an ARN, or * for a call that has none
	// Context has the condition keys, for example ecs:cluster.
	Context map[string]string
}

// A Decision says whether a request is allowed, and which statement said so;
// an empty By with Allowed false is the implicit deny.
type Decision struct {
	Allowed bool
	By      string // the statement's Sid
}

// A Policy is an identity policy.
type Policy struct {
	Statements []Statement
}

// A Statement allows or denies.
type Statement struct {
	Sid        string
	Deny       bool
	Actions    []string
	Resources  []string
	Conditions []condition
}

// Parse reads a policy document. An element that is not known here, such as
// NotAction, is an error.
func Parse(document string) (Policy, error) {
	var raw struct {
		Version   string
		ID        string `json:"Id"`
		Statement []struct {
			Sid, Effect string
			Action      texts
			Resource    texts
			Condition   map[string]map[string]texts
		}
	}
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&raw); err != nil {
		return Policy{}, fmt.Errorf("read a policy: %w", err)
	}
	var policy Policy
	for _, s := range raw.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" {
			return Policy{}, fmt.Errorf("read statement %q of a policy: its effect is %q", s.Sid, s.Effect)
		}
		conditions, err := parseConditions(s.Condition)
		if err != nil {
			return Policy{}, fmt.Errorf("read statement %q of a policy: %w", s.Sid, err)
		}
		policy.Statements = append(policy.Statements, Statement{
			Sid: s.Sid, Deny: s.Effect == "Deny", Actions: s.Action, Resources: s.Resource, Conditions: conditions,
		})
	}
	return policy, nil
}

// Decide says whether the policy allows the request.
func (p Policy) Decide(r Request) Decision {
	var decision Decision
	for _, s := range p.Statements {
		switch {
		case !s.Covers(r):
		case s.Deny:
			return Decision{By: s.Sid}
		case !decision.Allowed:
			decision = Decision{Allowed: true, By: s.Sid}
		}
	}
	return decision
}

// Covers says whether the statement speaks of the request.
func (s Statement) Covers(r Request) bool {
	return anyMatches(s.Actions, r.Action, true) && anyMatches(s.Resources, r.Resource, false) && allHold(s.Conditions, r.Context)
}

func anyMatches(patterns []string, text string, fold bool) bool {
	for _, pattern := range patterns {
		if matches(pattern, text, fold) {
			return true
		}
	}
	return false
}

// matches knows * (any text, colons and slashes too) and ? (one character).
// Actions are compared without regard to case.
func matches(pattern, text string, fold bool) bool {
	expression := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	flags := "(?s)"
	if fold {
		flags = "(?is)"
	}
	return regexp.MustCompile(flags + "^" + expression + "$").MatchString(text)
}

// texts is one string or a list of them, as policies have both.
type texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}
