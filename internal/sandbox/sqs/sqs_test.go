package sqs_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/sandbox/sqs"
)

// pipes is a listener without a network, so that the SDK's real client and a
// real server run inside a synctest bubble.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialed:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.dialed <- there
	return here, nil
}

type world struct {
	*awssqs.Client
	t       *testing.T
	service *sqs.Service
}

// inside runs a story on fake time against a real server and client.
func inside(t *testing.T, options sqs.Options, story func(w world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		service := sqs.New(options)
		listener := &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})}
		server := &http.Server{Handler: service, ReadHeaderTimeout: time.Minute}
		done := make(chan struct{})
		go func() { defer close(done); _ = server.Serve(listener) }()
		transport := &http.Transport{DialContext: listener.dial}
		client := awssqs.New(awssqs.Options{
			Region: "us-east-1", BaseEndpoint: aws.String("http://sandbox"), RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
			HTTPClient:  &http.Client{Transport: transport},
		})
		story(world{Client: client, t: t, service: service})
		transport.CloseIdleConnections()
		_ = server.Close()
		<-done
	})
}

func (w world) queue(name string, attributes map[string]string) *string {
	w.t.Helper()
	out, err := w.CreateQueue(w.t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		w.t.Fatalf("create queue: %v", err)
	}
	return out.QueueUrl
}

func (w world) send(url *string, body string, delay int32) {
	w.t.Helper()
	if _, err := w.SendMessage(w.t.Context(), &awssqs.SendMessageInput{QueueUrl: url, MessageBody: &body, DelaySeconds: delay}); err != nil {
		w.t.Fatalf("send: %v", err)
	}
}

func (w world) receive(url *string, wait int32) []types.Message {
	w.t.Helper()
	out, err := w.ReceiveMessage(w.t.Context(), &awssqs.ReceiveMessageInput{
		QueueUrl: url, MaxNumberOfMessages: 10, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}, MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		w.t.Fatalf("receive: %v", err)
	}
	return out.Messages
}

func (w world) wantBodies(when string, url *string, wait int32, want ...string) []types.Message {
	w.t.Helper()
	got := w.receive(url, wait)
	bodies := make([]string, 0, len(got))
	for _, m := range got {
		bodies = append(bodies, *m.Body)
	}
	if strings.Join(bodies, ",") != strings.Join(want, ",") {
		w.t.Fatalf("%s: got %v, want %v", when, bodies, want)
	}
	return got
}

func (w world) delete(url *string, m types.Message) {
	w.t.Helper()
	if _, err := w.DeleteMessage(w.t.Context(), &awssqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle}); err != nil {
		w.t.Fatalf("delete: %v", err)
	}
}

func TestAMessageComesBackWhenItsVisibilityEndsAndGoesWhenDeleted(t *testing.T) {
	inside(t, sqs.Options{}, func(w world) {
		url := w.queue("q", nil)
		w.send(url, "a", 0)
		first := w.wantBodies("first", url, 0, "a")[0]
		w.wantBodies("in flight", url, 0)
		time.Sleep(30 * time.Second)
		second := w.wantBodies("returned", url, 0, "a")[0]
		if *first.ReceiptHandle == *second.ReceiptHandle {
			t.Error("a second receive has the first one's handle")
		}
		if second.Attributes["ApproximateReceiveCount"] != "2" {
			t.Errorf("receive count %s, want 2", second.Attributes["ApproximateReceiveCount"])
		}
		w.delete(url, first) // succeeds, changes nothing
		if sample := w.service.Sample()[0]; sample.NotVisible != 1 {
			t.Errorf("an old handle deleted the message: %+v", sample)
		}
		w.delete(url, second)
		time.Sleep(time.Hour)
		w.wantBodies("deleted", url, 0)
	})
}

func TestALongPollEndsAtOnceWhenSomethingTurnsVisible(t *testing.T) {
	inside(t, sqs.Options{}, func(w world) {
		url := w.queue("q", map[string]string{"VisibilityTimeout": "5"})
		start := time.Now()
		since := func(want time.Duration) {
			if got := time.Since(start); got != want {
				t.Errorf("answered after %s, want %s", got, want)
			}
		}
		w.send(url, "delayed", 7)
		w.wantBodies("delay ends", url, 20, "delayed")
		since(7 * time.Second)
		m := w.wantBodies("visibility ends", url, 20, "delayed")[0]
		since(12 * time.Second)
		w.delete(url, m)
		time.AfterFunc(3*time.Second, func() { w.send(url, "sent", 0) })
		w.delete(url, w.wantBodies("send", url, 20, "sent")[0])
		since(15 * time.Second)
		w.wantBodies("nothing", url, 20)
		since(35 * time.Second)
	})
}

func TestAReceiverThatHangsUpTakesNothing(t *testing.T) {
	inside(t, sqs.Options{}, func(w world) {
		url := w.queue("q", nil)
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		if _, err := w.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 20}); err == nil {
			t.Fatal("a cancelled receive succeeded")
		}
		synctest.Wait()
		w.send(url, "a", 0)
		w.wantBodies("next receiver", url, 20, "a")
	})
}

func TestAMessageThatSpentItsReceivesGoesToTheDeadLetterQueue(t *testing.T) {
	inside(t, sqs.Options{}, func(w world) {
		dlq := w.queue("dlq", nil)
		url := w.queue("q", map[string]string{
			"VisibilityTimeout": "1",
			"RedrivePolicy":     `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dlq","maxReceiveCount":"2"}`,
		})
		w.send(url, "poison", 0)
		for range 2 {
			w.wantBodies("tries", url, 0, "poison")
			time.Sleep(time.Second)
		}
		w.wantBodies("before the next receive", dlq, 0)
		w.wantBodies("third receive", url, 0)
		dead := w.wantBodies("dead", dlq, 0, "poison")[0]
		if got := dead.Attributes["DeadLetterQueueSourceArn"]; got != "arn:aws:sqs:us-east-1:000000000000:q" {
			t.Errorf("source %q", got)
		}
		sources, err := w.ListDeadLetterSourceQueues(w.t.Context(), &awssqs.ListDeadLetterSourceQueuesInput{QueueUrl: dlq})
		if err != nil || len(sources.QueueUrls) != 1 || sources.QueueUrls[0] != *url {
			t.Errorf("sources %+v, %v", sources, err)
		}
	})
}

func TestMessagesExpireAfterTheirRetention(t *testing.T) {
	inside(t, sqs.Options{}, func(w world) {
		url := w.queue("q", map[string]string{"MessageRetentionPeriod": "60"})
		w.send(url, "a", 0)
		time.Sleep(time.Minute)
		w.wantBodies("expired", url, 0)
	})
}

func TestTheAgeLeavesOutWhatWasReceivedThreeTimes(t *testing.T) {
	inside(t, sqs.Options{}, func(w world) {
		url := w.queue("q", map[string]string{"VisibilityTimeout": "0"})
		w.send(url, "old", 0)
		time.Sleep(10 * time.Second)
		if s := w.service.Sample()[0]; !s.HasAge || s.OldestAge != 10*time.Second {
			t.Errorf("age before: %+v", s)
		}
		for range 3 {
			w.wantBodies("receive", url, 0, "old")
		}
		if s := w.service.Sample()[0]; s.HasAge || s.Received != 3 || s.Visible != 1 {
			t.Errorf("after three receives: %+v", s)
		}
	})
}

func TestASnapshotKeepsMessagesHandlesAndTimes(t *testing.T) {
	inside(t, sqs.Options{}, func(w world) {
		url := w.queue("q", map[string]string{"VisibilityTimeout": "60"})
		w.send(url, "held", 0)
		held := w.wantBodies("held", url, 0, "held")[0]
		w.send(url, "waiting", 0)
		w.send(url, "later", 90)
		var saved bytes.Buffer
		if err := w.service.Save(&saved); err != nil {
			t.Fatal(err)
		}
		if err := w.service.Load(&saved); err != nil {
			t.Fatal(err)
		}
		w.delete(url, w.wantBodies("after load", url, 0, "waiting")[0])
		w.delete(url, held)
		time.Sleep(90 * time.Second)
		w.wantBodies("delayed", url, 0, "later")
	})
}

func TestFaultsStrikeAsAsked(t *testing.T) {
	inside(t, sqs.Options{}, func(w world) {
		url := w.queue("q", nil)
		w.send(url, "a", 0)
		w.service.SetFaults(sqs.Faults{DuplicateRate: 1})
		w.wantBodies("one receiver", url, 0, "a")
		w.wantBodies("another", url, 0, "a")
		w.service.SetFaults(sqs.Faults{LostDeleteRate: 1})
		w.delete(url, w.wantBodies("a third", url, 0, "a")[0])
		w.service.SetFaults(sqs.Faults{ErrorRate: 1})
		if _, err := w.ListQueues(w.t.Context(), &awssqs.ListQueuesInput{}); err == nil {
			t.Error("a request succeeded at error rate 1")
		}
		w.service.SetFaults(sqs.Faults{})
		time.Sleep(30 * time.Second)
		w.wantBodies("after the lost delete", url, 0, "a")
	})
}

func TestNoMessageIsLostOrHeldTwiceUnderManyReceivers(t *testing.T) {
	inside(t, sqs.Options{}, func(w world) {
		const messages, receivers = 200, 8
		url := w.queue("q", map[string]string{"VisibilityTimeout": "30"})
		type handled struct{ body string }
		results := make(chan handled, messages*2)
		for range receivers {
			go func() {
				for got := w.receive(url, 20); len(got) > 0; got = w.receive(url, 20) {
					for _, m := range got {
						w.delete(url, m)
						results <- handled{*m.Body}
					}
				}
				results <- handled{}
			}()
		}
		for i := range messages {
			w.send(url, fmt.Sprint(i), int32(i%3))
		}
		seen, ended := map[string]int{}, 0
		for ended < receivers {
			if r := <-results; r.body == "" {
				ended++
			} else {
				seen[r.body]++
			}
		}
		for i := range messages {
			if n := seen[fmt.Sprint(i)]; n != 1 {
				t.Errorf("message %d was handled %d times", i, n)
			}
		}
	})
}
