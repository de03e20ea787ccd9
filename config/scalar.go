package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/agext/levenshtein"
	"go.yaml.in/yaml/v3"
)

var (
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	number      = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$`)
	bareNumber  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	days        = regexp.MustCompile(`^([0-9]{1,5})d$`)
)

// A finding is what is wrong with one scalar and what would be right.
type finding struct{ problem, hint string }

// tooLong tells that a text exceeds maxText. The length is counted in bytes
// first, which is quick whatever the text.
func tooLong(text string) *finding {
	if len(text) <= maxText || utf8.RuneCountInString(text) <= maxText {
		return nil
	}
	return &finding{fmt.Sprintf("has %d characters, and may have %d", utf8.RuneCountInString(text), maxText), "make it shorter"}
}

// decodeScalar sets v, a duration, number, bool or string, to what n says.
func (d *document) decodeScalar(path string, n *yaml.Node, v reflect.Value, r rules) {
	wrong := &finding{problem: "is " + describe(n) + ", not " + wanted(v, r)}
	if n.Kind == yaml.ScalarNode {
		switch kind := v.Kind(); {
		case len(n.Value) > maxText && tooLong(n.Value) != nil:
			wrong = tooLong(n.Value)
		case v.Type() == reflect.TypeFor[time.Duration]():
			wrong = setDuration(n, v, r)
		case kind == reflect.Int:
			wrong = setInt(n, v, r)
		case kind == reflect.Float64:
			wrong = setFloat(n, v, r)
		case kind == reflect.Bool:
			wrong = setBool(n, v)
		default:
			wrong = setString(n, v, r)
		}
	}
	if wrong != nil {
		d.report(path, n, d.scalarText(n, v.Type()), wrong.problem, wrong.hint)
	}
}

// wanted names what v takes, for people.
func wanted(v reflect.Value, r rules) string {
	switch kind := v.Kind(); {
	case v.Type() == reflect.TypeFor[time.Duration]():
		return "a duration"
	case kind == reflect.Int:
		return "a whole number"
	case kind == reflect.Float64 && r.word != "":
		return "a number or " + r.word
	case kind == reflect.Float64:
		return "a number"
	case kind == reflect.Bool:
		return "true or false"
	default:
		return "text"
	}
}

func setDuration(n *yaml.Node, v reflect.Value, r rules) *finding {
	text := n.Value
	if bareNumber.MatchString(text) {
		return &finding{"has no unit", fmt.Sprintf("write %q", text+"s")}
	}
	if match := days.FindStringSubmatch(text); match != nil {
		count, _ := strconv.Atoi(match[1]) // at most five digits
		return &finding{"is in days, which durations do not have", fmt.Sprintf("write \"%dh\"", count*24)}
	}
	duration, err := time.ParseDuration(text)
	if err != nil {
		return &finding{"is not a duration", `write one like "90s", "5m" or "1h30m"`}
	}
	least, _ := time.ParseDuration(r.minimum) // "" is no bound; TestTheRulesInTheTagsParse holds the rest
	most, _ := time.ParseDuration(r.maximum)
	switch bounds := fmt.Sprintf("write one from %s to %s", r.minimum, r.maximum); {
	case r.minimum != "" && duration < least:
		return &finding{"is below " + r.minimum, bounds}
	case r.maximum != "" && duration > most:
		return &finding{"is above " + r.maximum, bounds}
	}
	v.SetInt(int64(duration))
	return nil
}

func setInt(n *yaml.Node, v reflect.Value, r rules) *finding {
	text := n.Value
	if wrong := percent(text, 100); wrong != nil {
		return wrong
	}
	switch {
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && wholeNumber.MatchString(text):
		return &finding{"is text, not a number", "write " + text + " without quotes"}
	case !wholeNumber.MatchString(text) && number.MatchString(text):
		return &finding{"is not a whole number", "write digits only, without a leading zero"}
	case n.ShortTag() == "!!int" && !wholeNumber.MatchString(text):
		return &finding{"is not in decimal digits", "write it as a plain number"}
	case !wholeNumber.MatchString(text):
		return &finding{"is " + describe(n) + ", not a whole number", ""}
	}
	value, err := strconv.ParseInt(text, 10, 32)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return &finding{"is not a whole number", ""}
	}
	if wrong := outside(float64(value), r); wrong != nil {
		return wrong
	}
	v.SetInt(value)
	return nil
}

func setFloat(n *yaml.Node, v reflect.Value, r rules) *finding {
	text := n.Value
	if wrong := percent(text, 1); wrong != nil {
		return wrong
	}
	switch {
	case r.word != "" && text == r.word:
		v.SetFloat(0)
		return nil
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && number.MatchString(text):
		return &finding{"is text, not a number", "write " + text + " without quotes"}
	case n.ShortTag() == "!!float" && !number.MatchString(text):
		return &finding{"is not a finite number", ""}
	case !number.MatchString(text):
		return &finding{"is " + describe(n) + ", not " + wanted(v, r), suggest(text, wordList(r), "")}
	}
	value, err := strconv.ParseFloat(text, 64)
	if math.IsInf(value, 0) || math.IsNaN(value) || err != nil && !errors.Is(err, strconv.ErrRange) {
		return &finding{"is not a finite number", ""}
	}
	if wrong := outside(value, r); wrong != nil {
		return wrong
	}
	v.SetFloat(value)
	return nil
}

func wordList(r rules) []string {
	if r.word == "" {
		return nil
	}
	return []string{r.word}
}

// outside tells how a number leaves its bounds.
func outside(value float64, r rules) *finding {
	bound := func(text string) (float64, bool) {
		limit, err := strconv.ParseFloat(text, 64)
		return limit, err == nil
	}
	bounds := "write one from " + r.minimum + " to " + r.maximum
	if r.above != "" {
		bounds = "write one above " + r.above + ", up to " + r.maximum
		if r.word != "" {
			bounds += ", or " + r.word
		}
	}
	if limit, ok := bound(r.minimum); ok && value < limit {
		return &finding{"is below " + r.minimum, bounds}
	}
	if limit, ok := bound(r.above); ok && value <= limit {
		return &finding{"is not above " + r.above, bounds}
	}
	if limit, ok := bound(r.maximum); ok && value > limit {
		return &finding{"is above " + r.maximum, bounds}
	}
	return nil
}

func setBool(n *yaml.Node, v reflect.Value) *finding {
	if n.ShortTag() != "!!bool" || n.Value != "true" && n.Value != "false" {
		return &finding{"is not true or false", "write true or false, without quotes"}
	}
	v.SetBool(n.Value == "true")
	return nil
}

func setString(n *yaml.Node, v reflect.Value, r rules) *finding {
	text := n.Value
	switch tag := n.ShortTag(); {
	case tag != "!!str" && n.Style&yaml.TaggedStyle == 0:
		return &finding{"is " + describe(n) + ", not text", fmt.Sprintf("write %q in quotes", text)}
	case text == "" && r.form == mayBeEmpty:
		v.SetString(text)
		return nil
	case strings.TrimSpace(text) == "":
		return &finding{"is empty", ""}
	case len(r.enum) > 0 && !slices.Contains(r.enum, text):
		return &finding{"is not one of " + strings.Join(r.enum, ", "), unknownWordHint(text, r.enum)}
	}
	if check := forms[r.form]; check != nil {
		if wrong := check(text); wrong != nil {
			return wrong
		}
	}
	v.SetString(text)
	return nil
}

// suggest names the likeliest of the right words, or lists them after
// otherwise ("" to list none).
func suggest(got string, words []string, otherwise string) string {
	best, distance := "", len(got)+1
	for _, word := range words {
		lower, low := strings.ToLower(shorten(got)), strings.ToLower(word)
		away := levenshtein.Distance(lower, low, nil)
		if len(lower) > 3 && strings.HasPrefix(lower, low) || len(lower) > 2 && strings.HasPrefix(low, lower) {
			away = min(away, 1) // stabilizationWindowSeconds
		}
		if away < distance && away <= max(1, (len(word)+1)/3) {
			best, distance = word, away
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %q?", best)
	case otherwise != "" && len(words) > 0:
		return otherwise + strings.Join(words, ", ")
	default:
		return ""
	}
}
