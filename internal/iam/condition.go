package iam

import (
	"fmt"
	"strings"
)

// A condition holds when the request's value for the key matches one of the
// values. A key that the request does not have fails it: none of the operators
// here is one of …IfExists.
type condition struct {
	key    string
	values []string
	test   func(want, got string) bool
}

// operators are those that are known
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html).
// ArnEquals and ArnLike behave alike.
var operators = map[string]func(want, got string) bool{
	"StringEquals": func(want, got string) bool { return want == got },
	"StringLike":   func(want, got string) bool { return matches(want, got, false) },
	"ArnEquals":    arnLike,
	"ArnLike":      arnLike,
	"Bool":         strings.EqualFold,
}

func parseConditions(raw map[string]map[string]texts) ([]condition, error) {
	var conditions []condition
	for operator, keys := range raw {
		test, known := operators[operator]
		if !known {
			return nil, fmt.Errorf("the condition operator %s is not known here: add it to operators", operator)
		}
		for key, values := range keys {
			conditions = append(conditions, condition{key: key, values: values, test: test})
		}
	}
	return conditions, nil
}

func allHold(conditions []condition, context map[string]string) bool {
	for _, c := range conditions {
		if !c.holds(context) {
			return false
		}
	}
	return true
}

// holds compares keys without regard to case, as IAM does.
func (c condition) holds(context map[string]string) bool {
	for key, got := range context {
		if !strings.EqualFold(key, c.key) {
			continue
		}
		for _, want := range c.values {
			if c.test(want, got) {
				return true
			}
		}
	}
	return false
}

// arnLike compares the six parts of two ARNs one by one, so that a * in one
// part does not reach into the next.
func arnLike(want, got string) bool {
	const parts = 6
	wanted, given := strings.SplitN(want, ":", parts), strings.SplitN(got, ":", parts)
	if len(wanted) != parts || len(given) != parts {
		return false
	}
	for i := range wanted {
		if !matches(wanted[i], given[i], false) {
			return false
		}
	}
	return true
}
