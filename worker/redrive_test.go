package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/deadletter"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/parking"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// desk is a queue with dead letters, and a history.
type desk struct {
	t           *testing.T
	client      *sqs.Client
	queue, dead string
	db          store.Store
	env         map[string]string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	server := httptest.NewServer(sandbox.New(sandbox.Options{}))
	t.Cleanup(server.Close)
	d := &desk{t: t, client: sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})}
	create := func(name string, attributes map[string]string) string {
		out, err := d.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		return *out.QueueUrl
	}
	d.dead = create("events-dlq", nil)
	d.queue = create("events", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:events-dlq","maxReceiveCount":5}`})
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "acs.db")
	var err error
	if d.db, err = open.Open(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.db.Close() })
	if _, err := d.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.env = map[string]string{
		"DATABASE_URL": dsn, "SMS_QUEUE_URL": d.queue, "AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
	}
	return d
}

// letter puts a dead letter, with the row that its worker left; an empty
// status: none.
func (d *desk) letter(id string, status store.Status, reason string) {
	d.t.Helper()
	body := `{"type":"message_send","to":"+14155550123","body":"Hello ` + id + `"}`
	if status != "" {
		if _, err := d.db.Record(d.t.Context(), store.Event{ID: id, Channel: "sms", Type: "message_send", Status: status, ErrorCode: reason, PayloadHash: hashOf(d.t, body)}); err != nil {
			d.t.Fatal(err)
		}
	}
	in := &sqs.SendMessageInput{
		QueueUrl: &d.dead, MessageBody: &body,
		MessageAttributes: map[string]types.MessageAttributeValue{"acs_id": {DataType: aws.String("String"), StringValue: &id}},
	}
	if reason != "" {
		in.MessageAttributes["acs_reason"] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &reason}
	}
	if _, err := d.client.SendMessage(d.t.Context(), in); err != nil {
		d.t.Fatal(err)
	}
}

// keys are those of the messages of a queue, which stay there.
func (d *desk) keys(queue string) string {
	d.t.Helper()
	out, err := d.client.ReceiveMessage(d.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
	if err != nil {
		d.t.Fatal(err)
	}
	var keys []string
	for _, m := range out.Messages {
		keys = append(keys, *m.MessageAttributes["acs_id"].StringValue)
		if _, err := d.client.ChangeMessageVisibility(d.t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
			d.t.Fatal(err)
		}
	}
	return strings.Join(keys, " ")
}

func (d *desk) status(id string) store.Status {
	d.t.Helper()
	events, err := d.db.Events(d.t.Context(), store.Filter{ID: id})
	if err != nil || len(events) != 1 {
		d.t.Fatal(events, err)
	}
	return events[0].Status
}

func TestRedriveTriesAgainWhatFailedAndNothingElse(t *testing.T) {
	d := newDesk(t)
	d.letter("failed", store.Failed, "21211")
	d.letter("failed-2", store.Failed, "not_accepted")
	d.letter("doubt", store.InDoubt, "in_doubt")
	d.letter("unseen", "", "")
	if code, out, errOut := worker(t, d.env, "redrive", "--dry-run", "--rate", "1000"); code != 0 || !strings.Contains(out, "would be redriven") || d.keys(d.queue) != "" {
		t.Fatalf("dry run: exit code %d, %s%s", code, out, errOut)
	}
	if code, _, errOut := worker(t, d.env, "redrive", "--reason", "21211", "--rate", "1000"); code != 0 || d.keys(d.queue) != "failed" {
		t.Fatalf("by reason: exit code %d, %s; on the queue: %s", code, errOut, d.keys(d.queue))
	}
	code, out, errOut := worker(t, d.env, "redrive", "--rate", "1000", "-o", "json")
	var rows []verdictRow
	if code != 0 || json.Unmarshal([]byte(out), &rows) != nil || len(rows) != 3 {
		t.Fatalf("exit code %d: %s%s", code, out, errOut)
	}
	if got := d.keys(d.queue); got != "failed failed-2 unseen" {
		t.Errorf("on the queue: %s", got)
	}
	if got := d.keys(d.dead); got != "doubt" {
		t.Errorf("left: %s", got)
	}
	for id, want := range map[string]store.Status{"failed": store.New, "doubt": store.InDoubt} {
		if got := d.status(id); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
}

// Twilio's callback may come hours after a text was held: its letter would ring
// the alarm until it expires.
func TestRedriveDeletesTheLettersOfWhatWasFoundToBeSent(t *testing.T) {
	d := newDesk(t)
	for _, id := range []string{"reported", "resolved", "doubt"} {
		d.letter(id, store.InDoubt, "in_doubt")
	}
	d.letter("twice", store.Sent, "") // one copy too many
	if _, err := d.db.Record(t.Context(), store.Event{ID: "reused", Channel: "sms", Type: "message_send", Status: store.Sent, PayloadHash: "another's"}); err != nil {
		t.Fatal(err)
	}
	d.letter("reused", "", "id_reuse")
	if err := d.db.UpdateStatus(t.Context(), store.StatusUpdate{ProviderID: "SM1", Status: store.Delivered, EventID: "reported", Provider: "twilio"}); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := worker(t, d.env, "events", "resolve", "resolved", "--sent"); code != 0 {
		t.Fatal(errOut)
	}
	code, out, errOut := worker(t, d.env, "redrive", "--dry-run", "--rate", "1000")
	if code != 0 || strings.Count(out, "would be deleted") != 3 || len(strings.Fields(d.keys(d.dead))) != 5 {
		t.Errorf("dry run: exit code %d, %s%s", code, out, errOut)
	}
	code, out, errOut = worker(t, d.env, "redrive", "--rate", "1000")
	if code != 0 || !strings.Contains(out, "deleted  it is settled: delivered") || !strings.Contains(out, "deleted  it is settled: sent") {
		t.Errorf("exit code %d, %s%s", code, out, errOut)
	}
	if got := d.keys(d.queue); got != "" {
		t.Errorf("sent again: %s", got)
	}
	if got := d.keys(d.dead); got != "doubt reused" && got != "reused doubt" {
		t.Errorf("left: %s", got)
	}
}

// SQS takes ten attributes: where they are all a producer's, and the body names no id,
// the message is given to its row, and loses nothing.
func TestRedriveLosesNothingOfALetterThatHasNoRoomForItsKey(t *testing.T) {
	d := newDesk(t)
	ten := attribute.Set{}
	for i := range 10 {
		ten[fmt.Sprint("p", i)] = attribute.Text("v")
	}
	const nameless = `{"type":"message_send","to":"+14155550123","body":"Hello"}`
	sent, err := d.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &d.dead, MessageBody: aws.String(nameless), MessageAttributes: ten})
	if err != nil {
		t.Fatal(err)
	}
	point := func(id string, status store.Status) { // a row that keeps its message, and a letter that says so
		t.Helper()
		if _, err := d.db.Record(t.Context(), store.Event{ID: id, Channel: "sms", Type: "message_send", Queue: "events", Status: status, Attempts: 1, PayloadHash: hashOf(t, nameless)}); err != nil {
			t.Fatal(err)
		}
		if err := d.db.Keep(t.Context(), id, store.Parked{Body: nameless, Attributes: ten.Encode()}); err != nil && status != store.Sent {
			t.Fatal(err)
		}
		if _, err := d.client.SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: &d.dead, MessageBody: aws.String(attribute.Pointer), MessageAttributes: attribute.Set{attribute.Key: attribute.Text(id)},
		}); err != nil {
			t.Fatal(err)
		}
	}
	point("pointed", store.Failed)
	point("doubt", store.InDoubt)
	point("sent", store.Sent)
	code, out, errOut := worker(t, d.env, "redrive", "--rate", "1000")
	if code != 0 || strings.Count(out, "redriven") != 2 || strings.Count(out, "deleted") != 1 || strings.Count(out, "doubt") != 2 { // its id, and once in what to do
		t.Fatalf("exit code %d, %s%s", code, out, errOut)
	}
	if got := d.keys(d.dead); got != "doubt" {
		t.Errorf("left: %s", got)
	}
	carrier := parking.Carrier{Store: d.db, SQS: d.client, Queues: map[string]string{"events": d.queue}, Logger: slog.New(slog.DiscardHandler)}
	if n, err := carrier.Carry(t.Context()); n != 2 || err != nil {
		t.Errorf("carried %d, %v", n, err)
	}
	want := []string{"pointed", *sent.MessageId}
	slices.Sort(want)
	got := strings.Fields(d.keys(d.queue))
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("on the queue: %v, want %v", got, want)
	}
	for _, id := range want {
		if kept, err := d.db.Kept(t.Context(), id); err != nil || kept.Body != nameless || kept.Attributes != ten.Encode() {
			t.Errorf("%s keeps %q, %v", id, kept.Body.Reveal(), err)
		}
	}
	if code, _, errOut = worker(t, d.env, "events", "resolve", "doubt", "--not-sent"); code != 0 || d.status("doubt") != store.New || d.keys(d.dead) != "" {
		t.Errorf("resolve: exit code %d, %s; the event is %s", code, errOut, d.status("doubt"))
	}
}

// put puts a message on the dead-letter queue as it is; attributes are name and
// value, one after the other.
func (d *desk) put(body string, attributes ...string) (sqsID string) {
	d.t.Helper()
	set := attribute.Set{}
	for i := 0; i < len(attributes); i += 2 {
		set[attributes[i]] = attribute.Text(attributes[i+1])
	}
	out, err := d.client.SendMessage(d.t.Context(), &sqs.SendMessageInput{QueueUrl: &d.dead, MessageBody: &body, MessageAttributes: set})
	if err != nil {
		d.t.Fatal(err)
	}
	return *out.MessageId
}

// record writes a row.
func (d *desk) record(e store.Event) {
	d.t.Helper()
	e.Channel, e.Type = "sms", "message_send"
	if inserted, err := d.db.Record(d.t.Context(), e); err != nil || !inserted {
		d.t.Fatal(inserted, err)
	}
}

// depth counts the dead letters.
func (d *desk) depth() (visible, hidden int, err error) {
	reader := deadletter.Reader{SQS: d.client, Sources: []deadletter.Source{{DeadLetters: d.dead}}}
	return reader.Count(d.t.Context())
}

func TestRedriveOfAnIDTellsOfThatAlone(t *testing.T) {
	d := newDesk(t)
	for n := range 5 {
		d.letter(fmt.Sprint("m", n), store.Failed, "21211")
	}
	code, out, errOut := worker(t, d.env, "redrive", "--id", "m3", "--rate", "1000")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 2 || !strings.Contains(lines[1], "m3") || !strings.Contains(errOut, "not selected: 4") {
		t.Errorf("exit code %d, %s%s", code, out, errOut)
	}
	if code, out, errOut := worker(t, d.env, "redrive", "--id", "m9"); code != 1 || !strings.Contains(errOut, `"m9"`) {
		t.Errorf("an id that is not there: exit code %d, %s%s", code, out, errOut)
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

// What a person said last counts, and a redriven message is sent anew: it carries when
// it was said.
func TestARedrivenStopCarriesWhenItWasSent(t *testing.T) {
	d := newDesk(t)
	const stop = `{"MessageSid":"SM1","From":"+14155550123","Body":"STOP","SmsStatus":"received"}`
	before := time.Now().Truncate(time.Millisecond)
	if _, err := d.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &d.dead, MessageBody: aws.String(stop)}); err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	if code, out, errOut := worker(t, d.env, "redrive", "--rate", "1000"); code != 0 {
		t.Fatalf("exit code %d, %s%s", code, out, errOut)
	}
	back, err := d.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &d.queue, MessageAttributeNames: []string{"All"}})
	if err != nil || len(back.Messages) != 1 {
		t.Fatal(back, err)
	}
	if at := attribute.Set(back.Messages[0].MessageAttributes).SentAt(); at.Before(before) || at.After(after) {
		t.Errorf("it says %v, want the time before the redrive", at)
	}
}

// A campaign's dead letters are on a queue of their own, and go back to the
// campaign's queue.
func TestTheDeadLettersOfEveryQueueOfAListAreFound(t *testing.T) {
	d := newDesk(t)
	d.letter("urgent", store.Failed, "21211")
	first, dead := d.queue, d.dead
	create := func(name string, attributes map[string]string) string {
		out, err := d.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		return *out.QueueUrl
	}
	d.dead = create("campaigns-dlq", nil)
	d.queue = create("campaigns", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:campaigns-dlq","maxReceiveCount":5}`})
	d.env["SMS_QUEUE_URL"] = first + "," + d.queue
	d.letter("campaign", store.Failed, "21211")
	d.letter("doubt", store.InDoubt, "in_doubt")
	code, out, errOut := worker(t, d.env, "redrive", "--rate", "1000")
	if code != 0 || d.keys(first) != "urgent" || d.keys(d.queue) != "campaign" || d.keys(dead) != "" {
		t.Errorf("exit code %d, %s%s; on the queues: %q and %q", code, out, errOut, d.keys(first), d.keys(d.queue))
	}
	if code, _, errOut = worker(t, d.env, "events", "resolve", "doubt", "--not-sent"); code != 0 || d.status("doubt") != store.New || d.keys(d.dead) != "" {
		t.Errorf("exit code %d, %s; the event is %s", code, errOut, d.status("doubt"))
	}
}

func TestAPersonDecidesWhatIsInDoubt(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want store.Status
		back string // on the queue
	}{
		"it was sent":                 {[]string{"--sent", "--provider-id", "SM7"}, store.Sent, ""},
		"it was not, and is sent":     {[]string{"--not-sent"}, store.New, "doubt"},
		"it was not, and has no copy": {[]string{"--not-sent", "--without-copy"}, store.New, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.letter("doubt", store.InDoubt, "in_doubt")
			code, _, errOut := worker(t, d.env, append([]string{"events", "resolve", "doubt"}, tc.args...)...)
			if code != 0 || d.status("doubt") != tc.want || d.keys(d.queue) != tc.back {
				t.Errorf("exit code %d, %s; the event is %s, on the queue: %s", code, errOut, d.status("doubt"), d.keys(d.queue))
			}
			if code, _, errOut = worker(t, d.env, "events", "resolve", "doubt", "--sent"); code != 1 || !strings.Contains(errOut, "not in doubt") {
				t.Errorf("a second word: exit code %d, %s", code, errOut)
			}
		})
	}
	t.Run("without a copy it says what to do, and changes nothing", func(t *testing.T) {
		d := newDesk(t)
		d.letter("doubt", store.InDoubt, "in_doubt")
		if _, err := d.client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &d.dead}); err != nil {
			t.Fatal(err)
		}
		code, _, errOut := worker(t, d.env, "events", "resolve", "doubt", "--not-sent")
		if code != 1 || !strings.Contains(errOut, "--without-copy") || d.status("doubt") != store.InDoubt {
			t.Errorf("exit code %d, %s; the event is %s", code, errOut, d.status("doubt"))
		}
	})
}

// A redrive that was killed, or another person's, hides letters for a while: that is
// no reason to have a message sent anew.
func TestWhatIsHiddenFromAPersonIsNotSaidToBeGone(t *testing.T) {
	d := newDesk(t)
	d.letter("doubt", store.InDoubt, "in_doubt")
	out, err := d.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &d.dead, VisibilityTimeout: 60})
	if err != nil || len(out.Messages) != 1 {
		t.Fatal(out, err)
	}
	code, _, errOut := worker(t, d.env, "events", "resolve", "doubt", "--not-sent")
	if code != 1 || !strings.Contains(errOut, "try again in five minutes") || strings.Contains(errOut, "--without-copy") || d.status("doubt") != store.InDoubt {
		t.Errorf("resolve: exit code %d, %s", code, errOut)
	}
	if code, _, errOut = worker(t, d.env, "redrive"); code != 0 || !strings.Contains(errOut, "1 dead letters could not be seen") {
		t.Errorf("redrive: exit code %d, %s", code, errOut)
	}
}

func TestAPersonIsForgottenAndOldEventsArePruned(t *testing.T) {
	d := newDesk(t)
	old := time.Now().Add(-100 * 24 * time.Hour)
	for n := range 3 {
		if _, err := d.db.Record(t.Context(), store.Event{ID: fmt.Sprint(n), Channel: "sms", Status: store.Sent, To: "+14155550123", CreatedAt: old}); err != nil {
			t.Fatal(err)
		}
	}
	if code, out, errOut := worker(t, d.env, "forget", "+14155550123"); code != 0 || !strings.Contains(out, "3 events") {
		t.Errorf("forget: exit code %d, %s%s", code, out, errOut)
	}
	if reason, err := d.db.SuppressionReason(t.Context(), "sms", "+14155550123"); err != nil || reason != "forgotten" {
		t.Errorf("suppressed for %q, error %v", reason, err)
	}
	for _, typo := range []string{"14155550123", "nobody", "+1415"} {
		if code, out, errOut := worker(t, d.env, "forget", typo); code != 2 || strings.Contains(errOut, typo) {
			t.Errorf("forget %s, which is nobody's: exit code %d, %s%s", typo, code, out, errOut)
		}
	}
	if _, err := d.db.Record(t.Context(), store.Event{ID: "spaced", Channel: "sms", Status: store.Sent, To: "+14155550199", CreatedAt: old}); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := worker(t, d.env, "forget", "+1 (415) 555-0199"); code != 0 || !strings.Contains(out, "1 events") {
		t.Errorf("a number as people write it: exit code %d, %s%s", code, out, errOut)
	}
	if code, _, errOut := worker(t, d.env, "prune", "--rows", "24h"); code != 2 || !strings.Contains(errOut, "sent twice") {
		t.Errorf("rows that a queue may still deliver: exit code %d, %s", code, errOut)
	}
	if code, out, errOut := worker(t, d.env, "prune", "--rows", "1000h", "--batch", "2", "--pause", "1ms"); code != 0 || !strings.Contains(out, "0 events erased") {
		t.Errorf("prune: exit code %d, %s%s", code, out, errOut) // forgotten just now: touched
	}
}

func TestLookingAtAHistoryThatIsNotThereMakesNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "typo.db")
	for _, verb := range [][]string{{"events"}, {"events", "show", "x"}, {"prune"}, {"forget", "+14155550123"}, {"redrive"}} {
		code, _, errOut := worker(t, map[string]string{"DATABASE_URL": "sqlite:" + path}, verb...)
		if code != 2 || !strings.Contains(errOut, "no database at "+path) {
			t.Errorf("%v: exit code %d, %s", verb, code, errOut)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file was made")
	}
}
