package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Rule is an AlertRule whose condition and message were compiled. It is
// immutable, and safe for concurrent use.
type Rule struct {
	AlertRule
	// PerQueue: the condition names queue, so it is judged for each of them.
	PerQueue bool

	condition *expression
	message   *messageTemplate
}

// Judge works out the rule's condition; why says what an Unknown is for want
// of.
func (r *Rule) Judge(values Values) (verdict Verdict, why string) { return r.condition.judge(values) }

// Text is the rule's message, in one moment's values.
func (r *Rule) Text(values Values) string { return r.message.text(values) }

// Variables are the names that the condition turns on, sorted.
func (r *Rule) Variables() []string { return slices.Clone(r.condition.variables) }

// compileRule returns nil after a mistake, which it reports.
func (d *document) compileRule(path string, rule AlertRule) *Rule {
	exprPath, messagePath := path+".expr", path+".message"
	if !d.sound(path, exprPath, path+".runbookURL") || rule.Expr == "" {
		return nil
	}
	if !d.short(exprPath, rule.Expr, maxExpr) || !d.short(messagePath, rule.Message, maxMessage) {
		return nil
	}
	condition, wrong := compileExpr(rule.Expr)
	for _, one := range wrong {
		d.reportWithin(exprPath, rule.Expr, one)
	}
	if len(wrong) > 0 {
		return nil
	}
	perQueue := slices.ContainsFunc(condition.variables, func(name string) bool { return strings.HasPrefix(name, "queue.") })
	text := rule.Message
	if text == "" {
		text = defaultMessage(rule, condition.variables)
	}
	message, mistake := compileMessage(text, perQueue)
	if mistake != nil {
		if d.sound(messagePath) {
			d.reportWithin(messagePath, rule.Message, *mistake)
		}
		return nil
	}
	if !d.given(path + ".runbookURL") {
		rule.RunbookURL = runbookOf(rule.Alert)
	}
	return &Rule{AlertRule: rule, PerQueue: perQueue, condition: condition, message: message}
}

// short reports a text that is longer than a number of characters. What is too long is not
// looked at any further.
func (d *document) short(path, text string, most int) bool {
	length := utf8.RuneCountInString(text)
	if length > most {
		d.report(path, d.at(path), text, fmt.Sprintf("has %d characters, and may have %d", length, most), "make it shorter")
	}
	return length <= most
}

// defaultMessage tells the condition and the values it turns on.
func defaultMessage(rule AlertRule, variables []string) string {
	parts := make([]string, 0, len(variables))
	for _, name := range variables {
		parts = append(parts, name+" {{ ."+name+" }}")
	}
	condition := strings.Join(strings.Fields(strings.ReplaceAll(rule.Expr, "{{", "{ {")), " ")
	if len(parts) == 0 {
		return condition
	}
	return condition + ": " + strings.Join(parts, ", ")
}

// reportWithin reports a mistake at its place inside the text at path.
func (d *document) reportWithin(path, text string, wrong exprError) {
	at := *d.at(path)
	at.Line, at.Column = d.placeWithin(&at, text, wrong.line, wrong.column)
	got := wrong.got
	if got == "" {
		got = text
	}
	d.report(path, &at, got, wrong.problem, wrong.hint)
}

// placeWithin finds where a line and column (from 0, in characters) of a
// scalar's value stand in the file. Quotes, escapes and folding change white
// space and add characters, but never the order of the others: the value is
// walked along the file's text.
func (d *document) placeWithin(n *yaml.Node, value string, line, column int) (fileLine, fileColumn int) {
	at := offsetOfLine(d.data, n.Line)
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(d.data[at:])
		at += size
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		at = offsetOfLine(d.data, n.Line+1) // past the | or > and its comment
	}
	target := offsetIn(value, line, column)
	for _, r := range value[:target] {
		if !unicode.IsSpace(r) {
			at = d.after(r, at)
		}
	}
	if next, _ := utf8.DecodeRuneInString(value[target:]); target < len(value) && !unicode.IsSpace(next) {
		end := d.after(next, at)
		at = end - utf8.RuneLen(next)
	}
	return placeOf(d.data, at)
}

// after is the offset past the next r at or after at; at where there is none.
func (d *document) after(r rune, at int) int {
	found := bytes.IndexRune(d.data[at:], r)
	if found < 0 {
		return at
	}
	return at + found + utf8.RuneLen(r)
}

// offsetIn is the byte offset of a line and column, both from 0, in text.
func offsetIn(text string, line, column int) int {
	at := 0
	for ; line > 0; line-- {
		next := strings.IndexByte(text[at:], '\n')
		if next < 0 {
			return len(text)
		}
		at += next + 1
	}
	for ; column > 0 && at < len(text); column-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}
