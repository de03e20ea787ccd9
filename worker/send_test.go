package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
)

// another makes another queue, for another channel.
func (d *desk) another(variable, name string) string {
	d.t.Helper()
	out, err := d.client.CreateQueue(d.t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		d.t.Fatal(err)
	}
	d.env[variable] = *out.QueueUrl
	return *out.QueueUrl
}

// one takes the only message of a queue.
func (d *desk) one(queue string) types.Message {
	d.t.Helper()
	out, err := d.client.ReceiveMessage(d.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &queue, MaxNumberOfMessages: 10, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil || len(out.Messages) != 1 {
		d.t.Fatalf("%d messages on %s (%v), want 1", len(out.Messages), queue, err)
	}
	return out.Messages[0]
}

func TestSendPutsAMessageOfEachChannelOnItsQueue(t *testing.T) {
	for name, tc := range map[string]struct {
		args    string
		channel message.Channel
		want    string
		note    string
	}{
		"a text": {"send --to-number +14155550123 --body Hi-{n}", message.SMS, "+14155550123  Hi-1", ""},
		"a text, by the predecessor's words": {
			"build_sqs_message --worker-type sms --message-type message_send --from-number +14155550199 --to-number +14155550123 --body Hi --from-email a@example.com --to-email b@example.com --subject S",
			message.SMS, "+14155550123  Hi", "--from-email, --to-email, --subject",
		},
		"a text that came in":    {"build_sqs_message --channel SMS --message-type message_received --from-number +14155550123 --to-number +14155550199 --body STOP", message.SMS, "+14155550199  STOP", ""},
		"a mail, by the worker":  {"build_sqs_message --worker-type email --to-email b@example.com --subject S --body Hi", message.Email, "b@example.com S Hi", ""},
		"a mail, by its address": {"send --to-email b@example.com --subject S --body Hi", message.Email, "b@example.com S Hi", ""},
		"the channel goes before the worker": {
			"send --worker-type sms --channel email --to-email b@example.com --subject S --body Hi --tenant acme", message.Email, "b@example.com S Hi", "",
		},
		"a push to devices":  {`send --token {"endpoint":"https://e","keys":{}} --token t2 --title T --platform web --body Hi`, message.Push, `{"endpoint":"https://e","keys":{}}+t2 T Hi`, ""},
		"a push to a topic":  {"send --channel push --topic news --title T", message.Push, "/news T ", ""},
		"a tenant's message": {"send --to-number +14155550123 --body Hi --tenant acme", message.SMS, "+14155550123  Hi", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			queues := map[message.Channel]string{message.SMS: d.queue, message.Email: d.another("EMAIL_QUEUE_URL", "mail"), message.Push: d.another("PUSH_QUEUE_URL", "push")}
			code, out, errOut := worker(t, d.env, strings.Fields(tc.args)...)
			if code != 0 || !strings.Contains(out, "sent 1 message") || !strings.Contains(errOut, tc.note) || (tc.note == "") != (errOut == "") {
				t.Fatalf("exit code %d: %s%s", code, out, errOut)
			}
			got := d.one(queues[tc.channel])
			m, err := message.Parse([]byte(*got.Body), "", "sqs", tc.channel)
			if err != nil {
				t.Fatal(err)
			}
			tokens := make([]string, len(m.Tokens))
			for i, token := range m.Tokens {
				tokens[i] = token.Reveal()
			}
			said := m.To.Reveal() + strings.Join(tokens, "+")
			if m.Topic != "" {
				said += "/" + m.Topic
			}
			if said += " " + m.Subject.Reveal() + m.Title.Reveal() + " " + m.Body.Reveal(); said != tc.want {
				t.Errorf("got %q, want %q", said, tc.want)
			}
			want := ""
			if strings.Contains(tc.args, "--tenant") {
				want = "acme"
			}
			if group := got.Attributes["MessageGroupId"]; group != want {
				t.Errorf("message group %q, want %q", group, want)
			}
		})
	}
}

func TestSendNamesTheFlagThatIsMissing(t *testing.T) {
	for args, want := range map[string]string{
		"send --worker-type sms --channel email --to-number +14155550123 --body Hi": "--to-email is missing",
		"send --channel push --body Hi":                                             "--token is missing",
		"send --channel fax --worker-type sms --body Hi":                            `--channel is "fax"`,
		"send --worker-type fax --to-number +14155550123 --body Hi":                 `WORKER_TYPE is "fax"`,
		"send --to-email b@example.com --subject S --body Hi":                       "EMAIL_QUEUE_URL is not set",
		"send --to-email b@example.com --body Hi --dry-run":                         "subject: a mail needs it",
	} {
		code, out, errOut := worker(t, nil, strings.Fields(args)...)
		if code != 2 || out != "" || !strings.Contains(errOut, want) {
			t.Errorf("%s: exit code %d, %q; want %q", args, code, errOut, want)
		}
	}
}

func TestSuppressionsAreListedByHash(t *testing.T) {
	d := newDesk(t)
	do := func(want int, args ...string) string {
		t.Helper()
		code, out, errOut := worker(t, d.env, append([]string{"suppressions"}, args...)...)
		if code != want {
			t.Fatalf("%v: exit code %d, want %d: %s", args, code, want, errOut)
		}
		return out + errOut
	}
	do(0, "add", "--channel", "sms", "+1 415 555 0123")
	do(0, "add", "--channel", "email", "Ann <Ann@Example.com>", "--reason", "asked by letter")
	do(2, "add", "--channel", "sms", "ann@example.com")
	for channel, address := range map[string]string{"sms": "+14155550123", "email": "ann@example.com"} {
		if reason, err := d.db.SuppressionReason(t.Context(), channel, redact.Personal(address)); err != nil || reason == "" {
			t.Errorf("%s is not suppressed (%v)", address, err)
		}
	}
	var rows []suppressionRow
	listed := do(0, "list", "-o", "json")
	if err := json.Unmarshal([]byte(listed), &rows); err != nil || len(rows) != 2 || strings.Contains(listed, "555") {
		t.Fatalf("%v: %s", err, listed)
	}
	if table := do(0, "--channel", "email"); !strings.Contains(table, "asked by letter") || strings.Contains(strings.ToLower(table), "example") {
		t.Error(table)
	}
	do(0, "remove", "--channel", "sms", "+14155550123")
	do(1, "remove", "--channel", "sms", "+14155550123")
	if listed := do(0, "list", "--channel", "sms", "-o", "json"); strings.TrimSpace(listed) != "[]" {
		t.Error(listed)
	}
}
