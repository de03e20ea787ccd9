package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"
)

// messageTemplate is the text of an alert: a text/template over the variables
// of expressions, as {{ .queue.visible }}; template.go says what it may contain.
// Numbers print for people: ages as 7m12s, counts with few digits, what is
// unknown as "unknown".
type messageTemplate struct{ parsed *template.Template }

// templatePlace is where text/template says that something is.
var templatePlace = regexp.MustCompile(`^template: message:(\d+)(?::(\d+))?: (?:executing "message" at <.*>: )?(.*)$`)

// compileMessage checks a template without executing it.
func compileMessage(text string, perQueue bool) (*messageTemplate, *exprError) {
	parsed, wrong := parseMessage(text, perQueue)
	if wrong != nil {
		return nil, wrong
	}
	return &messageTemplate{parsed}, nil
}

// sampleValues has something for every variable.
func sampleValues() Values {
	values := Values{}
	for _, v := range variables {
		values[v.Name] = map[Kind]any{KindNumber: 1.0, KindText: "text", KindBool: true}[v.Kind]
	}
	return values
}

func templateMistake(text string, err error) *exprError {
	match := templatePlace.FindStringSubmatch(err.Error())
	if match == nil {
		return &exprError{problem: "is not a template (" + err.Error() + ")"}
	}
	line, _ := strconv.Atoi(match[1]) // digits, by the pattern
	column, _ := strconv.Atoi(match[2])
	lines := strings.Split(text, "\n")
	line = min(max(line-1, 0), len(lines)-1)
	column = utf8.RuneCountInString(lines[line][:min(column, len(lines[line]))])
	return &exprError{line, column, "", "is not a template: " + match[3], ""}
}

// text writes the message. A failure, which compileMessage should have found,
// takes its place: an alert is never lost to its message.
func (m *messageTemplate) text(values Values) string {
	var out strings.Builder
	if err := m.parsed.Execute(&out, printable(values)); err != nil {
		return "the message cannot be written: " + err.Error()
	}
	return cut(strings.TrimSpace(out.String()), maxMessageText)
}

// cut shortens text to a length, in characters.
func cut(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// printable is the values by group and field, as they print.
func printable(values Values) map[string]map[string]any {
	groups := map[string]map[string]any{}
	for _, v := range variables {
		group, field, _ := strings.Cut(v.Name, ".")
		if groups[group] == nil {
			groups[group] = map[string]any{}
		}
		groups[group][field] = printed(v, values[v.Name])
	}
	return groups
}

// printed is a value as templates see it.
func printed(v Variable, value any) any {
	number, isNumber := value.(float64)
	switch {
	case value == nil:
		return unknownValue{}
	case isNumber && v.Unit == unitSeconds:
		return Age(number)
	case isNumber && v.Unit == unitShare:
		return Share(number)
	case isNumber:
		return Amount(number)
	default:
		return value
	}
}

// Age is a time in seconds that prints for people: 850ms, 42s, 7m12s, 3h5m.
type Age float64

func (a Age) String() string {
	seconds := float64(a)
	switch {
	case math.IsNaN(seconds) || math.Abs(seconds) > 1e9:
		return fmt.Sprintf("%gs", seconds)
	case math.Abs(seconds) < 1:
		return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
	case math.Abs(seconds) < 3600:
		return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
	default:
		return strings.TrimSuffix(time.Duration(seconds*float64(time.Second)).Round(time.Minute).String(), "0s")
	}
}

// Share is a part from 0 to 1 that prints as a percentage: 98%, 0.4%.
type Share float64

func (s Share) String() string {
	percent := 100 * float64(s)
	if math.Abs(percent) >= 1 || percent == 0 {
		return strconv.FormatFloat(math.Round(percent), 'f', 0, 64) + "%"
	}
	return strconv.FormatFloat(percent, 'g', 2, 64) + "%"
}

// Amount is a number that prints for people: 3, 0.25, 1200000.
type Amount float64

func (a Amount) String() string {
	number := float64(a)
	switch size := math.Abs(number); {
	case size >= 100 || number == math.Trunc(number):
		return strconv.FormatFloat(number, 'f', 0, 64)
	case size >= 1:
		return strconv.FormatFloat(math.Round(number*10)/10, 'f', -1, 64)
	default:
		return strconv.FormatFloat(number, 'g', 2, 64)
	}
}
