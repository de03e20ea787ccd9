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
	ListQueues(ctx context.Context, in *sqs.ListQueuesInput, o ...func(*sqs.Options)) (*sqs.ListQueuesOutput, error)
}

// depths reads how many messages queues have now. Reading keeps a queue awake,
// so that its CloudWatch metrics never stop.
type depths struct {
	api    sqsAPI
	region string

	mu       sync.Mutex
	urls     map[string]string    // by queue name
	lastRead map[string]time.Time // by queue name
	names    names                // of the account's queues
}

func newDepths(api sqsAPI, region string) *depths {
	return &depths{api: api, region: region, urls: map[string]string{}, lastRead: map[string]time.Time{}}
}

// read returns the depth of each queue (name → URL, empty to look it up), which
// a field of the policy names. The error names the queues that could not be
// read, once for each reason; each that does not exist has a QueueMissingError.
func (d *depths) read(ctx context.Context, queues map[string]string, field string, now time.Time) (map[string]scaling.Queue, error) {
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
			q, err := d.readOne(ctx, name, address, field, now)
			reason := d.reasonOf(name, err)
			mu.Lock()
			defer mu.Unlock()
			if q.Visible != nil || q.InFlight != nil || q.Delayed != nil {
				found[name] = q
			}
			if err == nil {
				return
			}
			if failed[reason] == nil {
				failed[reason] = &failedReads{err: err, lastRead: d.lastReadOf(name)}
			}
			failed[reason].queues = append(failed[reason].queues, name)
		})
	}
	wg.Wait()
	var errs []error
	for _, reason := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, failed[reason].explain(field))
	}
	return found, errors.Join(errs...)
}

// failedReads are the queues that could not be read for one reason, and the
// time they were last read, in words.
type failedReads struct {
	queues   []string
	err      error
	lastRead string
}

// explain says what could not be read, and which count is used meanwhile.
func (f *failedReads) explain(field string) error {
	if errors.Is(f.err, ErrQueueMissing) {
		return f.err
	}
	slices.Sort(f.queues)
	meanwhile := ""
	if field != fieldDeadLetter {
		meanwhile = "; meanwhile the controller uses CloudWatch's counts, which are minutes old"
	}
	return fmt.Errorf("read the depth of queues %q: %w. It was %s%s", f.queues, f.err, f.lastRead, meanwhile)
}

// reasonOf is equal for queues that share a sentence.
func (d *depths) reasonOf(name string, err error) string {
	if err == nil {
		return ""
	}
	return err.Error() + d.lastReadOf(name)
}

func (d *depths) lastReadOf(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, known := d.lastRead[name]; known {
		return "last read at " + at.UTC().Format(time.TimeOnly) + " UTC"
	}
	return "not read since this program started"
}

func (d *depths) readOne(ctx context.Context, name, given, field string, now time.Time) (scaling.Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	address := given
	if address == "" {
		var err error
		if address, err = d.urlOf(ctx, name); err != nil {
			return scaling.Queue{}, d.explain(ctx, name, given, field, now, awsclient.Explain(err, "sqs:GetQueueUrl"))
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
		err = awsclient.Explain(err, "sqs:GetQueueAttributes")
		if errors.Is(err, awsclient.ErrNotFound) || errors.Is(err, awsclient.ErrDenied) {
			d.forget(name) // a queue that was created again may have another URL
		}
		return scaling.Queue{}, d.explain(ctx, name, given, field, now, err)
	}
	q, err := depthOf(out.Attributes, now)
	if err == nil {
		d.mu.Lock()
		d.lastRead[name] = now
		d.mu.Unlock()
	}
	return q, err
}

// explain is err, or that the queue does not exist.
func (d *depths) explain(ctx context.Context, name, given, field string, now time.Time, err error) error {
	if errors.Is(err, awsclient.ErrNotFound) {
		return d.missing(ctx, name, given, field, now, err)
	}
	return err
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
		return q, fmt.Errorf("the answer of sqs:GetQueueAttributes has no number for %s; the controller asks again", strings.Join(unknown, ", "))
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
