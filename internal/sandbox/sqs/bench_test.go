package sqs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/novaura/acs-operator/internal/sandbox/sqs"
)

// BenchmarkWire measures messages through a real server, ten a call, without
// an SDK: go test -run '^$' -bench Wire -benchtime 5s ./internal/sandbox/sqs
func BenchmarkWire(b *testing.B) {
	for _, connections := range []int{1, 8} {
		b.Run(fmt.Sprintf("send/connections=%d", connections), func(b *testing.B) {
			w := newWire(b, connections)
			w.run(b, connections, func() int { w.send(); return 10 })
		})
		b.Run(fmt.Sprintf("receive+delete/connections=%d", connections), func(b *testing.B) {
			w := newWire(b, connections)
			w.run(b, connections, func() int { w.send(); return 10 }) // fill
			b.ResetTimer()
			w.run(b, connections, w.settle)
		})
	}
}

type wire struct {
	b         *testing.B
	client    *http.Client
	url       string
	queue     string
	sendBatch []byte
}

func newWire(b *testing.B, connections int) *wire {
	server := httptest.NewServer(sqs.New(sqs.Options{InFlightLimit: 1 << 30}))
	b.Cleanup(server.Close)
	w := &wire{b: b, url: server.URL, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}}
	var out struct {
		QueueURL string `json:"QueueUrl"`
	}
	w.call("CreateQueue", []byte(`{"QueueName":"q"}`), &out)
	w.queue = out.QueueURL
	var entries []map[string]string
	for i := range 10 {
		entries = append(entries, map[string]string{"Id": fmt.Sprint(i), "MessageBody": `{"channel":"sms","type":"message_send","from":"+14155550100","to":"+14155550123","body":"hello there, your order has left the house"}`})
	}
	w.sendBatch, _ = json.Marshal(map[string]any{"QueueUrl": w.queue, "Entries": entries})
	return w
}

func (w *wire) call(operation string, body []byte, out any) {
	request, _ := http.NewRequest(http.MethodPost, w.url, bytes.NewReader(body))
	request.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	response, err := w.client.Do(request)
	if err != nil {
		w.b.Error(err)
		return
	}
	defer response.Body.Close()
	if out == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		return
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		w.b.Error(err)
	}
}

func (w *wire) send() { w.call("SendMessageBatch", w.sendBatch, nil) }

// settle receives ten and deletes them.
func (w *wire) settle() int {
	var got struct {
		Messages []struct{ ReceiptHandle string }
	}
	w.call("ReceiveMessage", fmt.Appendf(nil, `{"QueueUrl":%q,"MaxNumberOfMessages":10,"MessageSystemAttributeNames":["All"],"MessageAttributeNames":["All"]}`, w.queue), &got)
	var entries []map[string]string
	for i, m := range got.Messages {
		entries = append(entries, map[string]string{"Id": fmt.Sprint(i), "ReceiptHandle": m.ReceiptHandle})
	}
	if len(entries) == 0 {
		return 10
	}
	body, _ := json.Marshal(map[string]any{"QueueUrl": w.queue, "Entries": entries})
	w.call("DeleteMessageBatch", body, nil)
	return len(entries)
}

// run does work until b.N messages are done, and reports messages a second.
func (w *wire) run(b *testing.B, connections int, work func() int) {
	var done atomic.Int64
	var running sync.WaitGroup
	for range connections {
		running.Go(func() {
			for done.Add(10) <= int64(b.N)+9 {
				work()
			}
		})
	}
	running.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
