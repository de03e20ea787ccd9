package sqs

import (
	"net/http"
	"regexp"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// maxBatch is the most entries of one batch.
const maxBatch = 10

var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// A failure is one entry of a batch that was refused.
type failure struct {
	ID          string `json:"Id"`
	SenderFault bool
	Code        string
	Message     string `json:",omitempty"`
}

type batchOutput[R any] struct {
	Successful []R       `json:"Successful"`
	Failed     []failure `json:",omitempty"`
}

// settled is the result of an entry that has nothing more to say.
type settled struct {
	ID string `json:"Id"`
}

// checkBatch refuses a batch as a whole.
func checkBatch[E any](kind string, entries []E, id func(E) string) error {
	if len(entries) == 0 {
		return ofBatch("EmptyBatchRequest", "There should be at least one "+kind+" in the request.")
	}
	if len(entries) > maxBatch {
		return ofBatch("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10.")
	}
	seen := map[string]bool{}
	for _, e := range entries {
		name := id(e)
		if !entryID.MatchString(name) {
			return ofBatch("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[name] {
			return ofBatch("BatchEntryIdsNotDistinct", "Id "+name+" repeated.")
		}
		seen[name] = true
	}
	return nil
}

// each runs do for every entry and sorts the results.
func each[E, R any](entries []E, id func(E) string, do func(E) (R, error)) *batchOutput[R] {
	out := &batchOutput[R]{Successful: []R{}}
	for _, e := range entries {
		result, err := do(e)
		if err != nil {
			out.Failed = append(out.Failed, asFailure(id(e), awswire.AsError(err)))
			continue
		}
		out.Successful = append(out.Successful, result)
	}
	return out
}

func asFailure(id string, err *awswire.Error) failure {
	code := err.Query
	if code == "" {
		code = err.Code
	}
	return failure{ID: id, SenderFault: err.HTTPStatus() < http.StatusInternalServerError, Code: code, Message: err.Message}
}
