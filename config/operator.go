package config

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// CEL's own operators take no int with a double and no double with a
// duration, so that 5 * queue.maxAge, queue.visible == 0 and queue.oldestAge >
// duration("90s") would all be type errors. These operators take them: two
// operands of different types are both read as numbers, a duration as its
// seconds.

// pairs are the operand types that are read as numbers.
func pairs() [][2]*cel.Type {
	return [][2]*cel.Type{
		{cel.DoubleType, cel.IntType},
		{cel.IntType, cel.DoubleType},
		{cel.DoubleType, cel.DurationType},
		{cel.DurationType, cel.DoubleType},
	}
}

// same are the types that are compared, or added, with themselves.
var (
	numeric   = []*cel.Type{cel.DoubleType, cel.IntType}
	ordered   = []*cel.Type{cel.DoubleType, cel.IntType, cel.DurationType, cel.StringType}
	addable   = []*cel.Type{cel.DoubleType, cel.IntType, cel.DurationType, cel.StringType}
	separable = []*cel.Type{cel.DoubleType, cel.IntType, cel.DurationType}
)

// operatorOptions replaces the arithmetic and the comparisons of CEL's
// standard library.
func operatorOptions() []cel.EnvOption {
	replaced := env.NewLibrarySubset()
	for _, name := range []string{
		operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Equals, operators.NotEquals,
		operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
	} {
		replaced.AddExcludedFunctions(env.NewFunction(name))
	}
	equal := append([]*cel.Type{cel.BoolType}, ordered...)
	return []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(replaced)),
		arithmetic(operators.Add, "add", addable, func(a, b ref.Val) ref.Val { return with(a, b, traits.Adder.Add) }),
		arithmetic(operators.Subtract, "subtract", separable, func(a, b ref.Val) ref.Val { return with(a, b, traits.Subtractor.Subtract) }),
		arithmetic(operators.Multiply, "multiply", numeric, func(a, b ref.Val) ref.Val { return with(a, b, traits.Multiplier.Multiply) }),
		arithmetic(operators.Divide, "divide", numeric, func(a, b ref.Val) ref.Val { return with(a, b, traits.Divider.Divide) }),
		comparison(operators.Equals, "equals", equal, func(a, b ref.Val) ref.Val { return a.Equal(b) }),
		comparison(operators.NotEquals, "not_equals", equal, func(a, b ref.Val) ref.Val { return !types.Bool(a.Equal(b) == types.True) }),
		comparison(operators.Less, "less", ordered, compared(func(c types.Int) bool { return c < 0 })),
		comparison(operators.LessEquals, "less_equals", ordered, compared(func(c types.Int) bool { return c <= 0 })),
		comparison(operators.Greater, "greater", ordered, compared(func(c types.Int) bool { return c > 0 })),
		comparison(operators.GreaterEquals, "greater_equals", ordered, compared(func(c types.Int) bool { return c >= 0 })),
	}
}

// with applies an operation of a's to b, where a has it.
func with[T any](a, b ref.Val, do func(T, ref.Val) ref.Val) ref.Val {
	if able, ok := a.(T); ok {
		return do(able, b)
	}
	return types.MaybeNoSuchOverloadErr(a)
}

func arithmetic(name, id string, own []*cel.Type, do func(a, b ref.Val) ref.Val) cel.EnvOption {
	var overloads []cel.FunctionOpt
	for _, t := range own {
		overloads = append(overloads, cel.Overload(id+"_"+t.String(), []*cel.Type{t, t}, t))
	}
	return cel.Function(name, append(overloads, mixed(id, cel.DoubleType, do)...)...)
}

func comparison(name, id string, own []*cel.Type, do func(a, b ref.Val) ref.Val) cel.EnvOption {
	var overloads []cel.FunctionOpt
	for _, t := range own {
		overloads = append(overloads, cel.Overload(id+"_"+t.String(), []*cel.Type{t, t}, cel.BoolType))
	}
	return cel.Function(name, append(overloads, mixed(id, cel.BoolType, do)...)...)
}

func mixed(id string, result *cel.Type, do func(a, b ref.Val) ref.Val) []cel.FunctionOpt {
	options := []cel.FunctionOpt{cel.SingletonBinaryBinding(func(a, b ref.Val) ref.Val {
		if a.Type() != b.Type() {
			a, b = asNumber(a), asNumber(b)
		}
		return do(a, b)
	})}
	for _, pair := range pairs() {
		overload := id + "_" + pair[0].String() + "_" + pair[1].String()
		options = append(options, cel.Overload(overload, []*cel.Type{pair[0], pair[1]}, result))
	}
	return options
}

// asNumber reads an int or a duration, in seconds, as a double.
func asNumber(v ref.Val) ref.Val {
	switch typed := v.(type) {
	case types.Int:
		return types.Double(typed)
	case types.Duration:
		return types.Double(typed.Seconds())
	default:
		return v
	}
}

func compared(holds func(types.Int) bool) func(a, b ref.Val) ref.Val {
	return func(a, b ref.Val) ref.Val {
		order, ok := with(a, b, traits.Comparer.Compare).(types.Int)
		return types.Bool(ok && holds(order)) // 0/0 is neither above nor below anything
	}
}
