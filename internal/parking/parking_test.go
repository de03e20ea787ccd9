package parking

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/sqlite"
)

// queue remembers the copies, and refuses what it is told to.
type queue struct {
	copies []string // key, body, group
	down   bool
	refuse map[string]bool // by key
}

func (q *queue) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	if q.down {
		return nil, errors.New("connection refused")
	}
	out, size := &sqs.SendMessageBatchOutput{}, 0
	for _, e := range in.Entries {
		key := aws.ToString(e.MessageAttributes[attribute.Key].StringValue)
		if size += len(aws.ToString(e.MessageBody)); q.refuse[key] {
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError")})
			continue
		}
		q.copies = append(q.copies, key+" "+strconv.Itoa(len(aws.ToString(e.MessageBody)))+" "+aws.ToString(e.MessageGroupId))
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	if size > batchMost && len(in.Entries) > 1 {
		return nil, errors.New("BatchRequestTooLong")
	}
	return out, nil
}

type room struct {
	*Carrier

	queue *queue
	db    store.Store
	now   time.Time
}

func enter(t *testing.T, sizes ...int) *room {
	t.Helper()
	r := &room{queue: &queue{refuse: map[string]bool{}}, now: time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)}
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "acs.db"), sqlite.Options{Now: func() time.Time { return r.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, size := range sizes {
		id := strconv.Itoa(i)
		if _, err := db.Record(t.Context(), store.Event{ID: id, Status: store.Scheduled, Queue: "sms", PayloadHash: "h"}); err != nil {
			t.Fatal(err)
		}
		body := redact.Personal(strings.Repeat("x", size))
		if err := db.Park(t.Context(), id, "h", store.Parked{Body: body, GroupID: "tenant", After: time.Duration(i) * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
	}
	r.now = r.now.Add(time.Second)
	r.db, r.Carrier = db, &Carrier{Store: db, SQS: r.queue, Queues: map[string]string{"sms": "http://sqs/sms"}, Logger: slog.New(slog.DiscardHandler)}
	return r
}

func (r *room) carry(t *testing.T, want int) {
	t.Helper()
	if got, err := r.Carry(t.Context()); got != want || err != nil {
		t.Fatalf("carried %d with error %v, want %d", got, err, want)
	}
}

func TestWhatIsDueGoesBackOnceWithItsKeyAndTenant(t *testing.T) {
	t.Parallel()
	r := enter(t, 5, 7)
	r.carry(t, 2)
	r.carry(t, 0)
	if got := strings.Join(r.queue.copies, ", "); got != "0 5 tenant, 1 7 tenant" {
		t.Errorf("got %s", got)
	}
	if events, _ := r.db.Events(t.Context(), store.Filter{ID: "0"}); !events[0].DueAt.IsZero() {
		t.Error("the row is still parked")
	}
}

func TestWhatAQueueDoesNotTakeStaysParkedAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := enter(t, 1, 1)
	r.queue.down = true
	if _, err := r.Carry(t.Context()); err == nil {
		t.Fatal("got no error")
	}
	r.queue.down, r.queue.refuse["0"] = false, true
	r.carry(t, 0) // leased by the carrier that failed
	r.now = r.now.Add(lease)
	if got, err := r.Carry(t.Context()); got != 1 || err == nil {
		t.Fatalf("carried %d with error %v", got, err)
	}
	delete(r.queue.refuse, "0")
	r.now = r.now.Add(lease)
	r.carry(t, 1)
	if got := strings.Join(r.queue.copies, ", "); got != "1 1 tenant, 0 1 tenant" {
		t.Errorf("got %s, want the one that was taken not to go again", got)
	}
}

func TestLargeMessagesShareNoCall(t *testing.T) {
	t.Parallel()
	r := enter(t, 200<<10, 200<<10, 10, 300<<10)
	r.carry(t, 4)
}

func TestMessagesThatNobodyCarriesBackAreTold(t *testing.T) {
	t.Parallel()
	r := enter(t, 1, 1)
	var log strings.Builder
	r.Logger, r.Queues = slog.New(slog.NewTextHandler(&log, nil)), map[string]string{"another": "http://sqs/another"}
	r.warn(t.Context())
	if log.Len() > 0 {
		t.Errorf("within the hour: %s", log.String())
	}
	r.now = r.now.Add(time.Hour)
	r.warn(t.Context())
	if got := log.String(); !strings.Contains(got, "queue=sms messages=2") {
		t.Errorf("got %s", got)
	}
	log.Reset()
	r.Queues["sms"] = "http://sqs/sms"
	if r.warn(t.Context()); log.Len() > 0 {
		t.Errorf("of a queue that is ours: %s", log.String())
	}
}
