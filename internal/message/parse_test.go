package message

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/novaura/acs-operator/internal/redact"
)

func TestParseUnderstands(t *testing.T) {
	t.Parallel()
	send := Message{
		ID: "a1", Channel: SMS, Type: Send, To: "+14155550123", Body: "Hi", Priority: Transactional,
	}
	with := func(change func(*Message)) Message {
		m := send
		change(&m)
		return m
	}
	for name, tc := range map[string]struct {
		body  string
		acsID string
		want  Message
	}{
		"a send": {
			body: `{"id":"a1","channel":"sms","type":"message_send","to":"+14155550123","body":"Hi"}`, want: send,
		},
		"a channel that is not named is the queue's": {
			body: `{"id":"a1","type":"message_send","to":"+14155550123","body":"Hi"}`, want: send,
		},
		"nulls are absent": {
			body: `{"id":"a1","channel":null,"type":"message_send","from":null,"to":"+14155550123","body":"Hi","template":null,
				"data":null,"not_before":null,"expires_at":null,"priority":null,"metadata":null}`, want: send,
		},
		"fields of another version are tolerated": {
			body: `{"id":"a1","type":"message_send","to":"+14155550123","body":"Hi","campaign":{"n":[1]},"Body":"other"}`, want: send,
		},
		"numbers become E.164": {
			body: `{"id":"a1","type":"message_send","from":"+1 415 555 0100","to":" +1 (415) 555-0123 ","body":"Hi"}`,
			want: with(func(m *Message) { m.From = "+14155550100" }),
		},
		"a short code and a name may send": {
			body: `{"id":"a1","type":"message_send","from":"Novaura","to":"+14155550123","body":"Hi"}`,
			want: with(func(m *Message) { m.From = "Novaura" }),
		},
		"the attribute acs_id comes before the body's id": {
			body: `{"id":"other","type":"message_send","to":"+14155550123","body":"Hi"}`, acsID: "a1", want: send,
		},
		"without an id the SQS id serves": {
			body: `{"type":"message_send","to":"+14155550123","body":"Hi"}`,
			want: with(func(m *Message) { m.ID = "sqs-1" }),
		},
		"times, priority, metadata": {
			body: `{"id":"a1","type":"message_send","to":"+14155550123","body":"Hi","not_before":"2026-01-05T08:00:00Z",
				"expires_at":"2026-01-05T09:00:01+01:00","priority":"marketing","metadata":{"order":"42"},"expires_at2":1}`,
			want: with(func(m *Message) {
				m.NotBefore = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
				m.ExpiresAt = time.Date(2026, 1, 5, 8, 0, 1, 0, time.UTC)
				m.Priority, m.Metadata = Marketing, map[string]string{"order": "42"}
			}),
		},
		"Twilio's inbound form": {
			body: "MessageSid=SM1&From=%2B14155550123&To=%2B14155550100&Body=Hello+there&SmsStatus=received&NumMedia=0",
			want: Message{
				ID: "SM1", Channel: SMS, Type: Received, From: "+14155550123", To: "+14155550100", Body: "Hello there",
				Priority: Transactional, ProviderID: "SM1",
			},
		},
		"Twilio's inbound JSON from a short code": {
			body: `{"MessageSid":"SM1","From":"12345","To":"+14155550100","Body":" stop. ","SmsStatus":"received","NumMedia":0}`,
			want: Message{
				ID: "SM1", Channel: SMS, Type: Received, From: "12345", To: "+14155550100", Body: " stop. ",
				Priority: Transactional, ProviderID: "SM1", OptOut: Stop,
			},
		},
		"Twilio's OptOutType is believed before the body": {
			body: "MessageSid=SM1&From=%2B14155550123&Body=please+no&SmsStatus=received&OptOutType=STOP",
			want: Message{
				ID: "SM1", Channel: SMS, Type: Received, From: "+14155550123", Body: "please no",
				Priority: Transactional, ProviderID: "SM1", OptOut: Stop,
			},
		},
		"Twilio's status callback has one key a status": {
			body: "MessageSid=SM1&MessageStatus=undelivered&SmsStatus=undelivered&ErrorCode=30005&To=%2B14155550123&From=%2B14155550100",
			want: Message{
				ID: "SM1/undelivered", Channel: SMS, Type: Status, From: "+14155550100", To: "+14155550123",
				Priority: Transactional, ProviderID: "SM1", ProviderStatus: "undelivered", ProviderCode: "30005",
			},
		},
		"an SNS envelope around a send without an id gives its own": {
			body: `{"Type":"Notification","MessageId":"sns-1","TopicArn":"arn","Message":"{\"type\":\"message_send\",\"to\":\"+14155550123\",\"body\":\"Hi\"}"}`,
			want: with(func(m *Message) { m.ID = "sns-1" }),
		},
		"an SNS envelope around Twilio's form": {
			body: `{"Type":"Notification","MessageId":"sns-1","Message":"MessageSid=SM1&From=%2B14155550123&Body=YES"}`,
			want: Message{
				ID: "SM1", Channel: SMS, Type: Received, From: "+14155550123", Body: "YES",
				Priority: Transactional, ProviderID: "SM1", OptOut: Start,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse([]byte(tc.body), tc.acsID, "sqs-1", SMS)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Hash) != 64 {
				t.Errorf("hash %q is no SHA-256", got.Hash)
			}
			if !got.ExpiresAt.Equal(tc.want.ExpiresAt) {
				t.Errorf("expires at %v, want %v", got.ExpiresAt, tc.want.ExpiresAt)
			}
			got.Hash, got.ExpiresAt, tc.want.ExpiresAt = "", time.Time{}, time.Time{}
			if !reflect.DeepEqual(*got, tc.want) {
				t.Errorf("got %s, want %s", reveal(*got), reveal(tc.want))
			}
		})
	}
}

func reveal(m Message) string {
	return fmt.Sprintf("%+v from=%q to=%q body=%q", m, m.From.Reveal(), m.To.Reveal(), m.Body.Reveal())
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	send := func(fields string) string { return `{"type":"message_send",` + fields + `}` }
	for name, tc := range map[string]struct {
		body string
		want Reason
	}{
		"nothing":                           {"", NotJSON},
		"text":                              {"hello", NotJSON},
		"null":                              {"null", NotJSON},
		"an array":                          {`[{"type":"message_send"}]`, NotJSON},
		"a string":                          {`"message_send"`, NotJSON},
		"half an object":                    {`{"type":"message_send"`, NotJSON},
		"two objects":                       {send(`"to":"+14155550123","body":"x"`) + `{}`, NotJSON},
		"trailing text":                     {send(`"to":"+14155550123","body":"x"`) + ` x`, NotJSON},
		"more than a mebibyte":              {send(`"body":"` + strings.Repeat("x", MaxBytes) + `"`), TooLarge},
		"bytes that are not UTF-8":          {"{\"type\":\"message_send\",\"body\":\"\xff\"}", NotUTF8},
		"a hundred thousand open arrays":    {strings.Repeat("[", 100_000), TooDeep},
		"data as deep as an abyss":          {send(`"data":` + strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50)), TooDeep},
		"a name that stands twice":          {send(`"to":"+14155550123","to":"+14155550199","body":"x"`), DuplicateKey},
		"a name that stands twice, deep":    {send(`"to":"+14155550123","body":"x","data":{"a":[{"b":1,"b":2}]}`), DuplicateKey},
		"a name written twice with escapes": {send(`"to":"+14155550123","t\u006f":"+14155550199","body":"x"`), DuplicateKey},
		"a number for an id":                {send(`"id":7,"to":"+14155550123","body":"x"`), BadField},
		"an array for a recipient":          {send(`"to":["+14155550123"],"body":"x"`), BadField},
		"an array for data":                 {send(`"to":"+14155550123","body":"x","data":[]`), BadField},
		"numbers in metadata":               {send(`"to":"+14155550123","body":"x","metadata":{"n":1}`), BadField},
		"a time without a zone":             {send(`"to":"+14155550123","body":"x","not_before":"2026-01-05T08:00:00"`), BadField},
		"an empty time":                     {send(`"to":"+14155550123","body":"x","not_before":""`), BadField},
		"an unknown priority":               {send(`"to":"+14155550123","body":"x","priority":"urgent"`), BadField},
		"a NUL in the body":                 {send(`"to":"+14155550123","body":"a\u0000b"`), BadField},
		"a line end in the sender":          {send(`"to":"+14155550123","from":"a\nb","body":"x"`), BadField},
		"no type":                           {`{"to":"+14155550123","body":"x"}`, UnknownType},
		"an unknown type":                   {`{"type":"message_sent"}`, UnknownType},
		"an unknown channel":                {send(`"channel":"fax","to":"+14155550123","body":"x"`), UnknownChannel},
		"another queue's channel":           {send(`"channel":"email","to":"a@example.com","body":"x"`), WrongChannel},
		"no recipient":                      {send(`"body":"x"`), MissingField},
		"no body":                           {send(`"to":"+14155550123"`), MissingField},
		"a body of spaces":                  {send(`"to":"+14155550123","body":" \n "`), MissingField},
		"a number without a country":        {send(`"to":"4155550123","body":"x"`), BadAddress},
		"a number that is too short":        {send(`"to":"+1415555","body":"x"`), BadAddress},
		"a number with letters":             {send(`"to":"+1415FLOWERS","body":"x"`), BadAddress},
		"a number with an extension":        {send(`"to":"+14155550123;ext=5","body":"x"`), BadAddress},
		"a sender that is none":             {send(`"to":"+14155550123","from":"a very long sender","body":"x"`), BadAddress},
		"1601 characters":                   {send(`"to":"+14155550123","body":"` + strings.Repeat("é", 1601) + `"`), BodyTooLong},
		"an end before the beginning": {
			send(`"to":"+14155550123","body":"x","not_before":"2026-01-05T08:00:00Z","expires_at":"2026-01-05T08:00:00Z"`), BadTimes,
		},
		"an id of 256 characters":           {send(`"id":"` + strings.Repeat("x", 256) + `","to":"+14155550123","body":"x"`), BadID},
		"an id that no copy could carry":    {send(`"id":"a\uffff","to":"+14155550123","body":"x"`), BadID},
		"an id with a line end":             {send(`"id":"a\nb","to":"+14155550123","body":"x"`), BadID},
		"an inbound message from nobody":    {`{"type":"message_received","body":"x"}`, MissingField},
		"a status of nothing":               {`{"type":"message_status","provider_status":"sent"}`, MissingField},
		"a status that says nothing":        {`{"type":"message_status","provider_id":"SM1"}`, MissingField},
		"an envelope in an envelope":        {`{"Type":"Notification","Message":"{\"Type\":\"Notification\",\"Message\":\"{}\"}"}`, UnknownType},
		"an envelope with an object inside": {`{"Type":"Notification","Message":{}}`, BadField},
		"a form with a NUL in a number":     {"MessageSid=SM1&From=%2B1415%005550123&Body=ab", BadField},
		"Twilio's parameters as numbers":    {`{"MessageSid":1}`, BadField},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := Parse([]byte(tc.body), "", "sqs-1", SMS)
			var invalid *Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("got %+v and error %v, want an *Invalid", m, err)
			}
			if invalid.Reason != tc.want {
				t.Errorf("got %v, want reason %s", invalid, tc.want)
			}
			if invalid.Known == nil || invalid.Known.ID != "sqs-1" {
				t.Errorf("what is known is %+v, want it keyed by the SQS id", invalid.Known)
			}
			if strings.Contains(err.Error(), "415555") {
				t.Errorf("the error quotes a number: %v", err)
			}
		})
	}
}

func TestWhatIsKnownOfAnInvalidMessageIsKept(t *testing.T) {
	t.Parallel()
	body := `{"id":"order-1","type":"message_send","from":7,"to":"+1415` + strings.Repeat("9", 400) + `","body":"secret"}`
	_, err := Parse([]byte(body), "", "sqs-1", SMS)
	var invalid *Invalid
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	known := invalid.Known
	if invalid.OwnID != "order-1" || known.Type != Send || known.Channel != SMS || len(known.To.Reveal()) != maxAddress || known.Body != "" {
		t.Errorf("own id %q, known %s", invalid.OwnID, reveal(*known))
	}
}

// By its one form a person is found who asks to be forgotten.
func TestAnAddressOfAnInvalidMessageIsKeptInItsOneForm(t *testing.T) {
	t.Parallel()
	for body, tc := range map[string]struct {
		channel Channel
		want    redact.Personal
	}{
		`{"type":"message_send","to":"+1 (415) 555-0123"}`:                       {SMS, "+14155550123"},
		`{"type":"message_send","to":"Anna <Anna@EXAMPLE.com>","body":"x"}`:      {Email, "Anna@example.com"},
		`{"type":"message_send","to":" +1 (415) 555-0123","channel":"email"}`:    {SMS, "+14155550123"},
		`{"type":"message_send","to":"Anna <Anna@EXAMPLE.com>","channel":"sms"}`: {Email, "Anna@example.com"},
		`{"type":"message_send","to":"nobody"}`:                                  {SMS, "nobody"},
	} {
		_, err := Parse([]byte(body), "", "sqs-1", tc.channel)
		if invalid := (*Invalid)(nil); !errors.As(err, &invalid) || invalid.Known.To != tc.want {
			t.Errorf("%s: got %q, %v; want %q", body, invalid.Known.To.Reveal(), err, tc.want.Reveal())
		}
	}
}

func TestACopyIsRefusedUnderItsKey(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("{"), "key-1", "sqs-1", SMS)
	var invalid *Invalid
	if !errors.As(err, &invalid) || invalid.Known.ID != "key-1" {
		t.Errorf("got %v", err)
	}
}

func TestHashIsOfTheContentThatAnIDStandsFor(t *testing.T) {
	t.Parallel()
	hash := func(fields string) string {
		m, err := Parse([]byte(`{"type":"message_send","body":"Hi",`+fields+`}`), "", "sqs-1", SMS)
		if err != nil {
			t.Fatal(err)
		}
		return m.Hash
	}
	base := hash(`"to":"+14155550123","data":{"a":1,"b":2}`)
	for name, tc := range map[string]struct {
		fields string
		equal  bool
	}{
		"the number written otherwise":  {`"to":"+1 415 555 0123","data":{"b":2,"a":1}`, true},
		"another deadline and metadata": {`"to":"+14155550123","data":{"a":1,"b":2},"expires_at":"2030-01-01T00:00:00Z","metadata":{"t":"1"}`, true},
		"a field of another version":    {`"to":"+14155550123","data":{"a":1,"b":2},"x":1`, true},
		"another recipient":             {`"to":"+14155550124","data":{"a":1,"b":2}`, false},
		"another sender":                {`"to":"+14155550123","from":"12345","data":{"a":1,"b":2}`, false},
		"other data":                    {`"to":"+14155550123","data":{"a":1,"b":3}`, false},
		"large numbers keep all digits": {`"to":"+14155550123","data":{"a":1,"b":2.00000000000000000001}`, false},
	} {
		if got := hash(tc.fields) == base; got != tc.equal {
			t.Errorf("%s: equal is %v, want %v", name, got, tc.equal)
		}
	}
}

func TestAStopIsHeardWhateverCharactersStandInIt(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"a NUL in a form":                "MessageSid=SM1&From=%2B14155550123&Body=STOP%00&SmsStatus=received",
		"UTF-16 in a form":               "MessageSid=SM1&From=%2B14155550123&Body=%00S%00T%00O%00P&SmsStatus=received",
		"a form's byte that is no UTF-8": "MessageSid=SM1&From=%2B14155550123&Body=STOP%FF&SmsStatus=received",
		"a byte that is not escaped":     "MessageSid=SM1&From=%2B14155550123&Body=STOP\xff\x00&SmsStatus=received",
		"a NUL in Twilio's JSON":         `{"MessageSid":"SM1","From":"+14155550123","Body":"Stop\u0000","SmsStatus":"received"}`,
		"half a character in JSON":       `{"type":"message_received","id":"SM1","from":"+14155550123","body":"STOP \ud83d"}`,
		"a byte in JSON":                 "{\"type\":\"message_received\",\"id\":\"SM1\",\"from\":\"+14155550123\",\"body\":\"STOP \xf0\x9f\"}",
		"half a character in an envelope": `{"Type":"Notification","MessageId":"sns-1",` +
			`"Message":"{\"MessageSid\":\"SM1\",\"From\":\"+14155550123\",\"Body\":\"STOP \\ud83d\",\"SmsStatus\":\"received\"}"}`,
	} {
		m, err := Parse([]byte(body), "", "sqs-1", SMS)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.OptOut != Stop || m.ID != "SM1" || m.From != "+14155550123" {
			t.Errorf("%s: got %s", name, reveal(*m))
		}
		if text := m.Body.Reveal(); !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			t.Errorf("%s: no database takes %q", name, text)
		}
	}
}

func TestEncodeIsParsesInverse(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]Message{
		"a send": {
			ID: "a", Channel: SMS, Type: Send, From: "+14155550100", To: "+14155550123", Body: "Hi \"you\"\n☃", Template: "t",
			Data: map[string]any{"a": "b"}, NotBefore: time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC),
			ExpiresAt: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC), Priority: Marketing, Metadata: map[string]string{"k": "v"},
		},
		"an inbound message": {ID: "b", Channel: SMS, Type: Received, From: "+14155550100", Body: "stop", Priority: Transactional, OptOut: Stop},
		"a status": {
			ID: "c", Channel: SMS, Type: Status, Priority: Transactional, ProviderID: "SM1", ProviderStatus: "failed", ProviderCode: "30005",
		},
	} {
		body, err := Encode(&m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(body, "", "sqs-1", SMS)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got.Hash = ""
		if !reflect.DeepEqual(*got, m) {
			t.Errorf("%s: got %s, want %s", name, reveal(*got), reveal(m))
		}
	}
}

func TestKeywordsAreWholeMessages(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"STOP": Stop, " stop\n": Stop, "Stop.": Stop, "StopAll": Stop, "unsubscribe": Stop, "arrêt": Stop, "QUIT": Stop,
		"start": Start, "Yes": Start, "UNSTOP": Start, "help": Help, "Info?": "", "INFO": Help,
		"": "", "please stop": "", "stop it": "", "don't start": "", "STOP 2": "", "stopping": "", "🛑": "",
		"STOP\u00a0": Stop, "\u200bSTOP": Stop, "“Stop”": Stop, "Stop…": Stop, "STOP 🛑": Stop, "✋\ufe0f stop": Stop, "(STOP)": Stop, "STOP?": Stop,
		"ＳＴＯＰ": Stop, "arre\u0302t": Stop, "opt out": Stop, "Opt-Out": Stop, "STOP ALL": Stop,
		"YES?": "", "yes 🙂": "", "un stop": "", "START\u00a0": Start,
	} {
		m := Message{Channel: SMS, Type: Received, Body: redact.Personal(text)}
		if got := m.keyword(); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		want int
	}{
		"nothing":                                     {"", 0},
		"160 septets are one":                         {strings.Repeat("a", 160), 1},
		"161 are two":                                 {strings.Repeat("a", 161), 2},
		"306 are two of 153":                          {strings.Repeat("a", 306), 2},
		"307 are three":                               {strings.Repeat("a", 307), 3},
		"an extension character takes two":            {strings.Repeat("€", 80), 1},
		"81 of them are 162":                          {strings.Repeat("€", 81), 2},
		"an escape pair is not cut":                   {strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), 3},
		"umlauts are in the alphabet":                 {strings.Repeat("ü", 160), 1},
		"70 UCS-2 units are one":                      {strings.Repeat("я", 70), 1},
		"71 are two":                                  {strings.Repeat("я", 71), 2},
		"135 are three of 67":                         {strings.Repeat("я", 135), 3},
		"one accent outside makes the whole UCS-2":    {strings.Repeat("a", 70) + "ê", 2},
		"an emoji takes two":                          {strings.Repeat("😀", 35), 1},
		"36 of them are two":                          {strings.Repeat("😀", 36), 2},
		"a surrogate pair is not cut: 33 a segment":   {strings.Repeat("😀", 67), 3},
		"a curly quote is what makes texts dear":      {strings.Repeat("a", 159) + "’", 3},
		"the whole basic alphabet is one septet each": {gsmBasic, 1},
	} {
		if got := Segments(tc.body); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"id":"a","type":"message_send","to":"+14155550123","body":"Hi","data":{"a":[1,{"b":null}]}}`,
		"MessageSid=SM1&From=%2B14155550123&Body=YES&SmsStatus=received",
		`{"Type":"Notification","Message":"MessageSid=SM1&MessageStatus=sent"}`,
		`{"MessageSid":"SM1","MessageStatus":"x"}`, `{"a":[}]`, `[]]`, "}", `{"type":"message_send","to":"+;ext=1"}`, "\x00", "%Sid=%zz",
	} {
		f.Add([]byte(seed), "")
	}
	for _, seed := range []string{
		`{"channel":"email","type":"message_send","to":"Ünal <a@bücher.example>","subject":"Hi","html":"<p>","cc":"b@example.com","headers":{"X-A":"b"},"attachments":[{"url":"s3://bucket/a"}]}`,
		`{"channel":"push","type":"message_send","tokens":["a","b"],"title":"Hi"}`, `{"channel":"push","type":"message_send","topic":"/topics/n","data":{"a":1}}`,
		`{"mail":{"messageId":"1","tags":{"acs_id":["a"]}},"eventType":"Bounce","bounce":{"bounceType":"Transient","bouncedRecipients":[{"emailAddress":"A <a@Example.com>"}]}}`,
	} {
		f.Add([]byte(seed), "")
	}
	f.Fuzz(func(t *testing.T, body []byte, acsID string) {
		channel := SMS
		for _, other := range []Channel{Email, Push} {
			if bytes.Contains(body, []byte(other)) || other == Email && bytes.Contains(body, []byte(`"mail"`)) {
				channel = other
			}
		}
		m, err := Parse(body, acsID, "sqs-1", channel)
		if err != nil {
			var invalid *Invalid
			if !errors.As(err, &invalid) || invalid.Known == nil || !usableID(invalid.Known.ID) {
				t.Fatalf("%v: not an *Invalid with a key", err)
			}
			return
		}
		if !usableID(m.ID) || m.Hash == "" || m.Channel != channel {
			t.Fatalf("an unusable message: %+v", m)
		}
		again, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := Parse(again, "", "sqs-2", channel)
		if err != nil || twice.Hash != m.Hash || twice.ID != m.ID {
			t.Fatalf("parse of encode differs: %v\n%s", err, again)
		}
	})
}
