package scaling

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// mistyped names the first value of a JSON text that its place cannot take: the
// path to it, what is there and what is wanted. Empty: none was found. The text is
// valid JSON.
func mistyped(text json.RawMessage, t reflect.Type, path string) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if string(text) == "null" {
		return ""
	}
	if json.Unmarshal(text, reflect.New(t).Interface()) == nil {
		return ""
	}
	switch {
	case text[0] == '[' && t.Kind() == reflect.Slice:
		var items []json.RawMessage
		_ = json.Unmarshal(text, &items) // it is valid
		for i, item := range items {
			if problem := mistyped(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); problem != "" {
				return problem
			}
		}
	case text[0] == '{' && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map) && t != reflect.TypeFor[time.Time]():
		inside := objectOf(text)
		for _, key := range slices.Sorted(maps.Keys(inside)) {
			if problem := mistyped(inside[key], under(t, key), strings.TrimPrefix(path+"."+key, ".")); problem != "" {
				return problem
			}
		}
	}
	if path == "" {
		path = "it"
	}
	return fmt.Sprintf("%s is %s, where %s is wanted", path, shown(text), wantedFor(t))
}

// under is the type of what stands under a key: of any where the key is not known.
func under(t reflect.Type, key string) reflect.Type {
	if t.Kind() == reflect.Map {
		return t.Elem()
	}
	for i, known := range keysOf(t) {
		if strings.EqualFold(known, key) {
			return t.Field(i).Type
		}
	}
	return reflect.TypeFor[any]()
}

func wantedFor(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Time]():
		return "a time such as 2026-01-05T08:00:15Z"
	case reflect.TypeFor[Sample]():
		return "a number, or an object with value and time,"
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	default:
		return "a string"
	}
}

// shown is a JSON text in few characters.
func shown(text json.RawMessage) string {
	const most = 40
	switch {
	case text[0] == '{':
		return "an object"
	case text[0] == '[':
		return "a list"
	case len(text) > most:
		return strings.ToValidUTF8(string(text[:most]), "") + "…"
	}
	return string(text)
}
