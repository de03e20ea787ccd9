package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"
)

// Output is how a result is printed; embed it in a command.
type Output struct {
	Output string `short:"o" enum:"table,json,yaml" default:"table" help:"How to print: table, json or yaml."`
}

// Print writes value as JSON or YAML, or else the table: a header and rows.
func (o Output) Print(w io.Writer, value any, header []string, rows [][]string) error {
	switch o.Output {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	case "yaml":
		return printYAML(w, value)
	default:
		return printTable(w, header, rows)
	}
}

// printYAML goes by way of JSON, so that both have the same names.
func printYAML(w io.Writer, value any) error {
	encoded, err := json.Marshal(value)
	if err != nil {
		return err
	}
	var plain any
	if err := yaml.Unmarshal(encoded, &plain); err != nil {
		return err
	}
	return yaml.NewEncoder(w).Encode(plain)
}

func printTable(w io.Writer, header []string, rows [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, strings.Join(header, "\t"))
	for _, row := range rows {
		_, _ = fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}
