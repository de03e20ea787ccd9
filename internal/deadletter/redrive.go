package deadletter

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/store"
)

// Verdict is what became of a letter.
type Verdict struct {
	Letter

	Skipped   bool // Match did not select it
	Redriven  bool
	Deleted   bool // nothing is to be done about it any more
	Discarded bool
	Why       string // it was left or deleted, in words for people
}

// Redriver moves letters of a channel back to their queues.
type Redriver struct {
	Reader

	By     string // who says so, for the history
	DryRun bool
	// Resolves allows what is in doubt, on a person's word that it was not
	// sent.
	Resolves bool
	// Wait is called before each move, for a rate; nil: no wait.
	Wait func(context.Context) error
}

// Run looks at every letter once, and tells what becomes of each.
func (r *Redriver) Run(ctx context.Context, tell func(Verdict)) error {
	return r.walk(ctx, func(letter Letter, selected bool) (gone bool, err error) {
		verdict := Verdict{Letter: letter, Skipped: !selected}
		if selected {
			verdict, err = r.judge(ctx, letter)
		}
		if err == nil {
			tell(verdict)
		}
		return (verdict.Redriven || verdict.Deleted) && !r.DryRun, err
	})
}

// judge decides about one letter, and moves it.
func (r *Redriver) judge(ctx context.Context, letter Letter) (Verdict, error) {
	verdict := Verdict{Letter: letter}
	var fate Fate
	switch fate, verdict.Why = letter.Fate(); {
	case fate == Settled && letter.Queue != "":
		verdict.Deleted = true
		if r.DryRun {
			return verdict, nil
		}
		return verdict, r.delete(ctx, letter)
	case fate != Redrivable && (fate != InDoubt || !r.Resolves):
		return verdict, nil
	}
	verdict.Why = ""
	if r.DryRun {
		verdict.Redriven = true
		return verdict, nil
	}
	if r.Wait != nil {
		if err := r.Wait(ctx); err != nil {
			return verdict, err
		}
	}
	return r.move(ctx, verdict)
}

// move reopens the row, sends the message with its key and deletes the letter,
// in this order: whatever ends it between two steps, the letter is still there
// and may be redriven again. What a row keeps is due when the row is reopened, and
// the workers carry it back to its queue.
func (r *Redriver) move(ctx context.Context, verdict Verdict) (Verdict, error) {
	if row := verdict.keyRow; row.Status.Settled() {
		err := r.Store.Resolve(ctx, store.Resolution{ID: row.ID, From: row.Status, By: r.By, Reason: "tried again after " + row.ErrorCode})
		switch {
		case errors.Is(err, store.ErrLost):
			verdict.Why = "it has changed meanwhile"
			return verdict, nil
		case err != nil:
			return verdict, err
		}
	}
	if verdict.Queue != "" {
		if err := r.back(ctx, verdict.Letter); err != nil {
			return verdict, err
		}
	}
	verdict.Redriven = true
	if err := r.delete(ctx, verdict.Letter); err != nil {
		return verdict, fmt.Errorf("%w; its message is on its queue again", err)
	}
	return verdict, nil
}

// back puts a letter on its queue, with its key; or, where it has no room for that,
// into its row, from where a worker carries what points to it.
func (r *Redriver) back(ctx context.Context, letter Letter) error {
	keyed, fits := letter.Attributes.Keyed(letter.key)
	sent := letter.message.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)]
	if letter.kind == message.Received && letter.Attributes.SentAt().IsZero() && sent != "" && len(keyed) < attribute.Most {
		keyed[attribute.Sent] = attribute.Text(sent)
	}
	if !letter.points && fits {
		if err := r.send(ctx, letter, keyed); err == nil || !tooLarge(err) {
			return err
		}
	}
	same, named := letter.Attributes.AsItCame(letter.key, letter.Body.Reveal())
	if other := letter.Attributes.Text(attribute.Key); named && !letter.points && (other == "" || other == letter.key) {
		if err := r.send(ctx, letter, same); err == nil || !tooLarge(err) {
			return err
		}
	}
	if letter.keyRow.ID == "" { // SQS itself put it there, before any worker
		_, err := r.Store.Record(ctx, store.Event{
			ID: letter.key, Channel: string(r.Channel), Type: string(message.Send), Status: store.New,
			Queue: path.Base(letter.source.Queue), PayloadHash: letter.hash,
		})
		if err != nil {
			return err
		}
	}
	err := r.Store.Park(ctx, letter.key, letter.hash, letter.kept)
	if errors.Is(err, store.ErrLost) { // it has been settled meanwhile, and is judged again when its letter comes again
		return fmt.Errorf("put %s into its row, for it has no room for its key: %w", letter.key, err)
	}
	return err
}

func (r *Redriver) send(ctx context.Context, letter Letter, attributes attribute.Set) error {
	in := &sqs.SendMessageInput{QueueUrl: &letter.source.Queue, MessageBody: letter.message.Body, MessageAttributes: attributes}
	if tenant := group(letter.message); tenant != "" {
		in.MessageGroupId = &tenant
	}
	if _, err := r.SQS.SendMessage(ctx, in); err != nil {
		return fmt.Errorf("send %s to %s: %w", letter.key, letter.source.Queue, err)
	}
	return nil
}

// tooLarge says that a queue refused a message for its size.
func tooLarge(err error) bool {
	refused := smithy.APIError(nil)
	return errors.As(err, &refused) && attribute.TooLarge(refused.ErrorCode())
}
