package message

import (
	"bytes"
	"errors"
	"io"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds nesting: a message is flat, and its data a few levels.
const maxDepth = 32

// fields is a JSON object whose values are not decoded yet, in their order.
type fields []field

type field struct {
	name  string
	value jsontext.Value
}

// get is the value of a name, nil where there is none. Names match exactly:
// "Body" is not "body".
func (f fields) get(name string) jsontext.Value {
	for i := range f {
		if f[i].name == name {
			return f[i].value
		}
	}
	return nil
}

// object reads one JSON object, and nothing after it, in one pass without
// recursion. It refuses what two readers could read differently: a name that
// stands twice, and half a character.
func object(body []byte) (fields, *Invalid) {
	const usual = 12
	f, decoder := make(fields, 0, usual), jsontext.NewDecoder(bytes.NewBuffer(body))
	isObject := decoder.PeekKind() == jsontext.KindBeginObject
	if isObject {
		_, _ = decoder.ReadToken() // the brace that was seen
	}
	for isObject && decoder.PeekKind() != jsontext.KindEndObject {
		name, err := decoder.ReadToken()
		if err != nil {
			return nil, malformed(body, err)
		}
		key, from := name.String(), decoder.InputOffset()
		if invalid := skip(decoder, body); invalid != nil {
			return nil, invalid
		}
		f = append(f, field{key, bytes.TrimLeft(body[from:decoder.InputOffset()], ": \t\r\n")})
	}
	if invalid := skip(decoder, body); invalid != nil { // the closing brace, or what is no object
		return nil, invalid
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) || !isObject {
		return nil, invalidf(NotJSON, "the body is not one JSON object")
	}
	return f, nil
}

// skip reads one value, or the end of one, with all that is in it.
func skip(decoder *jsontext.Decoder, body []byte) *Invalid {
	for outside := decoder.StackDepth(); ; {
		if _, err := decoder.ReadToken(); err != nil {
			return malformed(body, err)
		}
		switch depth := decoder.StackDepth(); {
		case depth > maxDepth:
			return invalidf(TooDeep, "nested deeper than %d levels", maxDepth)
		case depth <= outside:
			return nil
		}
	}
}

// malformed says what is wrong with a body that is UTF-8. What is right but for
// its strings' characters has an escaped half of one.
func malformed(body []byte, err error) *Invalid {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return invalidf(DuplicateKey, "a name stands twice in one object")
	case jsontext.Value(body).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)):
		return invalidf(LoneSurrogate, "an escape such as \\ud83d stands without its other half: write the whole character")
	}
	return invalidf(NotJSON, "the body is not JSON")
}

// repaired is a body with U+FFFD for each byte and each escape that is no
// character.
func repaired(body []byte) []byte {
	body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	value := jsontext.Value(body)
	if value.Format(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) != nil {
		return body // no JSON
	}
	return value
}

func (f fields) isEnvelope() bool {
	return string(f.get("Type")) == `"Notification"` && f.get("Message") != nil
}

func (f fields) isTwilio() bool { return f.get("MessageSid") != nil || f.get("SmsSid") != nil }

// form is the object as Twilio's form parameters: values that are not text
// are not Twilio's, and left out, but for those that are read.
func (f fields) form() (url.Values, *Invalid) {
	var r reader
	form := url.Values{}
	for _, one := range f {
		if twilioParameters[one.name] {
			form.Set(one.name, r.text(f, one.name))
		}
	}
	return form, r.invalid
}
