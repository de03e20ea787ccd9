package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/jackc/pgx/v5"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/sandbox"
	sandboxsqs "github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/sandbox/twilio"
	"github.com/novaura/acs-operator/internal/store/postgres/pgtest"
)

// written is a log that is read while it is written.
type written struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// site is the predecessor's: three queues, two secrets, a database that asks
// for its password.
type site struct {
	t       *testing.T
	queues  map[string]string // URLs by channel
	sqs     *sqs.Client
	secrets *secretsmanager.Client
	db      *pgx.Conn // the superuser's
	texts   *twilio.Server
	log     *written
}

const (
	firstPassword  = "p@ss/word 1"
	secondPassword = "p@ss/word:2"
	twilioSecret   = `{"account_sid":"AC00000000000000000000000000000001","auth_token":"s3cr3t","from_number":"+14155550100"}`
)

func newSite(t *testing.T) *site {
	t.Helper()
	admin, port := pgtest.Guarded(t, "django", firstPassword)
	s := &site{t: t, queues: map[string]string{}, log: &written{}, texts: twilio.New(twilio.Options{AccountSID: "AC00000000000000000000000000000001", AuthToken: "s3cr3t"})}
	var err error
	if s.db, err = pgx.Connect(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close(context.WithoutCancel(t.Context())) })
	cloud := httptest.NewServer(sandbox.New("123456789012", "us-east-1", sandboxsqs.New(sandboxsqs.Options{Account: "123456789012"})))
	t.Cleanup(cloud.Close)
	provider := httptest.NewServer(s.texts)
	t.Cleanup(provider.Close)
	config := aws.Config{Region: "us-east-1", BaseEndpoint: &cloud.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}
	s.sqs, s.secrets = sqs.NewFromConfig(config), secretsmanager.NewFromConfig(config)
	for _, channel := range []string{"sms", "email", "push"} {
		out, err := s.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("novaura-acs-" + channel + "-events")})
		if err != nil {
			t.Fatal(err)
		}
		s.queues[channel] = *out.QueueUrl
	}
	for name, value := range map[string]string{
		"WORKER_TYPE": "all", "SMS_QUEUE_URL": s.queues["sms"], "EMAIL_QUEUE_URL": s.queues["email"], "PUSH_QUEUE_URL": s.queues["push"],
		"DB_HOST": "127.0.0.1", "DB_PORT": strconv.Itoa(port), "DB_NAME": "acs", "DB_USER": "django", "DB_SSLMODE": "disable",
		"DB_PASSWORD_ARN": s.secret("db", firstPassword), "TWILIO_CREDENTIALS_ARN": s.secret("twilio", twilioSecret),
		"DJANGO_SECRET_KEY": "unused", "TWILIO_BASE_URL": provider.URL, "AWS_ENDPOINT_URL": cloud.URL, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "WORKER_STOP_TIMEOUT": "4s", "DATABASE_URL": "",
	} {
		t.Setenv(name, value)
	}
	return s
}

func (s *site) secret(name, value string) (arn string) {
	out, err := s.secrets.CreateSecret(s.t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.ARN
}

// put sends a message, with attributes if there are any.
func (s *site) put(channel, body string, with ...attribute.Set) {
	s.t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: aws.String(s.queues[channel]), MessageBody: &body}
	for _, attributes := range with {
		in.MessageAttributes = attributes
	}
	if _, err := s.sqs.SendMessage(s.t.Context(), in); err != nil {
		s.t.Fatal(err)
	}
}

// left is how many messages a queue has, visible or in flight.
func (s *site) left(channel string) int {
	s.t.Helper()
	url := s.queues[channel]
	out, err := s.sqs.GetQueueAttributes(s.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		s.t.Fatal(err)
	}
	total := 0
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
		n, _ := strconv.Atoi(out.Attributes[name])
		total += n
	}
	return total
}

// start runs the worker as its container would; stop is SIGTERM, and waits.
func (s *site) start(args ...string) (stop func() (code int)) {
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, strings.NewReader(""), s.log, s.log) }()
	return sync.OnceValue(func() int {
		cancel()
		return <-ended
	})
}

// until waits for what comes about by itself.
func (s *site) until(what string, is func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("in vain: %s\n%s", what, s.log)
		}
	}
}

func (s *site) sent(body string) bool {
	for _, m := range s.texts.Recent(100) {
		if m.Body == body {
			return true
		}
	}
	return false
}

// The guide's own set-up: Twilio's and the database's secrets, all channels,
// three queues. Then the database's password is changed while it runs.
func TestThePredecessorsSetUpWorksAndOutlivesANewPassword(t *testing.T) {
	s := newSite(t)
	s.put("sms", `{"type":"message_send","to":"+14155550123","body":"one"}`)
	s.put("sms", `{"type":"message_received","from":"+14155550124","to":"+14155550100","body":"STOP"}`)
	s.put("email", `{"type":"message_send","to":"anna@example.com","subject":"S","body":"no sender is configured"}`)
	stop := s.start("run_communication_worker", "--worker-type", "all")
	defer stop()
	s.until("the text is sent and the STOP is recorded", func() bool { return s.sent("one") && s.left("sms") == 0 })
	s.until("the mail waits, and the log names the variable", func() bool { return strings.Contains(s.log.String(), "EMAIL_PROVIDER") })

	for _, statement := range []string{
		"ALTER ROLE django PASSWORD '" + secondPassword + "'",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'django'",
	} {
		if _, err := s.db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	s.put("sms", `{"type":"message_send","to":"+14155550123","body":"two"}`)
	s.until("the old password is refused", func() bool { return strings.Contains(s.log.String(), "28P01") })
	if _, err := s.secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: aws.String("db"), SecretString: aws.String(secondPassword)}); err != nil {
		t.Fatal(err)
	}
	s.until("the second text is sent", func() bool { return s.sent("two") && s.left("sms") == 0 })
	if got := s.texts.Stats(); got.Accepted != 2 {
		t.Errorf("Twilio accepted %d texts, want 2", got.Accepted)
	}
	if s.left("email") != 1 {
		t.Errorf("%d mails are on the queue, want the one that cannot be sent", s.left("email"))
	}
	if code := stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	log := s.log.String()
	for _, phrase := range []string{"Successfully processed", "Error processing", "Processed "} {
		if !strings.Contains(log, phrase) {
			t.Errorf("the log does not say %q", phrase)
		}
	}
	for _, secret := range []string{firstPassword, secondPassword, "s3cr3t", "4155550123", "4155550124", "anna@"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
}
