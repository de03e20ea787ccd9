package parking

import (
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/redact"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/sqlite"
)

// A body that fills its message to SQS's last byte has no room for the key in an
// attribute: it goes back where it names the key itself, and is nobody's obstacle
// where it does not.
func TestABodyOfAMebibyteGoesBackToItsQueue(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(sandbox.New(sandbox.Options{}))
	t.Cleanup(server.Close)
	client := sqs.New(sqs.Options{BaseEndpoint: &server.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("id", "key", "")})
	created, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{"MaximumMessageSize": "1048576"}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "acs.db"), sqlite.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill := func(start string) string { return start + strings.Repeat("x", 1<<20-len(start)-2) + `"}` }
	bodies := map[string]string{"named": fill(`{"id":"named","body":"`), "nameless": fill(`{"body":"`), "small": `{"id":"small"}`}
	for id, body := range bodies {
		if _, err := db.Record(t.Context(), store.Event{ID: id, Channel: "sms", Type: "message_send", Status: store.Scheduled, Queue: "q"}); err != nil {
			t.Fatal(err)
		}
		if err := db.Park(t.Context(), id, "", store.Parked{Body: redact.Personal(body)}); err != nil {
			t.Fatal(err)
		}
	}
	c := &Carrier{Store: db, SQS: client, Queues: map[string]string{"q": *created.QueueUrl}, Logger: slog.New(slog.DiscardHandler)}
	if n, err := c.Carry(t.Context()); n != 2 || err == nil {
		t.Errorf("carried %d, %v; want two, and an error for the third", n, err)
	}
	back := map[string]bool{}
	for range 5 {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: created.QueueUrl, MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Messages {
			back[*m.Body] = true
		}
	}
	if len(back) != 2 || !back[bodies["named"]] || !back[bodies["small"]] {
		t.Errorf("%d are back", len(back))
	}
	now = now.Add(2 * lease)
	if n, err := c.Carry(t.Context()); n != 0 || err == nil {
		t.Errorf("the third: carried %d, %v; want it kept", n, err)
	}
}
