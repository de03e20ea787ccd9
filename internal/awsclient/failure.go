package awsclient

import (
	"cmp"
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

// The kinds of a CallError, for errors.Is. They are found in joined errors too.
var (
	ErrDenied      = errors.New("IAM does not allow the call")
	ErrCredentials = errors.New("there are no valid AWS credentials")
	ErrThrottled   = errors.New("AWS throttles the call")
	ErrUnreachable = errors.New("AWS gave no answer")
	ErrNotFound    = errors.New("the resource does not exist")
)

// CallError is a failed call to AWS, described for a person: which call, why it
// failed, and what to do. The text has no request id, port, session or number of
// attempts, so that a failure that goes on always reads the same.
type CallError struct {
	Action string // the IAM action that the call needs, like ecs:UpdateService
	Kind   error  // ErrDenied, ErrThrottled …; nil: none of them
	Reason string // the whole sentence
	Err    error  // the SDK's
}

func (f *CallError) Error() string { return f.Reason }
func (f *CallError) Unwrap() error { return f.Err }

// Is reports whether target is the kind of the failure.
func (f *CallError) Is(target error) bool { return f.Kind != nil && target == f.Kind }

// Explain returns err as a CallError, nil for nil, and one that is explained
// already as it is. The action is the IAM
// action that the call needs, like ecs:UpdateService.
func Explain(err error, action string) error {
	if err == nil {
		return nil
	}
	if explained := (*CallError)(nil); errors.As(err, &explained) {
		return err
	}
	reason, kind := explain(err, action)
	return &CallError{Action: action, Kind: kind, Reason: reason, Err: err}
}

func explain(err error, action string) (reason string, kind error) {
	var (
		refused  smithy.APIError
		answered *smithyhttp.ResponseError
		sent     *url.Error
		service  = serviceOf(action)
	)
	status := 0
	if errors.As(err, &answered) {
		status = answered.HTTPStatusCode()
	}
	if _, why, none := strings.Cut(err.Error(), "get credentials: "); none { // the call itself was not sent
		return fmt.Sprintf("no credentials for %s: %s: give the task a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", action, withoutID(why)), ErrCredentials
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s gave no answer to %s in time: check AWS's health and the route to its endpoint; the program tries again", service, action), ErrUnreachable
	case errors.Is(err, context.Canceled):
		return action + ": " + context.Canceled.Error(), nil
	case errors.As(err, &refused) && refused.ErrorCode() != "UnknownError":
		return refusal(refused, action, status)
	case errors.As(err, &sent):
		return fmt.Sprintf("no answer from %s to %s: %s: check the route, the security group and DNS; the program tries again", hostOf(sent.URL), action, atTheBottom(sent.Err)), ErrUnreachable
	case status/100 == 2, errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("the answer of %s to %s broke off, or did not come from AWS; the program tries again", service, action), ErrUnreachable
	case status != 0:
		return fmt.Sprintf("%s answers %s with HTTP %d and no reason; the program tries again", service, action, status), ErrUnreachable
	}
	return action + ": " + err.Error(), nil
}

// refusal describes an answer of AWS that has an error code.
func refusal(refused smithy.APIError, action string, status int) (reason string, kind error) {
	advice, kind := adviceFor(refused.ErrorCode())
	verb := "rejects"
	switch {
	case errors.Is(kind, ErrDenied):
		return denial(refused, action), kind
	case errors.Is(kind, ErrThrottled):
		verb = "throttles"
	case kind == nil && (refused.ErrorFault() == smithy.FaultServer || status >= 500):
		kind, verb, advice = ErrUnreachable, "fails at", "the program tries again; check AWS's health"
	}
	reason = fmt.Sprintf("%s %s %s (%s)", serviceOf(action), verb, action, codeAndMessage(refused.ErrorCode(), refused.ErrorMessage()))
	if advice != "" {
		reason += ": " + advice
	}
	return reason, kind
}

func codeAndMessage(code, message string) string {
	if message = strings.TrimSpace(message); message != "" {
		return code + ": " + message
	}
	return code
}

// notAuthorized is how AWS words a denial: who, what, on what, because of what.
// The session at the end of an assumed role's ARN is left out: on ECS it is the
// task, and another each time.
var notAuthorized = regexp.MustCompile(`^User: (\S+) is not authorized to perform: (\S+)(?: on resource: (\S+))?(?: (?:because|with) (.+))?$`)

// denial names the action, the resource and the role, where AWS names them.
func denial(refused smithy.APIError, action string) string {
	service, message := serviceOf(action), strings.TrimSpace(refused.ErrorMessage())
	told := notAuthorized.FindStringSubmatch(message)
	if told == nil {
		return fmt.Sprintf("%s denies %s (%s): allow %s in the role that the program runs as", service, action, codeAndMessage(refused.ErrorCode(), message), action)
	}
	who, denied, resource, because := roleOf(told[1]), told[2], told[3], told[4]
	if strings.EqualFold(denied, action) { // SQS writes sqs:getqueueurl
		denied = action
	}
	on := ""
	if resource = strings.Trim(resource, `"`); resource != "" {
		on = " on " + resource
	}
	advice := fmt.Sprintf("allow %s in the policy of %s", denied, who)
	if strings.Contains(because, "explicit deny") {
		advice = "an explicit deny wins over every allow: remove it, or make an exception for " + who
	}
	return fmt.Sprintf("%s denies %s%s to %s (%s): %s", service, denied, on, who, codeAndMessage(refused.ErrorCode(), because), advice)
}

// roleOf is the role of a session, or the ARN as it is.
func roleOf(arn string) string {
	_, rest, assumed := strings.Cut(arn, ":assumed-role/")
	if !assumed {
		return arn
	}
	role, _, _ := strings.Cut(rest, "/")
	return "role " + role
}

// serviceOf is the name of the service that an IAM action belongs to.
func serviceOf(action string) string {
	prefix, _, _ := strings.Cut(action, ":")
	return cmp.Or(map[string]string{
		"cloudwatch": "CloudWatch", "application-autoscaling": "Application Auto Scaling", "secretsmanager": "Secrets Manager",
	}[prefix], strings.ToUpper(prefix))
}

// adviceFor returns what to do about a refusal, and its kind, by its code:
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html
func adviceFor(code string) (advice string, kind error) {
	switch code {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized":
		return "", ErrDenied
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return "renew the credentials; on ECS the task's role renews them", ErrCredentials
	case "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "MissingAuthenticationToken":
		return "AWS does not know the credentials: check the task's role, or AWS_ACCESS_KEY_ID", ErrCredentials
	case "SignatureDoesNotMatch", "InvalidSignatureException", "RequestTimeTooSkewed", "IncompleteSignature":
		return "check this machine's clock, and the secret key", ErrCredentials
	case "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
		"TooManyRequestsException", "RequestLimitExceeded", "LimitExceededException", "SlowDown":
		return "this account makes too many of these calls; the program tries again", ErrThrottled
	case "QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "InvalidAddress":
		return "check the queue's name, region and account in the policy", ErrNotFound
	case "ClusterNotFoundException":
		return "check spec.target.cluster, and AWS_REGION", ErrNotFound
	case "ServiceNotFoundException", "ServiceNotActiveException":
		return "check spec.target.service, and whether it was deleted", ErrNotFound
	case "NoSuchKey", "NoSuchBucket", "ParameterNotFound", "ParameterVersionNotFound", "PermanentRedirect":
		return "check the name, and AWS_REGION", ErrNotFound
	}
	return "", nil
}

var requestID = regexp.MustCompile(`(?i),? request ?id: ?[^,]*`)

// withoutID leaves out the request id, which is another each time.
func withoutID(text string) string { return requestID.ReplaceAllString(text, "") }

func hostOf(address string) string {
	if at, err := url.Parse(address); err == nil && at.Host != "" {
		return at.Host
	}
	return address
}

// atTheBottom leaves out the addresses of a connection: its port is another each
// time.
func atTheBottom(err error) string {
	if on := (*net.OpError)(nil); errors.As(err, &on) {
		return on.Op + ": " + on.Err.Error()
	}
	return err.Error()
}
