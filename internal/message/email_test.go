package message

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/redact"
)

func TestAMailAddressIsKeptSafeAndInOneForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a@example.com":                       "a@example.com",
		" A.B+c@EXAMPLE.com ":                 "A.B+c@example.com",
		"Alice <a@example.com>":               `"Alice" <a@example.com>`,
		`"Doe, Alice" <a@example.com>`:        `"Doe, Alice" <a@example.com>`,
		"Ünal <a@example.com>":                "=?utf-8?q?=C3=9Cnal?= <a@example.com>",
		"a@bücher.example":                    "a@xn--bcher-kva.example",
		"a@example.com, b@example.com":        "",
		"a@example.com\r\nBcc: b@example.com": "",
		"=?utf-8?q?a=0D=0ABcc:_b?= <a@b.c>":   "", // a line end inside an encoded word
		"\u202eAlice <a@example.com>":         "", // reads backwards
		`"a b"@example.com`:                   "",
		`"a>b"@example.com`:                   "",
		"ünal@example.com":                    "",
		"a@[127.0.0.1]":                       "",
		"a@-example.com":                      "",
		"a":                                   "",
	} {
		if got, ok := mailbox(redact.Personal(text)); got.Reveal() != want || ok != (want != "") {
			t.Errorf("%q: got %q, want %q", text, got.Reveal(), want)
		}
	}
	if got := Bare(`"Alice" <a@Example.com>`); got.Reveal() != "a@example.com" {
		t.Errorf("the bare address is %q", got.Reveal())
	}
}

func TestMailsAndPushesThatAreRefused(t *testing.T) {
	t.Parallel()
	mail := func(fields string) string {
		return `{"channel":"email","type":"message_send","to":"a@example.com","subject":"Hi","body":"secret-body",` + fields + `}`
	}
	push := func(fields string) string {
		return `{"channel":"push","type":"message_send","body":"secret-body",` + fields + `}`
	}
	for name, tc := range map[string]struct {
		body string
		want Reason
	}{
		"51 recipients":                     {mail(`"cc":["` + strings.Repeat(`b@example.com","`, 49) + `b@example.com"]`), TooMany},
		"a copy to nobody":                  {mail(`"bcc":["b@example.com",""]`), BadAddress},
		"a sender that is none":             {mail(`"from":"Novaura"`), BadAddress},
		"a sender of two lines":             {mail(`"from":"a@example.com\nBcc: b@example.com"`), BadField},
		"a header that is SES's":            {mail(`"headers":{"X-SES-CONFIGURATION-SET":"x"}`), BadHeader},
		"a header twice":                    {mail(`"headers":{"X-A":"1","x-a":"2"}`), BadHeader},
		"a header's name with a colon":      {mail(`"headers":{"X-A: b\nBcc":"1"}`), BadHeader},
		"16 headers":                        {mail(`"headers":{` + numberedHeaders(16) + `}`), TooMany},
		"a filename with a path":            {mail(`"attachments":[{"url":"s3://bucket/a","filename":"../a"}]`), BadField},
		"an attachment of no bucket":        {mail(`"attachments":[{"url":"s3:///a"}]`), BadField},
		"a content type that is none":       {mail(`"attachments":[{"url":"s3://bucket/a","content_type":"a\r\nb"}]`), BadField},
		"tokens that are numbers":           {push(`"tokens":[1]`), BadField},
		"a token with a line end":           {push(`"tokens":["a\nb"]`), BadAddress},
		"a topic with a slash":              {push(`"topic":"a/b"`), BadField},
		"a topic of 901 characters":         {push(`"topic":"` + strings.Repeat("t", 901) + `"`), BadField},
		"a local part of 65 characters":     {mail(`"cc":["` + strings.Repeat("l", 65) + `@example.com"]`), BadAddress},
		"to and a topic":                    {push(`"to":"a","topic":"b"`), BadField},
		"half a character":                  {push(`"tokens":["t"],"title":"a\ud83d"`), LoneSurrogate},
		"half a character and another":      {push(`"tokens":["t"],"title":"\ud83d\u0041"`), LoneSurrogate},
		"the second half alone":             {push(`"tokens":["t"],"title":"\ude00"`), LoneSurrogate},
		"half a character in a name":        {push(`"tokens":["t"],"\ud83d":"x"`), LoneSurrogate},
		"half a character in an envelope":   {`{"Type":"Notification","Message":"{\"type\":\"message_send\",\"body\":\"\\ud83d\"}"}`, LoneSurrogate},
		"SNS that asks to be confirmed":     {`{"Type":"SubscriptionConfirmation","TopicArn":"arn:aws:sns:us-east-1:1:t","SubscribeURL":"https://example.com","Message":"You have chosen"}`, SNSSetup},
		"SES that tried a topic out":        {`{"Type":"Notification","Message":"Successfully validated SNS topic for Amazon SES event publishing."}`, SNSSetup},
		"SES that was subscribed":           {`{"notificationType":"AmazonSnsSubscriptionSucceeded","message":"You have successfully subscribed"}`, SNSSetup},
		"SES with another type":             {`{"eventType":"Bounce","mail":{"messageId":1}}`, BadField},
		"a report on a mail without its id": {`{"channel":"email","type":"message_status","provider_status":"bounced"}`, MissingField},
		"a webhook of Twilio's":             {"MessageSid=SM1&MessageStatus=sent", WrongChannel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			channel := Email
			if strings.Contains(tc.body, `"push"`) {
				channel = Push
			}
			m, err := Parse([]byte(tc.body), "", "sqs-1", channel)
			var invalid *Invalid
			if !errors.As(err, &invalid) || invalid.Reason != tc.want {
				t.Fatalf("got %+v and %v, want %s", m, err, tc.want)
			}
			if known := fmt.Sprintf("%#v %v", *invalid.Known, err); strings.Contains(known, "secret-body") || invalid.Known.Tokens != nil || invalid.Known.Headers != nil {
				t.Errorf("too much is kept of it: %s", known)
			}
		})
	}
}

func numberedHeaders(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"X-%d":"1"`, i))
	}
	return strings.Join(list, ",")
}

func TestWholeCharactersMayBeEscaped(t *testing.T) {
	t.Parallel()
	m, err := Parse([]byte(`{"type":"message_send","to":"+14155550123","body":"\\ud83d \ud83d\ude00\u00e9 \\\ud83d\ude00\\"}`), "", "s", SMS)
	if err != nil || m.Body.Reveal() != `\ud83d 😀é \😀\` {
		t.Errorf("got %v and %v", m, err)
	}
}

// What an ID stood for before mails and pushes came must stand for it still:
// a row's hash outlives the worker that wrote it.
func TestOldHashesStay(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"id":"a","type":"message_send","to":"+14155550123","from":"Novaura","body":"Hi","template":"t","data":{"b":[1,{"c":null}],"a":1.50}}`: "0432d3b6ad486aab6c46e9db256783c23e3436c6a86d1b83c8742f7b9d778f0d",
		`{"type":"message_status","provider_id":"SM1","provider_status":"sent","provider_code":"1"}`:                                            "e7e377fa619316132d73e94a8c949079adf06e02aab22162ead05457428a4d7d",
	} {
		if m, err := Parse([]byte(body), "", "s", SMS); err != nil || m.Hash != want {
			t.Errorf("%s: got %v, %v", body, m, err)
		}
	}
}

func TestEveryFieldOfAMailAndAPushIsContent(t *testing.T) {
	t.Parallel()
	hash := func(channel Channel, body string) string {
		m, err := Parse([]byte(`{"type":"message_send",`+body+`}`), "", "s", channel)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return m.Hash
	}
	mail := `"to":"a@example.com","subject":"Hi","body":"x"`
	for _, more := range []string{
		`"html":"<p>"`, `"cc":["b@example.com"]`, `"bcc":["b@example.com"]`, `"reply_to":["b@example.com"]`,
		`"headers":{"X-A":"b"}`, `"attachments":[{"url":"s3://bucket/a"}]`,
	} {
		if hash(Email, mail) == hash(Email, mail+","+more) {
			t.Errorf("%s is not part of the content", more)
		}
	}
	push := `"tokens":["a","b"],"body":"x"`
	for _, other := range []string{`"tokens":["a"],"body":"x"`, push + `,"title":"t"`, push + `,"platform":"ios"`, `"topic":"a","body":"x"`} {
		if hash(Push, push) == hash(Push, other) {
			t.Errorf("%s is the same content", other)
		}
	}
	if hash(Push, push) != hash(Push, `"tokens":["a"," b","a"],"body":"x"`) {
		t.Error("a token that stands twice is other content")
	}
}
