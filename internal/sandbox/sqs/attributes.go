package sqs

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// MaxMessageSize is the most bytes of one message, and of one batch.
const MaxMessageSize = 1 << 20

// maxVisibility is the longest that a message stays in flight, in seconds
// from its receive: 12 hours.
const maxVisibility = 43_200

type bounds struct{ least, most int }

// numeric are the attributes that are whole numbers, with AWS's bounds: see
// SetQueueAttributes in the API reference.
var numeric = map[string]bounds{
	"DelaySeconds":                  {0, 900},
	"MaximumMessageSize":            {1024, MaxMessageSize},
	"MessageRetentionPeriod":        {60, 1_209_600},
	"ReceiveMessageWaitTimeSeconds": {0, 20},
	"VisibilityTimeout":             {0, maxVisibility},
	"KmsDataKeyReusePeriodSeconds":  {60, 86_400},
}

// computed are the attributes that only AWS sets.
var computed = []string{
	"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
	"CreatedTimestamp", "LastModifiedTimestamp", "QueueArn",
}

// settable are all attributes that a standard queue's owner sets.
var settable = []string{
	"DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds", "VisibilityTimeout",
	"Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled",
}

func defaultAttributes() map[string]string {
	return map[string]string{
		"DelaySeconds": "0", "MaximumMessageSize": strconv.Itoa(MaxMessageSize), "MessageRetentionPeriod": "345600",
		"ReceiveMessageWaitTimeSeconds": "0", "VisibilityTimeout": "30", "SqsManagedSseEnabled": "true",
	}
}

// checkAttributes returns the attributes as they are kept: policies compact,
// numbers plain. The caller holds s.mu.
func (s *Service) checkAttributes(name string, given map[string]string) (map[string]string, error) {
	checked := make(map[string]string, len(given))
	for _, key := range slices.Sorted(maps.Keys(given)) {
		value, err := s.checkAttribute(name, key, given[key])
		if err != nil {
			return nil, err
		}
		checked[key] = value
	}
	return checked, nil
}

func (s *Service) checkAttribute(queue, key, value string) (string, error) {
	if !slices.Contains(settable, key) {
		return "", unknownAttribute(key)
	}
	if limit, isNumber := numeric[key]; isNumber {
		n, err := strconv.Atoi(value)
		if err != nil || n < limit.least || n > limit.most {
			return "", invalidAttribute(key, "Must be an integer from "+strconv.Itoa(limit.least)+" to "+strconv.Itoa(limit.most)+".")
		}
		return strconv.Itoa(n), nil
	}
	switch key {
	case "SqsManagedSseEnabled":
		if value != "true" && value != "false" {
			return "", invalidAttribute(key, "Must be true or false.")
		}
	case "RedrivePolicy":
		return s.checkRedrive(queue, value)
	case "RedriveAllowPolicy":
		return checkRedriveAllow(value)
	case "Policy":
		if value != "" && !json.Valid([]byte(value)) {
			return "", invalidAttribute(key, "Must be a JSON policy document.")
		}
	}
	return value, nil
}

// apply sets attributes that were checked; an empty value removes one.
func (q *queue) apply(checked map[string]string, now time.Time) {
	for key, value := range checked {
		if value == "" {
			delete(q.attributes, key)
		} else {
			q.attributes[key] = value
		}
	}
	if checked["KmsMasterKeyId"] != "" { // one kind of encryption at a time
		q.attributes["SqsManagedSseEnabled"] = "false"
	}
	q.redrive = parseRedrive(q.attributes["RedrivePolicy"])
	q.modified = now
}

type getAttributesInput struct {
	QueueURL       string `json:"QueueUrl"`
	AttributeNames []string
}

type getAttributesOutput struct {
	Attributes map[string]string `json:",omitempty"`
}

func (s *Service) getQueueAttributes(_ context.Context, in *getAttributesInput) (*getAttributesOutput, error) {
	out := &getAttributesOutput{}
	return out, s.onQueue(in.QueueURL, func(q *queue, _ time.Time) error {
		all := s.describe(q)
		chosen := map[string]string{}
		for _, name := range in.AttributeNames {
			switch {
			case name == "All":
				chosen = all
			case !slices.Contains(settable, name) && !slices.Contains(computed, name):
				return unknownAttribute(name)
			case all[name] != "":
				chosen[name] = all[name]
			}
		}
		out.Attributes = chosen
		return nil
	})
}

// describe returns every attribute that q has, set and computed.
func (s *Service) describe(q *queue) map[string]string {
	all := maps.Clone(q.attributes)
	all["ApproximateNumberOfMessages"] = strconv.Itoa(q.count[visible])
	all["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(q.count[inFlight])
	all["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(q.count[delayed])
	all["CreatedTimestamp"] = strconv.FormatInt(q.created.Unix(), 10)
	all["LastModifiedTimestamp"] = strconv.FormatInt(q.modified.Unix(), 10)
	all["QueueArn"] = s.arn(q.name)
	return all
}

type setAttributesInput struct {
	QueueURL   string `json:"QueueUrl"`
	Attributes map[string]string
}

type nothing struct{}

func (s *Service) setQueueAttributes(_ context.Context, in *setAttributesInput) (*nothing, error) {
	if len(in.Attributes) == 0 {
		return nil, missing("Attribute.Name")
	}
	s.mu.Lock() // a redrive policy looks at other queues
	defer s.mu.Unlock()
	q, err := s.lookup(in.QueueURL)
	if err != nil {
		return nil, err
	}
	checked, err := s.checkAttributes(q.name, in.Attributes)
	if err != nil {
		return nil, err
	}
	now := q.lock()
	defer q.unlock(now)
	q.apply(checked, now)
	return &nothing{}, nil
}
