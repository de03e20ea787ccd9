package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEachPitfallHasItsTest holds docs/pitfalls.md to tests that there are.
func TestEachPitfallHasItsTest(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/pitfalls.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		if !regexp.MustCompile(`^\| [0-9]+ \|`).MatchString(line) {
			continue
		}
		rows++
		room, found := "", 0
		for _, word := range regexp.MustCompile("`internal/[a-z/0-9]+`|Test[A-Za-z0-9]+").FindAllString(line, -1) {
			if strings.HasPrefix(word, "`") {
				room = strings.Trim(word, "`")
				continue
			}
			found++
			if !has(t, room, word) {
				t.Errorf("%s has no test %s", room, word)
			}
		}
		if found == 0 {
			t.Errorf("no test in: %s", line)
		}
	}
	if rows != 27 {
		t.Errorf("%d pitfalls, want 27", rows)
	}
}

func has(t *testing.T, room, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", room, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "func "+test+"(") {
			return true
		}
	}
	return false
}
