package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// File is the text of one policy file and the name that errors call it.
type File struct {
	Name string
	Data []byte
}

// Policies is what a policy source holds, in the order of files and documents.
type Policies struct {
	Scaling  []*ScalingPolicy
	Alert    []*AlertPolicy
	Delivery []*DeliveryPolicy
}

// The bounds of what Parse reads. A thousand queues are a tenth of a file.
const (
	MaxFileSize  = 1 << 20 // bytes of one file
	MaxFiles     = 200
	MaxTotalSize = 8 << 20 // bytes of all files
	MaxPolicies  = 500     // of all kinds, over all files
)

// Parse reads policies from YAML: several files, each of several documents.
// Absent fields get their defaults (default.go); what is stated is kept as it
// is. On any mistake it returns no policies and every FieldError at once,
// joined, sorted by file, line and column (see FieldErrors).
func Parse(files ...File) (*Policies, error) {
	if len(files) == 0 {
		return nil, errors.New("parse policies: there is no file")
	}
	if err := checkTotal(files); err != nil {
		return nil, err
	}
	var docs []*document
	var errs []*FieldError
	for _, file := range files {
		read, fieldErr := readDocuments(file)
		if fieldErr != nil {
			errs = append(errs, fieldErr)
		}
		docs = append(docs, read...)
		if len(docs) > MaxPolicies {
			return nil, &FieldError{File: file.Name, Line: 1, Column: 1, Problem: fmt.Sprintf("there are more than %d policies from here on", MaxPolicies), Hint: "keep fewer in one source"}
		}
	}
	policies := &Policies{}
	for _, doc := range docs {
		doc.addTo(policies)
	}
	checkAcross(docs)
	for _, doc := range docs {
		errs = append(errs, doc.errs...)
	}
	if err := joinFieldErrors(errs); err != nil {
		return nil, err
	}
	policies.setCrossDefaults()
	return policies, nil
}

// checkTotal refuses more than a controller should ever hold.
func checkTotal(files []File) error {
	total := 0
	for i, file := range files {
		wrong := &FieldError{File: file.Name, Line: 1, Column: 1, Hint: "keep fewer in one source"}
		switch total += len(file.Data); {
		case i == MaxFiles:
			wrong.Problem = fmt.Sprintf("there are more than %d files", MaxFiles)
			return wrong
		case total > MaxTotalSize:
			wrong.Problem = fmt.Sprintf("the files have more than %d bytes together", MaxTotalSize)
			return wrong
		}
	}
	return nil
}

// document is one YAML document while it is decoded and checked.
type document struct {
	file   string
	data   []byte // the file's text
	root   *yaml.Node
	policy any                   // *ScalingPolicy, *AlertPolicy or *DeliveryPolicy once decoded
	nodes  map[string]*yaml.Node // the value of each path that the file gives
	bad    map[string]bool       // paths that an error was reported for
	errs   []*FieldError
}

// header is what each document has beside metadata and spec.
type header struct {
	APIVersion string   `jsonschema:"required,enum=acs.novaura.io/v1"                                  yaml:"apiVersion"`
	Kind       string   `jsonschema:"required,enum=ScalingPolicy,enum=AlertPolicy,enum=DeliveryPolicy" yaml:"kind"`
	Status     struct{} `json:"status"                                                                 yaml:"-"`
}

// readDocuments splits a file. The documents before a syntax error are
// returned with it, so that their mistakes are shown too.
func readDocuments(file File) ([]*document, *FieldError) {
	if fieldErr := checkBytes(file); fieldErr != nil {
		return nil, fieldErr
	}
	var docs []*document
	decoder := yaml.NewDecoder(bytes.NewReader(file.Data))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		switch {
		case errors.Is(err, io.EOF) && len(docs) == 0:
			return nil, &FieldError{
				File: file.Name, Line: 1, Column: 1, Problem: "the file holds no policy",
				Hint: fmt.Sprintf("a policy starts with %q and a kind", "apiVersion: "+APIVersion),
			}
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return docs, syntaxError(file, err)
		case len(docs) > MaxPolicies:
			return docs, nil // Parse says so
		}
		if root := node.Content[0]; !isNull(root) {
			docs = append(docs, &document{
				file: file.Name, data: file.Data, root: root,
				nodes: map[string]*yaml.Node{}, bad: map[string]bool{},
			})
		}
	}
}

// checkBytes refuses what the YAML parser should not see.
func checkBytes(file File) *FieldError {
	fieldErr := &FieldError{File: file.Name, Line: 1, Column: 1}
	if len(file.Data) > MaxFileSize {
		fieldErr.Problem = fmt.Sprintf("the file has more than %d bytes", MaxFileSize) // no more of it was read
		fieldErr.Hint = "split it into several"
		return fieldErr
	}
	for at := 0; at < len(file.Data); {
		r, size := utf8.DecodeRune(file.Data[at:])
		if r == utf8.RuneError && size == 1 {
			fieldErr.Line, fieldErr.Column = placeOf(file.Data, at)
			fieldErr.Problem, fieldErr.Hint = "the file is not UTF-8 text", "save it as UTF-8"
			return fieldErr
		}
		at += size
	}
	return nil
}

// addTo decodes the document by its kind, checks it, and adds the policy.
func (d *document) addTo(policies *Policies) {
	var head header
	switch d.kind() {
	case KindScalingPolicy:
		policy := &ScalingPolicy{Spec: defaultScalingSpec()}
		d.decodeRoot(&head, policy)
		d.checkScaling(policy)
		policies.Scaling = append(policies.Scaling, policy)
	case KindAlertPolicy:
		policy := &AlertPolicy{Spec: defaultAlertSpec()}
		d.decodeRoot(&head, policy)
		d.checkAlert(policy)
		policies.Alert = append(policies.Alert, policy)
	case KindDeliveryPolicy:
		policy := &DeliveryPolicy{Spec: defaultDeliverySpec()}
		d.decodeRoot(&head, policy)
		d.checkDelivery(policy)
		policies.Delivery = append(policies.Delivery, policy)
	default: // Without a kind, no field below it can be judged.
		d.decodeHeader(&head)
	}
}

// kind returns what the document says it is, before anything is checked.
func (d *document) kind() string {
	if d.root.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i < len(d.root.Content); i += 2 {
		if d.root.Content[i].Value == "kind" {
			return d.root.Content[i+1].Value
		}
	}
	return ""
}

func (d *document) decodeRoot(head *header, policy any) {
	d.policy = policy
	d.decodeMapping("", d.root, reflect.ValueOf(head).Elem(), reflect.ValueOf(policy).Elem())
}

func (d *document) decodeHeader(head *header) {
	if d.root.Kind != yaml.MappingNode {
		d.decodeMapping("", d.root, reflect.ValueOf(head).Elem())
		return
	}
	only := *d.root
	only.Content = nil
	for i := 0; i < len(d.root.Content); i += 2 {
		if key := d.root.Content[i].Value; key == "kind" || key == "apiVersion" {
			only.Content = append(only.Content, d.root.Content[i], d.root.Content[i+1])
		}
	}
	d.decodeMapping("", &only, reflect.ValueOf(head).Elem())
}

// longestSearch bounds the text, in bytes, in which the place of a syntax error is
// looked for: it is parsed once a step.
const longestSearch = 64 << 10

// syntaxError finds the place of what the YAML parser refused. The parser
// tells a line at best, often that of the enclosing block; but it reads
// forward only, so the shortest text that it refuses alike ends at the place.
func syntaxError(file File, err error) *FieldError {
	line, problem := splitSyntaxError(err)
	low := offsetOfLine(file.Data, line-2)
	high := min(len(file.Data), low+longestSearch)
	if _, refused := splitSyntaxError(readAll(file.Data[:high])); refused != problem { // further on: the line must do
		low = offsetOfLine(file.Data, line)
		high = low + 1
	}
	for low+1 < high {
		middle := (low + high) / 2
		if _, refused := splitSyntaxError(readAll(file.Data[:middle])); refused == problem {
			high = middle
		} else {
			low = middle
		}
	}
	fieldErr := &FieldError{File: file.Name, Problem: "YAML: " + problem}
	fieldErr.Line, fieldErr.Column = placeOf(file.Data, high-1)
	start := offsetOfLine(file.Data, fieldErr.Line)
	text, _, _ := bytes.Cut(file.Data[start:], []byte("\n"))
	fieldErr.Hint = syntaxHint(problem, string(text))
	return fieldErr
}

// readAll returns the first error of the text's YAML, nil if there is none.
func readAll(data []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var node yaml.Node
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// splitSyntaxError parts "yaml: line 3: problem"; line is 0 when not told.
func splitSyntaxError(err error) (line int, problem string) {
	if err == nil {
		return 0, ""
	}
	problem = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, found := strings.CutPrefix(problem, "line "); found {
		if number, after, found := strings.Cut(rest, ": "); found {
			if _, scanErr := fmt.Sscanf(number, "%d", &line); scanErr == nil {
				problem = after
			}
		}
	}
	return line, problem
}

// offsetOfLine returns where line (from 1) starts; 0 before the first.
func offsetOfLine(data []byte, line int) int {
	at := 0
	for ; line > 1; line-- {
		next := bytes.IndexByte(data[at:], '\n')
		if next < 0 {
			return at
		}
		at += next + 1
	}
	return at
}

// placeOf turns an offset into line and column, both from 1.
func placeOf(data []byte, offset int) (line, column int) {
	before := data[:max(0, min(offset, len(data)))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return 1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[start:])
}
