// Package deadletter takes messages back from a dead-letter queue: those that
// failed get another try, under their keys, and no other does. What has been
// settled since it came there is no dead letter any more, and is deleted.
//
// It imports the SQS client, attribute, consumer, message and store. Start with
// Redriver.Run.
package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// sqsAPI is what a Redriver needs of SQS.
type sqsAPI interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

// Letter is one message of a dead-letter queue.
type Letter struct {
	ID     string // its idempotency key; the SQS id where it cannot be understood
	Reason string // why its worker put it there; empty: SQS did, for its many receives

	invalid string // why it cannot be understood
	hash    string // of its content
	message types.Message
	body    string
	kept    store.Parked // the message itself
	inbound bool         // it is what a person said
	points  bool         // its row has the message, and the queue a pointer
}

// Verdict is what becomes of a letter.
type Verdict struct {
	Letter

	Redriven bool
	Deleted  bool   // nothing is to be done about it any more
	Why      string // it is not redriven, in words for people
}

// Source is a queue and where its dead letters are.
type Source struct {
	Queue       string // URL
	DeadLetters string // URL, see Find
}

// Redriver moves letters of a channel back to their queues.
type Redriver struct {
	Store   store.Messages
	SQS     sqsAPI
	Channel message.Channel
	Sources []Source // none: rows alone are looked at
	By      string   // who says so, for the history
	DryRun  bool
	// Match selects letters; nil: all.
	Match func(Letter) bool
	// First ends the run with the first letter that Match selects: a look through
	// a queue hides it from others.
	First bool
	// Resolves allows what is in doubt, on a person's word that it was not
	// sent.
	Resolves bool
	// Wait is called before each move, for a rate; nil: no wait.
	Wait func(context.Context) error
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

// hidden is how long a letter is kept from others while this works; what is
// left is shown again at the end.
const hidden = 5 * time.Minute

// Hidden counts the letters that a Run would not see now: somebody else looks
// through them, or died doing so in the last five minutes.
func (r *Redriver) Hidden(ctx context.Context) (hidden int, err error) {
	const name = types.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	for _, source := range r.Sources {
		out, err := r.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &source.DeadLetters, AttributeNames: []types.QueueAttributeName{name},
		})
		if err != nil {
			return 0, fmt.Errorf("count the hidden messages of %s: %w", source.DeadLetters, err)
		}
		n, err := strconv.Atoi(out.Attributes[string(name)])
		if err != nil {
			return 0, fmt.Errorf("count the hidden messages of %s: %w", source.DeadLetters, err)
		}
		hidden += n
	}
	return hidden, nil
}

// Run looks at every letter once, on the dead-letter queues and in the channel's
// rows, and tells what becomes of each.
func (r *Redriver) Run(ctx context.Context, tellAll func(Verdict)) error {
	told := map[string]bool{}
	tell := func(v Verdict) {
		if !v.points || !told[v.ID] { // a row keeps what a letter points to
			tellAll(v)
		}
		told[v.ID] = true
	}
	for _, source := range r.Sources {
		if found, err := r.queued(ctx, source, tell); err != nil || found {
			return err
		}
	}
	return r.kept(ctx, tell)
}

// kept looks at the letters that their rows keep. Those that are reopened are due,
// and the workers carry them back to their queues.
func (r *Redriver) kept(ctx context.Context, tell func(Verdict)) error {
	const most = 100_000
	rows, err := r.Store.Events(ctx, store.Filter{Channel: string(r.Channel), Kept: true, Limit: most})
	if err != nil {
		return err
	}
	for _, row := range rows {
		verdict := Verdict{Letter: Letter{ID: row.ID, Reason: row.ErrorCode, points: true}}
		switch {
		case r.Match != nil && !r.Match(verdict.Letter):
			verdict.Why = "not selected"
		case row.Attempts == 0: // no worker has come to claim it
			verdict.Why = "it would not be understood again: " + row.Error
		default:
			verdict.Why = r.objection(row)
		}
		if verdict.Redriven = verdict.Why == ""; verdict.Redriven && !r.DryRun {
			if err := r.reopen(ctx, row, &verdict); err != nil {
				return err
			}
		}
		tell(verdict)
	}
	return nil
}

// reopen waits for its turn and applies the person's word to a row.
func (r *Redriver) reopen(ctx context.Context, row store.Event, verdict *Verdict) error {
	if r.Wait != nil {
		if err := r.Wait(ctx); err != nil {
			return err
		}
	}
	err := r.Store.Resolve(ctx, store.Resolution{ID: row.ID, From: row.Status, By: r.By, Reason: "tried again after " + row.ErrorCode})
	if errors.Is(err, store.ErrLost) {
		verdict.Redriven, verdict.Why = false, "it has changed meanwhile"
		return nil
	}
	return err
}

// queued ends with the first receive that finds nothing new, or when it found the
// one that is looked for.
func (r *Redriver) queued(ctx context.Context, source Source, tell func(Verdict)) (found bool, err error) {
	var left []types.Message
	defer func() { r.show(context.WithoutCancel(ctx), source, left) }()
	for seen := map[string]bool{}; ; {
		out, err := r.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &source.DeadLetters, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: int32(hidden.Seconds()),
			MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{
				types.MessageSystemAttributeNameMessageGroupId, types.MessageSystemAttributeNameSentTimestamp,
			},
		})
		if err != nil {
			return false, fmt.Errorf("receive from %s: %w", source.DeadLetters, err)
		}
		fresh := 0
		for _, m := range out.Messages {
			if seen[aws.ToString(m.MessageId)] {
				continue
			}
			fresh++
			seen[aws.ToString(m.MessageId)] = true
			verdict, err := r.judge(ctx, source, m)
			if !verdict.Redriven && !verdict.Deleted || r.DryRun {
				left = append(left, m)
			}
			if err != nil {
				return false, err
			}
			found = found || r.First && r.Match(verdict.Letter)
			tell(verdict)
		}
		if fresh == 0 || found {
			return found, nil
		}
	}
}

func (r *Redriver) read(ctx context.Context, m types.Message) (letter Letter, err error) {
	attributes := attribute.Set(m.MessageAttributes)
	key := attributes.Text(attribute.Key)
	letter = Letter{ID: aws.ToString(m.MessageId), Reason: attributes.Text(attribute.Reason), message: m, body: aws.ToString(m.Body)}
	letter.kept = store.Parked{Body: redact.Personal(letter.body), Attributes: attributes.Encode(), GroupID: group(m)}
	_, posted := attributes[consumer.WebhookURL]
	switch {
	case posted:
		letter.body = message.Posted(letter.body)
	case letter.body == attribute.Pointer && key != "":
		letter.ID, letter.points = key, true
		letter.kept, err = r.Store.Kept(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			letter.invalid = "its row keeps the message no more"
			return letter, nil
		}
		if err != nil {
			return letter, err
		}
		letter.body = letter.kept.Body.Reveal()
	}
	parsed, invalid := message.Parse([]byte(letter.body), key, letter.ID, r.Channel)
	if invalid != nil {
		letter.invalid = invalid.Error()
	} else {
		letter.ID, letter.hash, letter.inbound = parsed.ID, parsed.Hash, parsed.Type == message.Received
	}
	return letter, nil
}

// group is a message's tenant, for fair queues.
func group(m types.Message) string {
	return m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
}

// judge decides about one letter, and moves it.
func (r *Redriver) judge(ctx context.Context, source Source, m types.Message) (Verdict, error) {
	letter, err := r.read(ctx, m)
	verdict := Verdict{Letter: letter}
	if err != nil {
		return verdict, err
	}
	if r.Match != nil && !r.Match(letter) {
		verdict.Why = "not selected"
		return verdict, nil
	}
	rows, err := r.Store.Events(ctx, store.Filter{ID: letter.ID, Limit: 1})
	if err != nil {
		return verdict, err
	}
	var row store.Event // a message that no worker has come to claim has none
	if len(rows) > 0 {
		row = rows[0]
	}
	if over(row) && (letter.points || row.PayloadHash == letter.hash) {
		return r.drop(ctx, source, row, verdict)
	}
	if letter.invalid != "" {
		verdict.Why = "it would not be understood again: " + letter.invalid
		return verdict, nil
	}
	if verdict.Why = r.objection(row); verdict.Why != "" {
		return verdict, nil
	}
	if r.DryRun {
		verdict.Redriven = true
		return verdict, nil
	}
	if r.Wait != nil {
		if err := r.Wait(ctx); err != nil {
			return verdict, err
		}
	}
	return r.move(ctx, source, row, verdict)
}

// over says that a letter with this row has nothing left to do: a report or a
// person settled what was in doubt, or another copy was worked on. Its worker
// would delete it.
func over(row store.Event) bool {
	switch row.Status {
	case store.Sent, store.Delivered, store.Undelivered, store.Suppressed, store.Expired, store.Received:
		return true
	case store.Failed:
		return !row.SentAt.IsZero()
	case store.New, store.Scheduled, store.Processing, store.InDoubt:
	}
	return false
}

// drop deletes a letter that is over.
func (r *Redriver) drop(ctx context.Context, source Source, row store.Event, verdict Verdict) (Verdict, error) {
	verdict.Why = r.objection(row)
	if !r.DryRun {
		if _, err := r.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &source.DeadLetters, ReceiptHandle: verdict.message.ReceiptHandle}); err != nil {
			return verdict, fmt.Errorf("delete the dead letter of %s, which is %s: %w", verdict.ID, row.Status, err)
		}
	}
	verdict.Deleted = true
	return verdict, nil
}

// objection is why a message with this row must not be tried again.
func (r *Redriver) objection(row store.Event) string {
	switch row.Status {
	case "", store.New, store.Scheduled, store.Processing: // its next claim finds out what is to be done
		return ""
	case store.Failed:
		if row.SentAt.IsZero() {
			return ""
		}
		return "the provider had it, and reported that it failed"
	case store.InDoubt:
		if r.Resolves {
			return ""
		}
		return "nobody knows whether it was sent: worker events resolve " + row.ID
	case store.Sent, store.Delivered, store.Undelivered, store.Suppressed, store.Expired, store.Received:
		return "it is settled: " + string(row.Status)
	}
	return "it has the status " + string(row.Status)
}

// move reopens the row, sends the message with its key and deletes the letter,
// in this order: whatever ends it between two steps, the letter is still there
// and may be redriven again.
func (r *Redriver) move(ctx context.Context, source Source, row store.Event, verdict Verdict) (Verdict, error) {
	if row.Status.Settled() {
		err := r.Store.Resolve(ctx, store.Resolution{ID: row.ID, From: row.Status, By: r.By, Reason: "tried again after " + row.ErrorCode})
		switch {
		case errors.Is(err, store.ErrLost):
			verdict.Why = "it has changed meanwhile"
			return verdict, nil
		case err != nil:
			return verdict, err
		}
	}
	if err := r.back(ctx, source, row, verdict.Letter); err != nil {
		return verdict, err
	}
	m := verdict.message
	verdict.Redriven = true
	if _, err := r.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &source.DeadLetters, ReceiptHandle: m.ReceiptHandle}); err != nil {
		return verdict, fmt.Errorf("delete the dead letter of %s, which is on its queue again: %w", verdict.ID, err)
	}
	return verdict, nil
}

// back puts a letter on its queue, with its key; or, where it has no room for that,
// into its row, from where a worker carries what points to it.
func (r *Redriver) back(ctx context.Context, source Source, row store.Event, letter Letter) error {
	attributes := attribute.Set(letter.message.MessageAttributes)
	keyed, fits := attributes.Keyed(letter.ID)
	sent := letter.message.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)]
	if letter.inbound && attributes.SentAt().IsZero() && sent != "" && len(keyed) < attribute.Most {
		keyed[attribute.Sent] = attribute.Text(sent)
	}
	if !letter.points && fits {
		if err := r.send(ctx, source, letter, keyed); err == nil || !tooLarge(err) {
			return err
		}
	}
	if same, named := attributes.AsItCame(letter.ID, letter.body); named && !letter.points {
		if err := r.send(ctx, source, letter, same); err == nil || !tooLarge(err) {
			return err
		}
	}
	if row.ID == "" { // SQS itself put it there, before any worker
		_, err := r.Store.Record(ctx, store.Event{
			ID: letter.ID, Channel: string(r.Channel), Type: string(message.Send), Status: store.New,
			Queue: path.Base(source.Queue), PayloadHash: letter.hash,
		})
		if err != nil {
			return err
		}
	}
	err := r.Store.Park(ctx, letter.ID, letter.hash, letter.kept)
	if errors.Is(err, store.ErrLost) { // it has been settled meanwhile, and is judged again when its letter comes again
		return fmt.Errorf("put %s into its row, for it has no room for its key: %w", letter.ID, err)
	}
	return err
}

func (r *Redriver) send(ctx context.Context, source Source, letter Letter, attributes attribute.Set) error {
	in := &sqs.SendMessageInput{QueueUrl: &source.Queue, MessageBody: letter.message.Body, MessageAttributes: attributes}
	if tenant := group(letter.message); tenant != "" {
		in.MessageGroupId = &tenant
	}
	if _, err := r.SQS.SendMessage(ctx, in); err != nil {
		return fmt.Errorf("send %s to %s: %w", letter.ID, source.Queue, err)
	}
	return nil
}

// tooLarge says that a queue refused a message for its size.
func tooLarge(err error) bool {
	refused := smithy.APIError(nil)
	return errors.As(err, &refused) && attribute.TooLarge(refused.ErrorCode())
}

// show makes what is left visible again; what cannot be comes back by itself.
func (r *Redriver) show(ctx context.Context, source Source, left []types.Message) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, m := range left {
		_, _ = r.SQS.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: &source.DeadLetters, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
		})
	}
}
