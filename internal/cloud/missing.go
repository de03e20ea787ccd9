package cloud

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/agext/levenshtein"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/internal/awsclient"
)

// The fields of a ScalingPolicy that name a queue.
const (
	fieldName       = "spec.queues[].name"
	fieldURL        = "spec.queues[].url"
	fieldDeadLetter = "spec.queues[].deadLetterQueue"
)

const (
	// namesEvery is how often the queues of the account are listed while one is
	// missing; namesPerAsk bounds the list.
	namesEvery  = 5 * time.Minute
	namesPerAsk = 1000
	// misspelt is up to how many letters a wrong name may differ from the right one.
	misspelt = 2
)

// ErrQueueMissing is the kind of a QueueMissingError, for errors.Is.
var ErrQueueMissing = errors.New("the queue does not exist")

// QueueMissingError says that SQS has no queue of a name.
type QueueMissingError struct {
	Queue   string // its name
	Field   string // the field of the policy that names it
	Region  string // empty: unknown
	Account string // empty: unknown
	Nearest string // a queue with nearly this name; empty: none is known
	Err     error
}

func (e *QueueMissingError) Error() string {
	kind := "queue"
	if e.Field == fieldDeadLetter {
		kind = "dead-letter queue"
	}
	text := fmt.Sprintf("%s %q does not exist", kind, e.Queue)
	if e.Region != "" {
		text += " in region " + e.Region
	}
	if e.Account != "" {
		text += ", account " + e.Account
	}
	var call *awsclient.CallError
	var refused smithy.APIError
	if errors.As(e.Err, &call) && errors.As(e.Err, &refused) {
		code := refused.ErrorCode()
		if code == "AWS.SimpleQueueService.NonExistentQueue" { // SQS's older name for it
			code = "QueueDoesNotExist"
		}
		text += fmt.Sprintf(" (%s answers %s)", call.Action, code)
	}
	text += fmt.Sprintf(": was it deleted, or is %s misspelt?", e.Field)
	if e.Nearest != "" {
		text += fmt.Sprintf(" Did you mean %q?", e.Nearest)
	}
	return text
}

// MissingQueue is the name of the queue, for those who know this error by its methods.
func (e *QueueMissingError) MissingQueue() string { return e.Queue }

// Is reports whether target is ErrQueueMissing.
func (e *QueueMissingError) Is(target error) bool { return target == ErrQueueMissing }
func (e *QueueMissingError) Unwrap() error        { return e.Err }

// MissingQueues returns every queue that an error of Observe says does not exist.
func MissingQueues(err error) []*QueueMissingError {
	switch one := err.(type) { //nolint:errorlint // it walks the tree of joined errors itself
	case *QueueMissingError:
		return []*QueueMissingError{one}
	case interface{ Unwrap() []error }:
		var missing []*QueueMissingError
		for _, part := range one.Unwrap() {
			missing = append(missing, MissingQueues(part)...)
		}
		return missing
	case interface{ Unwrap() error }:
		return MissingQueues(one.Unwrap())
	}
	return nil
}

// names are the queues of the account, as far as they could be listed.
type names struct {
	mu    sync.Mutex
	urls  []string
	asked time.Time
}

// missing describes a queue that SQS does not know.
func (d *depths) missing(ctx context.Context, name, address, field string, now time.Time, err error) error {
	if field == fieldName && address != "" {
		field = fieldURL
	}
	return &QueueMissingError{
		Queue: name, Field: field, Region: d.region, Account: d.accountOf(address),
		Nearest: d.nearest(ctx, name, now), Err: err,
	}
}

// accountOf reads the account from a queue's URL, or from any other queue's.
func (d *depths) accountOf(address string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if account := accountIn(address); account != "" {
		return account
	}
	for _, known := range d.urls {
		if account := accountIn(known); account != "" {
			return account
		}
	}
	return ""
}

func accountIn(address string) string {
	account := path.Base(path.Dir(address))
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
		return ""
	}
	return account
}

// nearest returns the queue whose name is nearly the given one. That needs
// sqs:ListQueues, which the controller's role does not have by default: without
// it there is no suggestion.
func (d *depths) nearest(ctx context.Context, name string, now time.Time) string {
	d.names.mu.Lock() // whoever comes second waits for the list
	defer d.names.mu.Unlock()
	if d.names.asked.IsZero() || now.Sub(d.names.asked) >= namesEvery {
		d.names.asked, d.names.urls = now, nil
		if out, err := d.api.ListQueues(ctx, &sqs.ListQueuesInput{MaxResults: aws.Int32(namesPerAsk)}); err == nil {
			d.names.urls = out.QueueUrls
		}
	}
	best, distance := "", misspelt+1
	for _, address := range d.names.urls {
		other := path.Base(address)
		if away := levenshtein.Distance(strings.ToLower(name), strings.ToLower(other), nil); other != name && away < distance {
			best, distance = other, away
		}
	}
	return best
}
