package consumer

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// sqsAPI is what a consumer needs of SQS; *sqs.Client has it.
type sqsAPI interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

var _ sqsAPI = (*sqs.Client)(nil)

// Options say what a Consumer reads and how. SQS, Handler and Queue are
// required; the rest has defaults.
type Options struct {
	SQS     sqsAPI
	Handler Handler
	Queue   Queue
	// DeadLetterURL is where dead letters go; empty: the queue's
	// RedrivePolicy names it.
	DeadLetterURL string
	// Keep has a dead letter where there is no queue for it: by its row's key. An
	// error leaves the message on its queue. nil: it stays there.
	Keep func(ctx context.Context, r Received, row string) error
	// Slots is how many jobs run at once; 0: as many as pay, found by trying
	// (slots.go).
	Slots int
	// VisibilityTimeout is the window that each receive and heartbeat asks
	// for, in whole seconds; default 60 s, at least 1 s.
	VisibilityTimeout time.Duration
	// MaxHold is how long a message is kept invisible at most; default 5 min.
	// Its job's context ends at nine tenths of it.
	MaxHold time.Duration
	// WaitTime is how long a poll is parked at SQS, in whole seconds; default
	// and at most 20 s (three requests a minute of an idle queue), where a
	// drain can outlast such a poll; else StopTimeout/3, at least 1 s.
	WaitTime time.Duration
	// StopTimeout bounds the drain; default 25 s, for ECS kills after 30.
	StopTimeout time.Duration
	// Logger defaults to slog.Default. The summary "Processed N, Failed N,
	// Deleted N" is logged at info; a logger that drops info must let it pass,
	// as cli.NewLogger does.
	Logger *slog.Logger
	// Ready says whether messages can be worked on; it is asked, at most every
	// few seconds, after an outcome that has Gate. nil: they can.
	Ready func(context.Context) error
	// Admit says how many of up to n messages may be received now, or else how
	// soon to ask again: while a provider fails, one message is received as a probe
	// and no more. It must not block. nil: all n.
	Admit func(n int) (admitted int, again time.Duration)
	// UntilEmpty makes Run drain and return once the queue holds nothing:
	// nothing visible, in flight (here or elsewhere) or delayed.
	UntilEmpty bool
}

// The drain's steps in percent of StopTimeout: see doc.go.
const (
	soft    = 75  // the jobs' contexts end
	polls   = 85  // a poll that is still parked is aborted
	hard    = 90  // what still runs is stuck
	percent = 100 // all of it
)

func (o Options) withDefaults() Options {
	const longestPoll, shortestPoll = 20 * time.Second, time.Second
	o.VisibilityTimeout = max(cmp.Or(o.VisibilityTimeout, time.Minute), time.Second)
	o.MaxHold = cmp.Or(o.MaxHold, 5*time.Minute)
	o.StopTimeout = cmp.Or(o.StopTimeout, 25*time.Second)
	atMost := longestPoll
	if o.StopTimeout*polls/percent < longestPoll+time.Second {
		atMost = o.StopTimeout / 3
	}
	o.WaitTime = max(min(cmp.Or(o.WaitTime, atMost), atMost), shortestPoll)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Logger = o.Logger.With("queue", o.Queue.Name)
	return o
}

// Consumer consumes one queue.
type Consumer struct {
	Options

	phases     phases
	deletes    *batcher
	visibility *batcher
	crew       crew
	demand     chan struct{} // a token wakes one more poller
	reserving  chan struct{} // has a token while a poller waits for slots: one does at a time

	mu          sync.Mutex
	failure     error // why Run gave up; only with UntilEmpty
	waiters     []*waiter
	held        map[string]*held // by message id, or by handle when on its way back
	busy        int              // slots that a receive reserved or a job uses
	slots       slots
	pausedUntil time.Time
	gated       bool   // Ready is to be asked before the next receive
	offering    bool   // the last time that slots were asked for, messages could be received into them
	deadLetters string // the discovered dead-letter queue's URL
	maxReceives int    // the queue's maxReceiveCount; 0: none, or not known yet
	receives    receives
	stats       Stats
	summarised  Stats // what the last summary line had told
}

// phases are the contexts that a drain ends one after another.
//
//nolint:containedctx // they are the consumer's own life, not a request's
type phases struct {
	receiving context.Context // no receive is issued after it
	jobs      context.Context // parent of the jobs' contexts
	polls     context.Context // bounds the polls that are parked
	settling  context.Context // bounds every call that settles a message
}

// New returns a Consumer. It calls nothing until Run.
func New(o Options) *Consumer {
	o = o.withDefaults()
	c := &Consumer{
		Options:   o,
		crew:      newCrew(),
		demand:    make(chan struct{}, o.pollers()),
		reserving: make(chan struct{}, 1),
		held:      map[string]*held{},
		slots:     newSlots(o.Slots),
	}
	c.deletes, c.visibility = &batcher{send: c.deleteBatch}, &batcher{send: c.changeVisibilityBatch}
	return c
}

// Run consumes until ctx ends, or with UntilEmpty until the queue is empty,
// and returns when the drain is over. No failure of SQS ends it; its error is
// nil. It may be called once.
func (c *Consumer) Run(ctx context.Context) error {
	receiving, stopReceiving := context.WithCancel(ctx)
	defer stopReceiving()
	lasting := context.WithoutCancel(ctx)
	jobs, endJobs := context.WithCancelCause(lasting)
	defer endJobs(errStopping)
	parked, endPolls := context.WithCancel(lasting)
	defer endPolls()
	settling, endSettling := context.WithCancel(lasting)
	defer endSettling()
	c.phases = phases{receiving: receiving, jobs: jobs, polls: parked, settling: settling}

	background, endBackground := context.WithCancel(lasting)
	var services, pollers sync.WaitGroup
	services.Go(func() { c.heartbeat(background) })
	services.Go(func() { c.summarise(background) })
	services.Go(func() { c.adapt(background) })
	services.Go(func() { c.followLimit(background) })
	pollers.Go(func() { c.poll(true, stopReceiving) })
	for range c.pollers() - 1 {
		pollers.Go(func() { c.poll(false, stopReceiving) })
	}

	<-receiving.Done()
	c.drain(&pollers, endJobs, endPolls, endSettling)
	endBackground()
	services.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// drain is the sequence that doc.go draws.
func (c *Consumer) drain(pollers *sync.WaitGroup, endJobs context.CancelCauseFunc, endPolls, endSettling context.CancelFunc) {
	defer time.AfterFunc(c.StopTimeout*polls/percent, endPolls).Stop()
	defer time.AfterFunc(c.StopTimeout*soft/percent, func() { endJobs(errStopping) }).Stop()
	defer time.AfterFunc(c.StopTimeout, endSettling).Stop()
	jobsEnd, cancel := context.WithTimeout(c.phases.settling, c.StopTimeout*hard/percent)
	defer cancel()

	pollers.Wait()
	defer c.crew.dismiss()
	c.await(jobsEnd, func() bool { return c.running() == 0 })
	c.reportStuck(0)
	if !c.await(c.phases.settling, func() bool { return len(c.held) == c.running() }) {
		c.Logger.Error("stop timeout is over with messages unsettled; they come again", "messages", c.Stats().InFlight)
	}
}

// waiter waits for something to become true of a Consumer.
type waiter struct {
	is   func() bool
	done chan struct{} // closed once it was
}

// await waits until is, which is called with mu held, says true; false when
// ctx ended first.
func (c *Consumer) await(ctx context.Context, is func() bool) bool {
	w := &waiter{is: is, done: make(chan struct{})}
	c.mu.Lock()
	if is() {
		c.mu.Unlock()
		return true
	}
	c.waiters = append(c.waiters, w)
	c.mu.Unlock()
	select {
	case <-w.done:
		return true
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters = slices.DeleteFunc(c.waiters, func(other *waiter) bool { return other == w })
	return false
}

// announce wakes those whose wait is over. Call it with mu held.
func (c *Consumer) announce() {
	c.waiters = slices.DeleteFunc(c.waiters, func(w *waiter) bool {
		if !w.is() {
			return false
		}
		close(w.done)
		return true
	})
}

// running counts the jobs that have not ended. Call it with mu held.
func (c *Consumer) running() int {
	n := 0
	for _, h := range c.held {
		if !h.ended {
			n++
		}
	}
	return n
}

// sleep waits for d; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
