package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/cli"
)

// whatIf returns the files with fields of the ScalingPolicy's spec changed:
// maxTasks=20, queues[0].maxAge=2m, behavior.scaleDown.stabilizationWindow=5m.
// What comes of it is checked as any policy is.
func whatIf(files []config.File, name string, changes []string) ([]config.File, error) {
	if len(changes) == 0 {
		return files, nil
	}
	found := false
	changed := make([]config.File, 0, len(files))
	for _, file := range files {
		data, hit, err := changeFile(file.Data, name, changes)
		if err != nil {
			return nil, err
		}
		found = found || hit
		changed = append(changed, config.File{Name: file.Name, Data: data})
	}
	if !found {
		return nil, cli.Usagef("there is no ScalingPolicy that --what-if could change")
	}
	return changed, nil
}

func changeFile(data []byte, name string, changes []string) (out []byte, hit bool, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	for {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return data, false, nil //nolint:nilerr // config.Parse says what is wrong, and where
		}
		if isPolicy(&doc, name) {
			hit = true
			for _, change := range changes {
				if err := changeField(child(doc.Content[0], "spec"), change); err != nil {
					return nil, false, err
				}
			}
		}
		if err := encoder.Encode(&doc); err != nil {
			return nil, false, fmt.Errorf("change policy: %w", err)
		}
	}
	if !hit {
		return data, false, nil
	}
	return text.Bytes(), true, encoder.Close()
}

func isPolicy(doc *yaml.Node, name string) bool {
	if len(doc.Content) == 0 {
		return false
	}
	kind, named := child(doc.Content[0], "kind"), child(child(doc.Content[0], "metadata"), "name")
	return kind != nil && kind.Value == config.KindScalingPolicy && (name == "" || named != nil && named.Value == name) && child(doc.Content[0], "spec") != nil
}

// child is the value of a key; nil when there is none.
func child(of *yaml.Node, key string) *yaml.Node {
	if of == nil || of.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(of.Content); i += 2 {
		if of.Content[i].Value == key {
			return of.Content[i+1]
		}
	}
	return nil
}

func changeField(spec *yaml.Node, change string) error {
	path, value, given := strings.Cut(change, "=")
	if !given || path == "" {
		return cli.Usagef("--what-if %s: write FIELD=VALUE", change)
	}
	var fresh yaml.Node
	if err := yaml.Unmarshal([]byte(value), &fresh); err != nil || len(fresh.Content) != 1 {
		return cli.Usagef("--what-if %s: %q is no YAML value", change, value)
	}
	at := spec
	parts := strings.SplitSeq(strings.ReplaceAll(strings.TrimPrefix(path, "spec."), "[", ".["), ".")
	for part := range parts {
		next, err := step(at, part)
		if err != nil {
			return cli.Usagef("--what-if %s: %w", change, err)
		}
		at = next
	}
	*at = *fresh.Content[0]
	return nil
}

// step goes to a key, which it makes when there is none, or to an item.
func step(at *yaml.Node, part string) (*yaml.Node, error) {
	if index, isItem := strings.CutPrefix(part, "["); isItem {
		i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if err != nil || at.Kind != yaml.SequenceNode || i < 0 || i >= len(at.Content) {
			return nil, fmt.Errorf("there is no item %s", part)
		}
		return at.Content[i], nil
	}
	if found := child(at, part); found != nil {
		return found, nil
	}
	if at.Kind != yaml.MappingNode {
		if at.Kind != 0 {
			return nil, fmt.Errorf("%s lies within a value", part)
		}
		at.Kind, at.Tag = yaml.MappingNode, "!!map"
	}
	fresh := &yaml.Node{}
	at.Content = append(at.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: part}, fresh)
	return fresh, nil
}
