package consumer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/attribute"
)

const redrive = `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:events-dlq","maxReceiveCount":5}`

func TestADeadLetterIsDeletedOnlyOnceItsCopyIsAccepted(t *testing.T) {
	fails := func(n int, err error) []error { return slices.Repeat([]error{err}, n) }
	for name, tc := range map[string]struct {
		policy, given string
		reason        string
		send          []error // how the sends fail
		attributes    []error
		url           string
		want          map[string]string // the copy's attributes; nil: no copy
		stays         bool
		says          string
	}{
		"to the queue that the policy names": {policy: redrive, reason: "no channel", url: "https://queue/123456789012/events-dlq",
			want: map[string]string{"acs_id": "key", "acs_reason": "no channel", "acs_deferrals": "2"}},
		"to the queue that was given": {given: "https://other", policy: redrive, reason: "r", url: "https://other",
			want: map[string]string{"acs_id": "key", "acs_reason": "r", "acs_deferrals": "2"}},
		"without a reason": {given: "https://other", url: "https://other", want: map[string]string{"acs_id": "key", "acs_deferrals": "2"}},
		"a reason that SQS would refuse": {given: "https://other", reason: "a\x00b\xff" + strings.Repeat("c", 600), url: "https://other",
			want: map[string]string{"acs_id": "key", "acs_reason": "a b\uFFFD" + strings.Repeat("c", 508), "acs_deferrals": "2"}},
		"a copy that fails for now":                     {policy: redrive, reason: "r", send: fails(3, errors.New("reset")), url: "https://queue/123456789012/events-dlq", want: map[string]string{"acs_id": "key", "acs_reason": "r", "acs_deferrals": "2"}},
		"a copy that fails on":                          {policy: redrive, send: fails(4, errors.New("reset")), stays: true, says: "it stays"},
		"no room for the reason":                        {policy: redrive, reason: "r", send: fails(1, apiError("InvalidParameterValue")), url: "https://queue/123456789012/events-dlq", want: map[string]string{"acs_id": "key", "acs_deferrals": "2"}},
		"no room for the key":                           {policy: redrive, reason: "r", send: fails(2, apiError("InvalidParameterValue")), url: "https://queue/123456789012/events-dlq", want: map[string]string{"acs_id": "key", "acs_deferrals": "2"}},
		"no room for the body":                          {policy: redrive, send: fails(4, apiError("InvalidParameterValue")), stays: true, says: "it stays"},
		"the policy cannot be read":                     {attributes: fails(2, errors.New("reset")), stays: true, says: "find the dead-letter queue"},
		"a policy that is none":                         {policy: `{"deadLetterTargetArn":"x"}`, stays: true, says: "redrive policy's target"},
		"no dead-letter queue, nor a row that keeps it": {reason: "no channel", stays: true, says: "no dead-letter queue"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake("m")
				f.policy, f.fail["send"], f.fail["attributes"] = tc.policy, tc.send, tc.attributes
				f.messages[0].attributes = map[string]types.MessageAttributeValue{
					"acs_id":        {DataType: aws.String("String"), StringValue: aws.String("key")},
					"acs_deferrals": {DataType: aws.String("Number"), StringValue: aws.String("2")},
				}
				c := start(t, f, Options{DeadLetterURL: tc.given, Handler: takes(0, Outcome{Action: DeadLetter, Failed: true, Reason: tc.reason, Pause: time.Hour})})
				pass(1100 * time.Millisecond)
				if stays := len(f.left()) == 1; stays != tc.stays {
					t.Errorf("stays %t, want %t", stays, tc.stays)
				}
				if !strings.Contains(c.log.String(), tc.says) {
					t.Errorf("the log does not say %q:\n%s", tc.says, c.log)
				}
				if (tc.want == nil) != (len(f.dead) == 0) {
					t.Fatalf("copies: %d", len(f.dead))
				}
				if tc.want == nil {
					return
				}
				copied := f.dead[0]
				if *copied.QueueUrl != tc.url || *copied.MessageBody != "m" || len(copied.MessageAttributes) != len(tc.want) || c.Stats().DeadLettered != 1 {
					t.Errorf("copy to %s with %d attributes; want %s, %v", *copied.QueueUrl, len(copied.MessageAttributes), tc.url, tc.want)
				}
				for attribute, want := range tc.want {
					if got := aws.ToString(copied.MessageAttributes[attribute].StringValue); got != want {
						t.Errorf("%s: got %q, want %q", attribute, got, want)
					}
				}
			})
		})
	}
}

func TestWithoutADeadLetterQueueAMessageIsKeptElsewhereOrStays(t *testing.T) {
	for name, tc := range map[string]struct {
		outcome Outcome
		err     error
		row     string
		stays   bool
	}{
		"by its row's key":          {outcome: Outcome{Row: "row", Key: "key"}, row: "row"},
		"by its own key":            {outcome: Outcome{Key: "key"}, row: "key"},
		"by its SQS id":             {row: "id-1"},
		"not where it is not taken": {err: errors.New("connection refused"), row: "id-1", stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake("m")
				tc.outcome.Action, tc.outcome.Failed, tc.outcome.Pause = DeadLetter, true, time.Hour
				var rows []string
				c := start(t, f, Options{Handler: takes(0, tc.outcome), Keep: func(_ context.Context, r Received, row string) error {
					if r.Body != "m" {
						t.Errorf("kept %+v", r)
					}
					rows = append(rows, row)
					return tc.err
				}})
				pass(1100 * time.Millisecond)
				if stays := len(f.left()) == 1; stays != tc.stays || len(rows) != 1 || rows[0] != tc.row {
					t.Errorf("stays %t, kept in %v; want %t, %s\n%s", stays, rows, tc.stays, tc.row, c.log)
				}
			})
		})
	}
}

func TestACopyWithoutAKeyOfItsOwnCarriesItsSQSID(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("m")
		start(t, f, Options{DeadLetterURL: "https://other", Handler: takes(0, Outcome{Action: DeadLetter})})
		pass(time.Second)
		if got := aws.ToString(f.dead[0].MessageAttributes["acs_id"].StringValue); got != "id-1" {
			t.Errorf("acs_id %q, want the message's id", got)
		}
	})
}

// SQS takes ten attributes and a mebibyte: a dead letter that has no room for its key
// stays whole in its row, and what goes to the queue says which.
func TestADeadLetterWithoutRoomForItsKeyPointsToItsRow(t *testing.T) {
	refusal := apiError("InvalidParameterValue")
	for name, tc := range map[string]struct {
		body    string
		posted  bool
		keepErr error
		refuse  int
		want    string // the copy's body; empty: none
		keys    map[string]string
		kept    bool
	}{
		"its row takes it":             {body: "m", refuse: 2, want: attribute.Pointer, keys: map[string]string{"acs_id": "key", "acs_reason": "r"}, kept: true},
		"the body names the key":       {body: `{"id":"key"}`, refuse: 2, want: `{"id":"key"}`, keys: map[string]string{"campaign": "spring"}},
		"its row does not take it":     {body: "m", refuse: 2, keepErr: errors.New("connection refused"), kept: true},
		"a post has no row of its own": {body: "m", posted: true, refuse: 2, want: "m", keys: map[string]string{"acs_id": "key", WebhookURL: "u", attribute.Sent: "946684800000"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake(tc.body)
				f.fail["send"] = slices.Repeat([]error{refusal}, tc.refuse)
				f.messages[0].attributes = attribute.Set{"campaign": attribute.Text("spring")}
				if tc.posted {
					f.messages[0].attributes[WebhookURL] = attribute.Text("u")
				}
				kept := false
				start(t, f, Options{DeadLetterURL: "https://other", Handler: takes(0, Outcome{Action: DeadLetter, Failed: true, Key: "key", Reason: "r", Pause: time.Hour}),
					Keep: func(_ context.Context, r Received, row string) error {
						kept = row == "key" && r.Body == tc.body && r.Attributes.Text("campaign") == "spring"
						return tc.keepErr
					}})
				pass(1100 * time.Millisecond)
				if kept != tc.kept || (len(f.left()) == 1) != (tc.want == "") {
					t.Errorf("kept %t, %d left", kept, len(f.left()))
				}
				if tc.want == "" {
					return
				}
				if len(f.dead) != 1 || *f.dead[0].MessageBody != tc.want || len(f.dead[0].MessageAttributes) != len(tc.keys) {
					t.Fatalf("copies: %+v", f.dead)
				}
				for name, want := range tc.keys {
					if got := attribute.Set(f.dead[0].MessageAttributes).Text(name); got != want {
						t.Errorf("%s: %q", name, got)
					}
				}
			})
		})
	}
}

func TestADeadLetterOfAPostCarriesWhenItWasSent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("m")
		f.messages[0].attributes = attribute.Set{WebhookURL: attribute.Text("u")}
		var sent time.Time
		start(t, f, Options{DeadLetterURL: "https://other", Handler: each(func(_ context.Context, r Received) Outcome {
			sent = r.SentAt
			return Outcome{Action: DeadLetter, Reason: "webhook_signature"}
		})})
		pass(time.Second)
		if got := attribute.Set(f.dead[0].MessageAttributes).SentAt(); sent.IsZero() || !got.Equal(sent) {
			t.Errorf("sent at %v, and the copy says %v", sent, got)
		}
	})
}
