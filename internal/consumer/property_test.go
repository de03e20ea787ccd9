package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"pgregory.net/rapid"
)

// chaos fails calls and entries at random, hands messages out twice, and
// drops answers of calls that were obeyed.
type chaos struct {
	*fakeSQS

	percent int
	mu      sync.Mutex
	random  *rand.Rand
}

func (c *chaos) hit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(100) < c.percent
}

func (c *chaos) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if c.hit() {
		return nil, errors.New("reset")
	}
	if c.hit() {
		c.fakeSQS.mu.Lock()
		for _, m := range c.messages {
			if m.handle != "" && c.hit() {
				m.visibleAt = time.Now() // a second delivery
			}
		}
		c.fakeSQS.mu.Unlock()
	}
	out, err := c.fakeSQS.ReceiveMessage(ctx, in, o...)
	if c.hit() {
		return nil, errors.New("answer lost")
	}
	return out, err
}

func (c *chaos) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	out, err := c.fakeSQS.DeleteMessageBatch(ctx, in, o...)
	if c.hit() {
		return nil, errors.New("answer lost")
	}
	return out, err
}

func (c *chaos) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	out, err := c.fakeSQS.ChangeMessageVisibilityBatch(ctx, in, o...)
	if c.hit() {
		sleep(ctx, 2*time.Second) // obeyed, and answered late
	}
	if c.hit() {
		return nil, errors.New("answer lost")
	}
	return out, err
}

func (c *chaos) SendMessage(ctx context.Context, in *sqs.SendMessageInput, o ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	if c.hit() {
		return nil, errors.New("reset")
	}
	return c.fakeSQS.SendMessage(ctx, in, o...)
}

// ledger notes what jobs did to each message.
type ledger struct {
	mu      sync.Mutex
	running map[string]int
	settled map[string]bool // the job said Delete or DeadLetter
	problem string
}

func (l *ledger) begin(body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running[body]++
	if l.running[body] > 1 {
		l.problem = body + " runs twice at once"
	}
}

func (l *ledger) end(body string, o Outcome) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running[body]--
	if o.Action == Delete || o.Action == DeadLetter {
		l.settled[body] = true
	}
	return o
}

func (c *chaos) job(l *ledger) each {
	return func(ctx context.Context, r Received) Outcome {
		l.begin(r.Body)
		c.mu.Lock()
		takes, action, obeys, panics := time.Duration(c.random.IntN(40))*time.Second, Action(c.random.IntN(4)), c.random.IntN(4) > 0, c.random.IntN(20) == 0
		c.mu.Unlock()
		if obeys && !sleep(ctx, takes) {
			return l.end(r.Body, Outcome{Action: HandBack})
		}
		if !obeys {
			time.Sleep(takes)
		}
		if panics {
			l.end(r.Body, Outcome{Action: Retry})
			panic("told to")
		}
		return l.end(r.Body, Outcome{Action: action, After: takes})
	}
}

// drill runs a consumer under chaos, stops it, and says what went wrong.
func drill(t *testing.T, messages, slots, percent int, stopAfter time.Duration, seed uint64) string {
	f := &chaos{fakeSQS: newFake(bodies(messages)...), percent: percent, random: rand.New(rand.NewPCG(seed, 1))}
	f.refuse = func(string, string) *types.BatchResultErrorEntry {
		if !f.hit() {
			return nil
		}
		return &types.BatchResultErrorEntry{Code: aws.String("InternalError")}
	}
	l := &ledger{running: map[string]int{}, settled: map[string]bool{}}
	var log lockedBuffer
	c := New(Options{SQS: f, Handler: f.job(l), Slots: slots, VisibilityTimeout: 12 * time.Second, MaxHold: 35 * time.Second,
		DeadLetterURL: "https://dead", StopTimeout: 20 * time.Second, Logger: testLogger(&log)})
	ctx, cancel := context.WithTimeout(t.Context(), stopAfter)
	defer cancel()
	_ = c.Run(ctx)
	drained := time.Since(epoch) - stopAfter
	time.Sleep(time.Minute) // what obeys nothing ends
	if drained > 20*time.Second {
		return fmt.Sprintf("drained %v after the stop", drained)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	on := map[string]bool{}
	for _, body := range f.left() {
		on[body] = true
	}
	for _, body := range bodies(messages) {
		if !on[body] && !l.settled[body] {
			return body + " is lost: gone, and never settled"
		}
	}
	if s := c.Stats(); percent == 0 && s.DeletesFailed > 0 {
		return fmt.Sprintf("deletes failed without cause: %+v", s)
	}
	return l.problem
}

func TestNoMessageIsLostOrRunTwiceAtOnceWhateverFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		messages, slots := rapid.IntRange(1, 40).Draw(rt, "messages"), rapid.IntRange(1, 25).Draw(rt, "slots")
		percent := rapid.IntRange(0, 40).Draw(rt, "percent")
		stopAfter := time.Duration(rapid.IntRange(0, 300).Draw(rt, "stopAfter")) * time.Second
		seed := rapid.Uint64().Draw(rt, "seed")
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = drill(t, messages, slots, percent, stopAfter, seed) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}
