// Package sns stands in for Amazon SNS: topics whose subscribers are SQS
// queues, over the Query protocol. What is published reaches the queues within
// the call, in the envelope that AWS sends or, with RawMessageDelivery, bare.
// Signatures in the envelope are made up.
package sns

import (
	"cmp"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

const wire = awswire.Query("http://sns.amazonaws.com/doc/2010-03-31/")

// An Attribute is the typed value of a message attribute.
type Attribute struct {
	DataType    string
	StringValue string
	BinaryValue []byte
}

// A Deliver puts a message on the queue of an ARN.
type Deliver func(queueARN, body string, attributes map[string]Attribute) error

// Server is the stand-in, an http.Handler that is safe for concurrent use.
type Server struct {
	account, region string
	deliver         Deliver
	ops             map[string]func(url.Values) (any, error)

	mu            sync.Mutex
	topics        map[string]*topic // by ARN
	subscriptions []*subscription
}

type topic struct {
	arn        string
	attributes map[string]string
	tags       map[string]string
}

type subscription struct {
	arn, topic, endpoint string
	attributes           map[string]string
	filter               filter
}

// New returns a Server without topics.
func New(account, region string, deliver Deliver) *Server {
	s := &Server{account: account, region: region, deliver: deliver, topics: map[string]*topic{}}
	s.ops = map[string]func(url.Values) (any, error){
		"CreateTopic":               typed(s.createTopic),
		"DeleteTopic":               typed(s.deleteTopic),
		"ListTopics":                typed(s.listTopics),
		"GetTopicAttributes":        typed(s.topicAttributes),
		"SetTopicAttributes":        typed(s.setTopicAttributes),
		"ListTagsForResource":       typed(s.listTags),
		"Subscribe":                 typed(s.subscribe),
		"Unsubscribe":               typed(s.unsubscribe),
		"ListSubscriptions":         typed(s.listSubscriptions),
		"ListSubscriptionsByTopic":  typed(s.listSubscriptions),
		"GetSubscriptionAttributes": typed(s.subscriptionAttributes),
		"SetSubscriptionAttributes": typed(s.setSubscriptionAttributes),
		"Publish":                   typed(s.publish),
		"PublishBatch":              typed(s.publishBatch),
	}
	return s
}

func typed[In, Out any](f func(*In) (*Out, error)) func(url.Values) (any, error) {
	return func(form url.Values) (any, error) {
		in := new(In)
		if err := awswire.DecodeForm(form, in); err != nil {
			return nil, &awswire.Error{Code: "MalformedInput", Message: err.Error()}
		}
		return f(in)
	}
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, awswire.MaxBody))
	if err != nil {
		wire.Refuse(w, &awswire.Error{Code: "RequestEntityTooLarge", Message: err.Error(), Status: http.StatusRequestEntityTooLarge})
		return
	}
	form, err := awswire.Form(r, body)
	if err != nil {
		wire.Refuse(w, &awswire.Error{Code: "MalformedInput", Message: err.Error()})
		return
	}
	name := form.Get("Action")
	op, known := s.ops[name]
	if !known {
		wire.Refuse(w, &awswire.Error{Code: "InvalidAction", Message: "of SNS the sandbox does not serve " + name})
		return
	}
	out, err := op(form)
	if err != nil {
		wire.Refuse(w, err)
		return
	}
	wire.Answer(w, name, out)
}

func invalid(message string) error {
	return &awswire.Error{Code: "InvalidParameter", Message: "Invalid parameter: " + message}
}

func notFound(what string) error {
	return &awswire.Error{Code: "NotFound", Message: what + " does not exist", Status: http.StatusNotFound}
}

type empty struct{}

// topicInput is what the operations on topics are given.
type topicInput struct {
	Name, TopicArn, ResourceArn   string
	AttributeName, AttributeValue string
	Attributes                    map[string]string
	Tags                          []tag
}

type tag struct{ Key, Value string }

type topicOutput struct{ TopicArn string }

func (s *Server) createTopic(in *topicInput) (*topicOutput, error) {
	if in.Name == "" || len(in.Name) > 256 || strings.ContainsFunc(in.Name, notOfName) {
		return nil, invalid("Topic Name")
	}
	if strings.HasSuffix(in.Name, ".fifo") {
		return nil, invalid("FIFO topics are not served here, only standard topics")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := "arn:aws:sns:" + s.region + ":" + s.account + ":" + in.Name
	if s.topics[arn] == nil {
		s.topics[arn] = &topic{arn: arn, attributes: map[string]string{}, tags: map[string]string{}}
	}
	maps.Copy(s.topics[arn].attributes, in.Attributes)
	for _, t := range in.Tags {
		s.topics[arn].tags[t.Key] = t.Value
	}
	return &topicOutput{arn}, nil
}

func notOfName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
}

// topic finds a topic; the caller holds the lock.
func (s *Server) topic(arn string) (*topic, error) {
	if found := s.topics[arn]; found != nil {
		return found, nil
	}
	if !strings.HasPrefix(arn, "arn:aws:sns:") {
		return nil, invalid("TopicArn")
	}
	return nil, notFound("Topic")
}

func (s *Server) deleteTopic(in *topicInput) (*empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.topics, in.TopicArn)
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(x *subscription) bool { return x.topic == in.TopicArn })
	return &empty{}, nil
}

type topicsOutput struct{ Topics []topicOutput }

func (s *Server) listTopics(*topicInput) (*topicsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &topicsOutput{Topics: []topicOutput{}}
	for _, arn := range slices.Sorted(maps.Keys(s.topics)) {
		out.Topics = append(out.Topics, topicOutput{arn})
	}
	return out, nil
}

type attributesOutput struct{ Attributes map[string]string }

func (s *Server) topicAttributes(in *topicInput) (*attributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.topic(in.TopicArn)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(t.attributes)
	all["TopicArn"], all["Owner"] = t.arn, s.account
	return &attributesOutput{all}, nil
}

func (s *Server) setTopicAttributes(in *topicInput) (*empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.topic(in.TopicArn)
	if err != nil {
		return nil, err
	}
	t.attributes[in.AttributeName] = in.AttributeValue
	return &empty{}, nil
}

type tagsOutput struct{ Tags []tag }

func (s *Server) listTags(in *topicInput) (*tagsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.topic(cmp.Or(in.ResourceArn, in.TopicArn))
	if err != nil {
		return nil, err
	}
	out := &tagsOutput{Tags: []tag{}}
	for _, key := range slices.Sorted(maps.Keys(t.tags)) {
		out.Tags = append(out.Tags, tag{key, t.tags[key]})
	}
	return out, nil
}
