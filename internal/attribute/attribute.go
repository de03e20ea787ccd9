// Package attribute has the message attributes that go with a copy of an SQS
// message: its producer's, and those of our own, which start with acs_.
//
// It imports the SQS types and redact. Start with Set.Keyed.
package attribute

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/redact"
)

// The attributes that are ours, beside the marks of a webhook.
const (
	Key    = "acs_id"     // a copy's idempotency key
	Reason = "acs_reason" // why a dead letter is one
	// Sent is when the first of the copies was sent, as SQS tells it: in
	// milliseconds since 1970. What a person said last counts, whatever a redrive
	// does to the order.
	Sent = "acs_sent_at"
	ours = "acs_"
)

// Pointer is the body of a copy whose message its row keeps, since it has no room for
// its key: Key says which row.
const Pointer = `{"type":"message_kept"}`

// Most is how many SQS takes of one message.
const Most = 10

// Set is a message's attributes by name. It prints as their number: a producer
// may have put a person's data there.
type Set map[string]types.MessageAttributeValue

// Text is an attribute that is text.
func Text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
}

// Text is the text of an attribute; empty: there is none.
func (s Set) Text(name string) string { return aws.ToString(s[name].StringValue) }

// SentAt is when the first copy was sent; zero: it does not say.
func (s Set) SentAt() (at time.Time) {
	if ms, err := strconv.ParseInt(s.Text(Sent), 10, 64); err == nil {
		at = time.UnixMilli(ms)
	}
	return at
}

// Keyed is what a copy of the message with this key carries to its queue: all,
// with the key, and without the reason of a dead letter. fits says that SQS takes
// so many; of their size it says nothing.
func (s Set) Keyed(id string) (keyed Set, fits bool) {
	keyed = s.unreasoned()
	keyed[Key] = Text(id)
	return keyed, len(keyed) <= Most
}

// AsItCame is Keyed for a message that has no room for it, where the body itself
// names the key: ok.
func (s Set) AsItCame(id, body string) (same Set, ok bool) {
	same = s.unreasoned()
	return same, len(same) <= Most && names(body, id)
}

func (s Set) unreasoned() Set {
	clone := make(Set, len(s)+1)
	maps.Copy(clone, s)
	delete(clone, Reason)
	return clone
}

// names says that a message's body has its key.
func names(body, id string) bool {
	var named struct {
		ID string `json:"id"`
	}
	return json.Unmarshal([]byte(body), &named) == nil && named.ID == id
}

// TooLarge says that a queue refused a copy, by the code of its error, for its size:
// a message that was filled to the limit has no room for the key.
func TooLarge(code string) bool {
	return strings.HasSuffix(code, "BatchRequestTooLong") || strings.HasPrefix(code, "InvalidParameterValue")
}

// Ours is what is not its producer's.
func (s Set) Ours() Set {
	own := maps.Clone(s)
	maps.DeleteFunc(own, func(name string, _ types.MessageAttributeValue) bool { return !strings.HasPrefix(name, ours) })
	return own
}

// Bytes is what they count towards SQS's limits: names, types and values.
func (s Set) Bytes() (n int) {
	for name, a := range s {
		n += len(name) + len(aws.ToString(a.DataType)) + len(aws.ToString(a.StringValue)) + len(a.BinaryValue)
	}
	return n
}

// kept is an attribute as a row keeps it.
type kept struct {
	Type  string `json:"type"`
	Text  string `json:"text,omitempty"`
	Bytes []byte `json:"bytes,omitempty"`
}

// Encode is what a row keeps beside a message's body; empty: nothing. Key and
// reason are made anew for each copy.
func (s Set) Encode() redact.Personal {
	rows := map[string]kept(nil)
	for name, a := range s {
		if name == Key || name == Reason {
			continue
		}
		if rows == nil {
			rows = make(map[string]kept, len(s))
		}
		rows[name] = kept{aws.ToString(a.DataType), aws.ToString(a.StringValue), a.BinaryValue}
	}
	if rows == nil {
		return ""
	}
	text, err := json.Marshal(rows)
	if err != nil {
		panic(err) // strings and bytes have a form
	}
	return redact.Personal(text)
}

// Decode reads what Encode wrote.
func Decode(text redact.Personal) (Set, error) {
	if text == "" {
		return nil, nil
	}
	var rows map[string]kept
	if err := json.Unmarshal([]byte(text.Reveal()), &rows); err != nil {
		return nil, fmt.Errorf("read the attributes that a row keeps: %w", err)
	}
	s := make(Set, len(rows))
	for name, row := range rows {
		a := types.MessageAttributeValue{DataType: &row.Type, BinaryValue: row.Bytes}
		if row.Bytes == nil {
			a.StringValue = &row.Text
		}
		s[name] = a
	}
	return s, nil
}

// String is their number.
func (s Set) String() string { return fmt.Sprintf("%d attributes", len(s)) }

// Format prints their number for every verb.
func (s Set) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue makes slog print their number.
func (s Set) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON writes their number.
func (s Set) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }
