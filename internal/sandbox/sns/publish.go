package sns

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// maxMessage is the most bytes of a message.
const maxMessage = 262_144

type publishEntry struct {
	ID                string `json:"Id"`
	Message, Subject  string
	MessageStructure  string
	MessageAttributes map[string]Attribute
}

type publishInput struct {
	TopicArn, TargetArn, PhoneNumber string
	publishEntry
}

type publishOutput struct {
	ID        string `json:"Id"`
	MessageID string `json:"MessageId"`
}

func (s *Server) publish(in *publishInput) (*publishOutput, error) {
	if in.PhoneNumber != "" {
		return nil, invalid("PhoneNumber: the sandbox publishes to topics only")
	}
	if in.TopicArn == "" {
		in.TopicArn = in.TargetArn
	}
	return s.send(in.TopicArn, in.publishEntry)
}

type publishBatchInput struct {
	TopicArn string
	Entries  []publishEntry `json:"PublishBatchRequestEntries"`
}

type publishFailure struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

type publishBatchOutput struct {
	Successful []publishOutput
	Failed     []publishFailure
}

func (s *Server) publishBatch(in *publishBatchInput) (*publishBatchOutput, error) {
	if len(in.Entries) == 0 || len(in.Entries) > 10 {
		return nil, &awswire.Error{Code: "TooManyEntriesInBatchRequest", Message: "The batch request must contain 1 to 10 entries."}
	}
	out := &publishBatchOutput{Successful: []publishOutput{}, Failed: []publishFailure{}}
	for _, e := range in.Entries {
		sent, err := s.send(in.TopicArn, e)
		if err != nil {
			typed := awswire.AsError(err)
			out.Failed = append(out.Failed, publishFailure{e.ID, typed.Code, typed.Message, true})
			continue
		}
		out.Successful = append(out.Successful, *sent)
	}
	return out, nil
}

// send hands a message to every subscriber of a topic that wants it. A queue
// that is gone takes nothing, as in AWS, and the publisher does not learn it.
func (s *Server) send(topicARN string, e publishEntry) (*publishOutput, error) {
	body, err := e.body()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.topic(topicARN); err != nil {
		return nil, err
	}
	id := awswire.UUID()
	for _, x := range s.subscriptions {
		if x.topic != topicARN || !x.filter.lets(e.MessageAttributes) {
			continue
		}
		if x.attributes["RawMessageDelivery"] == "true" {
			_ = s.deliver(x.endpoint, body, e.MessageAttributes)
			continue
		}
		_ = s.deliver(x.endpoint, s.envelope(x, id, body, e), nil)
	}
	return &publishOutput{ID: e.ID, MessageID: id}, nil
}

// body is what SQS subscribers get: of a JSON structure, its sqs member or
// its default.
func (e publishEntry) body() (string, error) {
	switch {
	case e.Message == "":
		return "", invalid("Empty message")
	case len(e.Message) > maxMessage:
		return "", invalid("Message too long")
	case e.MessageStructure == "":
		return e.Message, nil
	case e.MessageStructure != "json":
		return "", invalid("MessageStructure")
	}
	var byProtocol map[string]string
	if err := json.Unmarshal([]byte(e.Message), &byProtocol); err != nil {
		return "", invalid("Message Structure - JSON message body failed to parse")
	}
	body, found := byProtocol["default"]
	if !found {
		return "", invalid("Message Structure - No default entry in JSON message body")
	}
	if own, given := byProtocol["sqs"]; given {
		body = own
	}
	return body, nil
}

type envelopeAttribute struct{ Type, Value string }

// notification is "HTTP/HTTPS notification JSON format", which SQS gets too.
type notification struct {
	Type              string
	MessageID         string `json:"MessageId"`
	TopicArn          string
	Subject           string `json:",omitempty"`
	Message           string
	Timestamp         string
	SignatureVersion  string
	Signature         string
	SigningCertURL    string
	UnsubscribeURL    string
	MessageAttributes map[string]envelopeAttribute `json:",omitempty"`
}

func (s *Server) envelope(x *subscription, id, body string, e publishEntry) string {
	attributes := make(map[string]envelopeAttribute, len(e.MessageAttributes))
	for name, a := range e.MessageAttributes {
		value := a.StringValue
		if a.BinaryValue != nil {
			value = base64.StdEncoding.EncodeToString(a.BinaryValue)
		}
		attributes[name] = envelopeAttribute{a.DataType, value}
	}
	endpoint := fmt.Sprintf("https://sns.%s.amazonaws.com/", s.region)
	encoded, err := json.Marshal(notification{
		Type: "Notification", MessageID: id, TopicArn: x.topic, Subject: e.Subject, Message: body,
		Timestamp: time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), SignatureVersion: "1",
		Signature:         base64.StdEncoding.EncodeToString([]byte("the sandbox signs nothing")),
		SigningCertURL:    endpoint + "SimpleNotificationService-sandbox.pem",
		UnsubscribeURL:    endpoint + "?Action=Unsubscribe&SubscriptionArn=" + x.arn,
		MessageAttributes: attributes,
	})
	if err != nil {
		return body // strings always encode
	}
	return string(encoded)
}
