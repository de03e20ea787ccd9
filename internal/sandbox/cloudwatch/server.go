// Package cloudwatch is a stand-in for Amazon CloudWatch metrics over the real
// wire: rpc-v2-CBOR, awsJson1_0 and Query, one implementation behind three
// codecs. Like the real one it is late: an AWS/SQS minute shows only a delay
// after it ended.
//
// It may import awswire and pure libraries. Start with Server, then sqs.go
// (what is published), data.go (how it is read).
package cloudwatch

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// DefaultDelay is how long after a minute's end its AWS/SQS points show.
const DefaultDelay = time.Minute

// maxInflated bounds a decompressed request; AWS takes 1 MB of PutMetricData.
const maxInflated = 8 << 20

// Options configure a Server.
type Options struct {
	// Delay is from a period's end until its AWS/SQS points show. Zero means
	// DefaultDelay; SetDelay(0) makes them show at once.
	Delay time.Duration
	// Sample reads all queues as they are now. Nil publishes nothing.
	Sample func() []QueueSample
	// Usage reads what each running task of a service uses, since the last
	// call. Nil publishes nothing.
	Usage func() []UsageSample
}

// Server is the stand-in, an http.Handler. It is safe for concurrent use.
type Server struct {
	sample func() []QueueSample
	usage  func() []UsageSample
	ops    map[string]operation

	mu     sync.Mutex
	delay  time.Duration
	series map[string]*series
	swept  time.Time // when expired points were last forgotten
}

// New makes a stand-in without points. Nothing is published until Run.
func New(o Options) *Server {
	if o.Delay == 0 {
		o.Delay = DefaultDelay
	}
	s := &Server{sample: o.Sample, usage: o.Usage, delay: o.Delay, series: map[string]*series{}}
	s.ops = map[string]operation{
		"GetMetricData":       typed(s.getMetricData),
		"GetMetricStatistics": typed(s.getMetricStatistics),
		"PutMetricData":       typed(s.putMetricData),
		"ListMetrics":         typed(s.listMetrics),
	}
	return s
}

// SetDelay changes how long AWS/SQS points stay hidden after their period's
// end. It holds for points already published too, so a long delay is an outage
// of CloudWatch and a short one its end.
func (s *Server) SetDelay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// ServeHTTP answers one request in the protocol that it came in.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := codecOf(r)
	body, err := readBody(w, r)
	if err != nil {
		c.refuse(w, r, &awswire.Error{Code: "SerializationException", Query: "MalformedInput", Message: err.Error()})
		return
	}
	name := c.operation(r, body)
	op, known := s.ops[name]
	if !known {
		c.refuse(w, r, &awswire.Error{
			Code: "UnknownOperationException", Query: "InvalidAction",
			Message: fmt.Sprintf("the sandbox does not serve %q", name),
		})
		return
	}
	out, err := op(r.Context(), func(in any) error { return c.decode(body, in) })
	if err != nil {
		c.refuse(w, r, err)
		return
	}
	c.answer(w, r, name, out)
}

// readBody reads a request, which SDKs compress when it is PutMetricData.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var in io.Reader = http.MaxBytesReader(w, r.Body, awswire.MaxBody)
	if strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip") {
		inflated, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("inflate request: %w", err)
		}
		in = inflated
	}
	body, err := io.ReadAll(io.LimitReader(in, maxInflated+1))
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	if len(body) > maxInflated {
		return nil, errors.New("read request: more than 8 MiB")
	}
	return body, nil
}

// An operation decodes its input and gives its output.
type operation func(ctx context.Context, decode func(any) error) (any, error)

func typed[In, Out any](f func(context.Context, *In) (*Out, error)) operation {
	return func(ctx context.Context, decode func(any) error) (any, error) {
		in := new(In)
		if err := decode(in); err != nil {
			return nil, &awswire.Error{Code: "SerializationException", Query: "MalformedInput", Message: err.Error()}
		}
		return f(ctx, in)
	}
}

func invalid(format string, args ...any) error {
	return &awswire.Error{Code: "ValidationError", Query: "ValidationError", Message: fmt.Sprintf(format, args...)}
}

func invalidValue(format string, args ...any) error {
	return &awswire.Error{Code: "InvalidParameterValueException", Query: "InvalidParameterValue", Message: fmt.Sprintf(format, args...)}
}

func invalidCombination(format string, args ...any) error {
	return &awswire.Error{Code: "InvalidParameterCombinationException", Query: "InvalidParameterCombination", Message: fmt.Sprintf(format, args...)}
}

func missing(parameter string) error {
	return &awswire.Error{
		Code: "MissingRequiredParameterException", Query: "MissingParameter",
		Message: "The parameter " + parameter + " is required.",
	}
}

func invalidToken() error {
	return &awswire.Error{Code: "InvalidNextToken", Query: "InvalidNextToken", Message: "The next token specified is invalid."}
}
