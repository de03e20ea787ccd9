package mail

import (
	"bytes"
	"context"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
)

// attached is a Fetcher of one content.
type attached string

func (a attached) Fetch(context.Context, string, int64) ([]byte, error) { return []byte(a), nil }

func composed(t interface{ Fatal(...any) }, m *message.Message) (raw string, parsed *netmail.Message) {
	m.ID, m.To, m.Body = "a", "anna@example.com", "Hello"
	mail, err := Composer{Provider: "test", From: "hello@example.com", Fetcher: attached("content")}.Compose(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := mail.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	raw = out.String()
	parsed, err = netmail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return raw, parsed
}

// unfolded is a header's value by RFC 5322, 2.2.3: line ends go, and nothing else;
// then RFC 2047's words are decoded.
func unfolded(t interface{ Fatal(...any) }, raw, name string) string {
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	_, rest, found := strings.Cut("\r\n"+head, "\r\n"+name+": ")
	if !found {
		t.Fatal("there is no " + name)
	}
	var value strings.Builder
	for i, line := range strings.Split(rest, "\r\n") {
		if i > 0 && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			break
		}
		if strings.TrimSpace(line) == "" {
			t.Fatal("a line of " + name + " is blank")
		}
		value.WriteString(line)
	}
	decoded, err := new(mime.WordDecoder).DecodeHeader(value.String())
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func TestASubjectAndAHeaderAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	const link = "<https://example.com/u?t="
	for _, text := range []string{
		"Hello", "Grüße 😀", strings.Repeat("😀 Grüße an Zoë — ", 12), strings.Repeat("x", 400), strings.Repeat("word ", 60) + "end",
		"two  spaces   and " + strings.Repeat("y", 70) + "  more", link + strings.Repeat("q", 700) + ">, <mailto:u@example.com>",
		"=?utf-8?q?not_encoded?= by us", " both ends\t", strings.Repeat("=", 300) + "ü",
	} {
		raw, _ := composed(t, &message.Message{Subject: redact.Personal(text), Headers: map[string]string{"X-Text": text}})
		for _, name := range []string{"Subject", "X-Text"} {
			if got := unfolded(t, raw, name); got != text {
				t.Errorf("%s: got %q, want %q", name, got, text)
			}
		}
	}
}

func TestNoLineOfAHeaderIsLongerThanItMustBe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.OneOf(
			rapid.StringMatching(`[!-~]{1,60}`), rapid.StringOfN(rapid.RuneFrom([]rune("aü😀=?_ ")), 1, 40, -1)), 1, 12).Draw(t, "words")
		text := strings.TrimSpace(strings.Join(words, " "))
		if text == "" {
			return
		}
		value := unstructured("Subject", text)
		raw := "Subject: " + value + "\r\n\r\n"
		if got := unfolded(t, raw, "Subject"); got != text {
			t.Fatalf("got %q, want %q", got, text)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(raw, "\r\n\r\n"), "\r\n") {
			if len(line) > 78 || strings.Contains(line, "=?UTF-8?q?") && len(line) > 76 {
				t.Fatalf("%d bytes: %q", len(line), line)
			}
		}
	})
}

func TestAnAttachmentHasItsNameWhateverItIs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"terms.pdf", "two words;x=1.pdf", "Ünïcödé ☃ file.pdf", strings.Repeat("a", 251) + ".pdf", strings.Repeat("😀", 251) + ".pdf", "50% 'off'.pdf",
	} {
		raw, parsed := composed(t, &message.Message{Subject: "S", Attachments: []message.Attachment{
			{URL: "s3://b/k", Filename: name, ContentType: `application/pdf; title="Ü"`},
		}})
		_, params, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		parts := multipart.NewReader(parsed.Body, params["boundary"])
		if _, err := parts.NextPart(); err != nil {
			t.Fatal(err)
		}
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		disposition, named, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err != nil || disposition != "attachment" || named["filename"] != name {
			t.Errorf("got %s, %q, %v, want %q", disposition, named["filename"], err, name)
		}
		kind, params, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil || kind != "application/pdf" || params["title"] != "Ü" {
			t.Errorf("got %s, %v, %v", kind, params, err)
		}
		if content, _ := io.ReadAll(part); len(content) == 0 {
			t.Error("the content is empty")
		}
		for line := range strings.SplitSeq(raw, "\r\n") {
			if len(line) > 78 || strings.Contains(line, "=?") || !ascii(line) {
				t.Errorf("%d bytes: %q", len(line), line)
			}
		}
	}
}

func TestWhoStandsTwiceGetsAMailOnce(t *testing.T) {
	t.Parallel()
	m := &message.Message{
		Subject: "S", Cc: []redact.Personal{"Anna <anna@example.com>", "ben@example.com", "Ben@example.com"},
		Bcc: []redact.Personal{"anna@example.com", "cleo@example.com", "ben@example.com", "cleo@example.com"},
	}
	m.ID, m.To, m.Body = "a", "anna@example.com", "Hello"
	mail, err := Composer{Provider: "test", From: "hello@example.com"}.Compose(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mail.GetRecipients()
	if want := "<anna@example.com> <ben@example.com> <cleo@example.com>"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
}

func TestTheSetUpsSenderHasItsNameEncoded(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"Novaura <hello@example.com>": "Novaura <hello@example.com>", "hello@example.com": "hello@example.com",
		"Növaura <hello@example.com>": "=?utf-8?q?N=C3=B6vaura?= <hello@example.com>",
	} {
		if got, own, err := (Composer{From: given}).Sender(&message.Message{}); got != want || !own || err != nil {
			t.Errorf("%s: got %q, %t, %v", given, got, own, err)
		}
	}
}
