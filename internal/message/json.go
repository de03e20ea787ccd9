package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strconv"
	"unicode"
	"unicode/utf16"
)

// maxDepth bounds nesting: a message is flat, and its data a few levels.
const maxDepth = 32

// fields is a JSON object whose values are not decoded yet. Names match
// exactly: "Body" is not "body".
type fields map[string]json.RawMessage

// object reads one JSON object, and nothing after it, refusing what two
// readers could read differently.
func object(body []byte) (fields, *Invalid) {
	if invalid := wellFormed(body); invalid != nil {
		return nil, invalid
	}
	if loneSurrogate(body) {
		return nil, invalidf(LoneSurrogate, "an escape such as \\ud83d stands without its other half: write the whole character")
	}
	var f fields
	if err := json.Unmarshal(body, &f); err != nil || f == nil {
		return nil, invalidf(NotJSON, "the body is not a JSON object")
	}
	return f, nil
}

// loneSurrogate finds an escaped half of a character without the other half,
// which a decoder would silently turn into U+FFFD. In well-formed JSON a
// backslash stands in strings only.
func loneSurrogate(body []byte) bool {
	for i := bytes.IndexByte(body, '\\'); i >= 0 && i+1 < len(body); {
		next := i + 2
		if unit, ok := escapedUnit(body[i:]); ok {
			next = i + unitLength
			if utf16.IsSurrogate(unit) {
				second, _ := escapedUnit(body[next:])
				if utf16.DecodeRune(unit, second) == unicode.ReplacementChar {
					return true
				}
				next += unitLength
			}
		}
		step := bytes.IndexByte(body[min(next, len(body)):], '\\')
		if step < 0 {
			return false
		}
		i = next + step
	}
	return false
}

const unitLength = len(`\uD83D`)

// escapedUnit is the UTF-16 unit that text starts with, if it is one's escape.
func escapedUnit(text []byte) (unit rune, ok bool) {
	if len(text) < unitLength || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	value, err := strconv.ParseUint(string(text[2:unitLength]), 16, 16)
	return rune(value), err == nil
}

// level is one open object or array; names is nil in an array.
type level struct {
	names  map[string]bool
	atName bool
}

// wellFormed walks the tokens, without recursion, and finds duplicate names
// and nesting that is too deep, before anything is decoded.
func wellFormed(body []byte) *Invalid {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var open []level
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return nil
		}
		if err != nil {
			return invalidf(NotJSON, "the body is not JSON")
		}
		if open, err = step(open, token); err != nil {
			invalid := (*Invalid)(nil)
			errors.As(err, &invalid)
			return invalid
		}
		if len(open) > maxDepth {
			return invalidf(TooDeep, "nested deeper than %d levels", maxDepth)
		}
	}
}

// step is the open levels after one token.
func step(open []level, token json.Token) ([]level, error) {
	if token == json.Delim('}') || token == json.Delim(']') {
		return open[:len(open)-1], nil
	}
	if top := len(open) - 1; top >= 0 && open[top].names != nil {
		if name, ok := token.(string); ok && open[top].atName {
			if open[top].names[name] {
				return nil, invalidf(DuplicateKey, "a name stands twice in one object")
			}
			open[top].names[name], open[top].atName = true, false
			return open, nil
		}
		open[top].atName = true // after this value
	}
	switch token {
	case json.Delim('{'):
		open = append(open, level{names: map[string]bool{}, atName: true})
	case json.Delim('['):
		open = append(open, level{})
	}
	return open, nil
}

func (f fields) isEnvelope() bool {
	return string(f["Type"]) == `"Notification"` && f["Message"] != nil
}

func (f fields) isTwilio() bool { return f["MessageSid"] != nil || f["SmsSid"] != nil }

// form is the object as Twilio's form parameters: values that are not text
// are not Twilio's, and left out, but for those that are read.
func (f fields) form() (url.Values, *Invalid) {
	var r reader
	form := url.Values{}
	for name := range f {
		if twilioParameters[name] {
			form.Set(name, r.text(f, name))
		}
	}
	return form, r.invalid
}
