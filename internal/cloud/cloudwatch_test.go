package cloud

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awscloudwatch "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/sandbox/cloudwatch"
	"github.com/novaura/acs-operator/internal/scaling"
)

// queues is SQS with a memory: the depths it tells, and a refusal to give.
type queues struct {
	visible map[string]string
	refusal error
	names   []string // URLs of the account's queues
	denied  error    // of ListQueues
	listed  int
}

func (q *queues) GetQueueUrl(_ context.Context, in *sqs.GetQueueUrlInput, _ ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error) {
	return &sqs.GetQueueUrlOutput{QueueUrl: in.QueueName}, q.refusal
}

func (q *queues) GetQueueAttributes(_ context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return &sqs.GetQueueAttributesOutput{Attributes: map[string]string{
		"ApproximateNumberOfMessages":           q.visible[*in.QueueUrl],
		"ApproximateNumberOfMessagesNotVisible": "2",
		"ApproximateNumberOfMessagesDelayed":    "3",
	}}, q.refusal
}

func (q *queues) ListQueues(context.Context, *sqs.ListQueuesInput, ...func(*sqs.Options)) (*sqs.ListQueuesOutput, error) {
	q.listed++
	return &sqs.ListQueuesOutput{QueueUrls: q.names}, q.denied
}

// published is a stand-in that has published one minute, and that minute's end.
func published(t *testing.T) (server *cloudwatch.Server, end time.Time) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sent := int64(0)
		server = cloudwatch.New(cloudwatch.Options{Delay: time.Minute, Sample: func() []cloudwatch.QueueSample {
			sent += 100
			return []cloudwatch.QueueSample{{Name: "sms", Visible: 7, OldestAge: 42 * time.Second, HasAge: true, Sent: sent}}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- server.Run(ctx) }()
		time.Sleep(61 * time.Second)
		cancel()
		<-done
		end = time.Now().Truncate(time.Minute)
	})
	return server, end
}

func client(t *testing.T, server *cloudwatch.Server) *awscloudwatch.Client {
	t.Helper()
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	return awscloudwatch.New(awscloudwatch.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(listening.URL), HTTPClient: listening.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

func policy(source string) *config.ScalingPolicy {
	p := &config.ScalingPolicy{}
	p.Spec.Queues = []config.QueueSpec{{Name: "sms", DeadLetterQueue: "sms-dlq"}}
	p.Spec.Metrics.Source = source
	return p
}

func wantSample(t *testing.T, what string, got *scaling.Sample, want scaling.Sample) {
	t.Helper()
	if got == nil || got.Value != want.Value || got.Period != want.Period || !got.Time.Equal(want.Time) {
		t.Errorf("%s is %+v, want %+v", what, got, want)
	}
}

func TestASampleIsTrueAtItsPeriodsEnd(t *testing.T) {
	server, end := published(t)
	m := NewMetrics(client(t, server), &queues{}, "us-east-1")
	got, err := m.Observe(t.Context(), policy(config.SourceCloudWatch), end.Add(70*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	wantSample(t, "visible", got["sms"].Visible, scaling.Sample{Value: 7, Time: end})
	wantSample(t, "age", got["sms"].OldestAge, scaling.Sample{Value: 42, Time: end})
	wantSample(t, "sent", got["sms"].Sent, scaling.Sample{Value: 100, Time: end, Period: 60})
}

func TestHybridTakesDepthLiveAndFallsBackOnCloudWatch(t *testing.T) {
	server, end := published(t)
	live := &queues{visible: map[string]string{"sms": "9", "sms-dlq": "4"}}
	m, now := NewMetrics(client(t, server), live, "us-east-1"), end.Add(70*time.Second)
	got, err := m.Observe(t.Context(), policy(config.SourceHybrid), now)
	if err != nil {
		t.Fatal(err)
	}
	wantSample(t, "live visible", got["sms"].Visible, scaling.Sample{Value: 9, Time: now})
	dead, err := m.DeadLetters(t.Context(), policy(config.SourceHybrid), now)
	if err != nil || dead["sms-dlq"].Value != 4 {
		t.Errorf("dead letters are %v (%v), want 4", dead, err)
	}

	live.refusal = &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"}
	got, err = m.Observe(t.Context(), policy(config.SourceHybrid), now)
	if !errors.Is(err, live.refusal) {
		t.Errorf("error is %v, want the refusal", err)
	}
	wantSample(t, "visible by CloudWatch", got["sms"].Visible, scaling.Sample{Value: 7, Time: end})
}
