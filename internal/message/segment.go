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

// Segments is the number of SMS segments that a body is sent and billed as; 0
// for an empty one.
func Segments(body string) int {
	if widths, ok := gsmWidths(body); ok {
		return pack(widths, gsmSingle, gsmMulti)
	}
	var widths []int
	for _, r := range body {
		widths = append(widths, utf16.RuneLen(r))
	}
	return pack(widths, ucsSingle, ucsMulti)
}

// gsmWidths are the septets of each character; ok says that all are in the
// alphabet.
func gsmWidths(body string) (widths []int, ok bool) {
	for _, r := range body {
		switch {
		case strings.ContainsRune(gsmBasic, r):
			widths = append(widths, 1)
		case strings.ContainsRune(gsmExtension, r):
			widths = append(widths, 2)
		default:
			return nil, false
		}
	}
	return widths, true
}

// pack counts segments: neither an escape pair nor a surrogate pair is cut.
func pack(widths []int, single, multi int) int {
	total := 0
	for _, width := range widths {
		total += width
	}
	if total == 0 {
		return 0
	}
	if total <= single {
		return 1
	}
	segments, used := 1, 0
	for _, width := range widths {
		if used+width > multi {
			segments, used = segments+1, 0
		}
		used += width
	}
	return segments
}
