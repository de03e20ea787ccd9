package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A FieldError is one thing wrong with a policy file: where it is, what was
// found, and what would be right. Parse joins them, so that one run shows all.
type FieldError struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1
	Column  int    `json:"column"` // from 1, in characters
	Path    string `json:"path,omitempty"`
	Got     string `json:"got,omitempty"` // as written; masked where it is personal, empty where it is secret
	Problem string `json:"problem"`       // reads on after Got, or after Path
	Hint    string `json:"hint,omitempty"`
}

// Error is one line: file:line:column: path: "got" problem; hint.
func (e *FieldError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	if e.Got != "" {
		b.WriteString(strconv.Quote(shorten(e.Got)) + " ")
	}
	b.WriteString(e.Problem)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// FieldErrors returns every FieldError within err, in order.
func FieldErrors(err error) []*FieldError {
	var all []*FieldError
	switch wrapped := err.(type) { //nolint:errorlint // it is the tree itself that is walked
	case *FieldError:
		all = []*FieldError{wrapped}
	case interface{ Unwrap() []error }:
		for _, each := range wrapped.Unwrap() {
			all = append(all, FieldErrors(each)...)
		}
	case interface{ Unwrap() error }:
		all = FieldErrors(wrapped.Unwrap())
	}
	return all
}

// maxReported bounds what one Parse says: nobody reads on after a hundred.
const maxReported = 100

// joinFieldErrors sorts by place and joins; nil when there is none.
func joinFieldErrors(all []*FieldError) error {
	slices.SortStableFunc(all, func(a, b *FieldError) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(all) > maxReported {
		rest := *all[maxReported]
		rest.Path, rest.Got, rest.Hint = "", "", "mend these first"
		rest.Problem = fmt.Sprintf("%d more mistakes from here on", len(all)-maxReported)
		all = append(all[:maxReported:maxReported], &rest)
	}
	joined := make([]error, len(all))
	for i, one := range all {
		joined[i] = one
	}
	return errors.Join(joined...)
}

func shorten(text string) string {
	const most = 80
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
