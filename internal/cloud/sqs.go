package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/scaling"
)

// readsAtOnce bounds the concurrent calls to SQS of one observation: queues
// that do not answer keep none of the others from being read in time.
const readsAtOnce = 64

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

// read gives the depth of each queue (name → URL, empty to look it up). The
// error names those that could not be read, once for each reason.
func (d *depths) read(ctx context.Context, queues map[string]string, now time.Time) (map[string]scaling.Queue, error) {
	var (
		mu     sync.Mutex
		wg     sync.WaitGroup
		failed = map[string]*failedReads{} // by reason
		found  = make(map[string]scaling.Queue, len(queues))
		slots  = make(chan struct{}, readsAtOnce)
	)
	for name, address := range queues {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			q, err := d.readOne(ctx, name, address, now)
			mu.Lock()
			defer mu.Unlock()
			if q.Visible != nil || q.InFlight != nil || q.Delayed != nil {
				found[name] = q
			}
			if err == nil {
				return
			}
			if failed[err.Error()] == nil {
				failed[err.Error()] = &failedReads{err: err}
			}
			failed[err.Error()].queues = append(failed[err.Error()].queues, name)
		})
	}
	wg.Wait()
	var errs []error
	for _, reason := range slices.Sorted(maps.Keys(failed)) {
		one := failed[reason]
		slices.Sort(one.queues)
		errs = append(errs, fmt.Errorf("read depth of queues %q from SQS: %w", one.queues, one.err))
	}
	return found, errors.Join(errs...)
}

// failedReads are the queues that could not be read for one reason.
type failedReads struct {
	queues []string
	err    error
}

func (d *depths) readOne(ctx context.Context, name, address string, now time.Time) (scaling.Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if address == "" {
		var err error
		if address, err = d.urlOf(ctx, name); err != nil {
			return scaling.Queue{}, awsclient.Explain(err, "sqs:GetQueueUrl")
		}
	}
	out, err := d.api.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(address),
		AttributeNames: []types.QueueAttributeName{
			types.QueueAttributeNameApproximateNumberOfMessages,
			types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
			types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
		},
	})
	if err != nil {
		d.forget(name) // a queue made anew elsewhere has another URL
		return scaling.Queue{}, awsclient.Explain(err, "sqs:GetQueueAttributes")
	}
	return depthOf(out.Attributes, now)
}

// depthOf is what the attributes say; the error names those that say nothing.
func depthOf(attributes map[string]string, now time.Time) (scaling.Queue, error) {
	var (
		q       scaling.Queue
		unknown []string
	)
	for _, part := range []struct {
		name  types.QueueAttributeName
		field **scaling.Sample
	}{
		{types.QueueAttributeNameApproximateNumberOfMessages, &q.Visible},
		{types.QueueAttributeNameApproximateNumberOfMessagesNotVisible, &q.InFlight},
		{types.QueueAttributeNameApproximateNumberOfMessagesDelayed, &q.Delayed},
	} {
		messages, err := strconv.Atoi(attributes[string(part.name)])
		if err != nil {
			unknown = append(unknown, string(part.name))
			continue
		}
		*part.field = &scaling.Sample{Value: float64(messages), Time: now}
	}
	if unknown != nil {
		return q, fmt.Errorf("its answer has no number for %s (it is asked again)", strings.Join(unknown, ", "))
	}
	return q, nil
}

// regionOf is the region that a queue's URL names, by AWS's own hosts, VPC
// endpoints and the old names among them; empty where it names none.
// https://docs.aws.amazon.com/general/latest/gr/sqs-service.html
func regionOf(address string) string {
	at, err := url.Parse(address)
	if err != nil {
		return ""
	}
	host, ours := strings.CutSuffix(strings.TrimSuffix(at.Hostname(), ".cn"), ".amazonaws.com")
	if !ours {
		return ""
	}
	labels := strings.Split(strings.TrimSuffix(host, ".vpce"), ".")
	last := labels[len(labels)-1]
	switch {
	case last == "queue" && len(labels) == 1:
		return "us-east-1"
	case last == "queue":
		return labels[len(labels)-2]
	case len(labels) > 1 && strings.HasPrefix(labels[len(labels)-2], "sqs"):
		return last
	}
	return ""
}

func (d *depths) urlOf(ctx context.Context, name string) (string, error) {
	d.mu.Lock()
	address, known := d.urls[name]
	d.mu.Unlock()
	if known {
		return address, nil
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
