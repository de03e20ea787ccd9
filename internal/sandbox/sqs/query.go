package sqs

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// SQS's Query protocol is what clients spoke before 2023. It says the same as
// the JSON protocol in other names: lists and maps are flat and in the
// singular. So a request is translated, served as JSON, and its answer
// translated back.
const queryWire = awswire.Query("http://queue.amazonaws.com/doc/2012-11-05/")

// flatLists are the lists by their name in a form; flatMaps the maps, whose
// entries are structures of a key and a value.
var (
	flatLists = map[string]string{
		"AttributeName": "AttributeNames", "MessageAttributeName": "MessageAttributeNames", "TagKey": "TagKeys",
		"MessageSystemAttributeName":   "MessageSystemAttributeNames",
		"SendMessageBatchRequestEntry": "Entries", "DeleteMessageBatchRequestEntry": "Entries",
		"ChangeMessageVisibilityBatchRequestEntry": "Entries",
	}
	flatMaps = map[string]flatMap{
		"Attribute": {"Attributes", "Name", "Value"}, "Tag": {"Tags", "Key", "Value"},
		"MessageAttribute": {"MessageAttributes", "Name", "Value"}, "MessageSystemAttribute": {"MessageSystemAttributes", "Name", "Value"},
	}
	numbers = []string{
		"DelaySeconds", "VisibilityTimeout", "WaitTimeSeconds", "MaxNumberOfMessages", "MaxResults", "MaxNumberOfMessagesPerSecond",
	}
)

type flatMap struct{ name, key, value string }

// serveQuery answers one operation in the Query protocol.
func (s *Service) serveQuery(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, awswire.MaxBody))
	if err != nil {
		queryWire.Refuse(w, &awswire.Error{Code: "RequestEntityTooLarge", Message: err.Error(), Status: http.StatusRequestEntityTooLarge})
		return
	}
	form, err := awswire.Form(r, body)
	if err != nil {
		queryWire.Refuse(w, &awswire.Error{Code: "MalformedQueryString", Message: err.Error()})
		return
	}
	name := form.Get("Action")
	op, known := s.ops[name]
	if !known {
		queryWire.Refuse(w, &awswire.Error{Code: "InvalidAction", Message: "of SQS the sandbox does not serve " + name})
		return
	}
	if form.Get("QueueUrl") == "" && strings.Count(r.URL.Path, "/") == 2 { // the older way: posted to the queue itself
		form.Set("QueueUrl", "http://"+r.Host+r.URL.Path)
	}
	encoded, err := json.Marshal(fromForm(form))
	if err != nil {
		queryWire.Refuse(w, err)
		return
	}
	out, err := op(r.Context(), encoded)
	if err != nil {
		queryWire.Refuse(w, err)
		return
	}
	writeQuery(w, name, out)
}

// fromForm makes the JSON protocol's object of a form.
func fromForm(form url.Values) map[string]any {
	tree := map[string]any{}
	for path, values := range form {
		at := tree
		parts := strings.Split(path, ".")
		for _, part := range parts[:len(parts)-1] {
			next, there := at[part].(map[string]any)
			if !there {
				next = map[string]any{}
				at[part] = next
			}
			at = next
		}
		at[parts[len(parts)-1]] = values[0]
	}
	return plural(tree)
}

// plural renames one structure's members, and theirs.
func plural(given map[string]any) map[string]any {
	object := map[string]any{}
	for name, value := range given {
		entries, isObject := value.(map[string]any)
		list, isList := flatLists[name]
		m, isMap := flatMaps[name]
		switch {
		case isList && isObject:
			object[list] = inOrder(entries)
		case isMap && isObject:
			pairs := map[string]any{}
			for _, entry := range inOrder(entries) {
				if pair, ok := entry.(map[string]any); ok {
					key, _ := pair[m.key].(string)
					pairs[key] = pair[m.value]
				}
			}
			object[m.name] = pairs
		case isObject:
			object[name] = plural(entries)
		default:
			object[name] = scalar(name, value)
		}
	}
	return object
}

// scalar is a number where the JSON protocol has one.
func scalar(name string, value any) any {
	text, _ := value.(string)
	if n, err := strconv.Atoi(text); err == nil && slices.Contains(numbers, name) {
		return n
	}
	return value
}

// inOrder lists the entries that are numbered from 1.
func inOrder(numbered map[string]any) []any {
	var list []any
	for n := 1; n <= len(numbered); n++ {
		switch entry := numbered[strconv.Itoa(n)].(type) {
		case nil:
			return list
		case map[string]any:
			list = append(list, plural(entry))
		default:
			list = append(list, entry)
		}
	}
	return list
}

// writeQuery writes what the JSON protocol would, as XML.
func writeQuery(w http.ResponseWriter, operation string, out any) {
	encoded, err := json.Marshal(out)
	if err != nil {
		queryWire.Refuse(w, err)
		return
	}
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		queryWire.Refuse(w, err)
		return
	}
	var b bytes.Buffer
	members(&b, operation, object)
	w.Header().Set("Content-Type", "text/xml")
	_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><%[1]sResponse xmlns="%[2]s"><%[1]sResult>%[3]s</%[1]sResult><ResponseMetadata><RequestId>%[4]s</RequestId></ResponseMetadata></%[1]sResponse>`,
		operation, string(queryWire), b.Bytes(), awswire.UUID())
}

// singular are the names of members of lists in answers.
var singular = map[string]string{
	"QueueUrls": "QueueUrl", "queueUrls": "QueueUrl", "Messages": "Message", "Failed": "BatchResultErrorEntry",
	"Results": "ListMessageMoveTasksResultEntry",
}

func members(b *bytes.Buffer, operation string, object map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		member(b, operation, name, object[name])
	}
}

func member(b *bytes.Buffer, operation, name string, value any) {
	switch value := value.(type) {
	case nil:
	case []any:
		entry := singular[name]
		if name == "Successful" {
			entry = operation + "ResultEntry"
		}
		for _, v := range value {
			member(b, operation, entry, v)
		}
	case map[string]any:
		m := flatMaps[strings.TrimSuffix(name, "s")]
		if m.name != name { // a structure
			element(b, name, func() { members(b, operation, value) })
			return
		}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			element(b, strings.TrimSuffix(name, "s"), func() {
				member(b, operation, m.key, key)
				member(b, operation, m.value, value[key])
			})
		}
	default:
		element(b, name, func() { _ = xml.EscapeText(b, []byte(fmt.Sprint(value))) }) // a buffer takes every write
	}
}

func element(b *bytes.Buffer, name string, content func()) {
	b.WriteString("<" + name + ">")
	content()
	b.WriteString("</" + name + ">")
}
