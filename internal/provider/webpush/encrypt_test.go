package webpush

import (
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/novaura/acs-operator/internal/redact"
)

// The example of RFC 8291, appendix A.
func TestTheExampleOfRFC8291IsSealedToTheByte(t *testing.T) {
	t.Parallel()
	const (
		secret = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
		point  = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
		auth   = "BTBZMqHH6r4Tts7J_aSIgg"
		salt   = "DGv6ra1nlYgDCS1FRnbzlw"
		plain  = "When I grow up, I want to be a watermelon"
		want   = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	)
	bytes := func(text string) []byte {
		decoded, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return decoded
	}
	token, _ := json.Marshal(map[string]any{"endpoint": "https://push.example.net/x", "keys": map[string]string{"p256dh": point, "auth": auth}})
	to, err := parseSubscription(redact.Personal(token))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdh.P256().NewPrivateKey(bytes(secret))
	if err != nil {
		t.Fatal(err)
	}
	got, err := seal([]byte(plain), to, key, bytes(salt))
	if err != nil || base64.RawURLEncoding.EncodeToString(got) != want {
		t.Errorf("got %s, %v, want %s", base64.RawURLEncoding.EncodeToString(got), err, want)
	}
}
