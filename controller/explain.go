package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/cli"
)

type explainCommand struct {
	Field string `arg:"" help:"A kind or a field, as in ScalingPolicy.spec.behavior.scaleUp."`
}

// schemaNode is what explain reads of a JSON Schema.
type schemaNode struct {
	Ref         string                `json:"$ref"`
	Defs        map[string]schemaNode `json:"$defs"`
	Type        string                `json:"type"`
	Description string                `json:"description"`
	Properties  map[string]schemaNode `json:"properties"`
	Items       *schemaNode           `json:"items"`
	OneOf       []schemaNode          `json:"oneOf"`
	Required    []string              `json:"required"`
	Enum        []any                 `json:"enum"`
	Const       any                   `json:"const"`
	Pattern     string                `json:"pattern"`
	Minimum     any                   `json:"minimum"`
	Maximum     any                   `json:"maximum"`
}

func (c explainCommand) Run(streams cli.Streams) error {
	parts := strings.Split(strings.TrimSuffix(c.Field, "."), ".")
	kind := slices.IndexFunc(config.Kinds(), func(k string) bool { return strings.EqualFold(k, parts[0]) })
	if kind < 0 {
		return cli.Usagef("%q is no kind: start with one of %s", parts[0], strings.Join(config.Kinds(), ", "))
	}
	parts[0] = config.Kinds()[kind]
	text, err := config.Schema(parts[0])
	if err != nil {
		return err
	}
	var root schemaNode
	if err := json.Unmarshal(text, &root); err != nil {
		return fmt.Errorf("read the schema of %s: %w", parts[0], err)
	}
	found, required, err := root.find(parts)
	if err != nil {
		return err
	}
	root.print(streams, parts, found, required)
	return nil
}

// find walks the path; arrays are passed through to their items.
func (root schemaNode) find(parts []string) (node schemaNode, required bool, err error) {
	node = root.resolve(root)
	for i, name := range parts[1:] {
		within := root.fields(node)
		name = strings.TrimSuffix(name, "[]")
		next, ok := within.Properties[name]
		if !ok {
			path := strings.Join(parts[:i+1], ".")
			if len(within.Properties) == 0 {
				return node, false, cli.Usagef("%s has no fields", path)
			}
			return node, false, cli.Usagef("%s has no field %q; its fields are %s", path, name, strings.Join(sortedNames(within), ", "))
		}
		required = slices.Contains(within.Required, name)
		if described := next.Description; described != "" {
			next = root.resolve(next)
			next.Description = described
		}
		node = next
	}
	return node, required, nil
}

func (root schemaNode) resolve(node schemaNode) schemaNode {
	name, isRef := strings.CutPrefix(node.Ref, "#/$defs/")
	if !isRef {
		return node
	}
	return root.Defs[name]
}

// fields is the object that has the fields below a node.
func (root schemaNode) fields(node schemaNode) schemaNode {
	node = root.resolve(node)
	if node.Items != nil {
		return root.fields(*node.Items)
	}
	return node
}

func sortedNames(node schemaNode) []string {
	names := make([]string, 0, len(node.Properties))
	for name := range node.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (root schemaNode) print(streams cli.Streams, parts []string, node schemaNode, required bool) {
	linef := func(format string, args ...any) { _, _ = fmt.Fprintf(streams.Out, format+"\n", args...) }
	linef("KIND:     %s\nVERSION:  %s", parts[0], config.APIVersion)
	field := "FIELD:   "
	if len(parts) > 1 {
		linef("\n%s %s <%s>%s", field, strings.Join(parts[1:], "."), root.typeOf(node), requiredMark(required))
	}
	within := root.fields(node)
	linef("\nDESCRIPTION:")
	description := node.Description
	if description == "" {
		description = within.Description
	}
	if description == "" {
		description = "(none)"
	}
	for text := range lines(description) {
		linef("    %s", text)
	}
	if limits := limitsOf(root.resolve(node)); limits != "" {
		linef("    %s", limits)
	}
	if len(within.Properties) == 0 {
		return
	}
	linef("\nFIELDS:")
	for _, name := range sortedNames(within) {
		child := within.Properties[name]
		linef("  %s\t<%s>%s", name, root.typeOf(child), requiredMark(slices.Contains(within.Required, name)))
		about := child.Description
		if about == "" {
			about = root.fields(child).Description
		}
		for text := range lines(about) {
			if text != "" {
				linef("    %s", text)
			}
		}
		if limits := limitsOf(child); limits != "" {
			linef("    %s", limits)
		}
		linef("")
	}
}

func requiredMark(required bool) string {
	if required {
		return " -required-"
	}
	return ""
}

func (root schemaNode) typeOf(node schemaNode) string {
	if name, isRef := strings.CutPrefix(node.Ref, "#/$defs/"); isRef {
		return name
	}
	switch {
	case node.Items != nil:
		return "[]" + root.typeOf(*node.Items)
	case strings.Contains(node.Pattern, "ns|us"):
		return "duration"
	case len(node.OneOf) > 0:
		types := make([]string, 0, len(node.OneOf))
		for _, one := range node.OneOf {
			if one.Const != nil {
				types = append(types, fmt.Sprintf("%q", one.Const))
				continue
			}
			types = append(types, root.typeOf(one))
		}
		return strings.Join(types, " or ")
	case node.Const != nil:
		return fmt.Sprintf("%q", node.Const)
	case node.Type == "":
		return "object"
	}
	return node.Type
}

func limitsOf(node schemaNode) string {
	var limits []string
	if len(node.Enum) > 0 {
		limits = append(limits, fmt.Sprintf("one of %v", node.Enum))
	}
	if node.Minimum != nil {
		limits = append(limits, fmt.Sprintf("at least %v", node.Minimum))
	}
	if node.Maximum != nil {
		limits = append(limits, fmt.Sprintf("at most %v", node.Maximum))
	}
	return strings.Join(limits, ", ")
}
