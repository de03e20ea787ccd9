package message

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/novaura/acs-operator/internal/redact"
)

// slowE164 is what the library's parser makes of a number.
func slowE164(t *testing.T, text string) string {
	t.Helper()
	number, err := phonenumbers.Parse(text, "")
	if err != nil || !phonenumbers.IsPossibleNumber(number) || number.GetExtension() != "" {
		return ""
	}
	return phonenumbers.Format(number, phonenumbers.E164)
}

func TestANumberThatIsTakenAsItStandsIsWhatTheParserMakesOfIt(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	plain := 0
	for code := range phonenumbers.GetSupportedCallingCodes() {
		for range 200 {
			text := "+" + strconv.Itoa(code)
			for range 3 + random.IntN(11) {
				text += strconv.Itoa(random.IntN(10))
			}
			if !isE164(text) {
				continue
			}
			plain++
			if want := slowE164(t, text); want != text {
				t.Errorf("isE164(%s) = true; the parser makes %q of it", text, want)
			}
		}
	}
	if plain < 1000 {
		t.Errorf("only %d numbers were taken as they stand", plain)
	}
}

func TestOrdinaryNumbersNeedNoParser(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"+14155550123": true, "+442071838750": true, "+33612345678": true, "+5511912345678": true, "+919876543210": true,
		"+4915123456789": true, "+61412345678": true, "+8613812345678": true,
		"": false, "+": false, "+1": false, "14155550123": false, "+1 415 555 0123": false, "+1415555012": false,
		"+999123456789": false, "+390612345678": false, "+44(0)2071838750": false, "+" + strings.Repeat("1", 40): false,
	} {
		if got := isE164(text); got != want {
			t.Errorf("isE164(%q) = %v, want %v", text, got, want)
		}
	}
}

func FuzzE164NeverChangesTheParsersMind(f *testing.F) {
	f.Add("+14155550123")
	f.Add("+55 11 91234-5678")
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := e164(redact.Personal(text))
		trimmed := strings.TrimSpace(text)
		if !strings.HasPrefix(trimmed, "+") || strings.ContainsFunc(trimmed, isLetter) {
			return
		}
		if want := slowE164(t, trimmed); got.Reveal() != want || ok != (want != "") {
			t.Errorf("e164(%q) = %q, the parser says %q", text, got.Reveal(), want)
		}
	})
}
