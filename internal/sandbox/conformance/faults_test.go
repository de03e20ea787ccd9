package conformance

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sesv2types "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// control asks the sandbox for faults, and returns its answer.
func control(t *testing.T, method, endpoint, path, body string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, endpoint+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// mailer is a client of SES at the endpoint, which tries once.
func mailer(endpoint string) *sesv2.Client {
	return sesv2.New(sesv2.Options{
		Region: region, BaseEndpoint: &endpoint, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

func getMetricData(ctx context.Context, c *clients, namespace string) (*cloudwatch.GetMetricDataOutput, error) {
	return c.metrics.GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(time.Now().Add(-time.Hour)), EndTime: aws.Time(time.Now().Add(time.Minute)),
		MetricDataQueries: []cloudwatchtypes.MetricDataQuery{{Id: aws.String("q"), MetricStat: &cloudwatchtypes.MetricStat{
			Metric: &cloudwatchtypes.Metric{Namespace: &namespace, MetricName: aws.String("Depth")}, Period: aws.Int32(60), Stat: aws.String("Sum"),
		}}},
	})
}

func TestAFaultIsATypedErrorInTheCallersProtocol(t *testing.T) {
	t.Parallel()
	endpoint := ours(t)
	c := connect(endpoint)
	calls := map[string]func(context.Context) error{
		"sqs:ReceiveMessage": func(ctx context.Context) error {
			_, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(endpoint + "/" + account + "/q")})
			return err
		},
		"monitoring:GetMetricData": func(ctx context.Context) error {
			_, err := getMetricData(ctx, c, "AWS/SQS")
			return err
		},
		"ecs:UpdateService": func(ctx context.Context) error {
			_, err := c.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Service: aws.String("s")})
			return err
		},
		"ssm:GetParameter": func(ctx context.Context) error {
			_, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/p")})
			return err
		},
		"secretsmanager:GetSecretValue": func(ctx context.Context) error {
			_, err := c.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("s")})
			return err
		},
		"s3:GetObject": func(ctx context.Context) error {
			_, err := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("k")})
			return err
		},
		"sns:Publish": func(ctx context.Context) error {
			_, err := c.sns.Publish(ctx, &sns.PublishInput{TopicArn: aws.String("arn:aws:sns:us-east-1:123456789012:t"), Message: aws.String("m")})
			return err
		},
		"ses:GetAccount": func(ctx context.Context) error {
			_, err := mailer(endpoint).GetAccount(ctx, &sesv2.GetAccountInput{})
			return err
		},
		"ses:SendEmail": func(ctx context.Context) error {
			_, err := mailer(endpoint).SendEmail(ctx, &sesv2.SendEmailInput{
				Content: &sesv2types.EmailContent{Raw: &sesv2types.RawMessage{Data: []byte("x")}},
			})
			return err
		},
	}
	for _, tc := range []struct {
		action, code string
		status       int
	}{
		{"sqs:ReceiveMessage", "RequestThrottled", 403},
		{"sqs:ReceiveMessage", "AccessDenied", 403},
		{"sqs:ReceiveMessage", "InternalError", 500},
		{"monitoring:GetMetricData", "ThrottlingException", 400},
		{"monitoring:GetMetricData", "AccessDenied", 403},
		{"ecs:UpdateService", "AccessDeniedException", 400},
		{"ecs:UpdateService", "ServerException", 500},
		{"ssm:GetParameter", "ThrottlingException", 400},
		{"secretsmanager:GetSecretValue", "AccessDeniedException", 400},
		{"s3:GetObject", "AccessDenied", 403},
		{"s3:GetObject", "SlowDown", 503},
		{"sns:Publish", "AuthorizationError", 403},
		{"ses:GetAccount", "ThrottlingException", 429},
		{"ses:SendEmail", "AccessDeniedException", 403},
	} {
		if status, answer := control(t, http.MethodPut, endpoint, "/_sandbox/aws", `{"`+tc.action+`":{"errors":{"`+tc.code+`":1}}}`); status != http.StatusOK {
			t.Fatalf("%s: PUT answered %d %s", tc.action, status, answer)
		}
		err := calls[tc.action](t.Context())
		if wrong := wantCode(err, tc.code); wrong != nil {
			t.Errorf("%s: %v", tc.action, wrong)
		}
		response, is := errors.AsType[*awshttp.ResponseError](err)
		if !is || response.HTTPStatusCode() != tc.status {
			t.Errorf("%s %s: got %v, want HTTP %d", tc.action, tc.code, err, tc.status)
		}
	}
	if status, answer := control(t, http.MethodDelete, endpoint, "/_sandbox/aws", ""); status != http.StatusOK || strings.TrimSpace(answer) != "{}" {
		t.Errorf("DELETE answered %d %s, want 200 and no faults", status, answer)
	}
	if err := wantCode(calls["ecs:UpdateService"](t.Context()), "ClusterNotFoundException"); err != nil {
		t.Errorf("after DELETE: %v", err)
	}
}

func TestFaultsAreSetEntryByEntry(t *testing.T) {
	t.Parallel()
	endpoint := ours(t)
	for _, tc := range []struct{ name, body, want string }{
		{"two entries", `{"sqs:*":{"latency":"1s"},"ecs:UpdateService":{"errors":{"AccessDeniedException":0.5}}}`,
			`{"ecs:UpdateService":{"latency":"0s","errors":{"AccessDeniedException":0.5},"noData":false},"sqs:*":{"latency":"1s","errors":null,"noData":false}}`},
		{"null ends one", `{"sqs:*":null}`, `{"ecs:UpdateService":{"latency":"0s","errors":{"AccessDeniedException":0.5},"noData":false}}`},
		{"an entry replaces the one before", `{"ecs:UpdateService":{"latency":"2s"}}`, `{"ecs:UpdateService":{"latency":"2s","errors":null,"noData":false}}`},
		{"an empty body changes nothing", `{}`, `{"ecs:UpdateService":{"latency":"2s","errors":null,"noData":false}}`},
		{"an empty entry ends one", `{"ecs:UpdateService":{}}`, `{}`},
	} {
		control(t, http.MethodPut, endpoint, "/_sandbox/aws", tc.body)
		if _, got := control(t, http.MethodGet, endpoint, "/_sandbox/aws", ""); strings.TrimSpace(got) != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
	for body, want := range map[string]string{
		`{"cloudwatch:GetMetricData":{}}`:                                         "with a service of application-autoscaling, ecs, monitoring",
		`{"sqs":{"latency":"1s"}}`:                                                "write service:Action or service:*",
		`{"sqs:*":{"errors":{"Slow":1}}}`:                                         `AWS has no error code \"Slow\"; write one of`,
		`{"sqs:*":{"errors":{"AccessDenied":2}}}`:                                 "errors.AccessDenied: 2 is no share",
		`{"sqs:*":{"latency":"2"}}`:                                               `sqs:*: latency: \"2\" is no duration`,
		`{"ecs:*":{"noData":true}}`:                                               "noData is for monitoring:GetMetricData only",
		`{"sqs:ReceiveMessage":{"latency":"1s"},"sqs:*":{"delay":"1s"}}`:          "unknown field",
		`{"sqs:ReceiveMessage":{"latency":"1s"},"monitoring:x y":{"latency":""}}`: "names no action",
	} {
		if status, got := control(t, http.MethodPut, endpoint, "/_sandbox/aws", body); status != http.StatusBadRequest || !strings.Contains(got, want) {
			t.Errorf("%s: got HTTP %d %s, want 400 that says %s", body, status, got, want)
		}
	}
	if _, got := control(t, http.MethodGet, endpoint, "/_sandbox/aws", ""); strings.TrimSpace(got) != "{}" {
		t.Errorf("what was refused changed the faults to %s", got)
	}
}

func TestAnActionsOwnFaultWinsOverItsServices(t *testing.T) {
	t.Parallel()
	endpoint := ours(t)
	c := connect(endpoint)
	control(t, http.MethodPut, endpoint, "/_sandbox/aws", `{"sqs:*":{"errors":{"AccessDenied":1}},"sqs:ListQueues":{"latency":"200ms"}}`)
	began := time.Now()
	if _, err := c.sqs.ListQueues(t.Context(), &sqs.ListQueuesInput{}); err != nil || time.Since(began) < 200*time.Millisecond {
		t.Errorf("ListQueues: got %v after %s, want success after 200ms", err, time.Since(began))
	}
	_, err := c.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if wrong := wantCode(err, "AccessDenied"); wrong != nil {
		t.Error(wrong)
	}
}

func TestNoDataHidesTheDatapointsOfQueuesAlone(t *testing.T) {
	t.Parallel()
	endpoint := ours(t)
	c := connect(endpoint)
	namespaces := []string{"AWS/SQS", "ACS/Worker"}
	_, err := c.metrics.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: &namespaces[1], MetricData: []cloudwatchtypes.MetricDatum{
		{MetricName: aws.String("Depth"), Value: aws.Float64(1)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	control(t, http.MethodPut, endpoint, "/_sandbox/aws", `{"monitoring:GetMetricData":{"noData":true}}`)
	for namespace, want := range map[string]int{"AWS/SQS": 0, "ACS/Worker": 1} {
		answer, err := getMetricData(t.Context(), c, namespace)
		if err != nil || len(answer.MetricDataResults) != 1 || len(answer.MetricDataResults[0].Values) != want {
			t.Errorf("%s: got %+v, %v, want %d values", namespace, answer, err, want)
		}
	}
}

// serviceOf makes a service of one task at the endpoint.
func serviceOf(t *testing.T, c *clients) (cluster, service string) {
	t.Helper()
	cluster, service = unique("faults"), unique("service")
	_, err := c.ecs.CreateCluster(t.Context(), &ecs.CreateClusterInput{ClusterName: &cluster})
	if err != nil {
		t.Fatal(err)
	}
	definition, err := c.ecs.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: &service, ContainerDefinitions: []ecstypes.ContainerDefinition{{Name: aws.String("worker"), Image: aws.String("worker")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.ecs.CreateService(t.Context(), &ecs.CreateServiceInput{
		Cluster: &cluster, ServiceName: &service, TaskDefinition: definition.TaskDefinition.TaskDefinitionArn, DesiredCount: aws.Int32(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	return cluster, service
}

func TestAStartLagKeepsTasksPendingUntilItEnds(t *testing.T) {
	t.Parallel()
	endpoint := ours(t)
	c := connect(endpoint)
	if status, answer := control(t, http.MethodPut, endpoint, "/_sandbox/ecs", `{"startLag":"1h"}`); status != http.StatusOK || strings.TrimSpace(answer) != `{"startLag":"1h0m0s"}` {
		t.Fatalf("PUT answered %d %s", status, answer)
	}
	cluster, service := serviceOf(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	counts := func(running, pending int32) func() error {
		return func() error {
			answer, err := c.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &cluster, Services: []string{service}})
			if err != nil {
				return err
			}
			return want("running and pending", [2]int32{answer.Services[0].RunningCount, answer.Services[0].PendingCount}, [2]int32{running, pending})
		}
	}
	if err := until(ctx, counts(0, 1)); err != nil {
		t.Fatal(err)
	}
	control(t, http.MethodPut, endpoint, "/_sandbox/ecs", `{"startLag":"0s"}`)
	if err := until(ctx, counts(1, 0)); err != nil {
		t.Errorf("after a lag of 0s: %v", err)
	}
	if status, answer := control(t, http.MethodPut, endpoint, "/_sandbox/ecs", `{"startLag":"2 days"}`); status != http.StatusBadRequest || !strings.Contains(answer, "write one like 5s") {
		t.Errorf("a wrong lag: got HTTP %d %s", status, answer)
	}
}
