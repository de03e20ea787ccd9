package message

import (
	"strings"
	"unicode/utf16"
)

// The GSM 7-bit alphabet (3GPP TS 23.038, table 6.2.1). A text in it alone is
// billed by septets; any other character makes the whole text UCS-2.
const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtension = "\f^{}\\[~]|€" // an escape and a character: two septets
)

// The units of one segment: septets or UTF-16 code units. A text of several
// segments gives a few of each to the header that joins them.
const (
	gsmSingle, gsmMulti = 160, 153
	ucsSingle, ucsMulti = 70, 67
)

// gsmWidth is the septets of each character of the alphabet.
var gsmWidth = func() map[rune]int {
	widths := map[rune]int{}
	for _, r := range gsmBasic {
		widths[r] = 1
	}
	for _, r := range gsmExtension {
		widths[r] = 2
	}
	return widths
}()

// Segments is the number of SMS segments that a body is sent and billed as; 0
// for an empty one.
func Segments(body string) int {
	if strings.IndexFunc(body, func(r rune) bool { return gsmWidth[r] == 0 }) < 0 {
		return pack(body, func(r rune) int { return gsmWidth[r] }, gsmSingle, gsmMulti)
	}
	return pack(body, utf16.RuneLen, ucsSingle, ucsMulti)
}

// pack counts segments: neither an escape pair nor a surrogate pair is cut.
func pack(body string, width func(rune) int, single, multi int) int {
	total, segments, used := 0, 1, 0
	for _, r := range body {
		w := width(r)
		total += w
		if used+w > multi {
			segments, used = segments+1, 0
		}
		used += w
	}
	switch {
	case total == 0:
		return 0
	case total <= single:
		return 1
	}
	return segments
}
