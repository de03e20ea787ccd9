package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// widths are the most that the cells of each column take; longer ones wrap.
var (
	header = []string{"INCIDENT", "FIRST NOTICE", "NOTICE", "STATUS", "COUNT", "RECOVERED", "LOST", "TWICE", "VERDICT"}
	widths = []int{30, 20, 64, 22, 14, 10, 5, 5, 40}
)

func printJSON(out io.Writer, rows []Row) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(rows)
}

// printTable prints a row for each incident, in lines as wide as they need.
func printTable(out io.Writer, rows []Row) error {
	lines := []string{strings.Join(wrapRow(header), "\n")}
	for _, row := range rows {
		lines = append(lines, wrapRow(row.cells())...)
		lines = append(lines, "")
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

func (r *Row) cells() []string {
	first := "-"
	if r.FirstSeconds != nil {
		first = fmt.Sprintf("%.0f s %s", *r.FirstSeconds, r.FirstAlert)
	}
	return []string{
		r.ID + ": " + r.Incident, first, orDash(r.Notice), orDash(strings.Join(r.Status, ", ")),
		fmt.Sprintf("%d / %s / %d", r.Before, r.span(), r.After), number(r.Recovered, " s"), whole(r.Lost), whole(r.Twice), r.verdict(),
	}
}

// span is the most of the count, and the least where it fell.
func (r *Row) span() string {
	if r.Least < min(r.Before, r.Most) {
		return fmt.Sprintf("%d…%d", r.Least, r.Most)
	}
	return strconv.Itoa(r.Most)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func number(value *float64, unit string) string {
	if value == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f%s", *value, unit)
}

func whole(value *int) string {
	if value == nil {
		return "?"
	}
	return strconv.Itoa(*value)
}

// wrapRow puts cells side by side, each wrapped to its column.
func wrapRow(cells []string) []string {
	wrapped := make([][]string, len(cells))
	height := 0
	for i, cell := range cells {
		wrapped[i] = wrap(cell, widths[i])
		height = max(height, len(wrapped[i]))
	}
	lines := make([]string, height)
	for n := range lines {
		var line strings.Builder
		for i, cell := range wrapped {
			text := ""
			if n < len(cell) {
				text = cell[n]
			}
			line.WriteString(text + strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(text))+2))
		}
		lines[n] = strings.TrimRight(line.String(), " ")
	}
	return lines
}

// wrap breaks text between words, and words that are longer than a line.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		for part := range slices.Chunk([]rune(word), width) {
			switch next := string(part); {
			case line == "":
				line = next
			case utf8.RuneCountInString(line)+1+len(part) <= width:
				line += " " + next
			default:
				lines, line = append(lines, line), next
			}
		}
	}
	return append(lines, line)
}
