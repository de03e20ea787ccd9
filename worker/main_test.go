package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// worker calls the worker as a shell would, with a clean environment.
func worker(t *testing.T, env map[string]string, args ...string) (code int, out, errOut string) {
	t.Helper()
	for _, name := range []string{"WORKER_TYPE", "SMS_QUEUE_URL", "DATABASE_URL", "DB_HOST", "DB_NAME", "DB_USER", "AWS_REGION", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM_NUMBER", "TWILIO_CREDENTIALS", "TWILIO_CREDENTIALS_ARN", "EMAIL_QUEUE_URL", "PUSH_QUEUE_URL", "EMAIL_PROVIDER", "SMTP_URL", "FCM_CREDENTIALS", "WORKER_POLICY", "DB_PASSWORD_ARN"} {
		t.Setenv(name, "")
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestAMissingSettingIsOneLineThatNamesTheVariable(t *testing.T) {
	queue := "http://127.0.0.1:1/123456789012/novaura-acs-sms-events"
	for name, tc := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"run without a queue":                   {want: "SMS_QUEUE_URL is not set", args: []string{"run"}},
		"the predecessor's name for run":        {want: "SMS_QUEUE_URL is not set", args: []string{"run_communication_worker", "--worker-type", "all"}},
		"a channel that is none":                {env: map[string]string{"WORKER_TYPE": "fax"}, args: []string{"run"}, want: `WORKER_TYPE is "fax"`},
		"a FIFO queue":                          {args: []string{"run", "--sms-queue-url", queue + ".fifo"}, want: "FIFO"},
		"a channel named, and no sender for it": {args: []string{"run", "--worker-type", "sms", "--sms-queue-url", queue}, want: "TWILIO_ACCOUNT_SID is not set"},
		"a mail channel named, and no queue":    {args: []string{"run", "--worker-type", "sms,email", "--sms-queue-url", queue}, want: "EMAIL_QUEUE_URL is not set"},
		"a mail channel named, and no sender":   {args: []string{"run", "--worker-type", "all,email", "--email-queue-url", queue}, want: "EMAIL_PROVIDER is not set"},
		"SMTP without a server":                 {env: map[string]string{"EMAIL_PROVIDER": "smtp"}, args: []string{"run", "--worker-type", "email", "--email-queue-url", queue}, want: "SMTP_URL is not set"},
		"pushes named, and no sender":           {args: []string{"run", "--worker-type", "push", "--push-queue-url", queue}, want: "FCM_CREDENTIALS"},
		"a FIFO queue among others":             {args: []string{"run", "--email-queue-url", queue + ", " + queue + ".fifo"}, want: "EMAIL_QUEUE_URL names a FIFO queue"},
		"no region":                             {args: []string{"run", "--sms-queue-url", queue}, want: "AWS_REGION is not set"},
		"no database":                           {env: map[string]string{"AWS_REGION": "us-east-1"}, args: []string{"run", "--sms-queue-url", queue}, want: "DATABASE_URL is not set"},
		"half a database":                       {env: map[string]string{"AWS_REGION": "us-east-1", "DB_HOST": "db"}, args: []string{"run", "--sms-queue-url", queue}, want: "DB_NAME is not set"},
		"send without a recipient":              {args: []string{"send", "--body", "x"}, want: "--to-number"},
		"send to something else":                {args: []string{"build_sqs_message", "--to-number", "nobody", "--body", "x", "--dry-run"}, want: "refuse this message"},
		"events of no database":                 {args: []string{"events"}, want: "DATABASE_URL is not set"},
		"events of a status that is none":       {args: []string{"events", "--status", "broken"}, want: "in_doubt"},
		"a verb that is none":                   {args: []string{"fly"}, want: "fly"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errOut := worker(t, tc.env, tc.args...)
			lines := strings.Split(strings.TrimSpace(errOut), "\n")
			if last := lines[len(lines)-1]; code != 2 || !strings.Contains(last, tc.want) {
				t.Errorf("exit code %d, last line %q; want 2 and %q", code, last, tc.want)
			}
		})
	}
}

func TestSendShowsEachMessageInADryRun(t *testing.T) {
	code, out, errOut := worker(t, nil, "send", "--channel", "sms", "--message-type", "message_send", "--to-number", "+14155550123", "--body", "number {n}", "--count", "12", "--dry-run")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 12 {
		t.Fatalf("exit code %d, %d lines, %s", code, len(lines), errOut)
	}
	var last struct{ ID, To, Body string }
	if err := json.Unmarshal([]byte(lines[11]), &last); err != nil || last.To != "+14155550123" || last.Body != "number 12" || last.ID == "" {
		t.Errorf("last message %s", lines[11])
	}
}

func TestEventsAreAnArrayOfRowsWithMaskedAddresses(t *testing.T) {
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "acs.db")
	if code, _, errOut := worker(t, map[string]string{"DATABASE_URL": dsn}, "migrate"); code != 0 {
		t.Fatal(errOut)
	}
	db, err := open.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	results, err := db.Claim(t.Context(), "me", time.Minute, []store.Claim{{ID: "m1", Channel: "sms", Type: "message_send", To: "+14155550123", Queue: "q", PayloadHash: "h"}})
	if err != nil || results[0].Outcome != store.Granted {
		t.Fatal(results, err)
	}
	if _, err := db.Settle(t.Context(), []store.Settlement{{ID: "m1", Attempt: 1, Owner: "me", Status: store.Sent, Provider: "twilio", ProviderID: "SM1"}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := worker(t, map[string]string{"DATABASE_URL": dsn}, "events", "-o", "json")
	var rows []map[string]any
	if code != 0 || json.Unmarshal([]byte(out), &rows) != nil || len(rows) != 1 {
		t.Fatalf("exit code %d: %s%s", code, out, errOut)
	}
	if rows[0]["id"] != "m1" || rows[0]["status"] != "sent" || rows[0]["provider_id"] != "SM1" || rows[0]["to_address"] != "…23" {
		t.Errorf("row %v", rows[0])
	}
	code, out, _ = worker(t, map[string]string{"DATABASE_URL": dsn}, "events", "show", "m1", "--reveal")
	if code != 0 || !strings.Contains(out, "+14155550123") || !strings.Contains(out, "SM1") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, _, _ = worker(t, map[string]string{"DATABASE_URL": dsn}, "events", "show", "nobody"); code != 1 {
		t.Errorf("an event that is not there: exit code %d, want 1", code)
	}
}

func TestAnEventThatWasRefusedBeforeAnyAttemptSaysWhy(t *testing.T) {
	d := newDesk(t)
	if _, err := d.db.Record(t.Context(), store.Event{ID: "m", Channel: "sms", Status: store.Failed, ErrorCode: "bad_json", Error: "it ends early"}); err != nil {
		t.Fatal(err)
	}
	for _, verb := range [][]string{{"events", "show", ""}, {"events", "resolve", "", "--sent"}} {
		if code, out, errOut := worker(t, d.env, verb...); code != 2 || !strings.Contains(errOut, "id is empty") {
			t.Errorf("%q: exit code %d, %s%s", verb, code, out, errOut)
		}
	}
	if code, out, errOut := worker(t, d.env, "events", "show", "m"); code != 0 || !strings.Contains(out, "bad_json: it ends early\n") {
		t.Errorf("exit code %d, %s%s", code, out, errOut)
	}
}

func TestTheSchemaIsJSON(t *testing.T) {
	code, out, _ := worker(t, nil, "schema")
	if code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("exit code %d: %s", code, out)
	}
}
