// Package sandbox is what stands in for AWS on one machine. This package is
// the front door, one address for every AWS service; the services are in the
// packages beside it.
package sandbox

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/novaura/acs-operator/internal/sandbox/autoscaling"
	"github.com/novaura/acs-operator/internal/sandbox/awswire"
	"github.com/novaura/acs-operator/internal/sandbox/cloudwatch"
	"github.com/novaura/acs-operator/internal/sandbox/s3"
	"github.com/novaura/acs-operator/internal/sandbox/secretsmanager"
	"github.com/novaura/acs-operator/internal/sandbox/ses"
	"github.com/novaura/acs-operator/internal/sandbox/sns"
	"github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/sandbox/ssm"
)

// AWS is the front door: it tells by the request which service is meant. A
// nil handler is a service that is not served. STS is answered here, so that
// `aws sts get-caller-identity` works; GET /health answers 200. Beside AWS's own
// it serves
//
//	/_sandbox/aws   Faults: GET, PUT and DELETE
//	/_sandbox/ecs   ECSControl: GET and PUT
type AWS struct {
	Account                 string // what GetCallerIdentity answers
	SQS, SNS                http.Handler
	CloudWatch              http.Handler
	ECS, AutoScaling        http.Handler
	Agent                   http.Handler // what ECS's containers ask, under /_ecs/
	ECSControl              http.Handler // how ECS's tasks start
	S3, SSM, SecretsManager http.Handler
	SES                     http.Handler
	Faults                  *Faults // what goes wrong on purpose; nil: nothing can
}

// New is the door to every service that needs no more than an account and a
// region; SQS, CloudWatch and ECS are the caller's.
func New(account, region string, queues *sqs.Service) AWS {
	return AWS{
		Account: account, SQS: queues, SNS: sns.New(account, region, deliverTo(queues)), AutoScaling: autoscaling.New(),
		S3: s3.New(region), SSM: ssm.New(account, region), SecretsManager: secretsmanager.New(account, region),
		Faults: &Faults{entries: map[string]Fault{}},
	}
}

// deliverTo puts what SNS publishes on SQS's queues.
func deliverTo(queues *sqs.Service) sns.Deliver {
	return func(arn, body string, attributes map[string]sns.Attribute) error {
		given := make(map[string]sqs.Attribute, len(attributes))
		for name, a := range attributes {
			given[name] = sqs.Attribute{DataType: a.DataType, BinaryValue: a.BinaryValue}
			if a.BinaryValue == nil {
				given[name] = sqs.Attribute{DataType: a.DataType, StringValue: &a.StringValue}
			}
		}
		return queues.Deliver(arn, body, given)
	}
}

var _ http.Handler = AWS{}

// ServeHTTP hands the request to its service.
func (a AWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", rand.Text())
	if r.URL.Path == "/health" {
		_, _ = io.WriteString(w, "ok\n")
		return
	}
	if handler := a.ours(r.URL.Path); handler != nil {
		handler.ServeHTTP(w, r)
		return
	}
	service, err := serviceOf(w, r)
	if err != nil {
		refuse(w, r, service, err)
		return
	}
	handler := a.handlers()[service]
	if handler == nil {
		refuse(w, r, service, &awswire.Error{
			Code:    "UnknownOperationException",
			Message: fmt.Sprintf("the sandbox does not serve the service %s; it serves %s", cmp.Or(service, "of this request"), a.served()),
		})
		return
	}
	a.serve(w, r, service, handler)
}

// ours returns the handler of a path that AWS does not have, or nil.
func (a AWS) ours(path string) http.Handler {
	switch {
	case path == "/_sandbox/aws" && a.Faults != nil:
		return a.Faults
	case path == "/_sandbox/ecs":
		return a.ECSControl
	case strings.HasPrefix(path, "/_ecs/"):
		return a.Agent
	}
	return nil
}

// serve hands a request to its service, unless a fault strikes first.
func (a AWS) serve(w http.ResponseWriter, r *http.Request, service string, handler http.Handler) {
	if a.Faults == nil {
		handler.ServeHTTP(w, r)
		return
	}
	operation, err := operationOf(w, r, service)
	if err != nil {
		refuse(w, r, service, err)
		return
	}
	ctx, err := a.Faults.strike(r.Context(), a.Account, service, operation)
	if err != nil {
		refuse(w, r, service, err)
		return
	}
	handler.ServeHTTP(w, r.WithContext(ctx))
}

// services are the names that requests are signed for.
var services = []string{"application-autoscaling", "ecs", "monitoring", "s3", "secretsmanager", "ses", "sns", "sqs", "ssm", "sts"}

// handlers are by the names that services sign their requests with.
func (a AWS) handlers() map[string]http.Handler {
	return map[string]http.Handler{
		"sqs": a.SQS, "sns": a.SNS, "ses": a.SES, "monitoring": a.CloudWatch, "ecs": a.ECS, "application-autoscaling": a.AutoScaling,
		"s3": a.S3, "ssm": a.SSM, "secretsmanager": a.SecretsManager, "sts": http.HandlerFunc(a.callerIdentity),
	}
}

func (a AWS) served() string {
	var names []string
	for name, handler := range a.handlers() {
		if handler != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// targets are the services by what X-Amz-Target and rpc-v2 paths begin with.
var targets = map[string]string{
	"AmazonSQS": "sqs", "AmazonEC2ContainerServiceV20141113": "ecs", "GraniteServiceVersion20100801": "monitoring",
	"AmazonSSM": "ssm", "secretsmanager": "secretsmanager", "AnyScaleFrontendService": "application-autoscaling",
}

// actions are the services by the Query protocol's Action, for what comes
// unsigned and names itself in no other way.
var actions = map[string]string{
	"GetCallerIdentity": "sts", "GetMetricData": "monitoring", "PutMetricData": "monitoring", "ListMetrics": "monitoring",
	"GetMetricStatistics": "monitoring", "CreateTopic": "sns", "Subscribe": "sns", "Publish": "sns", "ListTopics": "sns",
}

// serviceOf names the service that a request is for, empty when it doesn't
// say. The signature comes first: it is the only sign that all protocols have.
func serviceOf(w http.ResponseWriter, r *http.Request) (string, error) {
	if service := signedFor(r); service != "" {
		return service, nil
	}
	if prefix, _, found := strings.Cut(r.Header.Get("X-Amz-Target"), "."); found {
		return targets[prefix], nil
	}
	if rest, found := strings.CutPrefix(r.URL.Path, "/service/"); found {
		name, _, _ := strings.Cut(rest, "/")
		return targets[name], nil
	}
	action, err := queryAction(w, r)
	return actions[action], err
}

// signedFor reads the service from the credential scope of a signature
// (version 4): key/date/region/service/aws4_request.
func signedFor(r *http.Request) string {
	_, credential, found := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if !found {
		credential = r.URL.Query().Get("X-Amz-Credential")
	}
	credential, _, _ = strings.Cut(credential, ",")
	parts := strings.Split(strings.TrimSpace(credential), "/")
	if len(parts) < 5 {
		return ""
	}
	return parts[len(parts)-2]
}

// queryAction reads the Action of a Query request and leaves the body to be
// read again.
func queryAction(w http.ResponseWriter, r *http.Request) (string, error) {
	if action := r.URL.Query().Get("Action"); action != "" || r.Body == nil {
		return action, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, awswire.MaxBody))
	if err != nil {
		return "", &awswire.Error{Code: "RequestEntityTooLarge", Message: err.Error(), Status: http.StatusRequestEntityTooLarge}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return "", nil //nolint:nilerr // not a Query request: it names no action.
	}
	return form.Get("Action"), nil
}

// refuse answers in the protocol that the caller speaks: rpc-v2-cbor, JSON with
// a target, REST as S3 and SES have it, otherwise the Query protocol's XML.
func refuse(w http.ResponseWriter, r *http.Request, service string, err error) {
	switch {
	case r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor":
		cloudwatch.Refuse(w, r, err)
	case r.Header.Get("X-Amz-Target") != "":
		awswire.WriteJSONError(w, r, err)
	case service == "s3":
		s3.Refuse(w, r, err)
	case service == "ses":
		ses.Refuse(w, err)
	default:
		typed := awswire.AsError(err)
		writeXML(w, typed.HTTPStatus(), errorResponse{
			Error: errorBody{Type: typed.Fault(), Code: typed.Code, Message: typed.Message}, RequestID: w.Header().Get("X-Amzn-Requestid"),
		})
	}
}

type errorResponse struct {
	XMLName   xml.Name  `xml:"ErrorResponse"`
	Error     errorBody `xml:"Error"`
	RequestID string    `xml:"RequestId"`
}

type errorBody struct{ Type, Code, Message string }

func writeXML(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(body)
}
