package deadletter_test

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/deadletter"
	"github.com/novaura/acs-operator/internal/message"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/sqlite"
)

// desk is a queue with dead letters, and a history.
type desk struct {
	t      *testing.T
	client *sqs.Client
	db     store.Store
	reader deadletter.Reader
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	server := httptest.NewServer(sandbox.New(sandbox.Options{}))
	t.Cleanup(server.Close)
	client := sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	create := func(name string) string {
		out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
		if err != nil {
			t.Fatal(err)
		}
		return *out.QueueUrl
	}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "acs.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &desk{t: t, client: client, db: db, reader: deadletter.Reader{
		Store: db, SQS: client, Channel: message.SMS, Sources: []deadletter.Source{{Queue: create("events"), DeadLetters: create("events-dlq")}},
	}}
}

// put puts a message on the dead-letter queue; attributes are name and value, one
// after the other.
func (d *desk) put(body string, attributes ...string) {
	d.t.Helper()
	set := attribute.Set{}
	for i := 0; i < len(attributes); i += 2 {
		set[attributes[i]] = attribute.Text(attributes[i+1])
	}
	if _, err := d.client.SendMessage(d.t.Context(), &sqs.SendMessageInput{
		QueueUrl: &d.reader.Sources[0].DeadLetters, MessageBody: &body, MessageAttributes: set,
	}); err != nil {
		d.t.Fatal(err)
	}
}

// record writes a row.
func (d *desk) record(e store.Event) {
	d.t.Helper()
	e.Channel, e.Type = "sms", "message_send"
	if inserted, err := d.db.Record(d.t.Context(), e); err != nil || !inserted {
		d.t.Fatal(inserted, err)
	}
}

// row is the event of an id.
func (d *desk) row(id string) store.Event {
	d.t.Helper()
	found, err := d.db.Events(d.t.Context(), store.Filter{ID: id})
	if err != nil || len(found) != 1 {
		d.t.Fatal(id, found, err)
	}
	return found[0]
}

// redrive has everything tried again, and says what became of the one letter.
func (d *desk) redrive() (done string) {
	d.t.Helper()
	r := deadletter.Redriver{Reader: d.reader, By: "ann"}
	if err := r.Run(d.t.Context(), func(v deadletter.Verdict) {
		if done = v.Why; v.Redriven {
			done = "redriven"
		}
	}); err != nil {
		d.t.Fatal(err)
	}
	return done
}

// keys are those of the messages on the queue.
func (d *desk) keys() string {
	d.t.Helper()
	out, err := d.client.ReceiveMessage(d.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &d.reader.Sources[0].Queue, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	var keys []string
	for _, m := range out.Messages {
		keys = append(keys, attribute.Set(m.MessageAttributes).Text(attribute.Key))
	}
	return strings.Join(keys, " ")
}

// left checks how many dead letters there are, and that none is hidden.
func (d *desk) left(want int) {
	d.t.Helper()
	if visible, hidden, err := d.reader.Count(d.t.Context()); err != nil || visible != want || hidden != 0 {
		d.t.Errorf("dead letters: %d visible, %d hidden, error %v; want %d and none", visible, hidden, err, want)
	}
}

func hashOf(t *testing.T, body string) string {
	t.Helper()
	m, err := message.Parse([]byte(body), "x", "", message.SMS)
	if err != nil {
		t.Fatal(err)
	}
	return m.Hash
}
