package sqs

import (
	"context"
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// quietPeriod is how long a name rests after DeleteQueue and a queue after
// PurgeQueue, by AWS's documentation of both.
const quietPeriod = 60 * time.Second

// maxPage is the most queues that a list answers at once.
const maxPage = 1000

var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

type createInput struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

type urlOutput struct {
	QueueURL string `json:"QueueUrl"`
}

type urlInput struct {
	QueueURL string `json:"QueueUrl"`
}

func checkName(name string) error {
	switch {
	case name == "":
		return missing("QueueName")
	case strings.HasSuffix(name, ".fifo"):
		return invalidValue(name, "QueueName", "FIFO queues are not served here, only standard queues.")
	case !queueName.MatchString(name):
		return invalidValue(name, "QueueName", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.")
	}
	return nil
}

func (s *Service) createQueue(ctx context.Context, in *createInput) (*urlOutput, error) {
	if err := checkName(in.QueueName); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	checked, err := s.checkAttributes(in.QueueName, in.Attributes)
	if err != nil {
		return nil, err
	}
	if err := s.create(in, checked, time.Now()); err != nil {
		return nil, err
	}
	return &urlOutput{QueueURL: s.queueURL(ctx, in.QueueName)}, nil
}

func (s *Service) create(in *createInput, checked map[string]string, now time.Time) error {
	if old := s.queues[in.QueueName]; old != nil {
		return old.sameAs(checked)
	}
	if gone, known := s.deleted[in.QueueName]; known && now.Sub(gone) < quietPeriod {
		return ofBatch("QueueDeletedRecently", "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
	}
	q := newQueue(in.QueueName, now)
	q.apply(checked, now)
	maps.Copy(q.tags, in.Tags)
	s.queues[in.QueueName] = q
	delete(s.deleted, in.QueueName)
	return nil
}

// sameAs refuses attributes that differ from the queue's own.
func (q *queue) sameAs(checked map[string]string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(checked)) {
		if q.attributes[key] != checked[key] {
			return &awswire.Error{
				Code: "QueueNameExists", Query: "QueueAlreadyExists",
				Message: "A queue already exists with the same name and a different value for attribute " + key,
			}
		}
	}
	return nil
}

type getURLInput struct {
	QueueName string
	Owner     string `json:"QueueOwnerAWSAccountId"`
}

func (s *Service) getQueueURL(ctx context.Context, in *getURLInput) (*urlOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if in.QueueName == "" {
		return nil, missing("QueueName")
	}
	if s.queues[in.QueueName] == nil || in.Owner != "" && in.Owner != s.options.Account {
		return nil, errNoQueue
	}
	return &urlOutput{QueueURL: s.queueURL(ctx, in.QueueName)}, nil
}

type listInput struct {
	Prefix     string `json:"QueueNamePrefix"`
	NextToken  string
	MaxResults *int
}

type listOutput struct {
	QueueURLs []string `json:"QueueUrls,omitempty"`
	NextToken string   `json:",omitempty"`
}

func (s *Service) listQueues(ctx context.Context, in *listInput) (*listOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := s.names(func(q *queue) bool { return strings.HasPrefix(q.name, in.Prefix) })
	urls, next, err := s.page(ctx, names, in.NextToken, in.MaxResults)
	return &listOutput{QueueURLs: urls, NextToken: next}, err
}

type sourcesInput struct {
	QueueURL   string `json:"QueueUrl"`
	NextToken  string
	MaxResults *int
}

type sourcesOutput struct {
	QueueURLs []string `json:"queueUrls"`
	NextToken string   `json:",omitempty"`
}

func (s *Service) listDeadLetterSources(ctx context.Context, in *sourcesInput) (*sourcesOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	target, err := s.lookup(in.QueueURL)
	if err != nil {
		return nil, err
	}
	names := s.names(func(q *queue) bool { return q.redrivesTo(target.name) })
	urls, next, err := s.page(ctx, names, in.NextToken, in.MaxResults)
	return &sourcesOutput{QueueURLs: urls, NextToken: next}, err
}

// names are the queues that keep tells, sorted. The caller holds s.mu.
func (s *Service) names(keep func(*queue) bool) []string {
	var names []string
	for name, q := range s.queues {
		if keep(q) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// page is the part of names behind token, as URLs, and the token of the next.
// As in AWS there is a next one only for who asked for a size.
func (s *Service) page(ctx context.Context, names []string, token string, size *int) ([]string, string, error) {
	last, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return nil, "", invalidValue(token, "NextToken", "Not a token of this list.")
	}
	if size != nil && (*size < 1 || *size > maxPage) {
		return nil, "", invalidValue(*size, "MaxResults", "Must be between 1 and 1000, if provided.")
	}
	start, found := slices.BinarySearch(names, string(last))
	if found {
		start++
	}
	names, next := names[start:], ""
	if size != nil && len(names) > *size {
		names = names[:*size]
		next = base64.StdEncoding.EncodeToString([]byte(names[*size-1]))
	}
	urls := make([]string, 0, len(names))
	for _, name := range names[:min(len(names), maxPage)] {
		urls = append(urls, s.queueURL(ctx, name))
	}
	return urls, next, nil
}

func (s *Service) deleteQueue(_ context.Context, in *urlInput) (*nothing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.lookup(in.QueueURL)
	if err != nil {
		return nil, err
	}
	delete(s.queues, q.name)
	s.deleted[q.name] = time.Now()
	q.retire()
	return &nothing{}, nil
}

// retire sends the receivers of a queue that is no more on, to find it gone.
func (q *queue) retire() {
	now := q.lock()
	defer q.unlock(now)
	q.clear()
	q.wakeAll()
}

func (s *Service) purgeQueue(_ context.Context, in *urlInput) (*nothing, error) {
	return &nothing{}, s.onQueue(in.QueueURL, func(q *queue, now time.Time) error {
		if now.Sub(q.purged) < quietPeriod {
			return ofBatch("PurgeQueueInProgress", "Only one PurgeQueue operation on "+q.name+" is allowed every 60 seconds.")
		}
		q.purged = now
		q.clear()
		return nil
	})
}

type tagInput struct {
	QueueURL string `json:"QueueUrl"`
	Tags     map[string]string
}

func (s *Service) tagQueue(_ context.Context, in *tagInput) (*nothing, error) {
	return &nothing{}, s.onQueue(in.QueueURL, func(q *queue, _ time.Time) error {
		if len(in.Tags) == 0 {
			return missing("Tags")
		}
		maps.Copy(q.tags, in.Tags)
		return nil
	})
}

type untagInput struct {
	QueueURL string `json:"QueueUrl"`
	TagKeys  []string
}

func (s *Service) untagQueue(_ context.Context, in *untagInput) (*nothing, error) {
	return &nothing{}, s.onQueue(in.QueueURL, func(q *queue, _ time.Time) error {
		for _, key := range in.TagKeys {
			delete(q.tags, key)
		}
		return nil
	})
}

type tagsOutput struct {
	Tags map[string]string `json:",omitempty"`
}

func (s *Service) listQueueTags(_ context.Context, in *urlInput) (*tagsOutput, error) {
	out := &tagsOutput{}
	return out, s.onQueue(in.QueueURL, func(q *queue, _ time.Time) error {
		out.Tags = maps.Clone(q.tags)
		return nil
	})
}
