package config

import _ "embed" // the shipped policies

//go:embed scaling-policy.yaml
var shippedScaling []byte

// Shipped returns the policy files that come with the product, for a place that
// has none. The caller must not change them.
func Shipped() []File {
	return []File{{Name: "scaling-policy.yaml", Data: shippedScaling}, {Name: "alert-policy.yaml", Data: shippedAlerts}}
}
