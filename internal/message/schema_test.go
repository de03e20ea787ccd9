package message

import (
	"bytes"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("message.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("message.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestSchemaAndParseAgree(t *testing.T) {
	t.Parallel()
	schema := compiled(t)
	send := func(fields string) string { return `{"channel":"sms","type":"message_send",` + fields + `}` }
	mail := func(fields string) string { return `{"channel":"email","type":"message_send",` + fields + `}` }
	push := func(fields string) string { return `{"channel":"push","type":"message_send",` + fields + `}` }
	for name, tc := range map[string]struct {
		body  string
		valid bool
	}{
		"a send":                      {send(`"id":"a","to":"+14155550123","body":"Hi"`), true},
		"a send with everything":      {send(`"from":"Novaura","to":"+1 415 555 0123","body":"Hi","template":"t","data":{"a":1},"not_before":"2026-01-05T08:00:00Z","expires_at":"2026-01-06T08:00:00+01:00","priority":"marketing","metadata":{"a":"b"}`), true},
		"nulls":                       {send(`"id":null,"from":null,"to":"+14155550123","body":"Hi","template":null,"data":null,"not_before":null,"expires_at":null,"priority":null,"metadata":null`), true},
		"an unknown field":            {send(`"to":"+14155550123","body":"Hi","x":[1]`), true},
		"1600 characters":             {send(`"to":"+14155550123","body":"` + strings.Repeat("😀", 1600) + `"`), true},
		"an inbound message":          {`{"type":"message_received","from":"12345","body":"STOP"}`, true},
		"a status":                    {`{"type":"message_status","provider_id":"SM1","provider_status":"sent"}`, true},
		"no type":                     {`{"channel":"sms","to":"+14155550123","body":"x"}`, false},
		"an unknown type":             {`{"type":"x"}`, false},
		"an unknown channel":          {`{"type":"message_send","channel":"fax","to":"+14155550123","body":"x"}`, false},
		"no recipient":                {send(`"body":"x"`), false},
		"a recipient that is a name":  {send(`"to":"Alice","body":"x"`), false},
		"two recipients":              {send(`"to":["+14155550123","+14155550124"],"body":"x"`), false},
		"no body":                     {send(`"to":"+14155550123"`), false},
		"an empty body":               {send(`"to":"+14155550123","body":" "`), false},
		"1601 characters":             {send(`"to":"+14155550123","body":"` + strings.Repeat("x", 1601) + `"`), false},
		"a NUL":                       {send(`"to":"+14155550123","body":"a\u0000"`), false},
		"an id of 256 characters":     {send(`"id":"` + strings.Repeat("é", 256) + `","to":"+14155550123","body":"x"`), false},
		"an id with a control":        {send(`"id":"a\tb","to":"+14155550123","body":"x"`), false},
		"a number for an id":          {send(`"id":1,"to":"+14155550123","body":"x"`), false},
		"data that is an array":       {send(`"to":"+14155550123","body":"x","data":[]`), false},
		"metadata with a number":      {send(`"to":"+14155550123","body":"x","metadata":{"a":1}`), false},
		"a time that is none":         {send(`"to":"+14155550123","body":"x","expires_at":"tomorrow"`), false},
		"an unknown priority":         {send(`"to":"+14155550123","body":"x","priority":"high"`), false},
		"an inbound message, no from": {`{"type":"message_received","body":"x"}`, false},
		"a status of nothing":         {`{"type":"message_status","provider_status":"sent"}`, false},
		"an array":                    {`[]`, false},

		"a mail":                      {mail(`"to":"Alice <a@example.com>","subject":"Hi","body":"x"`), true},
		"a mail with everything":      {mail(`"from":"N <n@example.com>","to":"a@example.com","subject":"Hi","body":"x","html":"<p>x","cc":["b@example.com"],"bcc":"c@example.com","reply_to":["r@example.com"],"headers":{"List-Unsubscribe":"<https://example.com/u>"},"attachments":[{"url":"s3://bucket/a.pdf","filename":"a.pdf","content_type":"application/pdf"}]`), true},
		"a mail of HTML alone":        {mail(`"to":"a@example.com","subject":"Hi","html":"<p>x"`), true},
		"a mail to nobody":            {mail(`"subject":"Hi","body":"x"`), false},
		"a mail to a number":          {mail(`"to":"+14155550123","subject":"Hi","body":"x"`), false},
		"a mail without a subject":    {mail(`"to":"a@example.com","body":"x"`), false},
		"a subject of two lines":      {mail(`"to":"a@example.com","subject":"a\nBcc: b@example.com","body":"x"`), false},
		"a mail that says nothing":    {mail(`"to":"a@example.com","subject":"Hi"`), false},
		"a header of its own field":   {mail(`"to":"a@example.com","subject":"Hi","body":"x","headers":{"bCC":"b@example.com"}`), false},
		"a header of two lines":       {mail(`"to":"a@example.com","subject":"Hi","body":"x","headers":{"X-A":"a\r\nBcc: b@example.com"}`), false},
		"an attachment by https":      {mail(`"to":"a@example.com","subject":"Hi","body":"x","attachments":[{"url":"https://example.com/a"}]`), false},
		"a push to tokens":            {push(`"title":"Hi","body":"x","tokens":["t1","t1","t2"],"platform":"ios"`), true},
		"a push to a topic":           {push(`"data":{"a":"b"},"topic":"news"`), true},
		"a push to one":               {push(`"body":"x","to":"` + strings.Repeat("t", 400) + `"`), true},
		"a push to nobody":            {push(`"body":"x"`), false},
		"a push to no token":          {push(`"body":"x","tokens":[]`), false},
		"a push to a token and topic": {push(`"body":"x","tokens":["t"],"topic":"news"`), false},
		"a push that says nothing":    {push(`"tokens":["t"]`), false},
		"a push to an empty token":    {push(`"body":"x","tokens":["t",""]`), false},
		"a push to 501":               {push(`"body":"x","tokens":["` + strings.Repeat(`t","`, 500) + `t"]`), false},
		"an unknown platform":         {push(`"body":"x","tokens":["t"],"platform":"fridge"`), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			instance, err := jsonschema.UnmarshalJSON(strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			bySchema := schema.Validate(instance)
			channel := SMS
			for _, other := range []Channel{Email, Push} {
				if strings.HasPrefix(tc.body, `{"channel":"`+string(other)) {
					channel = other
				}
			}
			_, byParse := Parse([]byte(tc.body), "", "sqs-1", channel)
			if (bySchema == nil) != tc.valid || (byParse == nil) != tc.valid {
				t.Errorf("want valid %v; the schema says %v, Parse says %v", tc.valid, bySchema, byParse)
			}
		})
	}
}

func TestWhatEncodeWritesTheSchemaTakes(t *testing.T) {
	t.Parallel()
	body, err := Encode(&Message{ID: "a", Channel: SMS, Type: Send, To: "+14155550123", Body: "Hi", Priority: Transactional})
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled(t).Validate(instance); err != nil {
		t.Error(err)
	}
}
