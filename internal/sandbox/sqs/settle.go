package sqs

import (
	"context"
	"time"
)

type deleteEntry struct {
	ID            string `json:"Id"`
	ReceiptHandle string
}

type deleteInput struct {
	QueueURL string `json:"QueueUrl"`
	deleteEntry
}

type deleteBatchInput struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []deleteEntry
}

func (s *Service) deleteMessage(_ context.Context, in *deleteInput) (*nothing, error) {
	return &nothing{}, s.onQueue(in.QueueURL, func(q *queue, _ time.Time) error {
		return s.drop(q, in.ReceiptHandle)
	})
}

func (s *Service) deleteMessageBatch(_ context.Context, in *deleteBatchInput) (out *batchOutput[settled], err error) {
	id := func(e deleteEntry) string { return e.ID }
	err = s.onQueue(in.QueueURL, func(q *queue, _ time.Time) error {
		if err := checkBatch("DeleteMessageBatchRequestEntry", in.Entries, id); err != nil {
			return err
		}
		out = each(in.Entries, id, func(e deleteEntry) (settled, error) {
			return settled{ID: e.ID}, s.drop(q, e.ReceiptHandle)
		})
		return nil
	})
	return out, err
}

// drop deletes the message of a handle, in flight or not. With a handle that
// is not the newest the request succeeds and the message stays, as
// DeleteMessage documents; AWS counts that as a deletion too.
func (s *Service) drop(q *queue, handle string) error {
	m, err := q.held(handle)
	if err != nil {
		return err
	}
	q.counted.deleted++
	if m != nil && !s.faults.losesDelete() {
		q.remove(m)
	}
	return nil
}

type visibilityEntry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

type visibilityInput struct {
	QueueURL string `json:"QueueUrl"`
	visibilityEntry
}

type visibilityBatchInput struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []visibilityEntry
}

func (s *Service) changeVisibility(_ context.Context, in *visibilityInput) (*nothing, error) {
	return &nothing{}, s.onQueue(in.QueueURL, func(q *queue, now time.Time) error {
		return q.changeVisibility(in.visibilityEntry, now)
	})
}

func (s *Service) changeVisibilityBatch(_ context.Context, in *visibilityBatchInput) (out *batchOutput[settled], err error) {
	id := func(e visibilityEntry) string { return e.ID }
	err = s.onQueue(in.QueueURL, func(q *queue, now time.Time) error {
		if err := checkBatch("ChangeMessageVisibilityBatchRequestEntry", in.Entries, id); err != nil {
			return err
		}
		out = each(in.Entries, id, func(e visibilityEntry) (settled, error) {
			return settled{ID: e.ID}, q.changeVisibility(e, now)
		})
		return nil
	})
	return out, err
}

// changeVisibility sets when a message in flight returns, counted from now,
// at the most 12 hours after its receive.
func (q *queue) changeVisibility(e visibilityEntry, now time.Time) error {
	m, err := q.held(e.ReceiptHandle)
	if err != nil {
		return err
	}
	if e.VisibilityTimeout == nil {
		return missing("VisibilityTimeout")
	}
	timeout := *e.VisibilityTimeout
	due := now.Add(time.Duration(timeout) * time.Second)
	switch {
	case timeout < 0 || timeout > maxVisibility:
		return invalidValue(timeout, "VisibilityTimeout", "VisibilityTimeout must be an integer between 0 and 43200.")
	case m == nil:
		return invalidValue(e.ReceiptHandle, "ReceiptHandle", "Message does not exist or is not available for visibility timeout change.")
	case m.Phase != inFlight:
		return errNotInFlight
	case due.After(m.Received.Add(maxVisibility * time.Second)):
		return invalidValue(timeout, "VisibilityTimeout", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds].")
	}
	q.place(m, inFlight, due)
	return nil
}
