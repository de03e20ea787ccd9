package attribute

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// producers is n attributes of a producer's.
func producers(n int) Set {
	s := Set{}
	for i := range n {
		s["p"+strconv.Itoa(i)] = Text("v")
	}
	return s
}

func with(s Set, more ...string) Set {
	for _, name := range more {
		s[name] = Text("ours")
	}
	return s
}

func TestACopyCarriesItsKeyAndAllThatItsProducerGaveOrNeither(t *testing.T) {
	t.Parallel()
	const nameless, named = `{"body":"x"}`, `{"id":"m"}`
	for name, tc := range map[string]struct {
		came    Set
		body    string
		keyed   int  // attributes, the key among them
		fits    bool // of SQS's ten
		asItWas bool // it may go as it came
	}{
		"none of them":                         {nil, nameless, 1, true, false},
		"nine and the key are ten":             {producers(9), nameless, 10, true, false},
		"ten leave no room":                    {producers(10), nameless, 11, false, false},
		"ten go where the body has the key":    {producers(10), named, 11, false, true},
		"the mark of a post goes in any case":  {with(producers(8), "acs_webhook_url"), nameless, 10, true, false},
		"a copy's key is replaced":             {with(producers(9), Key), nameless, 10, true, false},
		"the reason of a dead letter stays":    {with(producers(8), Key, Reason), nameless, 9, true, false},
		"a post is no JSON, and names no key":  {producers(10), "id=m", 11, false, false},
		"another's key in the body is not its": {producers(10), `{"id":"n"}`, 11, false, false},
		"eleven are too many though it names":  {with(producers(10), "acs_webhook_url"), named, 12, false, false},
	} {
		before := len(tc.came)
		keyed, fits := tc.came.Keyed("m")
		if len(keyed) != tc.keyed || fits != tc.fits || keyed.Text(Key) != "m" || keyed.Text(Reason) != "" {
			t.Errorf("%s: got %d, fits %t, key %q", name, len(keyed), fits, keyed.Text(Key))
		}
		same, ok := tc.came.AsItCame("m", tc.body)
		if ok != tc.asItWas || ok && same.Encode() != tc.came.Encode() {
			t.Errorf("%s: as it came: %t, %d", name, ok, len(same))
		}
		if before != len(tc.came) {
			t.Errorf("%s: what it came with was changed", name)
		}
	}
}

func TestARowKeepsAttributesAsTheyCameButKeyAndReason(t *testing.T) {
	t.Parallel()
	came := with(Set{
		"text": Text(`a "word" & ü`), "number": {DataType: aws.String("Number.int"), StringValue: aws.String("7")},
		"bytes": {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 255}},
	}, Key, Reason)
	got, err := Decode(came.Encode())
	if err != nil {
		t.Fatal(err)
	}
	delete(came, Key)
	delete(came, Reason)
	if diff := cmp.Diff(map[string]types.MessageAttributeValue(came), map[string]types.MessageAttributeValue(got), cmpopts.IgnoreUnexported(types.MessageAttributeValue{})); diff != "" {
		t.Errorf("(-came +kept):\n%s", diff)
	}
	if got.Bytes() != came.Bytes() || came.Bytes() != 4+6+len(`a "word" & ü`)+6+10+1+5+10+2 {
		t.Errorf("%d bytes, then %d", came.Bytes(), got.Bytes())
	}
	if text := with(Set{}, Key, Reason).Encode(); text != "" {
		t.Errorf("of nothing a row keeps %s", text.Reveal())
	}
	if none, err := Decode(""); err != nil || none != nil {
		t.Errorf("of nothing: %v, %v", none, err)
	}
	if _, err := Decode("{"); err == nil {
		t.Error("half of it is read")
	}
}

func TestAttributesPrintAsTheirNumber(t *testing.T) {
	t.Parallel()
	s := Set{"for_anna": Text("anna@example.com")}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s, "in", struct{ S Set }{s})
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %q %x", s, struct{ S Set }{s}, s, s, s, s) + log.String() + string(text) + fmt.Sprint(s.Encode())
	if strings.Contains(strings.ReplaceAll(all, "62 79", ""), "anna") || !strings.Contains(all, "1 attributes") {
		t.Error(all)
	}
}
