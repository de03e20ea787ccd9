package config

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
)

const (
	// maxCost bounds what one evaluation may do, in CEL's own units: an honest
	// condition costs some tens.
	maxCost = 10_000
	// maxExpr bounds an expression, in characters, and maxExprDepth its
	// brackets within each other.
	maxExpr      = 1000
	maxExprDepth = 32
	// longestText is what any text variable is taken to have at most, in
	// characters, when the cost is estimated.
	longestText = 300
)

// expressions is the one environment that expressions are checked in.
var expressions = sync.OnceValue(func() *cel.Env {
	options := append(operatorOptions(), cel.ParserRecursionLimit(maxExprDepth), cel.ParserExpressionSizeLimit(maxExpr))
	for _, v := range variables {
		options = append(options, cel.Variable(v.Name, celType(v.Kind)))
	}
	env, err := cel.NewCustomEnv(options...)
	if err != nil {
		panic(err) // the declarations are part of the program, and tested
	}
	return env
})

func celType(kind Kind) *cel.Type {
	switch kind {
	case KindText:
		return cel.StringType
	case KindBool:
		return cel.BoolType
	default:
		return cel.DoubleType
	}
}

// compiling serializes the checks: CEL's environment writes to itself while it
// reports a mistake. A check takes milliseconds.
var compiling sync.Mutex

// expression is a condition that was checked.
type expression struct {
	program   cel.Program
	variables []string // that it names, sorted
}

// textSizes tells CEL's estimate how long the text variables are.
type textSizes struct{}

func (textSizes) EstimateSize(element cost.AstNode) *cost.SizeEstimate {
	if element.Type().Kind() == types.StringKind && len(element.Path()) > 0 {
		return &cost.SizeEstimate{Max: longestText}
	}
	return nil
}

func (textSizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// tooCostly tells whether one evaluation could exceed maxCost. What the estimate
// misses ends at the same limit when it is evaluated.
func tooCostly(checked *cel.Ast) *exprError {
	estimate, err := expressions().EstimateCost(checked, textSizes{})
	switch {
	case err != nil:
		return &exprError{problem: "has a cost that cannot be estimated (" + err.Error() + ")"}
	case estimate.Max > maxCost:
		return &exprError{
			problem: fmt.Sprintf("may take more than %d steps each time", maxCost),
			hint:    "use shorter lists, and fewer of them within each other",
		}
	}
	return nil
}

// exprError is one mistake in an expression. Line and column count from 0,
// in characters.
type exprError struct {
	line, column int
	got          string
	problem      string
	hint         string
}

// compileExpr checks an expression. Names are checked before types, since the
// type of what does not exist says nothing.
func compileExpr(text string) (*expression, []exprError) {
	compiling.Lock()
	defer compiling.Unlock()
	parsed, issues := expressions().Parse(text)
	if issues.Err() != nil {
		return nil, issuesOf(issues)
	}
	names, wrong := namesIn(parsed)
	if len(wrong) > 0 {
		return nil, wrong
	}
	checked, issues := expressions().Check(parsed)
	if issues.Err() != nil {
		return nil, issuesOf(issues)
	}
	if out := checked.OutputType(); !out.IsExactType(cel.BoolType) {
		return nil, []exprError{{problem: "is " + typeName(out.String()) + ", not true or false", hint: notBoolHint(text, out)}}
	}
	if wrong := tooCostly(checked); wrong != nil {
		return nil, []exprError{*wrong}
	}
	program, err := expressions().Program(checked, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		wrong := exprError{problem: "cannot be worked out (" + err.Error() + ")"}
		if strings.Contains(err.Error(), "google.protobuf.Duration") {
			wrong = exprError{problem: "has a duration that is none", hint: `write one like duration("90s"), duration("5m") or duration("1h30m")`}
		}
		return nil, []exprError{wrong}
	}
	return &expression{program: program, variables: names}, nil
}

func notBoolHint(text string, out *cel.Type) string {
	if out.IsExactType(cel.DoubleType) || out.IsExactType(cel.IntType) {
		return fmt.Sprintf("compare it, like %q", text+" > 100")
	}
	return "compare it"
}

// namesIn lists the variables of an expression, and what is none.
func namesIn(parsed *cel.Ast) (names []string, wrong []exprError) {
	tree := parsed.NativeRep()
	local := map[string]bool{} // the variables of exists, all, …
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.ComprehensionKind {
			loop := e.AsComprehension()
			local[loop.IterVar()], local[loop.IterVar2()], local[loop.AccuVar()] = true, true, true
		}
	}))
	inner := map[int64]bool{} // operands of a name that was looked at as a whole
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		name, parts := dottedName(e)
		if name == "" || inner[e.ID()] {
			return
		}
		for _, part := range parts {
			inner[part] = true
		}
		if root, _, _ := strings.Cut(name, "."); local[root] {
			return
		}
		if isVariable(name) {
			names = append(names, name)
			return
		}
		at := tree.SourceInfo().GetStartLocation(parts[len(parts)-1])
		wrong = append(wrong, exprError{max(0, at.Line()-1), at.Column(), name, "is not known", suggestVariable(name)})
	}))
	slices.Sort(names)
	return slices.Compact(names), wrong
}

// dottedName is a.b.c of a chain of names, with the ids of its parts from the
// last to the first; empty for everything else.
func dottedName(e ast.Expr) (name string, ids []int64) {
	var parts []string
	for e.Kind() == ast.SelectKind && !e.AsSelect().IsTestOnly() {
		parts, ids = append(parts, e.AsSelect().FieldName()), append(ids, e.ID())
		e = e.AsSelect().Operand()
	}
	if e.Kind() != ast.IdentKind {
		return "", nil
	}
	parts, ids = append(parts, e.AsIdent()), append(ids, e.ID())
	slices.Reverse(parts)
	return strings.Join(parts, "."), ids
}

// issuesOf puts CEL's findings in our words.
func issuesOf(issues *cel.Issues) []exprError {
	var wrong []exprError
	for _, one := range issues.Errors() {
		problem, hint := celWords(one.Message)
		wrong = append(wrong, exprError{lineOf(one.Location), one.Location.Column(), "", problem, hint})
	}
	if len(wrong) == 0 {
		wrong = append(wrong, exprError{problem: "is not an expression (" + issues.Err().Error() + ")"})
	}
	return wrong
}

func lineOf(at common.Location) int { return max(0, at.Line()-1) }

var celTypes = strings.NewReplacer("double", "a number", "int", "a whole number", "string", "text", "bool", "true or false",
	"google.protobuf.Duration", "a duration", "duration", "a duration")

func typeName(celName string) string { return celTypes.Replace(celName) }

// celWords rewrites the message of a type error; others are CEL's own.
func celWords(message string) (problem, hint string) {
	rest, found := strings.CutPrefix(message, "found no matching overload for '")
	if strings.Contains(message, "recursion limit exceeded") {
		return fmt.Sprintf("has more than %d brackets within each other", maxExprDepth), "make it simpler"
	}
	if !found {
		message, _, _ = strings.Cut(strings.TrimPrefix(message, "Syntax error: "), " (in container")
		message, _, _ = strings.Cut(message, " expecting ") // a list of every token there is
		message = strings.NewReplacer("mismatched input '<EOF>'", "it ends too early", "extraneous input", "there is one too many",
			"mismatched input", "there is an unexpected", "token recognition error at:", "there is an unexpected", "undeclared reference to", "there is no").Replace(message)
		return "is not an expression: " + message, ""
	}
	function, rest, _ := strings.Cut(rest, "' applied to '(")
	arguments, _, _ := strings.Cut(rest, ")'")
	if strings.HasPrefix(function, "_") || strings.HasPrefix(function, "!") {
		function = strings.Trim(function, "_")
	}
	if arguments == "string, double" || arguments == "string, int" || arguments == "double, string" || arguments == "int, string" {
		hint = `write numbers without quotes; a duration is duration("90s")`
	}
	return fmt.Sprintf("%q does not go with %s", function, typeName(strings.ReplaceAll(arguments, ", ", " and "))), hint
}

// Verdict is what a condition comes to.
type Verdict int

// The verdicts. Unknown is neither: a value that the condition turns on could
// not be read.
const (
	Unknown Verdict = iota
	Holds
	HoldsNot
)

// Values are the variables of one moment by name: float64, string or bool.
// Nil, or absence, is unknown.
type Values map[string]any

// ResolveName is how CEL asks for a variable.
func (v Values) ResolveName(name string) (any, bool) {
	if value := v[name]; value != nil {
		return value, true
	}
	return types.NewUnknown(1, types.NewAttributeTrail(name)), true
}

// Parent is part of CEL's Activation: there is none.
func (v Values) Parent() cel.Activation { return nil }

// judge works the condition out; why says what an Unknown is for want of.
// What does not matter to the outcome may be unknown: false && unknown is
// false.
func (e *expression) judge(values Values) (verdict Verdict, why string) {
	out, _, err := e.program.Eval(values)
	switch {
	case err != nil:
		return Unknown, "the condition cannot be worked out: " + err.Error()
	case out == types.True:
		return Holds, ""
	case out == types.False:
		return HoldsNot, ""
	default:
		return Unknown, e.missing(values)
	}
}

func (e *expression) missing(values Values) string {
	var names []string
	for _, name := range e.variables {
		if values[name] == nil {
			names = append(names, name)
		}
	}
	if len(names) > 1 {
		return strings.Join(names, ", ") + " are unknown"
	}
	return strings.Join(names, "") + " is unknown"
}
