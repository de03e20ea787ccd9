package config

import (
	_ "embed" // the shipped policy is the built-in one
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed alert-policy.yaml
var shippedAlerts []byte

// BuiltIn is the name of the AlertPolicy that exists without any file.
const BuiltIn = "built-in"

// builtInAlerts is the shipped policy without receivers.
var builtInAlerts = sync.OnceValue(func() *AlertPolicy {
	policies, err := Parse(File{Name: "alert-policy.yaml", Data: shippedAlerts})
	if err != nil {
		panic(err) // the file is part of the program, and tested
	}
	policy := *policies.Alert[0]
	policy.Metadata.Name, policy.Spec.Receivers = BuiltIn, nil
	policy.rules = slices.Clone(policy.rules)
	for i, rule := range policy.rules {
		without := *rule
		without.Receivers = nil
		policy.rules[i] = &without
	}
	return &policy
})

// builtInRule is what other rules need of a built-in one before it is compiled.
type builtInRule struct {
	Alert       string   `yaml:"alert"`
	InhibitedBy []string `yaml:"inhibitedBy"`
}

// builtInRules are the shipped rules, read without checking them: checking them
// needs their names.
var builtInRules = sync.OnceValue(func() []builtInRule {
	var shipped struct {
		Spec struct {
			Rules []builtInRule `yaml:"rules"`
		} `yaml:"spec"`
	}
	if err := yaml.Unmarshal(shippedAlerts, &shipped); err != nil {
		panic(err) // the file is part of the program, and tested
	}
	return shipped.Spec.Rules
})

// runbook is the page that says what to do, with a section for each built-in
// rule.
const runbook = "https://github.com/novaura/acs-operator/blob/main/docs/runbook.md"

// runbookOf is the section of a built-in rule; empty for others.
func runbookOf(alert string) string {
	if slices.ContainsFunc(builtInRules(), func(r builtInRule) bool { return r.Alert == alert }) {
		return runbook + "#" + strings.ToLower(alert)
	}
	return ""
}

// WithBuiltIn adds the built-in rules that none of the policies has under the
// same name. They tell nobody: they are shown and logged.
func WithBuiltIn(policies []*AlertPolicy) []*AlertPolicy {
	own := map[string]bool{}
	for _, policy := range policies {
		for _, rule := range policy.rules {
			own[rule.Alert] = true
		}
	}
	rest := *builtInAlerts()
	rest.rules = slices.DeleteFunc(slices.Clone(rest.rules), func(r *Rule) bool { return own[r.Alert] })
	return append(slices.Clone(policies), &rest)
}
