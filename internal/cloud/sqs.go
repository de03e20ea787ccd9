package cloud

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/scaling"
)

// readsAtOnce bounds the concurrent calls to SQS of one observation.
const readsAtOnce = 8

// sqsAPI is what Metrics needs of SQS.
type sqsAPI interface {
	GetQueueUrl(ctx context.Context, in *sqs.GetQueueUrlInput, o ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, o ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// depths reads how deep queues are now. Asking keeps a queue awake, so that
// its CloudWatch metrics never stop.
type depths struct {
	api  sqsAPI
	mu   sync.Mutex
	urls map[string]string // by queue name
}

func newDepths(api sqsAPI) *depths { return &depths{api: api, urls: map[string]string{}} }

// read gives the depth of each queue (name → URL, empty to look it up) and
// joins the errors of those that could not be read.
func (d *depths) read(ctx context.Context, queues map[string]string, now time.Time) (map[string]scaling.Queue, error) {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		errs  []error
		found = make(map[string]scaling.Queue, len(queues))
		slots = make(chan struct{}, readsAtOnce)
	)
	for name, url := range queues {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			q, err := d.readOne(ctx, name, url, now)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("read depth of queue %q from SQS: %w", name, err))
				return
			}
			found[name] = q
		})
	}
	wg.Wait()
	return found, errors.Join(errs...)
}

func (d *depths) readOne(ctx context.Context, name, url string, now time.Time) (scaling.Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if url == "" {
		var err error
		if url, err = d.urlOf(ctx, name); err != nil {
			return scaling.Queue{}, explained(err, "sqs:GetQueueUrl")
		}
	}
	out, err := d.api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(url),
		AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessages,
			types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
			types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
		},
	})
	if err != nil {
		d.forget(name) // a queue made anew elsewhere has another URL
		return scaling.Queue{}, explained(err, "sqs:GetQueueAttributes")
	}
	return depthOf(out.Attributes, now)
}

func depthOf(attributes map[string]string, now time.Time) (scaling.Queue, error) {
	var q scaling.Queue
	for name, field := range map[types.QueueAttributeName]**scaling.Sample{
		types.QueueAttributeNameApproximateNumberOfMessages:           &q.Visible,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible: &q.InFlight,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed:    &q.Delayed,
	} {
		messages, err := strconv.Atoi(attributes[string(name)])
		if err != nil {
			return scaling.Queue{}, fmt.Errorf("read %s: %w", name, err)
		}
		*field = &scaling.Sample{Value: float64(messages), Time: now}
	}
	return q, nil
}

func (d *depths) urlOf(ctx context.Context, name string) (string, error) {
	d.mu.Lock()
	url, known := d.urls[name]
	d.mu.Unlock()
	if known {
		return url, nil
	}
	out, err := d.api.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.urls[name] = aws.ToString(out.QueueUrl)
	return d.urls[name], nil
}

func (d *depths) forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.urls, name)
}
