// Package redact holds the types that keep secrets and personal data out of
// logs, errors, metrics and traces: whatever prints them, prints a mask. Only
// Reveal gives the value, so that each place that does can be found by name.
//
// It imports the standard library alone and may be imported by every room.
package redact

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"unicode/utf8"
)

// Personal is text about a person: a phone number, a mail address, a device
// token, a body. It decodes from JSON as a plain string and prints as a mask
// that keeps the last two characters of longer values, enough to tell two
// recipients apart in a log and too little to reach either.
type Personal string

// Reveal returns the value itself, for a wire or a database.
func (p Personal) Reveal() string { return string(p) }

// String returns the mask.
func (p Personal) String() string {
	const shown, shortest = 2, 8
	switch n := utf8.RuneCountInString(string(p)); {
	case n == 0:
		return ""
	case n < shortest:
		return "…"
	default:
		runes := []rune(string(p))
		return "…" + string(runes[n-shown:])
	}
}

// Format prints the mask for every verb, %q, %x and %#v among them.
func (p Personal) Format(f fmt.State, verb rune) { mask(f, verb, p.String()) }

// LogValue makes slog print the mask.
func (p Personal) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalJSON writes the mask: a struct that is printed as JSON stays silent
// unless its owner reveals each field by hand.
func (p Personal) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// Secret is a credential: a password, a token, a signing key. It prints as
// [redacted] whatever prints it.
type Secret string

// Reveal returns the value itself, for the one call that needs it.
func (s Secret) Reveal() string { return string(s) }

// String returns [redacted], or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// Format prints the mask for every verb.
func (s Secret) Format(f fmt.State, verb rune) { mask(f, verb, s.String()) }

// LogValue makes slog print the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON writes the mask.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

func mask(f fmt.State, verb rune, text string) {
	if verb == 'q' {
		_, _ = fmt.Fprintf(f, "%q", text)
		return
	}
	_, _ = f.Write([]byte(text))
}
