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
		want   []string
	}{
		"access denied":  {refuse(400, `{"__type":"AccessDeniedException","message":"not you"}`), []string{"AccessDeniedException: not you", "allow ecs:DescribeServices"}},
		"expired":        {refuse(400, `{"__type":"ExpiredTokenException","message":"old"}`), []string{"ExpiredTokenException: old", "renew the credentials"}},
		"throttled":      {refuse(400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`), []string{"Rate exceeded", "asked too often"}},
		"no cluster":     {refuse(400, `{"__type":"ClusterNotFoundException","message":"Cluster not found."}`), []string{"Cluster not found.", "check spec.target.cluster"}},
		"a proxy's page": {refuse(503, `<html>Service Unavailable</html>`), []string{"HTTP 503", "asked again"}},
		"a server's end": {refuse(500, ``), []string{"HTTP 500", "asked again"}},
		"half an answer": {cutOff, []string{"broke off"}},
		"no answer":      {hangUp, []string{"no answer from 127.0.0.1:", "check the way"}},
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
			say := func() string {
				_, err := client.DescribeServices(t.Context(), &ecs.DescribeServicesInput{Services: []string{"s"}})
				return Explain(err, "ecs:DescribeServices").Error()
			}
			first, second := say(), say()
			for _, want := range tc.want {
				if !strings.Contains(first, want) {
					t.Errorf("it says %q, want %q in it", first, want)
				}
			}
			if first != second {
				t.Errorf("the same failure is told differently:\n%s\n%s", first, second)
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
	if !strings.Contains(first, "no credentials: assume the role") || !strings.Contains(first, "give the task a role") || strings.Contains(first, "allow ecs") {
		t.Errorf("it says %q", first)
	}
	if second := say(); first != second {
		t.Errorf("the same failure is told differently:\n%s\n%s", first, second)
	}
}

func TestAFailureKeepsTheSDKsError(t *testing.T) {
	t.Parallel()
	refusal := &smithy.GenericAPIError{Code: "AccessDenied"}
	if err := Explain(refusal, "sqs:GetQueueUrl"); !errors.Is(err, refusal) {
		t.Errorf("%v does not wrap the refusal", err)
	}
	if err := Explain(context.DeadlineExceeded, "sqs:GetQueueUrl"); !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("a bound that ended says %q", err)
	}
	if err := Explain(nil, "sqs:GetQueueUrl"); err != nil {
		t.Errorf("no error became %v", err)
	}
}
