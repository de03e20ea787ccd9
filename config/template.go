package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode/utf8"
)

// This file decides what an alert's message may contain. It looks at the parse
// tree and executes nothing, so that no template can keep the program busy: what
// is accepted has no loop, and its output is bounded by its length.

const (
	maxMessage      = 1000 // characters of a template
	maxMessageDepth = 8    // of if within if, and of brackets within brackets
	maxMessageText  = 1000 // characters of what a template writes; the rest is cut
)

// messageFunctions are the functions that a message may call.
var messageFunctions = []string{"and", "eq", "ge", "gt", "le", "lt", "ne", "not", "or", "printf"}

const allowedInMessages = `use text, fields like {{ .queue.name }}, {{ if }} with {{ else }}, and the functions and, eq, ge, gt, le, lt, ne, not, or, printf`

// unknownValue stands for a value that could not be read. As a condition it is
// false, and it prints as a word.
type unknownValue []struct{}

// Format implements fmt.Formatter: it prints alike under every verb.
func (unknownValue) Format(out fmt.State, _ rune) { _, _ = io.WriteString(out, "unknown") }

// comparisons replace those of text/template, which stop at a number without a
// fraction and at an unknown value. Nothing is true of an unknown value.
var comparisons = template.FuncMap{
	"eq": func(a any, others ...any) bool {
		return slices.ContainsFunc(others, func(b any) bool { order, known := compare(a, b); return known && order == 0 })
	},
	"ne": compares(func(order int) bool { return order != 0 }),
	"lt": compares(func(order int) bool { return order < 0 }),
	"le": compares(func(order int) bool { return order <= 0 }),
	"gt": compares(func(order int) bool { return order > 0 }),
	"ge": compares(func(order int) bool { return order >= 0 }),
}

func compares(holds func(order int) bool) func(a, b any) bool {
	return func(a, b any) bool {
		order, known := compare(a, b)
		return known && holds(order)
	}
}

// compare orders two values of the same kind; known is false where one of them
// is unknown.
func compare(a, b any) (order int, known bool) {
	a, b = plainValue(a), plainValue(b)
	switch a := a.(type) {
	case float64:
		b, same := b.(float64)
		return cmp.Compare(a, b), same
	case string:
		b, same := b.(string)
		return cmp.Compare(a, b), same
	case bool:
		b, same := b.(bool)
		return map[bool]int{true: 0, false: 1}[a == b], same
	default:
		return 0, false
	}
}

func plainValue(value any) any {
	switch value := value.(type) {
	case Age:
		return float64(value)
	case Amount:
		return float64(value)
	case int:
		return float64(value)
	default:
		return value
	}
}

// kindOf is the kind of a printed value.
func kindOf(value any) Kind {
	switch plainValue(value).(type) {
	case string:
		return KindText
	case bool:
		return KindBool
	default:
		return KindNumber
	}
}

// messageCheck walks a template's tree and keeps the first mistake.
type messageCheck struct {
	text     string
	perQueue bool
	wrong    *exprError
}

// parseMessage returns the template in text, ready to be executed.
func parseMessage(text string, perQueue bool) (*template.Template, *exprError) {
	trees := map[string]*parse.Tree{}
	tree := parse.New("message")
	tree.Mode = parse.SkipFuncCheck // an unknown function is a mistake of ours, with a place and a hint
	if _, err := tree.Parse(text, "", "", trees); err != nil {
		return nil, templateMistake(text, err)
	}
	check := &messageCheck{text: text, perQueue: perQueue}
	check.definitions(trees)
	check.list(tree.Root, 0)
	if check.wrong != nil {
		return nil, check.wrong
	}
	parsed, err := template.New("message").Funcs(comparisons).Option("missingkey=error").AddParseTree("message", tree)
	if err != nil {
		return nil, templateMistake(text, err)
	}
	return parsed, nil
}

// report keeps a mistake at an offset of the text, unless there is one before.
func (c *messageCheck) report(at parse.Pos, got, problem, hint string) {
	if c.wrong != nil {
		return
	}
	before := c.text[:min(int(at), len(c.text))]
	start := strings.LastIndexByte(before, '\n') + 1
	c.wrong = &exprError{strings.Count(before, "\n"), utf8.RuneCountInString(before[start:]), got, problem, hint}
}

// forbid reports a statement or a value that messages do not have. The tree
// places a statement at its argument, so the keyword is looked for before it.
func (c *messageCheck) forbid(at parse.Pos, word string) {
	if found := strings.LastIndex(c.text[:min(int(at)+len(word), len(c.text))], word); found >= 0 {
		at = parse.Pos(found)
	}
	c.report(at, word, "is not allowed in a message", allowedInMessages)
}

var definition = regexp.MustCompile(`\{\{-?\s*(define|block)`)

// definitions reports templates within the template.
func (c *messageCheck) definitions(trees map[string]*parse.Tree) {
	if found := definition.FindStringSubmatchIndex(c.text); len(trees) > 1 && found != nil {
		c.report(parse.Pos(found[2]), c.text[found[2]:found[3]], "is not allowed in a message", allowedInMessages)
	}
}

func (c *messageCheck) list(list *parse.ListNode, depth int) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.TextNode, *parse.CommentNode:
		case *parse.ActionNode:
			c.pipe(n.Pipe, depth)
		case *parse.IfNode:
			c.branch(n, depth)
		default:
			c.statement(n)
		}
	}
}

// branch checks an if; an else-if is as deep as its if.
func (c *messageCheck) branch(n *parse.IfNode, depth int) {
	if depth == maxMessageDepth {
		c.report(n.Pos, "", fmt.Sprintf("has more than %d ifs within each other", maxMessageDepth), "write several rules, each with a simple message")
		return
	}
	c.pipe(n.Pipe, depth)
	c.list(n.List, depth+1)
	if n.ElseList != nil && len(n.ElseList.Nodes) == 1 && n.ElseList.Nodes[0].Type() == parse.NodeIf {
		c.list(n.ElseList, depth)
		return
	}
	c.list(n.ElseList, depth+1)
}

// statement reports every statement but if.
func (c *messageCheck) statement(n parse.Node) {
	word := "this statement"
	switch n.(type) {
	case *parse.RangeNode:
		word = "range"
	case *parse.WithNode:
		word = "with"
	case *parse.TemplateNode:
		word = "template"
	case *parse.BreakNode:
		word = "break"
	case *parse.ContinueNode:
		word = "continue"
	}
	c.forbid(n.Position(), word)
}

func (c *messageCheck) pipe(pipe *parse.PipeNode, depth int) {
	switch {
	case depth > maxMessageDepth:
		c.report(pipe.Pos, "", fmt.Sprintf("has more than %d brackets within each other", maxMessageDepth), "make it simpler")
	case len(pipe.Decl) > 0:
		c.report(pipe.Pos, pipe.Decl[0].String(), "is a variable, which messages do not have", "write the field itself, like {{ .queue.visible }}")
	case len(pipe.Cmds) > 1:
		if function, isCall := pipe.Cmds[1].Args[0].(*parse.IdentifierNode); isCall {
			c.known(function)
		}
		c.report(pipe.Cmds[1].Pos, "|", "is not allowed in a message", `write the function first, like {{ printf "%.1f" .queue.visible }}`)
	default:
		c.command(pipe.Cmds[0], depth)
	}
}

func (c *messageCheck) command(command *parse.CommandNode, depth int) {
	function, isCall := command.Args[0].(*parse.IdentifierNode)
	if !isCall {
		for _, argument := range command.Args {
			c.value(argument, depth)
		}
		if len(command.Args) > 1 {
			c.report(command.Args[1].Position(), command.Args[1].String(), "follows a value, which takes no argument", allowedInMessages)
		}
		return
	}
	c.known(function)
	for _, argument := range command.Args[1:] {
		c.value(argument, depth)
	}
	if c.wrong == nil {
		c.call(function, command.Args[1:])
	}
}

// known reports a function that messages may not call.
func (c *messageCheck) known(function *parse.IdentifierNode) {
	if !slices.Contains(messageFunctions, function.Ident) {
		c.report(function.Pos, function.Ident, "is not a function that messages may call", suggest(function.Ident, messageFunctions, "they may call "))
	}
}

// value checks what prints, or what a function takes.
func (c *messageCheck) value(n parse.Node, depth int) {
	switch n := n.(type) {
	case *parse.FieldNode:
		c.field(n)
	case *parse.StringNode, *parse.BoolNode, *parse.NumberNode:
	case *parse.PipeNode:
		c.pipe(n, depth+1)
	case *parse.IdentifierNode:
		c.report(n.Pos, n.Ident, "is a function without brackets", fmt.Sprintf("write (%s …) around it and its arguments", n.Ident))
	case *parse.VariableNode:
		hint := "write the field itself, like {{ .queue.visible }}"
		c.report(n.Pos, n.String(), "is a variable, which messages do not have", hint)
	default:
		c.report(n.Position(), n.String(), "is not allowed in a message", allowedInMessages)
	}
}

// field reports a name that is no variable, whatever branch it stands in.
func (c *messageCheck) field(n *parse.FieldNode) {
	name := strings.Join(n.Ident, ".")
	switch known := isVariable(name); {
	case !known:
		c.report(n.Pos, name, "is not known", suggestVariable(name))
	case strings.HasPrefix(name, "queue.") && !c.perQueue:
		c.report(n.Pos, name, "is not there", "the condition names no queue, so the alert is about the whole service")
	}
}

// call checks the number and the kinds of a function's arguments.
func (c *messageCheck) call(function *parse.IdentifierNode, arguments []parse.Node) {
	name := function.Ident
	counts := map[string]func(int) bool{
		"eq": func(n int) bool { return n >= 2 }, "and": func(n int) bool { return n >= 1 }, "or": func(n int) bool { return n >= 1 },
		"not": func(n int) bool { return n == 1 }, "printf": func(n int) bool { return n >= 1 },
	}
	fits, special := counts[name]
	if !special {
		fits = func(n int) bool { return n == 2 }
	}
	switch {
	case !fits(len(arguments)):
		c.report(function.Pos, name, fmt.Sprintf("does not go with %d values", len(arguments)), "write it like {{ if gt .queue.visible 10 }}")
	case name == "printf":
		if err := checkFormat(arguments); err != nil {
			c.report(function.Pos, name, err.Error(), `write it like {{ printf "%.1f" .queue.visible }}`)
		}
	case !slices.Contains([]string{"and", "or", "not"}, name):
		c.comparable(function, arguments)
	}
}

// comparable holds all arguments of a comparison to one kind.
func (c *messageCheck) comparable(function *parse.IdentifierNode, arguments []parse.Node) {
	kinds := map[Kind]bool{}
	for _, argument := range arguments {
		if sample, constant := sampleOf(argument); constant {
			kinds[kindOf(sample)] = true
		}
	}
	if len(kinds) > 1 {
		c.report(function.Pos, function.Ident, "compares values of different kinds",
			"compare a number with a number, as in gt .queue.visible 10, and text with text in quotes")
	}
}

// sampleOf is a value of the kind that an argument has; known is false for what
// stands in brackets.
func sampleOf(n parse.Node) (sample any, known bool) {
	switch n := n.(type) {
	case *parse.FieldNode:
		name := strings.Join(n.Ident, ".")
		at := slices.IndexFunc(variables, func(v Variable) bool { return v.Name == name })
		return printed(variables[at], sampleValues()[name]), true
	case *parse.StringNode:
		return n.Text, true
	case *parse.BoolNode:
		return n.True, true
	case *parse.NumberNode:
		return n.Float64, true
	default:
		return "", false
	}
}

// formatVerb is what a format may contain: at most two digits of width and of
// precision, so that no verb writes more than 99 characters beside its value.
var formatVerb = regexp.MustCompile(`%(%|[-+ 0]?[0-9]{0,2}(\.[0-9]{1,2})?[vsfgqt])`)

// checkFormat bounds what printf writes.
func checkFormat(arguments []parse.Node) error {
	format, isText := arguments[0].(*parse.StringNode)
	if !isText {
		return errors.New("needs its format as text in quotes")
	}
	if strings.Contains(formatVerb.ReplaceAllString(format.Text, ""), "%") {
		return errors.New("has a format that messages may not use: they may use %v, %s, %q, %t, %f and %g, with at most two digits of width and of precision")
	}
	samples := make([]any, 0, len(arguments)-1)
	for _, argument := range arguments[1:] {
		sample, _ := sampleOf(argument)
		samples = append(samples, sample)
	}
	if strings.Contains(fmt.Sprintf(format.Text, samples...), "%!") {
		return errors.New("has values that do not go with its format")
	}
	return nil
}
