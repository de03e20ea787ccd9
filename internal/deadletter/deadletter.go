// Package deadletter works on dead letters: messages on a dead-letter queue, and
// those that their rows keep where there is no such queue. It lists them, has them
// tried again under their keys, and discards them on a person's word. What has
// been settled since it came there is no dead letter any more, and is deleted.
//
// It imports the SQS client, attribute, consumer, message and store. Start with
// Letter.Fate, then Redriver.Run.
package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/store"
)

// sqsAPI is what a Reader needs of SQS.
type sqsAPI interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

// Source is a queue and where its dead letters are.
type Source struct {
	Queue       string // URL
	DeadLetters string // URL, see Find
}

// Reader looks through the dead letters of a channel.
type Reader struct {
	Store   store.Messages
	SQS     sqsAPI
	Channel message.Channel
	Sources []Source // none: only rows are looked at
	// Match selects letters; nil: all.
	Match func(Letter) bool
	// First ends a look with the first letter that Match selects: a look through
	// a queue hides it from others.
	First bool
	// Most bounds the letters that a look takes from each source; 0: no bound.
	Most int
}

// ErrNone says that a queue has no dead-letter queue: its rows keep its letters.
var ErrNone = errors.New("names no dead-letter queue")

// Find returns the URL of the dead-letter queue that a queue names, or ErrNone.
func Find(ctx context.Context, client sqsAPI, queue string) (string, error) {
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy},
	})
	if err != nil {
		return "", fmt.Errorf("read the redrive policy of %s: %w", queue, err)
	}
	var policy struct {
		Target string `json:"deadLetterTargetArn"`
	}
	if text := out.Attributes[string(types.QueueAttributeNameRedrivePolicy)]; text != "" {
		if err := json.Unmarshal([]byte(text), &policy); err != nil {
			return "", fmt.Errorf("read the redrive policy of %s: %w", queue, err)
		}
	}
	target, err := arn.Parse(policy.Target)
	if err != nil {
		return "", fmt.Errorf("the queue %s %w", queue, ErrNone)
	}
	found, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &target.Resource, QueueOwnerAWSAccountId: &target.AccountID})
	if err != nil {
		return "", fmt.Errorf("find the dead-letter queue of %s: %w", queue, err)
	}
	return aws.ToString(found.QueueUrl), nil
}

// batchSize is how many messages SQS takes or gives in one request.
const batchSize = 10

// hidden is how long a letter is kept from others while this works; what is
// left is shown again at the end.
const hidden = 5 * time.Minute

// Count is the approximate number of messages on the dead-letter queues: those
// that can be seen, and those that somebody else looks at now, or did when they
// died in the last five minutes.
func (r *Reader) Count(ctx context.Context) (visible, hidden int, err error) {
	const seen, unseen = types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	for _, source := range r.Sources {
		out, err := r.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &source.DeadLetters, AttributeNames: []types.QueueAttributeName{seen, unseen},
		})
		if err != nil {
			return 0, 0, fmt.Errorf("count the messages of %s: %w", source.DeadLetters, err)
		}
		for name, sum := range map[types.QueueAttributeName]*int{seen: &visible, unseen: &hidden} {
			n, err := strconv.Atoi(out.Attributes[string(name)])
			if err != nil {
				return 0, 0, fmt.Errorf("count the messages of %s: %w", source.DeadLetters, err)
			}
			*sum += n
		}
	}
	return visible, hidden, nil
}

// Read shows every letter that Match selects, and changes nothing.
func (r *Reader) Read(ctx context.Context, see func(Letter)) error {
	return r.walk(ctx, func(letter Letter, selected bool) (gone bool, err error) {
		if selected {
			see(letter)
		}
		return false, nil
	})
}

// visit works on one letter; gone says that it is no longer on its queue.
type visit func(letter Letter, selected bool) (gone bool, err error)

// walk visits every letter once, on the dead-letter queues and in the channel's
// rows. A row's letter may be on a queue too, as a pointer: it is visited there.
func (r *Reader) walk(ctx context.Context, do visit) error {
	visited := map[string]bool{}
	once := func(letter Letter, selected bool) (bool, error) {
		visited[letter.ID] = true
		return do(letter, selected)
	}
	for _, source := range r.Sources {
		if found, err := r.queued(ctx, source, once); err != nil || found {
			return err
		}
	}
	return r.kept(ctx, visited, do)
}

// selects says that Match has the letter.
func (r *Reader) selects(letter Letter) bool { return r.Match == nil || r.Match(letter) }

// kept visits the letters that their rows keep.
func (r *Reader) kept(ctx context.Context, visited map[string]bool, do visit) error {
	most := 100_000
	if r.Most > 0 {
		most = r.Most
	}
	rows, err := r.Store.Events(ctx, store.Filter{Channel: string(r.Channel), Kept: true, Limit: most})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if visited[row.ID] {
			continue
		}
		letter, err := r.fromRow(ctx, row)
		if err != nil {
			return err
		}
		selected := r.selects(letter)
		if _, err := do(letter, selected); err != nil || r.First && selected {
			return err
		}
	}
	return nil
}

// queued ends with the first receive that finds nothing new, or when it found the
// one that is looked for.
func (r *Reader) queued(ctx context.Context, source Source, do visit) (found bool, err error) {
	var left []types.Message
	defer func() { r.show(context.WithoutCancel(ctx), source, left) }()
	for seen := map[string]bool{}; r.Most == 0 || len(seen) < r.Most; {
		messages, err := r.receive(ctx, source)
		if err != nil {
			return false, err
		}
		fresh := 0
		for i, m := range messages {
			if seen[aws.ToString(m.MessageId)] {
				continue
			}
			fresh++
			seen[aws.ToString(m.MessageId)] = true
			gone, selected, err := r.visit(ctx, source, m, do)
			if !gone {
				left = append(left, m)
			}
			if err != nil {
				left = append(left, messages[i+1:]...)
				return false, err
			}
			found = found || r.First && selected
		}
		if fresh == 0 || found {
			return found, nil
		}
	}
	return false, nil
}

func (r *Reader) receive(ctx context.Context, source Source) ([]types.Message, error) {
	out, err := r.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &source.DeadLetters, MaxNumberOfMessages: batchSize, WaitTimeSeconds: 1, VisibilityTimeout: int32(hidden.Seconds()),
		MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameMessageGroupId, types.MessageSystemAttributeNameSentTimestamp,
			types.MessageSystemAttributeNameApproximateReceiveCount,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", source.DeadLetters, err)
	}
	return out.Messages, nil
}

func (r *Reader) visit(ctx context.Context, source Source, m types.Message, do visit) (gone, selected bool, err error) {
	letter, err := r.fromQueue(ctx, source, m)
	if err != nil {
		return false, false, err
	}
	selected = r.selects(letter)
	gone, err = do(letter, selected)
	return gone, selected, err
}

// delete takes a letter off its queue.
func (r *Reader) delete(ctx context.Context, letter Letter) error {
	if letter.source.DeadLetters == "" {
		return nil
	}
	_, err := r.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &letter.source.DeadLetters, ReceiptHandle: letter.message.ReceiptHandle})
	if err != nil {
		return fmt.Errorf("delete the dead letter of %s from %s: %w", letter.ID, letter.source.DeadLetters, err)
	}
	return nil
}

// show makes what is left visible again; what cannot be comes back by itself.
func (r *Reader) show(ctx context.Context, source Source, left []types.Message) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for batch := range slices.Chunk(left, batchSize) {
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(batch))
		for i, m := range batch {
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle}
		}
		_, _ = r.SQS.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &source.DeadLetters, Entries: entries})
	}
}
