package conformance

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/sandbox/conformance/engine"
	"github.com/novaura/acs-operator/internal/sandbox/twilio"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

const backlog = 30 // messages; moto receives and deletes some 40 a second

// The programs that are shipped, against AWS as others understand it: moto has
// no CloudWatch for the controller's client, so depths come from SQS alone, and
// what is unknown is not taken for zero.
func TestContractTheShippedProgramsWorkAgainstMoto(t *testing.T) {
	t.Parallel()
	server, err := engine.Moto(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	// Far more than it takes: a busy machine is no failure.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := connect(server.Endpoint)
	if c.subnet, c.group, err = server.Network(ctx); err != nil {
		t.Fatal(err)
	}
	service, err := c.service(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	queue, _, _, err := c.withDLQ(ctx, 25, "VisibilityTimeout", "60")
	if err != nil {
		t.Fatal(err)
	}
	for i := range backlog / 10 {
		var bodies []string
		for j := range 10 {
			bodies = append(bodies, fmt.Sprintf(`{"id":"e2e-%d","channel":"sms","type":"message_send","from":"+15005550006","to":"+1415555%04d","body":"hello"}`, 10*i+j, 10*i+j))
		}
		if err := sendBatch(batchOf(bodies...))(ctx, c, queue); err != nil {
			t.Fatal(err)
		}
	}
	texts := twilio.New(twilio.Options{AccountSID: "AC00000000000000000000000000000001", AuthToken: "token"})
	provider := httptest.NewServer(texts)
	t.Cleanup(provider.Close)
	p := build(t, ctx, server.Endpoint, provider.URL, *queue, service)

	p.start("controller", "run")
	if err := until(ctx, func() error {
		now, err := c.describe(ctx, service)
		if err == nil && now.DesiredCount < 2 {
			err = fmt.Errorf("%d tasks are desired for %d messages", now.DesiredCount, backlog)
		}
		return err
	}); err != nil {
		t.Fatalf("the desired count does not move: %v\n%s", err, p.log("controller"))
	}
	p.start("worker", "run")
	if err := until(ctx, func() error {
		depth, err := c.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: []types.QueueAttributeName{"All"}})
		if err != nil {
			return err
		}
		return want("waiting and in flight", depth.Attributes["ApproximateNumberOfMessages"]+"+"+depth.Attributes["ApproximateNumberOfMessagesNotVisible"], "0+0")
	}); err != nil {
		t.Fatalf("the queue is never empty: %v\n%s", err, p.log("worker"))
	}
	if stats := texts.Stats(); stats.Accepted != backlog || stats.Doubled != 0 {
		t.Errorf("%d texts, %d of them twice; want %d, each once\n%s", stats.Accepted, stats.Doubled, backlog, p.log("worker"))
	}
	if got := p.history(t, ctx); got != backlog {
		t.Errorf("the history has %d texts as sent, want %d", got, backlog)
	}
	now, err := c.describe(ctx, service)
	if err != nil {
		t.Fatal(err)
	}
	// With the queue's age unknown for ever, an empty queue is no reason to
	// scale in within the stabilization window, let alone below minTasks.
	if now.DesiredCount < 1 {
		t.Errorf("%d tasks are desired, fewer than minTasks", now.DesiredCount)
	}
}

// programs are the controller and the worker, built, and what they are told.
type programs struct {
	t        *testing.T
	folder   string
	database string
	env      []string
}

func build(t *testing.T, ctx context.Context, endpoint, provider, queue, service string) *programs {
	t.Helper()
	p := &programs{t: t, folder: t.TempDir()}
	command := exec.CommandContext(ctx, "go", "build", "-o", p.folder+string(filepath.Separator), "./controller", "./worker")
	command.Dir = "../../.."
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	policy := fmt.Sprintf(`apiVersion: acs.novaura.io/v1
kind: ScalingPolicy
metadata: {name: worker}
spec:
  target: {cluster: %[1]s, service: %[1]s}
  interval: 1s
  minTasks: 1
  maxTasks: 5
  queues:
    - {name: %[2]s, channel: sms, maxAge: 10s, throughputPerTask: 0.1}
  metrics: {source: hybrid}
`, service, queue[strings.LastIndexByte(queue, '/')+1:])
	if err := os.WriteFile(filepath.Join(p.folder, "policy.yaml"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	p.database = "sqlite:" + filepath.Join(p.folder, "acs.db")
	p.env = append(os.Environ(),
		"AWS_ENDPOINT_URL="+endpoint, "AWS_REGION="+region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true",
		"DATABASE_URL="+p.database, "CONTROLLER_POLICY="+filepath.Join(p.folder, "policy.yaml"), "CONTROLLER_LISTEN=127.0.0.1:0",
		"WORKER_TYPE=sms", "SMS_QUEUE_URL="+queue, "WORKER_STOP_TIMEOUT=10s", "TWILIO_BASE_URL="+provider, "TWILIO_FROM_NUMBER=+15005550006",
		"TWILIO_ACCOUNT_SID=AC00000000000000000000000000000001", "TWILIO_AUTH_TOKEN=token",
	)
	return p
}

// start runs a program until the test ends; its log is in the folder.
func (p *programs) start(name string, args ...string) {
	p.t.Helper()
	log, err := os.Create(filepath.Join(p.folder, name+".log"))
	if err != nil {
		p.t.Fatal(err)
	}
	command := exec.Command(filepath.Join(p.folder, name), args...)
	command.Env, command.Stdout, command.Stderr = p.env, log, log
	if err := command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil {
			p.t.Errorf("%s: %v\n%s", name, err, p.log(name))
		}
		_ = log.Close()
	})
}

func (p *programs) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(p.folder, name+".log"))
	return string(text[max(0, len(text)-6000):])
}

// history counts the texts that are recorded as sent.
func (p *programs) history(t *testing.T, ctx context.Context) (sent int) {
	t.Helper()
	db, err := open.Open(ctx, p.database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	events, err := db.Events(ctx, store.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Status == store.Sent {
			sent++
		}
	}
	return sent
}
