package consumer

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// linger is the longest that an entry waits for others to share its call.
const linger = 20 * time.Millisecond

// retryDelays are the waits before the second, third and fourth try.
var retryDelays = []time.Duration{100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond}

// entry is one message's part in a batch call.
type entry struct {
	handle     string
	visibility time.Duration // of a change of visibility
	err        *entryError
	done       chan struct{} // closed when err is final
}

// entryError is why SQS did not do what an entry asked, though it may have
// answered the batch with 200.
type entryError struct {
	code        string
	message     string
	senderFault bool // trying again is no use
}

func (e *entryError) Error() string { return e.code + ": " + e.message }

// sendFunc makes one batch call and returns what failed, by index.
type sendFunc func(ctx context.Context, entries []*entry) map[int]*entryError

// batcher collects entries into calls of ten. It has no goroutine and nothing
// to flush at the end: whoever adds an entry waits for its answer.
type batcher struct {
	send sendFunc

	mu      sync.Mutex
	waiting []*entry
	timer   *time.Timer
}

// add hands one entry over and waits for its answer, at most linger plus the
// call and its retries; ctx bounds those of the whole batch.
func (b *batcher) add(ctx context.Context, e *entry) error {
	e.done = make(chan struct{})
	if batch := b.join(ctx, e); batch != nil {
		b.flush(ctx, batch)
	}
	<-e.done
	if e.err != nil {
		return e.err
	}
	return nil
}

// join puts e among the waiting, and returns them when the batch is full. A
// handle that waits already makes its batch go first: no batch has it twice.
func (b *batcher) join(ctx context.Context, e *entry) []*entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, other := range b.waiting {
		if other.handle == e.handle {
			go b.flush(ctx, b.takeWaiting())
			break
		}
	}
	b.waiting = append(b.waiting, e)
	switch len(b.waiting) {
	case batchSize:
		return b.takeWaiting()
	case 1:
		b.timer = time.AfterFunc(linger, func() {
			b.mu.Lock()
			batch := b.waiting
			if len(batch) > 0 && batch[0] == e { // else it went with a full batch
				b.waiting = nil
			} else {
				batch = nil
			}
			b.mu.Unlock()
			b.flush(ctx, batch)
		})
	}
	return nil
}

// takeWaiting empties the batch. Call it with mu held.
func (b *batcher) takeWaiting() []*entry {
	b.timer.Stop()
	batch := b.waiting
	b.waiting = nil
	return batch
}

// flush sends a batch, and again what failed through no fault of ours.
func (b *batcher) flush(ctx context.Context, batch []*entry) {
	for try := 0; len(batch) > 0; try++ {
		failed := b.send(ctx, batch)
		last := try == len(retryDelays) || ctx.Err() != nil
		var again []*entry
		for i, e := range batch {
			e.err = failed[i]
			if e.err != nil && !e.err.senderFault && !last {
				again = append(again, e)
				continue
			}
			close(e.done)
		}
		batch = again
		if len(batch) > 0 {
			sleep(ctx, retryDelays[try]) // cut short by ctx, the next try is the last
		}
	}
}

func (c *Consumer) deleteBatch(ctx context.Context, entries []*entry) map[int]*entryError {
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &c.Queue.URL}
	for i, e := range entries {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &e.handle})
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := c.SQS.DeleteMessageBatch(ctx, in)
	if err != nil {
		return allFailed(len(entries), err)
	}
	return failedEntries(out.Failed)
}

func (c *Consumer) changeVisibilityBatch(ctx context.Context, entries []*entry) map[int]*entryError {
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &c.Queue.URL}
	for i, e := range entries {
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &e.handle, VisibilityTimeout: wholeSeconds(e.visibility),
		})
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := c.SQS.ChangeMessageVisibilityBatch(ctx, in)
	if err != nil {
		return allFailed(len(entries), err)
	}
	return failedEntries(out.Failed)
}

func failedEntries(list []types.BatchResultErrorEntry) map[int]*entryError {
	failed := make(map[int]*entryError, len(list))
	for _, f := range list {
		i, err := strconv.Atoi(aws.ToString(f.Id))
		if err != nil {
			continue // an id that is not ours
		}
		failed[i] = &entryError{code: aws.ToString(f.Code), message: aws.ToString(f.Message), senderFault: f.SenderFault}
	}
	return failed
}

// allFailed spreads a failed call over its entries; its code is left out, for
// it says nothing about any one message.
func allFailed(n int, err error) map[int]*entryError {
	failed := make(map[int]*entryError, n)
	for i := range n {
		failed[i] = &entryError{code: "call", message: fmt.Sprint(err)}
	}
	return failed
}
