package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The README's tables are between these lines, as terraform-docs writes them.
const (
	tablesBegin = "<!-- BEGIN_TF_DOCS -->\n"
	tablesEnd   = "<!-- END_TF_DOCS -->\n"
)

// readme holds the README's tables against the variables and outputs.
func (c *checker) readme() (string, error) {
	text, wanted, err := readmeTables("terraform")
	if err != nil {
		return "", err
	}
	if !strings.Contains(text, wanted) {
		return "", errors.New("the tables of terraform/README.md are not up to date: go run ./internal/check/terraform -write-readme")
	}
	return fmt.Sprintf("%d inputs and outputs", strings.Count(wanted, "<a name=")), nil
}

// updateReadme writes the tables.
func updateReadme(folder string) error {
	text, wanted, err := readmeTables(folder)
	if err != nil {
		return err
	}
	head, rest, _ := strings.Cut(text, tablesBegin)
	_, tail, _ := strings.Cut(rest, tablesEnd)
	return os.WriteFile(filepath.Join(folder, "README.md"), []byte(head+wanted+tail), 0o600)
}

// readmeTables is the README and the tables that should be in it.
func readmeTables(folder string) (text, wanted string, err error) {
	var files [3]string
	for i, name := range []string{"README.md", "variables.tf", "outputs.tf"} {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return "", "", err
		}
		files[i] = string(content)
	}
	if !strings.Contains(files[0], tablesBegin) || !strings.Contains(files[0], tablesEnd) {
		return "", "", fmt.Errorf("%s/README.md has no lines %s and %s", folder, strings.TrimSpace(tablesBegin), strings.TrimSpace(tablesEnd))
	}
	var b strings.Builder
	b.WriteString(tablesBegin)
	b.WriteString("## Inputs\n\n| Name | Description | Type | Default | Required |\n|------|-------------|------|---------|:--------:|\n")
	for _, block := range blocksOf(files[1], "variable") {
		required, value := "no", block.field("default")
		if value == "" {
			required, value = "yes", "n/a"
		} else {
			value = code(value)
		}
		fmt.Fprintf(&b, "| <a name=\"input_%s\"></a> [%s](#input_%s) | %s | %s | %s | %s |\n",
			block.name, block.name, block.name, block.description(), code(block.field("type")), value, required)
	}
	b.WriteString("\n## Outputs\n\n| Name | Description |\n|------|-------------|\n")
	for _, block := range blocksOf(files[2], "output") {
		fmt.Fprintf(&b, "| <a name=\"output_%s\"></a> [%s](#output_%s) | %s |\n", block.name, block.name, block.name, block.description())
	}
	b.WriteString(tablesEnd)
	return files[0], b.String(), nil
}

// A block is one variable or output of a file that terraform fmt has formatted.
type block struct{ name, body string }

func blocksOf(text, kind string) (blocks []block) {
	for _, found := range regexp.MustCompile(`(?ms)^`+kind+` "([a-z_]+)" \{\n(.*?)^\}`).FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, block{found[1], found[2]})
	}
	return blocks
}

// field is a field's value as written, on one line or until the indentation
// returns to the field's own.
func (b block) field(name string) string {
	found := regexp.MustCompile(`(?m)^  ` + name + ` += (.*(?:\n    .*)*(?:\n  [\])}].*)?)`).FindStringSubmatch(b.body)
	if found == nil {
		return ""
	}
	return found[1]
}

func (b block) description() string {
	text := b.field("description")
	text = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(text, "<<-EOT"), `"`), `"`)
	text = strings.TrimSuffix(strings.TrimSpace(text), "EOT")
	text = strings.NewReplacer(`\"`, `"`, "$${", "${", "|", `\|`).Replace(text)
	return strings.Join(strings.Fields(text), " ")
}

// code is a value as a cell's code, on one line.
func code(value string) string {
	return "`" + strings.ReplaceAll(strings.Join(strings.Fields(value), " "), "|", `\|`) + "`"
}
