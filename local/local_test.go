package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// system is a whole local system under test.
type system struct {
	page, endpoint, data, policy string
	out                          *bytes.Buffer
	stop                         func() int
	client                       *sqs.Client
	queue                        string
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// startSystem runs the shipped programs, without load, until the test ends.
func startSystem(t *testing.T) *system {
	t.Helper()
	s := &system{data: t.TempDir(), out: &bytes.Buffer{}}
	s.policy = filepath.Join(t.TempDir(), "policy.yaml")
	example, err := os.ReadFile("../config/scaling-policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, strings.Replace(string(example), "interval: 15s", "interval: 1s", 1))
	page, endpoint := freeAddress(t), freeAddress(t)
	s.page, s.endpoint = "http://"+page, "http://"+endpoint
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--listen", page, "--aws", endpoint, "--data", s.data, "--policy", s.policy, "--load", "none", "--start-lag", "100ms"},
			strings.NewReader(""), s.out, s.out)
	}()
	s.stop = func() int {
		cancel()
		result := <-code
		code <- result
		return result
	}
	t.Cleanup(func() {
		if got := s.stop(); got != 0 || t.Failed() {
			t.Errorf("exit code %d\n%s\n%s\n%s", got, s.out, s.log("controller.log"), s.log("worker.log"))
		}
	})
	s.client = sqs.NewFromConfig(awsConfig(s.endpoint))
	s.eventually(t, "the worker has started", func() bool { return strings.Contains(s.log("worker.log"), "worker started") })
	url, err := s.client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(smsQueue)})
	if err != nil {
		t.Fatal(err)
	}
	s.queue = *url.QueueUrl
	return s
}

func (s *system) write(t *testing.T, policy string) {
	t.Helper()
	if err := os.WriteFile(s.policy, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *system) log(name string) string {
	text, _ := os.ReadFile(filepath.Join(s.data, "logs", name))
	return string(text)
}

func (s *system) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute) // the first build of the programs is slow
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s\n%s\n%s\n%s", what, s.out, s.log("controller.log"), s.log("worker.log"))
		case <-tick.C:
		}
	}
}

func (s *system) put(t *testing.T, body string) {
	t.Helper()
	if _, err := s.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &s.queue, MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
}

func (s *system) get(t *testing.T, url string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || json.Unmarshal(body, into) != nil {
		t.Fatalf("GET %s: %s: %v", url, body, err)
	}
}

func (s *system) events(t *testing.T) map[string]store.Event {
	t.Helper()
	db, err := open.Open(t.Context(), "sqlite:"+filepath.Join(s.data, "acs.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	events, err := db.Events(t.Context(), store.Filter{Limit: 1000})
	if err != nil {
		return nil // the schema is not there yet
	}
	byID := make(map[string]store.Event, len(events))
	for _, e := range events {
		byID[e.ID] = e
	}
	return byID
}

func TestMessagesFlowFromARealClientToOneTextEach(t *testing.T) {
	s := startSystem(t)
	for n := range 20 {
		body := fmt.Sprintf(`{"id":"flow-%d","channel":"sms","type":"message_send","to":"+14155550123","body":"number %d"}`, n, n)
		s.put(t, body)
		s.put(t, body) // a producer's own retry
	}
	s.put(t, `{"id":"broken","channel":"sms","type":"message_send"`)
	s.put(t, `{"id":"nobody","channel":"sms","type":"message_send","to":"+15005550001","body":"a number that is none"}`)
	s.put(t, `{"id":"stop","channel":"sms","type":"message_received","from":"+14155550199","to":"+15005550006","body":"STOP"}`)
	s.eventually(t, "all are settled", func() bool {
		settled := 0
		for _, e := range s.events(t) {
			if e.Type == string(message.Status) {
				continue // what Twilio tells of a text
			}
			if e.Status == store.Sent || e.Status == store.Delivered || e.Status == store.Failed || e.Status == store.Received {
				settled++
			}
		}
		waiting, err := depth(t.Context(), s.client, s.queue)
		return err == nil && settled >= 23 && waiting == 0
	})
	s.put(t, `{"id":"after-stop","channel":"sms","type":"message_send","to":"+14155550199","body":"unwanted"}`)
	s.eventually(t, "who opted out is suppressed", func() bool { return s.events(t)["after-stop"].Status == store.Suppressed })

	var behaviour struct {
		Totals struct{ Accepted, Doubled int } `json:"totals"`
	}
	s.get(t, s.endpoint+"/outbox.json", &behaviour)
	if got := behaviour.Totals; got.Accepted != 20 || got.Doubled != 0 {
		t.Errorf("the provider accepted %d texts, %d of them twice; want 20 and 0", got.Accepted, got.Doubled)
	}
	dlq := strings.TrimSuffix(s.queue, smsQueue) + smsQueue + "-dlq"
	if keys := s.deadLetterKeys(t, dlq); len(keys) != 2 || !slices.Contains(keys, "nobody") {
		t.Errorf("dead letters of %q, want the broken one and the refused one", keys)
	}
}

// deadLetterKeys are the keys that dead letters carry.
func (s *system) deadLetterKeys(t *testing.T, url string) []string {
	t.Helper()
	answer, err := s.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"acs_id"}})
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]string, 0, len(answer.Messages))
	for _, m := range answer.Messages {
		keys = append(keys, aws.ToString(m.MessageAttributes["acs_id"].StringValue))
	}
	return keys
}

func TestAPolicyEditIsFollowedOrRefused(t *testing.T) {
	s := startSystem(t)
	var state struct {
		Refusal  string
		Policies []struct {
			Policy   struct{ Spec struct{ MaxTasks int } }
			Decision *struct{ Desired int }
		}
	}
	look := func() bool {
		if request, err := http.Get(s.page + "/readyz"); err != nil || request.StatusCode != http.StatusOK {
			return false
		}
		s.get(t, s.page+"/api/v1/state", &state)
		return true
	}
	good, err := os.ReadFile(s.policy)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, strings.Replace(string(good), "minTasks: 1", "minTasks: 3", 1))
	s.eventually(t, "the edit is followed", func() bool {
		return look() && len(state.Policies) == 1 && state.Policies[0].Decision != nil && state.Policies[0].Decision.Desired == 3
	})
	s.write(t, strings.Replace(string(good), "maxTasks: 40", "maxTasks: forty", 1))
	s.eventually(t, "the bad edit is refused", func() bool { return look() && strings.Contains(state.Refusal, "policy.yaml:") })
	if state.Policies[0].Policy.Spec.MaxTasks != 40 {
		t.Errorf("the bad edit changed the running policy: %+v", state.Policies[0])
	}
}

func TestOnlyAWSServesAnEmptyEndpoint(t *testing.T) {
	address := freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--only", "aws", "--aws", address}, strings.NewReader(""), io.Discard, io.Discard)
	}()
	s := &system{out: &bytes.Buffer{}}
	client := sqs.NewFromConfig(awsConfig("http://" + address))
	s.eventually(t, "it serves", func() bool {
		queues, err := client.ListQueues(t.Context(), &sqs.ListQueuesInput{})
		return err == nil && len(queues.QueueUrls) == 0
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+address+"/_sandbox/aws", strings.NewReader(`{"sqs:ListQueues":{"errors":{"AccessDenied":1}}}`))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if _, err := client.ListQueues(t.Context(), &sqs.ListQueuesInput{}); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("with a fault: got %v, want AccessDenied", err)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
}

func TestAnInterruptedBuildSaysSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := findBinaries(ctx, t.TempDir(), io.Discard); err == nil || !strings.Contains(err.Error(), "interrupted while the controller and the worker were being built") {
		t.Errorf("got %v", err)
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	for flag, fix := range map[string]string{"--listen": "choose another address with --listen", "--aws": "choose another address with --aws"} {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		args := []string{"--data", t.TempDir(), "--listen", freeAddress(t), "--aws", freeAddress(t), flag, listener.Addr().String()}
		var out bytes.Buffer
		if got := run(t.Context(), args, strings.NewReader(""), &out, &out); got != 1 || !strings.Contains(out.String(), fix) {
			t.Errorf("%s: exit code %d, said %q, want %q", flag, got, out.String(), fix)
		}
	}
}

func TestADataFolderThatCannotBeWrittenIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if got := run(t.Context(), []string{"--data", filepath.Join(file, "data")}, strings.NewReader(""), &out, &out); got != 1 || !strings.Contains(out.String(), "--data") {
		t.Errorf("exit code %d, said %q", got, out.String())
	}
}
