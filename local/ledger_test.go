package main

import (
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

var emptyQueues = fmt.Sprintf(`{"Version":1,"Queues":[{"Name":%q},{"Name":%q}]}`, smsQueue, smsQueue+"-dlq")

// desk is a queue of texts, a history, and the report about both.
type desk struct {
	queues *sqs.Service
	report *report
	out    strings.Builder
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{queues: sqs.New(sqs.Options{Account: "123456789012", Region: region})}
	if err := d.queues.Load(strings.NewReader(emptyQueues)); err != nil {
		t.Fatal(err)
	}
	db, err := open.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "acs.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := newProviders(t.Context(), "http://127.0.0.1:1", "123456789012", d.queues)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.mail.Close() })
	queues := channelQueues()[:1]
	d.report = &report{
		began: time.Now().Add(-time.Second), out: &d.out, db: db, queues: queues, service: d.queues, providers: p,
		load: newLoad(nil, p, queues, []string{"sms"}, io.Discard), inherited: map[message.Channel]held{},
	}
	return d
}

// put puts a body on a queue.
func (d *desk) put(t *testing.T, queue, body string) {
	t.Helper()
	if err := d.queues.Deliver("arn:aws:sqs:"+region+":123456789012:"+queue, body, nil); err != nil {
		t.Fatal(err)
	}
}

// record writes rows of the history.
func (d *desk) record(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		claims := []store.Claim{{ID: id, Channel: "sms", Type: string(message.Send), Queue: smsQueue, Token: id}}
		if _, err := d.report.db.Claim(t.Context(), "owner", time.Minute, claims); err != nil {
			t.Fatal(err)
		}
	}
}

func text(id string) string {
	return fmt.Sprintf(`{"id":%q,"channel":"sms","type":"message_send","to":"+14155550123","body":"Hello"}`, id)
}

func statusOf(sid string) string {
	return url.Values{"MessageSid": {sid}, "MessageStatus": {"delivered"}, "To": {"+14155550123"}, "From": {senderNumber}}.Encode()
}

func TestTheClosingReportCountsSendsAndDeliveryReportsApart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		play func(t *testing.T, d *desk)
		want []string // of what is printed
		fail bool
	}{
		"delivery reports that an earlier run left are not lost": {
			play: func(t *testing.T, d *desk) {
				d.put(t, smsQueue, statusOf("SM1"))
				d.put(t, smsQueue, statusOf("SM2"))
				d.inherit()
				d.load(t, emptyQueues)
			},
			want: []string{"lost 0, sent twice 0"},
		},
		"a delivery report that still waits hides no loss": {
			play: func(t *testing.T, d *desk) {
				d.report.load.lanes[0].ids = []string{"a"}
				d.put(t, smsQueue, statusOf("SM1"))
			},
			want: []string{"still waiting 0 messages and 1 reports", "lost 1, sent twice 0"},
			fail: true,
		},
		"what is in the history, waits, or is a dead letter is not lost": {
			play: func(t *testing.T, d *desk) {
				d.report.load.lanes[0].ids = []string{"row", "waits", "dead"}
				d.record(t, "row")
				d.put(t, smsQueue, text("waits"))
				d.put(t, smsQueue+"-dlq", text("dead"))
			},
			want: []string{"queued 3;", "still waiting 1 messages and 0 reports; dead letters 1", "lost 0, sent twice 0"},
		},
		"a message of an earlier run with its row from then is not lost": {
			play: func(t *testing.T, d *desk) {
				d.record(t, "old")
				d.put(t, smsQueue, text("old"))
				d.inherit()
				d.load(t, emptyQueues)
				d.report.began = time.Now().Add(time.Hour)
			},
			want: []string{"queued 0 and 1 from the last run;", "lost 0, sent twice 0"},
		},
		"a message of an earlier run that vanished is lost": {
			play: func(t *testing.T, d *desk) {
				d.put(t, smsQueue, text("old"))
				d.inherit()
				d.load(t, emptyQueues)
			},
			want: []string{"lost 1, sent twice 0"},
			fail: true,
		},
		"messages that others sent hide no loss": {
			play: func(t *testing.T, d *desk) {
				d.report.load.lanes[0].ids = []string{"a"}
				d.record(t, "theirs", "theirs too")
			},
			want: []string{"lost 1, sent twice 0"},
			fail: true,
		},
		"what a deleted queue held is told as such": {
			play: func(t *testing.T, d *desk) {
				d.report.load.lanes[0].ids = []string{"a", "b"}
				d.record(t, "b")
				d.load(t, `{"Version":1}`)
			},
			want: []string{"the queue was deleted, and 1 messages with it", "lost 0, sent twice 0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			tc.play(t, d)
			err := d.report.summary(t.Context())
			for _, want := range tc.want {
				if !strings.Contains(d.out.String(), want) {
					t.Errorf("printed %s, want %q", &d.out, want)
				}
			}
			if (err != nil) != tc.fail {
				t.Errorf("got the error %v", err)
			}
		})
	}
}

// load replaces all queues by those of a snapshot.
func (d *desk) load(t *testing.T, snapshot string) {
	t.Helper()
	if err := d.queues.Load(strings.NewReader(snapshot)); err != nil {
		t.Fatal(err)
	}
}

func (d *desk) inherit() {
	d.report.inherited[message.SMS] = holdings(d.queues, d.report.queues[0])
}

func TestTheStatusLineCountsReportsApartAndSaysWhatIsDown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.report.controller = &supervisor{out: io.Discard, tail: &tail{}}
	d.report.reports.Store(96)
	d.report.queues = nil
	if got, want := d.report.status(t.Context(), 48, 1, 2), "queued 0 and 96 delivery reports, sent 48, waiting 0, tasks 1 of 2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	d.report.controller.sayDown(nil, time.Second, time.Second)
	if got := d.report.status(t.Context(), 48, 1, 2); !strings.HasSuffix(got, "tasks 1 of 2, controller: down for 0s, restarting") {
		t.Errorf("while the controller is down: got %q", got)
	}
}
