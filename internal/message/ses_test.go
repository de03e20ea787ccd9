package message

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/redact"
)

// The notices are AWS's own examples, shortened
// (https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html
// and …/notification-examples.html).
func TestWhatSESTellsIsUnderstood(t *testing.T) {
	t.Parallel()
	const mail = `"mail":{"timestamp":"2017-08-05T00:40:02.012Z","source":"Sender <sender@example.com>","messageId":"EX-1",
		"destination":["a@example.com","b@example.com"],"headersTruncated":false,"headers":[{"name":"X-ACS-ID","value":"by-header"}],
		"commonHeaders":{"subject":"Hi"},"tags":{"ses:configuration-set":["c"],"acs_id":["order-42"]}}`
	for name, tc := range map[string]struct {
		body, status, code, ownID string
		recipients                []redact.Personal
	}{
		"a bounce for good": {
			`{"eventType":"Bounce","bounce":{"bounceType":"Permanent","bounceSubType":"General","bouncedRecipients":[{"emailAddress":"A@Example.com","action":"failed","status":"5.1.1"}],"feedbackId":"f1","reportingMTA":"x"},` + mail + `}`,
			Bounced, "Permanent/General", "EX-1/bounced/f1",
			[]redact.Personal{"A@example.com"},
		},
		"a bounce of several for now": {
			`{"notificationType":"Bounce","bounce":{"bounceType":"Transient","bounceSubType":"MailboxFull","bouncedRecipients":[{"emailAddress":"a@example.com"},{"emailAddress":"\"B\" <b@example.com>"}],"feedbackId":"f2"},` + mail + `}`,
			SoftBounced, "Transient/MailboxFull", "EX-1/bounced/f2",
			[]redact.Personal{"a@example.com", "b@example.com"},
		},
		"a complaint": {
			`{"eventType":"Complaint","complaint":{"complainedRecipients":[{"emailAddress":"a@example.com"}],"feedbackId":"f3","complaintFeedbackType":"abuse"},` + mail + `}`,
			Complained, "abuse", "EX-1/complained/f3",
			[]redact.Personal{"a@example.com"},
		},
		"a complaint taken back": {
			`{"eventType":"Complaint","complaint":{"complainedRecipients":[{"emailAddress":"a@example.com"}],"feedbackId":"f3","complaintFeedbackType":"not-spam"},` + mail + `}`,
			NotSpam, "not-spam", "EX-1/complained/f3",
			[]redact.Personal{"a@example.com"},
		},
		"a delivery": {
			`{"eventType":"Delivery","delivery":{"timestamp":"T2","recipients":["a@example.com"],"smtpResponse":"250"},` + mail + `}`,
			"delivered", "", "EX-1/delivered/T2",
			[]redact.Personal{"a@example.com"},
		},
		"a send":             {`{"eventType":"Send","send":{},` + mail + `}`, "sent", "", "EX-1/sent/2017-08-05T00:40:02.012Z", []redact.Personal{"a@example.com", "b@example.com"}},
		"a reject":           {`{"eventType":"Reject","reject":{"reason":"Bad content"},` + mail + `}`, Rejected, "", "EX-1/rejected/2017-08-05T00:40:02.012Z", []redact.Personal{"a@example.com", "b@example.com"}},
		"an open":            {`{"eventType":"Open","open":{"ipAddress":"192.0.2.1","timestamp":"T3","userAgent":"x"},` + mail + `}`, "opened", "", "EX-1/opened/T3", nil},
		"a kind of tomorrow": {`{"eventType":"Teleport","teleport":[1],` + mail + `}`, "teleport", "", "EX-1/teleport/2017-08-05T00:40:02.012Z", []redact.Personal{"a@example.com", "b@example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quoted, _ := json.Marshal(tc.body)
			for _, body := range []string{
				tc.body, `{"Type":"Notification","MessageId":"sns-1","Message":` + string(quoted) + `}`,
				`{"version":"0","id":"6a7e8feb","detail-type":"Email Event","source":"aws.ses","account":"123456789012","resources":[],"detail":` + tc.body + `}`,
			} {
				m, err := Parse([]byte(body), "", "sqs-1", Email)
				if err != nil {
					t.Fatal(err)
				}
				if m.Type != Status || m.ProviderID != "EX-1" || m.EventID != "order-42" || m.ProviderStatus != tc.status || m.ProviderCode != tc.code || m.ID != tc.ownID || !reflect.DeepEqual(m.Recipients, tc.recipients) {
					t.Errorf("got %+v", m)
				}
			}
			byHeader, err := Parse([]byte(strings.Replace(tc.body, `"acs_id":["order-42"]`, `"x":[]`, 1)), "", "s", Email)
			if err != nil || byHeader.EventID != "by-header" {
				t.Errorf("by the header: got %+v, %v", byHeader, err)
			}
		})
	}
}

func TestAMailThatSESReceivedIsInbound(t *testing.T) {
	t.Parallel()
	m, err := Parse([]byte(`{"notificationType":"Received","content":"…","receipt":{"recipients":["help@example.com"]},"mail":{"messageId":"in-1","source":"A <a@example.com>","destination":["help@example.com"],"commonHeaders":{"subject":"Help"}}}`), "", "sqs-1", Email)
	if err != nil || m.Type != Received || m.ID != "in-1" || m.From != "a@example.com" || m.To != "help@example.com" || m.Subject != "Help" {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestAReportOfAProducersOwn(t *testing.T) {
	t.Parallel()
	m, err := Parse([]byte(`{"type":"message_status","provider_id":"EX-1","provider_status":"Bounce","provider_code":"Permanent","to":"a@example.com"}`), "", "sqs-1", Email)
	if err != nil || m.ProviderStatus != Bounced || len(m.Recipients) != 1 || m.Recipients[0] != "a@example.com" {
		t.Errorf("got %+v, %v", m, err)
	}
}
