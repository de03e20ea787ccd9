package config

import (
	"embed"
	"fmt"
)

// The schemas are generated from the types and their comments by the test
// TestTheSchemasAreCurrent, so that the generator is not in the program:
//
//go:generate go test . -run TestTheSchemasAreCurrent -update
//go:embed schema/*.json
var schemas embed.FS

// Kinds are the kinds of policy, in the order of the docs.
func Kinds() []string {
	return []string{KindScalingPolicy, KindAlertPolicy, KindDeliveryPolicy}
}

// Schema returns the JSON Schema (2020-12) of a kind, for editors. It knows
// each field by itself; what concerns several, Parse alone knows.
func Schema(kind string) ([]byte, error) {
	data, err := schemas.ReadFile("schema/" + kind + ".json")
	if err != nil {
		return nil, fmt.Errorf("find schema: %q is not one of %v", kind, Kinds())
	}
	return data, nil
}
