package message

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nyaruka/phonenumbers"

	"github.com/novaura/acs-operator/internal/redact"
)

// e164 is a telephone number as "+", country code and number, without spaces.
// Its length must be possible in its country; whether it is assigned is the
// provider's to say, since numbering plans change faster than libraries.
func e164(address redact.Personal) (redact.Personal, bool) {
	text := strings.TrimSpace(address.Reveal())
	if isE164(text) {
		return redact.Personal(text), true
	}
	if !strings.HasPrefix(text, "+") || strings.ContainsFunc(text, isLetter) {
		return "", false
	}
	number, err := phonenumbers.Parse(text, "")
	if err != nil || !phonenumbers.IsPossibleNumber(number) || number.GetExtension() != "" {
		return "", false
	}
	return redact.Personal(phonenumbers.Format(number, phonenumbers.E164)), true
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

// isE164 reports that a text is such a number already, as nearly all are: the
// library's parser takes tens of microseconds to find that out, a tenth of all
// that a message costs. It goes by the library's own metadata; what is not
// plain (a leading zero, a national prefix, an unusual length) is the parser's.
func isE164(text string) bool {
	const longestCode, longest = 3, 1 + 15
	if len(text) > longest || !strings.HasPrefix(text, "+") || strings.Trim(text[1:], "0123456789") != "" {
		return false
	}
	for end := 2; end <= 1+longestCode && end < len(text); end++ {
		code, err := strconv.Atoi(text[1:end])
		if err == nil && phonenumbers.GetRegionCodeForCountryCode(code) != unknownRegion {
			return numberingPlan(code).plain(text[end:])
		}
	}
	return false
}

// The region codes of the library that are no countries.
const (
	unknownRegion = "ZZ"
	noRegion      = "001" // of freephone, satellites and the like
)

// plan is what is read of a country's numbering plan.
type plan struct {
	prefix  *regexp.Regexp // what a national prefix may look like; nil: there is none
	lengths []int32        // of a whole national number
}

func (p plan) plain(national string) bool {
	return national[0] != '0' && slices.Contains(p.lengths, int32(len(national))) && //nolint:gosec // at most 15
		(p.prefix == nil || !p.prefix.MatchString(national))
}

// plans are the plans that were asked for, by country code.
var plans sync.Map

func numberingPlan(code int) plan {
	if known, ok := plans.Load(code); ok {
		return known.(plan) //nolint:forcetypeassert // nothing else is stored
	}
	var p plan
	region := phonenumbers.GetRegionCodeForCountryCode(code)
	all, err := phonenumbers.MetadataCollection()
	if err != nil {
		return p
	}
	for _, country := range all.GetMetadata() {
		if country.GetId() != region || region == noRegion && int(country.GetCountryCode()) != code {
			continue
		}
		p.lengths = country.GetGeneralDesc().GetPossibleLength()
		if prefix := country.GetNationalPrefixForParsing(); prefix != "" {
			p.prefix = regexp.MustCompile("^(?:" + prefix + ")")
		}
	}
	plans.Store(code, p)
	return p
}
