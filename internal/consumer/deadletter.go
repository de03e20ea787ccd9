package consumer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/attribute"
)

// deadLetter copies the message to the dead-letter queue, or without such a queue
// into its row, and deletes it once the copy was accepted. When no copy is
// accepted it stays, with backoff; a RedrivePolicy's maxReceiveCount then bounds
// how often it comes, and otherwise only its age.
func (c *Consumer) deadLetter(h *held, handle string, o Outcome) Outcome {
	url, err := c.deadLetterURL()
	switch {
	case err != nil:
	case url == "":
		err = c.keep(h, o)
	default:
		err = c.copyTo(url, h, o)
	}
	if err != nil {
		c.Logger.Error("cannot copy a message to the dead-letter queue; it stays", "message_id", h.MessageID, "error", err)
		c.setVisibility(h, handle, retryLater(h).After, &c.stats.Retried)
		return o
	}
	c.count(&c.stats.DeadLettered)
	c.delete(h, handle)
	return Outcome{Action: Delete}
}

// keep has the message kept where there is no dead-letter queue.
func (c *Consumer) keep(h *held, o Outcome) error {
	if h.Body == attribute.Pointer {
		return nil // its row has it
	}
	if c.Keep == nil {
		return errors.New("the queue has no dead-letter queue")
	}
	ctx, cancel := context.WithTimeout(c.phases.settling, callTimeout)
	defer cancel()
	if err := c.Keep(ctx, h.Received, cmp.Or(o.Row, o.Key, h.Key, h.MessageID)); err != nil {
		return fmt.Errorf("the queue has no dead-letter queue: %w", err)
	}
	c.Logger.Warn("the queue has no dead-letter queue: the message is kept in its row", "message_id", h.MessageID, "reason", o.Reason)
	return nil
}

// deadLetterURL is the given queue or the one that the RedrivePolicy names;
// empty: there is none. What was found is kept.
func (c *Consumer) deadLetterURL() (string, error) {
	c.mu.Lock()
	known := c.deadLetters
	c.mu.Unlock()
	if c.DeadLetterURL != "" || known != "" {
		return cmp.Or(c.DeadLetterURL, known), nil
	}
	ctx, cancel := context.WithTimeout(c.phases.settling, callTimeout)
	defer cancel()
	url, err := c.discoverDeadLetterURL(ctx)
	if err != nil {
		return "", fmt.Errorf("find the dead-letter queue: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadLetters = url
	return url, nil
}

func (c *Consumer) discoverDeadLetterURL(ctx context.Context) (string, error) {
	policy, err := c.redrivePolicy(ctx)
	if err != nil || policy.Target == "" {
		return "", err
	}
	target, err := arn.Parse(policy.Target)
	if err != nil {
		return "", fmt.Errorf("read the redrive policy's target %q: %w", policy.Target, err)
	}
	found, err := c.SQS.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &target.Resource, QueueOwnerAWSAccountId: &target.AccountID})
	if err != nil {
		return "", err
	}
	return aws.ToString(found.QueueUrl), nil
}

// redrivePolicy is the queue's RedrivePolicy.
type redrivePolicy struct {
	Target      string `json:"deadLetterTargetArn"`
	MaxReceives number `json:"maxReceiveCount"`
}

// number is a JSON number, or a string that holds one, as some consoles and
// stand-ins write it.
type number int

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(text []byte) error {
	value, err := strconv.Atoi(strings.Trim(string(text), `"`))
	*n = number(value)
	return err
}

// redrivePolicy reads the queue's policy; the zero one: it has none.
func (c *Consumer) redrivePolicy(ctx context.Context) (policy redrivePolicy, err error) {
	out, err := c.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &c.Queue.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy},
	})
	if err != nil {
		return policy, err
	}
	if text := out.Attributes[string(types.QueueAttributeNameRedrivePolicy)]; text != "" {
		if err := json.Unmarshal([]byte(text), &policy); err != nil {
			return policy, fmt.Errorf("read the redrive policy: %w", err)
		}
	}
	return policy, nil
}

// followLimit keeps maxReceives true, with some requests an hour.
func (c *Consumer) followLimit(ctx context.Context) {
	const usual, soon = 15 * time.Minute, 30 * time.Second
	for {
		wait := usual
		bounded, cancel := context.WithTimeout(ctx, callTimeout)
		policy, err := c.redrivePolicy(bounded)
		cancel()
		if err != nil {
			wait = soon
			c.Logger.Warn("cannot read how often a message may be received; waits are left to the queue", "error", err)
		}
		c.mu.Lock()
		if err == nil {
			c.maxReceives = int(policy.MaxReceives)
		}
		c.mu.Unlock()
		if !sleep(ctx, wait) {
			return
		}
	}
}

// copyTo sends the copy. A copy that is refused as it is, for a body at the
// size limit has no room for attributes, and SQS takes ten, goes without the reason;
// then as it came, where its body names the key; then as a pointer to its row, which
// is given the message. What has no row goes with what is ours alone, or as it came,
// when its SQS id must serve as key.
func (c *Consumer) copyTo(url string, h *held, o Outcome) error {
	all := c.copyAttributes(h, o)
	key := all.Text(attribute.Key)
	keyed, _ := all.Keyed(key)
	err := c.sendCopy(url, h, h.Body, all)
	if unacceptable(err) {
		err = c.sendCopy(url, h, h.Body, keyed)
	}
	if same, named := h.Attributes.AsItCame(key, h.Body); named && unacceptable(err) {
		err = c.sendCopy(url, h, h.Body, same)
	}
	switch {
	case !unacceptable(err):
	case c.Keep != nil && h.Webhook == nil: // a post that is not verified has no row
		err = c.point(url, h, o, all)
	default:
		if err = c.sendCopy(url, h, h.Body, keyed.Ours()); unacceptable(err) {
			err = c.sendCopy(url, h, h.Body, h.Attributes)
		}
	}
	if err != nil && slices.Contains(missingCodes, errorCode(err)) {
		c.mu.Lock()
		c.deadLetters = "" // look for it again
		c.mu.Unlock()
	}
	return err
}

// point has the row keep the message, and sends what points to it.
func (c *Consumer) point(url string, h *held, o Outcome, all attribute.Set) error {
	row := cmp.Or(o.Row, o.Key, h.Key, h.MessageID)
	ctx, cancel := context.WithTimeout(c.phases.settling, callTimeout)
	defer cancel()
	if err := c.Keep(ctx, h.Received, row); err != nil {
		return fmt.Errorf("it has no room for its key, and its row does not take it: %w", err)
	}
	attributes := attribute.Set{attribute.Key: attribute.Text(row)}
	if why, told := all[attribute.Reason]; told {
		attributes[attribute.Reason] = why
	}
	return c.sendCopy(url, h, attribute.Pointer, attributes)
}

func unacceptable(err error) bool {
	return err != nil && slices.Contains(unacceptableCodes, errorCode(err))
}

// unacceptableCodes are refusals of a message's content or size.
var unacceptableCodes = []string{
	"InvalidParameterValue", "InvalidParameterValueException", "InvalidMessageContents", "BatchRequestTooLong",
	"InvalidAttributeValue", "MessageTooLong",
}

// copyAttributes are the original's with the key and reason.
func (c *Consumer) copyAttributes(h *held, o Outcome) attribute.Set {
	const longest = 512 // characters: enough for a line
	attributes := attribute.Set{}
	maps.Copy(attributes, h.Attributes)
	attributes[attribute.Key] = attribute.Text(cmp.Or(o.Key, h.Key, h.MessageID))
	if h.Webhook != nil && !h.SentAt.IsZero() && h.FirstSentAt.IsZero() { // it may be a STOP or a START
		attributes[attribute.Sent] = attribute.Text(strconv.FormatInt(h.SentAt.UnixMilli(), 10))
	}
	printable := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' ' // SQS refuses most control characters
	}, o.Reason))
	if len(printable) > 0 {
		attributes[attribute.Reason] = attribute.Text(string(printable[:min(len(printable), longest)]))
	}
	return attributes
}

func (c *Consumer) sendCopy(url string, h *held, body string, attributes attribute.Set) error {
	in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, MessageAttributes: attributes}
	if h.GroupID != "" {
		in.MessageGroupId = aws.String(h.GroupID)
	}
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(c.phases.settling, callTimeout)
		_, err := c.SQS.SendMessage(ctx, in)
		cancel()
		if err == nil || try == len(retryDelays) || slices.Contains(unacceptableCodes, errorCode(err)) {
			return err
		}
		if !sleep(c.phases.settling, retryDelays[try]) {
			return err
		}
	}
}
