package awsclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/smithy-go"
)

func settings(address string) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &address, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	}
}

func TestAFailureSaysWhyAndWhatToDoInTheSameWordsEachTime(t *testing.T) {
	t.Parallel()
	refuse := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	cutOff := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"services":`)
	}
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		kind   error
		want   string
	}{
		"a denial names action, resource and role, and no session": {
			refuse(400, `{"__type":"AccessDeniedException","message":"User: arn:aws:sts::123456789012:assumed-role/controller-task/0f3c is not authorized to perform: ecs:DescribeServices on resource: arn:aws:ecs:us-east-1:123456789012:service/c/s because no identity-based policy allows the ecs:DescribeServices action"}`),
			ErrDenied, "ECS denies ecs:DescribeServices on arn:aws:ecs:us-east-1:123456789012:service/c/s to role controller-task (AccessDeniedException: no identity-based policy allows the ecs:DescribeServices action): allow ecs:DescribeServices in the policy of role controller-task",
		},
		"an explicit deny must be removed": {
			refuse(400, `{"__type":"AccessDeniedException","message":"User: arn:aws:iam::123456789012:user/anna is not authorized to perform: ecs:DescribeServices with an explicit deny in a service control policy"}`),
			ErrDenied, "ECS denies ecs:DescribeServices to arn:aws:iam::123456789012:user/anna (AccessDeniedException: an explicit deny in a service control policy): an explicit deny wins over every allow: remove it, or make an exception for arn:aws:iam::123456789012:user/anna",
		},
		"a denial in few words": {
			refuse(400, `{"__type":"AccessDeniedException","message":"not you"}`),
			ErrDenied, "ECS denies ecs:DescribeServices (AccessDeniedException: not you): allow ecs:DescribeServices in the role that the program runs as",
		},
		"expired credentials": {
			refuse(400, `{"__type":"ExpiredTokenException","message":"old"}`),
			ErrCredentials, "ECS rejects ecs:DescribeServices (ExpiredTokenException: old): renew the credentials; on ECS the task's role renews them",
		},
		"throttled": {
			refuse(400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`),
			ErrThrottled, "ECS throttles ecs:DescribeServices (ThrottlingException: Rate exceeded): this account makes too many of these calls; the program tries again",
		},
		"no cluster": {
			refuse(400, `{"__type":"ClusterNotFoundException","message":"Cluster not found."}`),
			ErrNotFound, "ECS rejects ecs:DescribeServices (ClusterNotFoundException: Cluster not found.): check spec.target.cluster, and AWS_REGION",
		},
		"a failure of AWS": {
			refuse(500, `{"__type":"ServerException","message":"Service Unavailable"}`),
			ErrUnreachable, "ECS fails at ecs:DescribeServices (ServerException: Service Unavailable): the program tries again; check AWS's health",
		},
		"a proxy's page": {
			refuse(503, `<html>Service Unavailable</html>`),
			ErrUnreachable, "ECS answers ecs:DescribeServices with HTTP 503 and no reason; the program tries again",
		},
		"a server without a reason": {
			refuse(500, ``),
			ErrUnreachable, "ECS answers ecs:DescribeServices with HTTP 500 and no reason; the program tries again",
		},
		"half an answer": {
			cutOff,
			ErrUnreachable, "the answer of ECS to ecs:DescribeServices broke off, or did not come from AWS; the program tries again",
		},
		"no answer": {
			hangUp,
			ErrUnreachable, "no answer from HOST to ecs:DescribeServices: EOF: check the route, the security group and DNS; the program tries again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				w.Header().Set("X-Amzn-Requestid", strings.Repeat("9", 10+requests))
				tc.answer(w, r)
			}))
			t.Cleanup(server.Close)
			client := ecs.NewFromConfig(settings(server.URL))
			for range 2 { // the same words each time
				_, err := client.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Services: []string{"s"}})
				err = errors.Join(errors.New("another"), Explain(err, "ecs:DescribeServices"))
				got := strings.ReplaceAll(err.Error(), strings.TrimPrefix(server.URL, "http://"), "HOST")
				if got != "another\n"+tc.want {
					t.Errorf("got  %s\nwant %s", got, tc.want)
				}
				for _, kind := range []error{ErrDenied, ErrCredentials, ErrThrottled, ErrUnreachable, ErrNotFound} {
					if errors.Is(err, kind) != (kind == tc.kind) {
						t.Errorf("%q is an error of kind %q: %v", got, kind, kind != tc.kind)
					}
				}
			}
		})
	}
}

func TestHalfAnAnswerOfCloudWatchIsSaidToBeOne(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
		_, _ = w.Write([]byte{0xbf, 0x71})
	}))
	t.Cleanup(server.Close)
	_, err := cloudwatch.NewFromConfig(settings(server.URL)).ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{})
	if got := Explain(err, "cloudwatch:GetMetricData").Error(); !strings.Contains(got, "broke off") {
		t.Errorf("it says %q", got)
	}
}

func TestMissingCredentialsAreNotTakenForARefusalOfTheCall(t *testing.T) {
	t.Parallel()
	calls := 0
	none := settings("http://127.0.0.1:1")
	none.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		calls++
		return aws.Credentials{}, fmt.Errorf("assume the role, RequestID: %d, %w", calls, &smithy.GenericAPIError{Code: "AccessDenied", Message: "not this role"})
	})
	client := ecs.NewFromConfig(none)
	say := func() string {
		_, err := client.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Services: []string{"s"}})
		return Explain(err, "ecs:DescribeServices").Error()
	}
	first := say()
	if !strings.Contains(first, "no credentials for ecs:DescribeServices: assume the role") || !strings.Contains(first, "give the task a role") || strings.Contains(first, "allow ecs") {
		t.Errorf("it says %q", first)
	}
	if second := say(); first != second {
		t.Errorf("the same failure reads differently:\n%s\n%s", first, second)
	}
}

func TestAFailureKeepsTheSDKsError(t *testing.T) {
	t.Parallel()
	refusal := &smithy.GenericAPIError{Code: "AccessDenied"}
	if err := Explain(refusal, "sqs:GetQueueUrl"); !errors.Is(err, refusal) {
		t.Errorf("%v does not wrap the refusal", err)
	}
	if err := Explain(context.DeadlineExceeded, "sqs:GetQueueUrl"); !strings.Contains(err.Error(), "no answer to sqs:GetQueueUrl in time") {
		t.Errorf("a bound that ended says %q", err)
	}
	if err := Explain(nil, "sqs:GetQueueUrl"); err != nil {
		t.Errorf("no error became %v", err)
	}
}
