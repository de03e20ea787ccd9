package awsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// CallError is a call of AWS that failed, in the words for a person: why, and
// what to do. The words have no request id, port or number of tries: a failure
// that goes on reads the same each time, and folds. Unwrap gives the SDK's.
type CallError struct {
	Reason string
	Err    error
}

func (f *CallError) Error() string { return f.Reason }
func (f *CallError) Unwrap() error { return f.Err }

// Explain makes a CallError of err, nil of nil. The action is the one of IAM
// that the call needs, like ecs:UpdateService.
func Explain(err error, action string) error {
	if err == nil {
		return nil
	}
	return &CallError{Reason: reason(err, action), Err: err}
}

func reason(err error, action string) string {
	var (
		refused  smithy.APIError
		answered *smithyhttp.ResponseError
		sent     *url.Error
	)
	status := 0
	if errors.As(err, &answered) {
		status = answered.HTTPStatusCode()
	}
	if _, why, none := strings.Cut(err.Error(), "get credentials: "); none { // whatever refused those, it is not this call
		return "no credentials: " + withoutID(why) + " (give the task a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return action + ": no answer in time (it is asked again; check AWS's health, and the way to its endpoint)"
	case errors.Is(err, context.Canceled):
		return action + ": " + context.Canceled.Error()
	case errors.As(err, &refused) && refused.ErrorCode() != "UnknownError":
		return withAdvice(refused, action)
	case errors.As(err, &sent):
		return action + ": no answer from " + hostOf(sent.URL) + ": " + atTheBottom(sent.Err) + " (check the way to the endpoint: route, security group, DNS)"
	case status/100 == 2, errors.Is(err, io.ErrUnexpectedEOF):
		return action + ": the answer broke off, or is not one of AWS's (it is asked again)"
	case status != 0:
		return fmt.Sprintf("%s: HTTP %d without a reason (it is asked again)", action, status)
	}
	return action + ": " + err.Error()
}

func withAdvice(refused smithy.APIError, action string) string {
	text := refused.ErrorCode()
	if message := strings.TrimSpace(refused.ErrorMessage()); message != "" {
		text += ": " + message
	}
	if advice := adviceFor(refused.ErrorCode(), action); advice != "" {
		text += " (" + advice + ")"
	}
	return text
}

// adviceFor says what to do about a refusal, by its code:
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
func adviceFor(code, action string) string {
	switch code {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized":
		return "allow " + action + " in the role that the program runs as"
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "renew the credentials; on ECS they are renewed by the task's role"
	case "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "MissingAuthenticationToken":
		return "the credentials are not known: check the task's role, or AWS_ACCESS_KEY_ID"
	case "SignatureDoesNotMatch", "InvalidSignatureException", "RequestTimeTooSkewed", "IncompleteSignature":
		return "check this machine's clock, and the secret key"
	case "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
		"TooManyRequestsException", "RequestLimitExceeded", "LimitExceededException", "SlowDown":
		return action + " is asked too often in this account; it is asked again"
	case "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "InvalidAddress":
		return "check the queue's name, region and account in the policy"
	case "ClusterNotFoundException":
		return "check spec.target.cluster, and AWS_REGION"
	case "ServiceNotFoundException", "ServiceNotActiveException":
		return "check spec.target.service, and whether it was deleted"
	case "NoSuchKey", "NoSuchBucket", "ParameterNotFound", "ParameterVersionNotFound", "PermanentRedirect":
		return "check the name, and AWS_REGION"
	}
	return ""
}

var requestID = regexp.MustCompile(`(?i),? request ?id: ?[^,]*`)

// withoutID leaves out what is another each time.
func withoutID(text string) string { return requestID.ReplaceAllString(text, "") }

func hostOf(address string) string {
	if at, err := url.Parse(address); err == nil && at.Host != "" {
		return at.Host
	}
	return address
}

// atTheBottom leaves out the addresses of a connection: its port is another
// each time.
func atTheBottom(err error) string {
	if on := (*net.OpError)(nil); errors.As(err, &on) {
		return on.Op + ": " + on.Err.Error()
	}
	return err.Error()
}
