// Package sqs is Amazon SQS on one machine: standard queues in memory, over
// the wire that the AWS SDKs and the aws command speak: the JSON protocol, and
// the older Query protocol.
//
// Where AWS documents a behaviour, that decides; where AWS is random (sampled
// receives, loose order) it is the calm case: every visible message can be
// received, the oldest first. SetFaults brings the rough one back.
//
// Start reading in queue.go, which has the life of a message. The package
// imports awswire and the standard library.
package sqs

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// DefaultInFlightLimit is the most messages of a standard queue that may be
// in flight, see "Amazon SQS standard queue quotas" of the developer guide.
const DefaultInFlightLimit = 120_000

// Options are the settings of a Service. The zero value serves.
type Options struct {
	Account       string // twelve digits; 000000000000 when empty
	Region        string // us-east-1 when empty
	Endpoint      string // what queue URLs begin with; the request's Host when empty
	InFlightLimit int    // messages a queue; DefaultInFlightLimit when zero
}

// A Service holds queues and serves them over HTTP. It is safe for concurrent
// use. It starts no goroutine: a queue that someone polls has one timer, and
// so has a running move task.
type Service struct {
	options Options
	ops     map[string]awswire.Op

	// mu is held for reading by every operation and for writing by what must
	// see or change all queues at once. It comes before any queue's lock.
	mu      sync.RWMutex
	queues  map[string]*queue
	deleted map[string]time.Time // when a queue of that name was deleted

	// moves comes after mu and before any queue's lock.
	moves sync.Mutex
	tasks map[string][]*moveTask // by source queue, newest first

	faults faultBox
}

var _ http.Handler = (*Service)(nil)

// New returns a Service without queues.
func New(options Options) *Service {
	if options.Account == "" {
		options.Account = "000000000000"
	}
	if options.Region == "" {
		options.Region = "us-east-1"
	}
	if options.InFlightLimit == 0 {
		options.InFlightLimit = DefaultInFlightLimit
	}
	s := &Service{options: options, queues: map[string]*queue{}, deleted: map[string]time.Time{}, tasks: map[string][]*moveTask{}}
	s.ops = s.operations()
	return s
}

func (s *Service) operations() map[string]awswire.Op {
	return map[string]awswire.Op{
		"CreateQueue":                  awswire.JSON(s.createQueue),
		"GetQueueUrl":                  awswire.JSON(s.getQueueURL),
		"ListQueues":                   awswire.JSON(s.listQueues),
		"DeleteQueue":                  awswire.JSON(s.deleteQueue),
		"PurgeQueue":                   awswire.JSON(s.purgeQueue),
		"GetQueueAttributes":           awswire.JSON(s.getQueueAttributes),
		"SetQueueAttributes":           awswire.JSON(s.setQueueAttributes),
		"SendMessage":                  awswire.JSON(s.sendMessage),
		"SendMessageBatch":             awswire.JSON(s.sendMessageBatch),
		"ReceiveMessage":               awswire.JSON(s.receiveMessage),
		"DeleteMessage":                awswire.JSON(s.deleteMessage),
		"DeleteMessageBatch":           awswire.JSON(s.deleteMessageBatch),
		"ChangeMessageVisibility":      awswire.JSON(s.changeVisibility),
		"ChangeMessageVisibilityBatch": awswire.JSON(s.changeVisibilityBatch),
		"ListDeadLetterSourceQueues":   awswire.JSON(s.listDeadLetterSources),
		"TagQueue":                     awswire.JSON(s.tagQueue),
		"UntagQueue":                   awswire.JSON(s.untagQueue),
		"ListQueueTags":                awswire.JSON(s.listQueueTags),
		"StartMessageMoveTask":         awswire.JSON(s.startMove),
		"CancelMessageMoveTask":        awswire.JSON(s.cancelMove),
		"ListMessageMoveTasks":         awswire.JSON(s.listMoves),
	}
}

type hostKey struct{}

// ServeHTTP answers one operation of the SQS API.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.faults.strike(r.Context()); err != nil {
		if r.Header.Get("X-Amz-Target") == "" {
			queryWire.Refuse(w, err)
			return
		}
		awswire.WriteJSONError(w, r, err)
		return
	}
	host := "http://" + r.Host
	if r.TLS != nil {
		host = "https://" + r.Host
	}
	r = r.WithContext(context.WithValue(r.Context(), hostKey{}, host))
	if r.Header.Get("X-Amz-Target") == "" {
		s.serveQuery(w, r)
		return
	}
	awswire.ServeJSON(w, r, s.ops)
}

// queueURL is the address of the queue as the caller reaches this service.
func (s *Service) queueURL(ctx context.Context, name string) string {
	base := s.options.Endpoint
	if base == "" {
		base, _ = ctx.Value(hostKey{}).(string)
	}
	return strings.TrimSuffix(base, "/") + "/" + s.options.Account + "/" + name
}

func (s *Service) arn(name string) string {
	return "arn:aws:sqs:" + s.options.Region + ":" + s.options.Account + ":" + name
}

// lookup finds the queue of a URL. The caller holds s.mu.
func (s *Service) lookup(address string) (*queue, error) {
	if address == "" {
		return nil, missing("QueueUrl")
	}
	parsed, err := url.Parse(address)
	if err != nil {
		return nil, badAddress(address)
	}
	parts := strings.Split(strings.Trim(parsed.Path, "/"), "/")
	if len(parts) != 2 {
		return nil, badAddress(address)
	}
	q := s.queues[parts[1]]
	if q == nil || parts[0] != s.options.Account {
		return nil, errNoQueue
	}
	return q, nil
}

// onQueue runs f with the queue of a URL locked and brought up to date.
func (s *Service) onQueue(address string, f func(q *queue, now time.Time) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	q, err := s.lookup(address)
	if err != nil {
		return err
	}
	now := q.lock()
	defer q.unlock(now)
	return f(q, now)
}
