// Package awswire is what the sandbox's AWS services share of the wire: typed
// errors as AWS writes them, the JSON protocols (awsJson1_0 and 1_1, see
// https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html), and the
// older Query protocol.
package awswire

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// MaxBody is the most bytes a request may have: a batch of SQS messages is
// 1 MiB at the most, and JSON escaping can grow it sixfold.
const MaxBody = 8 << 20

// An Error is a typed refusal, as AWS gives it.
type Error struct {
	Code    string // the exception's shape name, e.g. QueueDoesNotExist
	Query   string // the code of the older Query protocol where it differs, e.g. AWS.SimpleQueueService.NonExistentQueue
	Message string
	Status  int // the HTTP status; 400 when zero
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// HTTPStatus is the status that the error is sent with.
func (e *Error) HTTPStatus() int {
	if e.Status == 0 {
		return http.StatusBadRequest
	}
	return e.Status
}

// Fault is whose fault it is: Sender or Receiver.
func (e *Error) Fault() string {
	if e.HTTPStatus() >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

// AsError returns err as an Error; what is not one is an InternalFailure.
func AsError(err error) *Error {
	if typed := (*Error)(nil); errors.As(err, &typed) {
		return typed
	}
	return &Error{Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
}

// Op answers one operation: a decoded body in, a value to encode out.
type Op func(ctx context.Context, body []byte) (any, error)

// JSON makes an Op of a typed function.
func JSON[In, Out any](f func(context.Context, *In) (*Out, error)) Op {
	return func(ctx context.Context, body []byte) (any, error) {
		in := new(In)
		if len(body) > 0 {
			if err := json.Unmarshal(body, in); err != nil {
				return nil, &Error{Code: "SerializationException", Message: err.Error()}
			}
		}
		return f(ctx, in)
	}
}

// ServeJSON answers a request whose X-Amz-Target is "Prefix.Operation" from
// the table of operations.
func ServeJSON(w http.ResponseWriter, r *http.Request, ops map[string]Op) {
	target := r.Header.Get("X-Amz-Target")
	name := target[strings.LastIndexByte(target, '.')+1:]
	op, known := ops[name]
	if !known {
		WriteJSONError(w, r, &Error{Code: "UnknownOperationException", Message: "the sandbox does not serve " + target})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		WriteJSONError(w, r, &Error{Code: "RequestEntityTooLarge", Message: err.Error(), Status: http.StatusRequestEntityTooLarge})
		return
	}
	out, err := op(r.Context(), body)
	if err != nil {
		WriteJSONError(w, r, err)
		return
	}
	writeJSON(w, r, http.StatusOK, out)
}

// WriteJSONError writes err as the JSON protocols do: the code in __type and,
// for clients that still think in the Query protocol, in
// x-amzn-query-error.
func WriteJSONError(w http.ResponseWriter, r *http.Request, err error) {
	typed := AsError(err)
	if typed.Query != "" {
		w.Header().Set("X-Amzn-Query-Error", typed.Query+";"+typed.Fault())
	}
	writeJSON(w, r, typed.HTTPStatus(), map[string]string{"__type": "com.amazonaws#" + typed.Code, "message": typed.Message})
}

func writeJSON(w http.ResponseWriter, r *http.Request, status int, body any) {
	contentType := r.Header.Get("Content-Type")
	if !strings.HasPrefix(contentType, "application/x-amz-json") {
		contentType = "application/x-amz-json-1.0"
	}
	w.Header().Set("Content-Type", contentType)
	encoded, err := json.Marshal(body)
	if err != nil {
		status, encoded = http.StatusInternalServerError, []byte(`{"__type":"InternalFailure"}`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(encoded)
}

// Epoch is a time as the JSON protocols write it: seconds since 1970.
func Epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// UUID returns a random UUID, version 4.
func UUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := hex.EncodeToString(b[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
