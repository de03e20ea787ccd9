package awsclient

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// slowWriter answers before its transport has read the request's body, as
// net/http may on a busy machine; rest is what the transport reads then.
type slowWriter struct{ rest []io.ReadCloser }

func (s *slowWriter) Do(r *http.Request) (*http.Response, error) {
	s.rest = append(s.rest, r.Body)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(`{"QueueUrls":["https://sqs.us-east-1.amazonaws.com/1/q"]}`)), Request: r,
	}, nil
}

func TestTheTransportCanReadTheRequestAfterTheSDKHasClosedIt(t *testing.T) {
	wire := &slowWriter{}
	client := sqs.NewFromConfig(aws.Config{
		Region: "us-east-1", HTTPClient: wholeBody{wire},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	answer, err := client.ListQueues(t.Context(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String("acs")})
	if err != nil || len(answer.QueueUrls) != 1 {
		t.Fatalf("got %v, %v", answer, err)
	}
	for _, body := range wire.rest {
		if text, err := io.ReadAll(body); err != nil || string(text) != `{"QueueNamePrefix":"acs"}` {
			t.Errorf("the transport reads %q, %v after the SDK closed the request", text, err)
		}
	}
}

func TestARegionMustBeNamed(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	if _, err := Load(t.Context()); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("got %v, want an error that names AWS_REGION", err)
	}
}
