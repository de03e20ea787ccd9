package config

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A bound that does not parse would be no bound, silently.
func TestTheRulesInTheTagsParse(t *testing.T) {
	t.Parallel()
	for _, policy := range []any{ScalingPolicy{}, AlertPolicy{}, DeliveryPolicy{}} {
		checkRules(t, reflect.TypeOf(policy))
	}
}

func checkRules(t *testing.T, goType reflect.Type) {
	t.Helper()
	switch goType.Kind() { //nolint:exhaustive // the rest has no fields
	case reflect.Pointer, reflect.Slice:
		checkRules(t, goType.Elem())
	case reflect.Struct:
		for field := range goType.Fields() {
			if !field.IsExported() {
				continue
			}
			r := rulesOf(field)
			for _, bound := range []string{r.minimum, r.maximum, r.above} {
				_, err := strconv.ParseFloat(bound, 64)
				if field.Type == reflect.TypeFor[time.Duration]() {
					_, err = time.ParseDuration(bound)
				}
				if bound != "" && err != nil {
					t.Errorf("%s.%s: bound %q: %v", goType.Name(), field.Name, bound, err)
				}
			}
			if strings.Contains(field.Tag.Get("jsonschema"), "maxItems") && r.maxItems < 1 {
				t.Errorf("%s.%s: maxItems is not a number", goType.Name(), field.Name)
			}
			if r.form != "" && forms[r.form] == nil {
				t.Errorf("%s.%s: there is no form %q", goType.Name(), field.Name, r.form)
			}
			checkRules(t, field.Type)
		}
	}
}
