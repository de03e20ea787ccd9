package sns

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

type subscribeInput struct {
	TopicArn, Protocol, Endpoint, SubscriptionArn string
	AttributeName, AttributeValue                 string
	Attributes                                    map[string]string
}

type subscribeOutput struct{ SubscriptionArn string }

func (s *Server) subscribe(in *subscribeInput) (*subscribeOutput, error) {
	if in.Protocol != "sqs" {
		return nil, invalid("Protocol: the sandbox delivers to sqs only, not to " + in.Protocol)
	}
	if !strings.HasPrefix(in.Endpoint, "arn:aws:sqs:") {
		return nil, invalid("SQS endpoint ARN")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.topic(in.TopicArn); err != nil {
		return nil, err
	}
	made := &subscription{
		arn: in.TopicArn + ":" + awswire.UUID(), topic: in.TopicArn, endpoint: in.Endpoint, attributes: map[string]string{},
	}
	for name, value := range in.Attributes {
		if err := made.set(name, value); err != nil {
			return nil, err
		}
	}
	// The same subscription again is the one that is there.
	for _, old := range s.subscriptions {
		if old.topic == in.TopicArn && old.endpoint == in.Endpoint {
			return &subscribeOutput{old.arn}, nil
		}
	}
	s.subscriptions = append(s.subscriptions, made)
	return &subscribeOutput{made.arn}, nil
}

func (x *subscription) set(name, value string) error {
	switch name {
	case "RawMessageDelivery":
		if value != "true" && value != "false" {
			return invalid("Attributes Reason: RawMessageDelivery: must be true or false")
		}
	case "FilterPolicy":
		x.filter = nil
		if value == "" {
			break
		}
		if err := json.Unmarshal([]byte(value), &x.filter); err != nil {
			return invalid("Attributes Reason: FilterPolicy: " + err.Error())
		}
		if err := x.filter.check(); err != nil {
			return err
		}
	case "FilterPolicyScope":
		if value != "MessageAttributes" {
			return invalid("FilterPolicyScope: the sandbox filters by MessageAttributes only")
		}
	case "RedrivePolicy", "DeliveryPolicy": // kept; every delivery here is at once
	default:
		return invalid("AttributeName: " + name)
	}
	x.attributes[name] = value
	return nil
}

func (s *Server) unsubscribe(in *subscribeInput) (*empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscriptions = slices.DeleteFunc(s.subscriptions, func(x *subscription) bool { return x.arn == in.SubscriptionArn })
	return &empty{}, nil
}

type subscriptionShape struct {
	SubscriptionArn, Owner, Protocol, Endpoint, TopicArn string
}

type subscriptionsOutput struct{ Subscriptions []subscriptionShape }

func (s *Server) listSubscriptions(in *subscribeInput) (*subscriptionsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.TopicArn != "" {
		if _, err := s.topic(in.TopicArn); err != nil {
			return nil, err
		}
	}
	out := &subscriptionsOutput{Subscriptions: []subscriptionShape{}}
	for _, x := range s.subscriptions {
		if in.TopicArn == "" || in.TopicArn == x.topic {
			out.Subscriptions = append(out.Subscriptions, subscriptionShape{x.arn, s.account, "sqs", x.endpoint, x.topic})
		}
	}
	return out, nil
}

// subscription finds one; the caller holds the lock.
func (s *Server) subscription(arn string) (*subscription, error) {
	for _, x := range s.subscriptions {
		if x.arn == arn {
			return x, nil
		}
	}
	return nil, notFound("Subscription")
}

func (s *Server) subscriptionAttributes(in *subscribeInput) (*attributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.subscription(in.SubscriptionArn)
	if err != nil {
		return nil, err
	}
	all := map[string]string{
		"SubscriptionArn": x.arn, "TopicArn": x.topic, "Protocol": "sqs", "Endpoint": x.endpoint, "Owner": s.account,
		"RawMessageDelivery": "false", "PendingConfirmation": "false", "ConfirmationWasAuthenticated": "true",
	}
	maps.Copy(all, x.attributes)
	return &attributesOutput{all}, nil
}

func (s *Server) setSubscriptionAttributes(in *subscribeInput) (*empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.subscription(in.SubscriptionArn)
	if err != nil {
		return nil, err
	}
	return &empty{}, x.set(in.AttributeName, in.AttributeValue)
}

// A filter is a FilterPolicy over message attributes, of exact strings,
// prefixes and anything-but; what else there is in AWS is refused.
type filter map[string][]any

func (f filter) check() error {
	for name, rules := range f {
		for _, rule := range rules {
			if _, isText := rule.(string); isText {
				continue
			}
			object, _ := rule.(map[string]any)
			_, prefix := object["prefix"].(string)
			_, except := object["anything-but"].([]any)
			if !prefix && !except {
				return invalid("FilterPolicy: of " + name + " the sandbox filters by strings, prefix, and anything-but only")
			}
		}
	}
	return nil
}

func (f filter) lets(attributes map[string]Attribute) bool {
	for name, rules := range f {
		given, there := attributes[name]
		if !there || !slices.ContainsFunc(rules, func(rule any) bool { return matches(rule, given.StringValue) }) {
			return false
		}
	}
	return true
}

func matches(rule any, value string) bool {
	object, isObject := rule.(map[string]any)
	if !isObject {
		return rule == value
	}
	if prefix, is := object["prefix"].(string); is {
		return strings.HasPrefix(value, prefix)
	}
	except, _ := object["anything-but"].([]any)
	return !slices.Contains(except, any(value))
}
