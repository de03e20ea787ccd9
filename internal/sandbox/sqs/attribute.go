package sqs

import (
	"crypto/md5" //nolint:gosec // the checksum that the SQS protocol defines.
	"encoding/binary"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxAttributes is the most message attributes of one message.
const maxAttributes = 10

// An Attribute is the typed value of one message attribute.
type Attribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	attributeType = regexp.MustCompile(`^(String|Number|Binary)(\..+)?$`)
)

func (a Attribute) binary() bool { return strings.HasPrefix(a.DataType, "Binary") }

func (a Attribute) text() string {
	if a.StringValue == nil {
		return ""
	}
	return *a.StringValue
}

func (a Attribute) size(name string) int {
	return len(name) + len(a.DataType) + len(a.text()) + len(a.BinaryValue)
}

// checkMessageAttributes applies the rules of "Amazon SQS message metadata".
func checkMessageAttributes(given map[string]Attribute) error {
	if len(given) > maxAttributes {
		return invalid("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(given), maxAttributes)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if err := given[name].check(name); err != nil {
			return err
		}
	}
	return nil
}

func (a Attribute) check(name string) error {
	lower := strings.ToLower(name)
	switch {
	case !attributeName.MatchString(name) || len(name) > 256:
		return invalid("The message attribute name '%s' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), hyphen (-), and period (.) characters.", name)
	case strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon."):
		return invalid("The message attribute name '%s' is invalid. Names that start with AWS. or Amazon. are reserved.", name)
	case !attributeType.MatchString(a.DataType) || len(a.DataType) > 256:
		return invalid("The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", name)
	case a.binary() && len(a.BinaryValue) == 0 || !a.binary() && a.text() == "":
		kind, _, _ := strings.Cut(a.DataType, ".")
		return invalid("The message attribute '%s' must contain a non-empty message attribute value for message attribute type '%s'.", name, kind)
	case strings.HasPrefix(a.DataType, "Number") && !isNumber(a.text()):
		return invalid("Can't cast the value of message attribute '%s' to a number.", name)
	case !legible(a.text()):
		return badContents()
	}
	return nil
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

// legible tells whether a text has only the characters that SQS takes: those
// of XML 1.0, see SendMessage in the API reference.
func legible(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	})
}

func textMD5(text string) string {
	sum := md5.Sum([]byte(text)) //nolint:gosec // as above.
	return hex.EncodeToString(sum[:])
}

// attributesMD5 is the checksum of "Calculating the MD5 message digest for
// message attributes": sorted by name, each part behind its length.
func attributesMD5(attributes map[string]Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	digest := md5.New() //nolint:gosec // as above.
	part := func(b []byte) {
		_ = binary.Write(digest, binary.BigEndian, uint32(len(b))) //nolint:gosec // at most 1 MiB.
		_, _ = digest.Write(b)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		part([]byte(name))
		part([]byte(a.DataType))
		if a.binary() {
			_, _ = digest.Write([]byte{2})
			part(a.BinaryValue)
		} else {
			_, _ = digest.Write([]byte{1})
			part([]byte(a.text()))
		}
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// choose returns the attributes that names ask for: by name, by All or .*,
// or by a prefix such as order.*.
func choose(attributes map[string]Attribute, names []string) map[string]Attribute {
	chosen := map[string]Attribute{}
	for name, value := range attributes {
		if slices.ContainsFunc(names, func(wanted string) bool { return matches(name, wanted) }) {
			chosen[name] = value
		}
	}
	return chosen
}

func matches(name, wanted string) bool {
	prefix, wild := strings.CutSuffix(wanted, ".*")
	return wanted == "All" || wanted == name || wild && strings.HasPrefix(name, prefix)
}
