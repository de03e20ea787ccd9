package mail

import (
	"fmt"
	"mime"
	"net/textproto"
	"strings"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"
)

// The bounds of a header's lines, in bytes without the line end.
const (
	maxLine = 78 // RFC 5322, 2.1.1: what lines should have
	maxWord = 75 // RFC 2047, 2: what an encoded word may have
	// maxEncoded is what a line with encoded words may have (RFC 2047, 2).
	maxEncoded = 76
)

// unstructured is a header's value as it goes out: folded, and encoded where it
// is not ASCII, has white space at an end, or would be read as encoded although it
// is not. Unfolded and decoded it is value again, to the byte; so the first line
// is never left empty, which would be read as a space before the value.
func unstructured(name, value string) string {
	if !ascii(value) || strings.Contains(value, "=?") || strings.Trim(value, " \t") != value {
		return encoded(name, value)
	}
	var out strings.Builder
	room := maxLine - len(name) - len(": ")
	for text := value; text != ""; {
		word := text[:nextFold(text)]
		if room < len(word) && text != value {
			out.WriteString("\r\n")
			room = maxLine
		}
		out.WriteString(word)
		room -= len(word)
		text = text[len(word):]
	}
	return out.String()
}

// nextFold is where text may be folded next: before white space, after
// something else and with something else to follow, so that no line has white
// space alone.
func nextFold(text string) int {
	began := false
	for i := range len(text) {
		switch blank := text[i] == ' ' || text[i] == '\t'; {
		case blank && began && strings.Trim(text[i:], " \t") != "":
			return i
		case !blank:
			began = true
		}
	}
	return len(text)
}

// encoded is value in encoded words of RFC 2047's Q encoding, one a line.
func encoded(name, value string) string {
	const begin, end = "=?UTF-8?q?", "?="
	var out strings.Builder
	room := maxEncoded - len(name) - len(": ") - len(begin) - len(end)
	out.WriteString(begin)
	for _, r := range value {
		char := encodedRune(r)
		if room < len(char) {
			out.WriteString(end + "\r\n " + begin)
			room = maxWord - len(begin) - len(end)
		}
		out.WriteString(char)
		room -= len(char)
	}
	return out.String() + end
}

// encodedRune is a character in the Q encoding: none is spread over two words.
func encodedRune(r rune) string {
	switch {
	case r == ' ':
		return "_"
	case r > ' ' && r < utf8.RuneSelf && !strings.ContainsRune(`=?_"(),.:;<>@[\]`, r):
		return string(r)
	}
	return strings.ToUpper(escaped(string(r), '='))
}

// escaped is each byte of text in hexadecimal, after a mark.
func escaped(text string, mark byte) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		_, _ = fmt.Fprintf(&out, "%c%02X", mark, b)
	}
	return out.String()
}

func ascii(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// named gives an attachment its type and its name by RFC 2231: an encoded word
// may not stand in a parameter (RFC 2047, 5), and a long one would break the
// longest line that servers take.
func named(kind, name string) gomail.FileOption {
	if media, params, err := mime.ParseMediaType(kind); err == nil {
		kind = mime.FormatMediaType(media, params) // in ASCII
	}
	return func(f *gomail.File) {
		f.Header = textproto.MIMEHeader{
			"Content-Type":        {kind},
			"Content-Disposition": {"attachment" + filename(name)},
		}
	}
}

// filename is the parameter of that name, in as many parts as it needs.
func filename(name string) string {
	if ascii(name) && len(name) < maxLine-len(` filename=""`) {
		return ";\r\n filename=\"" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	var parts []string
	part := "utf-8''"
	for _, r := range name {
		char := string(r)
		if r >= utf8.RuneSelf || !attributeChar(r) {
			char = escaped(char, '%')
		}
		if len(part)+len(char) > maxLine-len(" filename*00*=;") {
			parts, part = append(parts, part), ""
		}
		part += char
	}
	if len(parts) == 0 {
		return ";\r\n filename*=" + part
	}
	var out strings.Builder
	for i, text := range append(parts, part) {
		_, _ = fmt.Fprintf(&out, ";\r\n filename*%d*=%s", i, text)
	}
	return out.String()
}

// attributeChar says what may stand in an extended parameter as it is.
func attributeChar(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '.' || r == '-' || r == '_'
}
