package config

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// longValues has the longest of everything.
func longValues() Values {
	values := sampleValues()
	for name, value := range values {
		if _, isText := value.(string); isText {
			values[name] = strings.Repeat("Ж", 4000)
		}
	}
	return values
}

func TestAMessageIsCutAtItsBound(t *testing.T) {
	t.Parallel()
	compiled, wrong := compileMessage(strings.Repeat("{{ .decision.reason }}", 40), true)
	if wrong != nil {
		t.Fatal(wrong.problem)
	}
	if got := utf8.RuneCountInString(compiled.text(longValues())); got != maxMessageText {
		t.Errorf("got %d characters, want %d", got, maxMessageText)
	}
}

// FuzzMessage holds that what is accepted is quick, and writes no more than the
// bound.
func FuzzMessage(f *testing.F) {
	for _, text := range []string{
		"{{ .queue.name }}: oldest message {{ .queue.oldestAge }}", "{{ if gt .queue.visible 10 }}many{{ else if .queue.known }}few{{ else }}unknown{{ end }}",
		`{{ printf "%99.99f %% %-5s" .queue.visible .queue.name }}`, `{{ range 1000000 }}{{ range 1000000 }}{{ end }}{{ end }}`, `{{ define "x" }}{{ end }}`,
		`{{ block "x" . }}{{ end }}`, `{{ with $x := 1 }}{{ $x }}{{ end }}`, `{{ printf "%1000000000d" 1 }}`, `{{ and }}`, `{{ (eq 1 1).X }}`, "{{/* x */}}", "{{- nil -}}",
		`{{ if not (or (eq .queue.channel "sms" "email") (lt .queue.failed 1e308)) }}{{ 'x' }}{{ 1i }}{{ end }}`, `{{ break }}`, `{{ eq 0x10 1_000 }}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if utf8.RuneCountInString(text) > maxMessage {
			return // refused before it is parsed
		}
		began := time.Now()
		compiled, wrong := compileMessage(text, true)
		if (compiled == nil) == (wrong == nil) {
			t.Fatalf("got %v and %v, want one of them", compiled, wrong)
		}
		if compiled != nil {
			for _, values := range []Values{nil, sampleValues(), longValues()} {
				written := compiled.text(values)
				if utf8.RuneCountInString(written) > maxMessageText || strings.Contains(written, "cannot be written") {
					t.Errorf("it writes %d characters: %.200q", utf8.RuneCountInString(written), written)
				}
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
