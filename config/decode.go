package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/novaura/acs-operator/internal/redact"
)

// This file turns YAML nodes into the structs of this package, strictly: each
// field by its tags, each mistake with its place, none ending the work.

// rules are the tags of one field, read once a decoding.
type rules struct {
	required         bool
	enum             []string
	minimum, maximum string // of a number, or of a duration
	above            string // exclusiveMinimum
	minItems         bool
	maxItems         int // 0: no bound of its own
	form, word       string
}

func rulesOf(field reflect.StructField) rules {
	r := rules{form: field.Tag.Get("form"), word: field.Tag.Get("word")}
	for rule := range strings.SplitSeq(field.Tag.Get("jsonschema"), ",") {
		switch name, value, _ := strings.Cut(rule, "="); name {
		case "required":
			r.required = true
		case "enum":
			r.enum = append(r.enum, value)
		case "minimum":
			r.minimum = value
		case "maximum":
			r.maximum = value
		case "exclusiveMinimum":
			r.above = value
		case "minItems":
			r.minItems = true
		case "maxItems":
			r.maxItems, _ = strconv.Atoi(value) // TestTheRulesInTheTagsParse holds it
		}
	}
	return r
}

// field is one field of a struct that is being decoded into.
type field struct {
	value reflect.Value
	rules rules
	ours  bool // the controller writes it, not the file
}

// fieldsOf returns the fields of structs by the names that files use, and
// those names in order.
func fieldsOf(structs []reflect.Value) (map[string]field, []string) {
	fields, names := map[string]field{}, []string(nil)
	for _, s := range structs {
		for structField, value := range s.Fields() {
			if !structField.IsExported() {
				continue // made from the others, once they are read
			}
			name, _, _ := strings.Cut(structField.Tag.Get("yaml"), ",")
			ours := name == "-"
			if ours {
				name, _, _ = strings.Cut(structField.Tag.Get("json"), ",")
			} else {
				names = append(names, name)
			}
			fields[name] = field{value: value, rules: rulesOf(structField), ours: ours}
		}
	}
	return fields, names
}

// report adds a mistake at a node. The path counts as given, and as unsound.
func (d *document) report(path string, at *yaml.Node, got, problem, hint string) {
	d.bad[path] = true
	d.errs = append(d.errs, &FieldError{
		File: d.file, Line: max(1, at.Line), Column: max(1, at.Column),
		Path: path, Got: got, Problem: problem, Hint: hint,
	})
}

// decode sets v to what n holds.
func (d *document) decode(path string, n *yaml.Node, v reflect.Value, r rules) {
	d.nodes[path] = n
	switch {
	case n.Kind == yaml.AliasNode:
		d.report(path, n, "*"+n.Value, "is an alias, which policies do not have", "write the value out")
		return
	case isUnrendered(n) && v.Kind() != reflect.String:
		d.report(path, n, "", unrendered.problem, unrendered.hint)
		return
	case isNull(n):
		d.report(path, n, "", "has no value", "give one, or remove the field")
		return
	}
	if text, ok := reflect.TypeAssert[textSetter](v.Addr()); ok && n.Kind == yaml.ScalarNode {
		text.setText(n.Value)
		if n.Value == "" {
			d.report(path, n, "", "is empty", "")
		} else if wrong := tooLong(n.Value); wrong != nil {
			d.report(path, n, "", wrong.problem, wrong.hint)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(path, n, v.Elem(), r)
	case reflect.Struct:
		d.decodeMapping(path, n, v)
	case reflect.Slice:
		d.decodeList(path, n, v, r)
	case reflect.Map:
		d.decodeMap(path, n, v)
	default:
		d.decodeScalar(path, n, v, r)
	}
}

// maxMapItems bounds labels and annotations, maxText every text, in characters,
// which has no bound of its own.
const (
	maxMapItems = 100
	maxText     = 2000
)

// textSetter is a struct that a file may also give as plain text.
type textSetter interface{ setText(text string) }

// decodeMapping fills structs, whose fields together are the mapping's.
func (d *document) decodeMapping(path string, n *yaml.Node, structs ...reflect.Value) {
	d.nodes[path] = n
	if n.Kind != yaml.MappingNode {
		// What stands here may be a secret in the wrong place: it is not shown.
		d.report(path, n, "", "is "+describe(n)+", not a mapping", "write it as \"field: value\" lines")
		return
	}
	fields, names := fieldsOf(structs)
	d.eachKey(path, n, func(key string, keyNode, value *yaml.Node) {
		f, known := fields[key]
		switch sub := join(path, key); {
		case !known:
			d.report(sub, keyNode, "", "unknown field", unknownFieldHint(key, names))
		case f.ours:
			d.report(sub, keyNode, "", "is written by the controller", "remove it")
		default:
			d.decode(sub, value, f.value, f.rules)
		}
	})
	for _, name := range names {
		if sub := join(path, name); fields[name].rules.required && d.nodes[sub] == nil {
			d.report(sub, n, "", "is required", requiredHint(fields[name].rules))
		}
	}
}

func requiredHint(r rules) string {
	if len(r.enum) == 0 {
		return ""
	}
	return "one of " + strings.Join(r.enum, ", ")
}

// eachKey calls use with each key of a mapping that is text, once.
func (d *document) eachKey(path string, n *yaml.Node, use func(key string, keyNode, value *yaml.Node)) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		sub := join(path, key.Value)
		switch {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			d.report(sub, key, "", "is a merge key, which policies do not have", "write the fields out")
		case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
			d.report(path, key, d.scalarText(key, nil), "is "+describe(key)+", not a field name", "write it as text, in quotes")
		case first[key.Value] != nil:
			d.report(sub, key, "", "is given twice", fmt.Sprintf("the first is on line %d", first[key.Value].Line))
		default:
			first[key.Value] = key
			use(key.Value, key, value)
		}
	}
}

// decodeList fills a slice; a given list replaces a default one as a whole.
func (d *document) decodeList(path string, n *yaml.Node, v reflect.Value, r rules) {
	if n.Kind != yaml.SequenceNode {
		d.report(path, n, d.scalarText(n, v.Type().Elem()), "is "+describe(n)+", not a list", "write each item on a line that starts with \"- \"")
		return
	}
	if len(n.Content) == 0 && r.minItems {
		d.report(path, n, "", "is an empty list", "give at least one item")
		return
	}
	if r.maxItems > 0 && len(n.Content) > r.maxItems {
		d.report(path, n, "", fmt.Sprintf("has %d items, and may have %d", len(n.Content), r.maxItems), "split it into several policies")
		return // the items are not looked at
	}
	item := rules{enum: r.enum, form: r.form}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, content := range n.Content {
		if element, ok := reflect.TypeAssert[defaulter](list.Index(i).Addr()); ok {
			element.setDefaults()
		}
		d.decode(fmt.Sprintf("%s[%d]", path, i), content, list.Index(i), item)
	}
	v.Set(list)
}

// decodeMap fills a map of text to text, such as labels.
func (d *document) decodeMap(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.report(path, n, d.scalarText(n, v.Type().Elem()), "is "+describe(n)+", not a mapping", "write it as \"name: text\" lines")
		return
	}
	if len(n.Content)/2 > maxMapItems {
		d.report(path, n, "", fmt.Sprintf("has %d items, and may have %d", len(n.Content)/2, maxMapItems), "keep only those that you need")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Content)/2))
	d.eachKey(path, n, func(key string, _, value *yaml.Node) {
		text := reflect.New(v.Type().Elem()).Elem()
		d.decode(join(path, key), value, text, rules{})
		v.SetMapIndex(reflect.ValueOf(key), text)
	})
}

// scalarText is what an error may show of a scalar that goes into type t.
func (d *document) scalarText(n *yaml.Node, t reflect.Type) string {
	switch {
	case n.Kind != yaml.ScalarNode, t == reflect.TypeFor[redact.Secret](), t == reflect.TypeFor[SecretRef]():
		return ""
	case t == reflect.TypeFor[redact.Personal]():
		return redact.Personal(n.Value).String()
	default:
		return n.Value
	}
}

// given tells whether the file states path.
func (d *document) given(path string) bool { return d.nodes[path] != nil }

// sound tells whether no mistake was reported for any of the paths, so that a
// rule about all of them means something.
func (d *document) sound(paths ...string) bool {
	for _, path := range paths {
		if d.bad[path] {
			return false
		}
	}
	return true
}

// at returns the value at path, or the innermost mapping or list around it
// that the file gives.
func (d *document) at(path string) *yaml.Node {
	for {
		if n := d.nodes[path]; n != nil {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// join extends a path: spec + queues, labels + "a b".
func join(path, key string) string {
	for _, r := range key {
		if r != '-' && r != '_' && (r < '0' || r > '9') && (r|' ' < 'a' || r|' ' > 'z') {
			return path + "[" + strconv.Quote(shorten(key)) + "]"
		}
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe names what a node is, for people.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	case yaml.ScalarNode, yaml.DocumentNode: // a document is never within one
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a yes-or-no value"
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "a date"
	default:
		return "text"
	}
}
