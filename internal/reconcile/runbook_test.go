package reconcile

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/config"
)

// constants lists the text constants of a file of this package that are wanted by their
// name or value.
func constants(t *testing.T, file string, wanted func(name, value string) bool) (values []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, is := n.(*ast.ValueSpec)
		if !is || len(spec.Values) != 1 {
			return true
		}
		literal, is := spec.Values[0].(*ast.BasicLit)
		if !is || literal.Kind != token.STRING {
			return true
		}
		value, err := strconv.Unquote(literal.Value)
		if err == nil && wanted(spec.Names[0].Name, value) {
			values = append(values, value)
		}
		return true
	})
	return values
}

// sectionOf is what stands between the heading of a section and the next heading.
func sectionOf(text, name string) string {
	_, rest, _ := strings.Cut(text, "\n## "+name+"\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	return section
}

func TestTheRunbookHasASectionForEveryAlertStatusAndCondition(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	statuses := constants(t, "health.go", func(name, value string) bool { return strings.HasPrefix(name, "Status") && value != StatusOK })
	notTypes := []string{True, False, Unknown, Normal, Warning}
	conditions := constants(t, "status.go", func(_, value string) bool { return !slices.Contains(notTypes, value) })
	conditions = append(conditions, Notifying)
	if len(statuses) < 10 || len(conditions) < 10 {
		t.Fatalf("found %d statuses and %d conditions", len(statuses), len(conditions))
	}
	wanted := slices.Concat(statuses, conditions)
	for _, rule := range config.WithBuiltIn(nil)[0].Rules() {
		wanted = append(wanted, rule.Alert)
	}
	var sections []string
	for _, found := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		sections = append(sections, found[1])
	}
	for _, name := range wanted {
		if !slices.Contains(sections, name) {
			t.Errorf("docs/runbook.md has no section ## %s", name)
		}
	}
	for _, section := range sections {
		if !slices.Contains(wanted, section) {
			t.Errorf("docs/runbook.md explains %s, which is no alert, status or condition", section)
		}
	}
	for _, rule := range config.WithBuiltIn(nil)[0].Rules() {
		section := sectionOf(string(text), rule.Alert)
		for _, part := range []string{"What it means", "What users notice", "Confirm", "Mend", "How to know that it is over"} {
			if !strings.Contains(section, "\n**"+part+".**") {
				t.Errorf("docs/runbook.md: the section on %s has no part **%s.**", rule.Alert, part)
			}
		}
	}
	for _, link := range regexp.MustCompile(`\]\(#(\w+)\)`).FindAllStringSubmatch(string(text), -1) {
		if !slices.ContainsFunc(sections, func(s string) bool { return strings.EqualFold(s, link[1]) }) {
			t.Errorf("docs/runbook.md links to #%s, which is no section", link[1])
		}
	}
}
