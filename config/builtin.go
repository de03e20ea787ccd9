package config

import (
	_ "embed" // the shipped policy is the built-in one
	"slices"
	"sync"
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
