// Package clitest holds the commands that documents name to the programs that
// have them.
//
// It imports the standard library only, and is imported by tests only. Start with
// HoldToProgram.
package clitest

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Run is a program as a function.
type Run func(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int

var (
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	prompt   = regexp.MustCompile(`(?m)^\$ (.+)$`)
	verb     = regexp.MustCompile(`^[a-z_]+$`)
	flag     = regexp.MustCompile(`^--[a-z-]+`)
)

// HoldToProgram reports every command of the program in a Markdown file, in a code
// span or after a prompt ($), that the program does not have, and every flag that
// its command does not have.
func HoldToProgram(t *testing.T, file, program string, run Run) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := commands(string(text), program)
	if len(found) == 0 {
		t.Fatalf("%s names no command of %s", file, program)
	}
	for _, words := range found {
		verbs, flags := split(words)
		if problem, code := ask(t.Context(), run, verbs); code != 0 {
			t.Errorf("%s names %s %s, which there is not: %s", file, program, strings.Join(words, " "), problem)
			continue
		}
		for _, one := range flags {
			if problem, _ := ask(t.Context(), run, append(slices.Clone(verbs), one+"=x")); strings.Contains(problem, "unknown flag") {
				t.Errorf("%s names %s %s: %s", file, program, strings.Join(words, " "), problem)
			}
		}
	}
}

// ask has a program parse arguments without carrying them out.
func ask(ctx context.Context, run Run, args []string) (problem string, code int) {
	var errOut bytes.Buffer
	code = run(ctx, append(slices.Clone(args), "--help"), strings.NewReader(""), io.Discard, &errOut)
	return strings.TrimSpace(errOut.String()), code
}

// commands lists the arguments of each command of the program in a text.
func commands(text, program string) (found [][]string) {
	for _, pattern := range []*regexp.Regexp{codeSpan, prompt} {
		for _, match := range pattern.FindAllStringSubmatch(text, -1) {
			command, _, _ := strings.Cut(match[1], "#") // what follows is a comment
			if words := strings.Fields(command); len(words) > 1 && words[0] == program {
				found = append(found, words[1:])
			}
		}
	}
	return found
}

// split separates a command's verbs, which stand first, from its flags.
func split(words []string) (verbs, flags []string) {
	for i, word := range words {
		if i == len(verbs) && verb.MatchString(word) {
			verbs = append(verbs, word)
		}
		if name := flag.FindString(word); name != "" {
			flags = append(flags, name)
		}
	}
	return verbs, flags
}
