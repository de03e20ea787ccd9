package parking

import (
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/redact"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/sqlite"
)

// wire is a carrier before a queue that speaks SQS's own language, of messages up
// to a mebibyte.
type wire struct {
	*Carrier

	t      *testing.T
	client *sqs.Client
	url    *string
	db     store.Store
	now    time.Time
}

func newWire(t *testing.T) *wire {
	t.Helper()
	server := httptest.NewServer(sandbox.New(sandbox.Options{}))
	t.Cleanup(server.Close)
	w := &wire{t: t, now: time.Now(), client: sqs.New(sqs.Options{BaseEndpoint: &server.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("id", "key", "")})}
	created, err := w.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{"MaximumMessageSize": "1048576"}})
	if err != nil {
		t.Fatal(err)
	}
	w.url = created.QueueUrl
	w.db, err = sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "acs.db"), sqlite.Options{Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close() })
	if _, err := w.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Carrier = &Carrier{Store: w.db, SQS: w.client, Queues: map[string]string{"q": *w.url}, Logger: slog.New(slog.DiscardHandler)}
	return w
}

func (w *wire) park(id, body string, attributes attribute.Set) {
	w.t.Helper()
	if _, err := w.db.Record(w.t.Context(), store.Event{ID: id, Channel: "sms", Type: "message_send", Status: store.Scheduled, Queue: "q"}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.db.Park(w.t.Context(), id, "", store.Parked{Body: redact.Personal(body), Attributes: attributes.Encode()}); err != nil {
		w.t.Fatal(err)
	}
}

// back is what the queue has, by body.
func (w *wire) back() map[string]attribute.Set {
	w.t.Helper()
	back := map[string]attribute.Set{}
	for range 5 {
		out, err := w.client.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: w.url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, m := range out.Messages {
			back[*m.Body] = m.MessageAttributes
		}
	}
	return back
}

// fill is a body, or an attribute, with which the rest fills n bytes.
func fill(start, end string, n int) string {
	return start + strings.Repeat("x", n-len(start)-len(end)) + end
}

// A body that fills its message to SQS's last byte has no room for the key in an
// attribute: it goes back where it names the key itself, and where it does not, what
// goes back points to its row.
func TestABodyOfAMebibyteGoesBackToItsQueue(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	bodies := map[string]string{"named": fill(`{"id":"named","body":"`, `"}`, 1<<20), "nameless": fill(`{"body":"`, `"}`, 1<<20), "small": `{"id":"small"}`}
	for id, body := range bodies {
		w.park(id, body, nil)
	}
	if n, err := w.Carry(t.Context()); n != 3 || err != nil {
		t.Errorf("carried %d, %v", n, err)
	}
	back := w.back()
	if len(back) != 3 || back[bodies["named"]] != nil || back[bodies["small"]].Text(attribute.Key) != "small" || back[attribute.Pointer].Text(attribute.Key) != "nameless" {
		t.Errorf("%d are back: %v", len(back), back)
	}
	kept, err := w.db.Kept(t.Context(), "nameless")
	if err != nil || kept.Body.Reveal() != bodies["nameless"] {
		t.Errorf("its row keeps %d bytes, %v", len(kept.Body), err)
	}
	w.now = w.now.Add(2 * lease)
	if n, err := w.Carry(t.Context()); n != 0 || err != nil {
		t.Errorf("carried again: %d, %v", n, err)
	}
}

func TestAMessageGoesBackWithItsProducersAttributes(t *testing.T) {
	t.Parallel()
	producers := attribute.Set{
		"campaign": attribute.Text("spring"), "tries": {DataType: aws.String("Number"), StringValue: aws.String("3")},
		"blob": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
	}
	ten := attribute.Set{}
	for i := range 10 {
		ten["a"+strconv.Itoa(i)] = attribute.Text("x")
	}
	large := attribute.Set{"a": attribute.Text(strings.Repeat("x", 1<<19))}
	without := 1<<20 - large.Bytes() // so that nothing more has room
	for name, tc := range map[string]struct {
		body       string
		attributes attribute.Set
		keyed      bool
		points     bool // to the row, which keeps them
	}{
		"with its key":                            {`{}`, producers, true, false},
		"ten, where the body has the key":         {`{"id":"m"}`, ten, false, false},
		"ten, where nothing else has it":          {`{}`, ten, true, true},
		"a full one, where the body has the key":  {fill(`{"id":"m","body":"`, `"}`, without), large, false, false},
		"a full one's, where nothing else has it": {fill(`{"body":"`, `"}`, without), large, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t)
			w.park("m", tc.body, tc.attributes)
			if n, err := w.Carry(t.Context()); n != 1 || err != nil {
				t.Fatalf("carried %d, %v", n, err)
			}
			want, back := tc.body, w.back()
			if tc.points {
				want = attribute.Pointer
			}
			carried, there := back[want]
			if !there || len(back) != 1 || (carried.Text(attribute.Key) == "m") != tc.keyed {
				t.Errorf("%d are back, there %t, the key is %q", len(back), there, carried.Text(attribute.Key))
			}
			kept, err := w.db.Kept(t.Context(), "m")
			if (err == nil) != tc.points {
				t.Fatalf("the row keeps %d bytes, %v", len(kept.Body), err)
			}
			encoded := carried.Encode()
			if tc.points {
				encoded = kept.Attributes
			}
			if encoded != tc.attributes.Encode() || tc.points && kept.Body.Reveal() != tc.body {
				t.Errorf("got %s", encoded.Reveal()[:min(200, len(encoded))])
			}
		})
	}
}

// What a producer's attributes weigh counts for the size of a call.
func TestMessagesWithLargeAttributesShareNoCall(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	for i := range 5 {
		w.park(strconv.Itoa(i), `{"n":`+strconv.Itoa(i)+`}`, attribute.Set{"a": attribute.Text(strings.Repeat("x", 250<<10))})
	}
	if n, err := w.Carry(t.Context()); n != 5 || err != nil {
		t.Errorf("carried %d, %v", n, err)
	}
}

// A message that is too large for its queue with the key is in no way of those
// that share its call.
func TestACopyThatIsRefusedForItsSizeGoesOnceMoreWithLess(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	if _, err := w.client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: w.url, Attributes: map[string]string{"MaximumMessageSize": "1024"}}); err != nil {
		t.Fatal(err)
	}
	full := fill(`{"id":"full","body":"`, `"}`, 1024)
	w.park("full", full, nil)
	w.park("small", `{}`, nil)
	if n, err := w.Carry(t.Context()); n != 2 || err != nil {
		t.Errorf("carried %d, %v", n, err)
	}
	if back := w.back(); len(back) != 2 || back[full] != nil {
		t.Errorf("%d are back", len(back))
	}
}
