package awswire

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

const (
	// queryRequestID stands for the id of every request: the sandbox keeps no
	// log that an id could point into.
	queryRequestID = "00000000-0000-4000-8000-000000000000"
	maxMembers     = 1000 // of a list; PutMetricData's limit, the highest
)

// Query is https://smithy.io/2.0/aws/protocols/aws-query-protocol.html: a
// form in, XML out. Its value is the XML namespace of the service.
type Query string

// Form is what a Query request says, in its URL and in its body; Action names
// the operation.
func Form(r *http.Request, body []byte) (url.Values, error) {
	form := r.URL.Query()
	posted, err := url.ParseQuery(string(body))
	maps.Copy(form, posted)
	return form, err
}

// DecodeForm fills the struct that in points to: its members are the form's
// by name, or by the name in their JSON tag.
func DecodeForm(form url.Values, in any) error {
	return decodeForm(form, "", reflect.ValueOf(in).Elem())
}

// decodeForm fills v from the keys at prefix: members of a struct by name,
// of a list as prefix.member.N, counted from 1.
func decodeForm(form url.Values, prefix string, v reflect.Value) error {
	if v.Kind() == reflect.Pointer {
		if !present(form, prefix) {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return decodeForm(form, prefix, v.Elem())
	}
	if text, ok := asText(v); ok {
		if !form.Has(prefix) {
			return nil
		}
		return text.UnmarshalText([]byte(form.Get(prefix)))
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			at := prefix
			if field := v.Type().Field(i); !field.Anonymous {
				at = join(prefix, memberName(field))
			}
			if err := decodeForm(form, at, v.Field(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return decodeBlob(form, prefix, v)
		}
		return decodeList(form, prefix+".member.", v)
	case reflect.Map:
		return decodeMap(form, prefix+".entry.", v)
	default:
		return decodeScalar(form.Get(prefix), prefix, v)
	}
}

func decodeBlob(form url.Values, prefix string, v reflect.Value) error {
	if !form.Has(prefix) {
		return nil
	}
	blob, err := base64.StdEncoding.DecodeString(form.Get(prefix))
	if err != nil {
		return fmt.Errorf("%s: %w", prefix, err)
	}
	v.SetBytes(blob)
	return nil
}

func decodeList(form url.Values, prefix string, v reflect.Value) error {
	for n := 1; present(form, prefix+strconv.Itoa(n)); n++ {
		if n > maxMembers {
			return fmt.Errorf("%sN has more than %d members", prefix, maxMembers)
		}
		member := reflect.New(v.Type().Elem()).Elem()
		if err := decodeForm(form, prefix+strconv.Itoa(n), member); err != nil {
			return err
		}
		v.Set(reflect.Append(v, member))
	}
	return nil
}

// asText is for what reads itself from text; an embedded struct that isn't
// exported can't be asked.
func asText(v reflect.Value) (encoding.TextUnmarshaler, bool) {
	if !v.Addr().CanInterface() {
		return nil, false
	}
	return reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr())
}

// decodeMap reads entries of key and value; SNS writes some as Name and Value.
func decodeMap(form url.Values, prefix string, v reflect.Value) error {
	v.Set(reflect.MakeMap(v.Type()))
	for n := 1; present(form, prefix+strconv.Itoa(n)); n++ {
		at := prefix + strconv.Itoa(n)
		key, under := form.Get(at+".key"), at+".value"
		if form.Has(at + ".Name") {
			key, under = form.Get(at+".Name"), at+".Value"
		}
		if n > maxMembers {
			return fmt.Errorf("%sN has more than %d entries", prefix, maxMembers)
		}
		value := reflect.New(v.Type().Elem()).Elem()
		if err := decodeForm(form, under, value); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key), value)
	}
	return nil
}

func decodeScalar(text, name string, v reflect.Value) (err error) {
	if text == "" {
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(text == "true")
	case reflect.Int:
		var n int64
		n, err = strconv.ParseInt(text, 10, 32)
		v.SetInt(n)
	default:
		var f float64
		f, err = strconv.ParseFloat(text, 64)
		v.SetFloat(f)
	}
	if err != nil {
		return fmt.Errorf("%s: %q is not a number", name, text)
	}
	return nil
}

func present(form url.Values, prefix string) bool {
	for key := range form {
		if rest, under := strings.CutPrefix(key, prefix); under && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// memberName is the member's name on the wire: that of its JSON tag, or its own.
func memberName(f reflect.StructField) string {
	if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
		return name
	}
	return f.Name
}

// Answer writes the result of an operation.
func (namespace Query) Answer(w http.ResponseWriter, operation string, out any) {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<%[1]sResponse xmlns="%[2]s"><%[1]sResult>`, operation, namespace)
	encodeXML(&b, reflect.ValueOf(out))
	fmt.Fprintf(&b, `</%[1]sResult><ResponseMetadata><RequestId>%[2]s</RequestId></ResponseMetadata></%[1]sResponse>`,
		operation, queryRequestID)
	w.Header().Set("Content-Type", "text/xml")
	_, _ = w.Write(b.Bytes())
}

func encodeXML(b *bytes.Buffer, v reflect.Value) {
	if text, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
		written, _ := text.MarshalText() // of timestamps only, which all have a text
		b.Write(written)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		encodeXML(b, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); !f.IsZero() || f.Kind() == reflect.Slice {
				element(b, memberName(v.Type().Field(i)), func() { encodeXML(b, f) })
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			element(b, "member", func() { encodeXML(b, v.Index(i)) })
		}
	case reflect.Map:
		for _, key := range sortedKeys(v) {
			element(b, "entry", func() {
				element(b, "key", func() { encodeXML(b, key) })
				element(b, "value", func() { encodeXML(b, v.MapIndex(key)) })
			})
		}
	case reflect.Float64:
		b.WriteString(strconv.FormatFloat(v.Float(), 'f', -1, 64))
	case reflect.Int, reflect.Int64:
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Bool:
		b.WriteString(strconv.FormatBool(v.Bool()))
	default:
		_ = xml.EscapeText(b, []byte(v.String())) // a buffer takes every write
	}
}

func sortedKeys(m reflect.Value) []reflect.Value {
	return slices.SortedFunc(slices.Values(m.MapKeys()), func(a, b reflect.Value) int {
		return strings.Compare(a.String(), b.String())
	})
}

func element(b *bytes.Buffer, name string, content func()) {
	fmt.Fprintf(b, "<%s>", name)
	content()
	fmt.Fprintf(b, "</%s>", name)
}

// Refuse writes an error, by the code that this protocol has for it.
func (namespace Query) Refuse(w http.ResponseWriter, err error) {
	refusal := AsError(err)
	code := refusal.Query
	if code == "" {
		code = refusal.Code
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<ErrorResponse xmlns="%s"><Error><Type>%s</Type><Code>%s</Code><Message>`, namespace, refusal.Fault(), code)
	_ = xml.EscapeText(&b, []byte(refusal.Message)) // a buffer takes every write
	fmt.Fprintf(&b, `</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, queryRequestID)
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(refusal.HTTPStatus())
	_, _ = w.Write(b.Bytes())
}
