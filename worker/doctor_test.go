package main

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/sandbox/twilio"
	"github.com/novaura/acs-operator/internal/store"
)

// diagnose runs the doctor and returns its verdicts by check.
func (d *desk) diagnose(want int) map[string]finding {
	d.t.Helper()
	code, out, errOut := worker(d.t, d.env, "doctor", "-o", "json")
	var list []finding
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != want {
		d.t.Fatalf("exit code %d, want %d: %v, %s%s", code, want, err, out, errOut)
	}
	if strings.Contains(out+errOut, "hunter2") {
		d.t.Errorf("a secret is printed: %s%s", out, errOut)
	}
	found := map[string]finding{}
	for _, one := range list {
		found[one.Check] = one
	}
	return found
}

func TestDoctorFindsWhatAWorkerLacks(t *testing.T) {
	provider := httptest.NewServer(twilio.New(twilio.Options{}))
	defer provider.Close()
	const dead = "queue events dead letters"
	for name, tc := range map[string]struct {
		env         map[string]string
		redrive     string
		check, want string
		do          string
		exit        int
	}{
		"nothing lacks":               {check: dead, want: "OK", exit: 0},
		"the provider answers":        {check: "sender sms", want: "OK", exit: 0},
		"the database answers":        {check: "database", want: "OK", exit: 0},
		"the clock is right":          {check: "clock", want: "OK", exit: 0},
		"a channel without a sender":  {env: map[string]string{"EMAIL_QUEUE_URL": "http://127.0.0.1:1/1/mail"}, check: "settings email", want: "WARN", do: "set it", exit: 1},
		"a queue that is not reached": {env: map[string]string{"EMAIL_QUEUE_URL": "http://127.0.0.1:1/1/mail"}, check: "queue mail", want: "FAIL", do: "check its URL", exit: 1},
		"a channel named, no sender":  {env: map[string]string{"WORKER_TYPE": "sms,push"}, check: "settings push", want: "FAIL", do: "set it", exit: 1},
		"no database":                 {env: map[string]string{"DATABASE_URL": "sqlite:nowhere.db"}, check: "database", want: "FAIL", do: "DATABASE_URL", exit: 1},
		"a provider that is away":     {env: map[string]string{"TWILIO_BASE_URL": "http://127.0.0.1:1"}, check: "sender sms", want: "FAIL", do: "credentials", exit: 1},
		"no policy where it should be": {
			env: map[string]string{"WORKER_POLICY": "nowhere.yaml"}, check: "policy", want: "FAIL", do: "correct the policy", exit: 1,
		},
		"too short a stop":         {env: map[string]string{"WORKER_STOP_TIMEOUT": "30s"}, check: "stop", want: "WARN", do: "stopTimeout", exit: 0},
		"no dead-letter queue":     {redrive: " ", check: dead, want: "FAIL", do: "maxReceiveCount", exit: 1},
		"too few receives":         {redrive: `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:events-dlq","maxReceiveCount":"2"}`, check: dead, want: "FAIL", do: "5 or more", exit: 1},
		"a short visibility, fine": {check: "queue events visibility", want: "OK", exit: 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.env["TWILIO_ACCOUNT_SID"], d.env["TWILIO_AUTH_TOKEN"], d.env["TWILIO_FROM_NUMBER"] = "AC"+strings.Repeat("0", 32), "hunter2", "+14155550100"
			d.env["TWILIO_BASE_URL"], d.env["WORKER_STOP_TIMEOUT"] = provider.URL, "120s"
			maps.Copy(d.env, tc.env)
			if tc.redrive != "" {
				_, err := d.client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
					QueueUrl: &d.queue, Attributes: map[string]string{"RedrivePolicy": strings.TrimSpace(tc.redrive)},
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			got := d.diagnose(tc.exit)[tc.check]
			if string(got.Verdict) != tc.want || !strings.Contains(got.Do, tc.do) || (got.Do == "") != (tc.want == "OK") {
				t.Errorf("got %+v, want %s and to %s", got, tc.want, tc.do)
			}
		})
	}
}

// A queue that was renamed, or taken from the list, leaves what is parked for it with
// nobody.
func TestDoctorFindsWhatIsParkedForAQueueThatNoWorkerNames(t *testing.T) {
	d := newDesk(t)
	for id, queue := range map[string]string{"stray": "old-events", "ours": "events"} {
		if _, err := d.db.Record(t.Context(), store.Event{ID: id, Channel: "sms", Type: "message_send", Status: store.Scheduled, Queue: queue, PayloadHash: "h"}); err != nil {
			t.Fatal(err)
		}
		if err := d.db.Park(t.Context(), id, "h", store.Parked{Body: "{}", After: -2 * time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errOut := worker(t, d.env, "doctor")
	if !strings.Contains(out, "parked old-events") || !strings.Contains(out, "1 messages have been due for over an hour") || strings.Contains(out, "parked events") {
		t.Errorf("exit code %d, %s%s", code, out, errOut)
	}
}
