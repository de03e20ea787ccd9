package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/sandbox"
	queues "github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/sandbox/twilio"
	"github.com/novaura/acs-operator/internal/store"
)

// gateway puts what is posted on the queue as terraform/webhooks.tf has it,
// and tells of each status.
func gateway(t *testing.T, d *desk) (address string, told <-chan string) {
	t.Helper()
	statuses := make(chan string, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		attributes := map[string]types.MessageAttributeValue{}
		mark := func(name, value string) {
			attributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
		}
		mark(consumer.WebhookURL, "http://"+r.Host+r.URL.Path)
		mark(consumer.WebhookSignature, r.Header.Get("X-Twilio-Signature"))
		if r.URL.Path == "/twilio/status" {
			mark(consumer.WebhookEvent, r.URL.Query().Get(message.EventIDParameter))
		}
		if _, err := d.client.SendMessage(r.Context(), &sqs.SendMessageInput{QueueUrl: &d.queue, MessageBody: aws.String(string(body)), MessageAttributes: attributes}); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		form, _ := url.ParseQuery(string(body))
		statuses <- form.Get("MessageStatus")
	}))
	t.Cleanup(server.Close)
	return server.URL, statuses
}

// withTwilio puts a stand-in of Twilio, and a secret that knows its token,
// beside the queues.
func (d *desk) withTwilio(token string) {
	d.t.Helper()
	world := sandbox.New("123456789012", "us-east-1", queues.New(queues.Options{}))
	server := httptest.NewServer(world)
	d.t.Cleanup(server.Close)
	provider := twilio.New(twilio.Options{AccountSID: "AC1", AuthToken: token})
	go provider.Run(d.t.Context())
	api := httptest.NewServer(provider)
	d.t.Cleanup(api.Close)
	created, err := d.secrets(server.URL).CreateSecret(d.t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("twilio"), SecretString: secretOf(token)})
	if err != nil {
		d.t.Fatal(err)
	}
	d.env["AWS_ENDPOINT_URL_SECRETS_MANAGER"], d.env["TWILIO_BASE_URL"], d.env["TWILIO_CREDENTIALS_ARN"] = server.URL, api.URL, *created.ARN
}

func (d *desk) secrets(endpoint string) *secretsmanager.Client {
	return secretsmanager.New(secretsmanager.Options{
		Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
}

func secretOf(token string) *string {
	return aws.String(`{"account_sid":"AC1","auth_token":"` + token + `","from_number":"+14155550100"}`)
}

// touch receives what is on the queue once, as a worker that gave it back.
func (d *desk) touch() {
	d.t.Helper()
	out, err := d.client.ReceiveMessage(d.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &d.queue, MaxNumberOfMessages: 10})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, m := range out.Messages {
		if _, err := d.client.ChangeMessageVisibility(d.t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &d.queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
			d.t.Fatal(err)
		}
	}
}

// post is a post to the gateway, signed with token; an empty one: not signed.
func post(t *testing.T, address, token string, form url.Values) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("X-Twilio-Signature", twilio.Signature(token, address, form))
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode
}

func TestTwiliosOwnPostsAreBelievedAndNoOthers(t *testing.T) {
	d := newDesk(t)
	d.withTwilio("secret")
	hooks, told := gateway(t, d)
	d.env["TWILIO_STATUS_CALLBACK_URL"] = hooks + "/twilio/status"
	if code, _, errOut := worker(t, d.env, "send", "--to-number", "+14155550123", "--body", "Hello", "--id", "order 42/a"); code != 0 {
		t.Fatal(errOut)
	}
	empty := func() string {
		t.Helper()
		code, _, errOut := worker(t, d.env, "run", "--until-empty")
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, errOut)
		}
		return errOut
	}
	empty()
	for status := range told { // Twilio's stand-in signs and posts each
		if status == "delivered" {
			break
		}
	}
	inbound := url.Values{"MessageSid": {"SM9"}, "SmsStatus": {"received"}, "From": {"+14155550124"}, "To": {"+14155550100"}, "Body": {"STOP"}}
	if code := post(t, hooks+"/twilio", "", inbound); code != http.StatusBadRequest { // SQS takes no empty attribute
		t.Errorf("a post without a signature: HTTP %d, want 400", code)
	}
	post(t, hooks+"/twilio", "guessed", inbound)
	d.touch() // the first look waits for a token that may be rotated just now
	empty()
	if got := d.status("order 42/a"); got != store.Delivered {
		t.Errorf("the text is %s, want it delivered", got)
	}
	if why, err := d.db.SuppressionReason(t.Context(), "sms", "+14155550124"); err != nil || why != "" {
		t.Errorf("a forged STOP holds: %q, %v", why, err)
	}
	if code, out, errOut := worker(t, d.env, "redrive", "--rate", "1000"); code != 0 || !strings.Contains(out, "webhook_signature  redriven") {
		t.Fatalf("redrive: exit code %d, %s%s", code, out, errOut)
	}
	d.touch()
	if log := empty(); !strings.Contains(log, `"reason":"webhook_signature"`) && !strings.Contains(log, "reason=webhook_signature") {
		t.Errorf("redriven, the forged post is not refused again:\n%s", log)
	}
}
