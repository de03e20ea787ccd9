package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/sandbox/twilio"
)

// System is the shipped worker and controller against something that stands in
// for AWS and that holds queues, cluster and services already.
type System struct {
	Endpoint   string // where the programs send their calls
	Direct     string // where the check itself looks; Endpoint, when empty
	QueueURL   string
	Policy     string // CONTROLLER_POLICY
	Folder     string // logs, database; bin/ has the programs
	Messages   int    // texts to send
	Worker     []string
	Controller []string
}

// special are the texts beside Messages: one for later, hidden meanwhile, and
// one for much later, parked meanwhile.
const special = 2

// A Result is what became of a run.
type Result struct {
	Texts       int // as Twilio's stand-in accepted them
	Desired     int // the highest that was seen
	FirstText   time.Duration
	Dead        int // messages on the dead-letter queue
	EndedErrors error
}

// Run sends the messages and one that can never be understood, starts both
// programs, and waits until the texts are out, the wrong one is put aside, and
// the desired count has moved.
func (s System) Run(ctx context.Context) (result Result, err error) {
	provider := twilio.New(twilio.Options{AccountSID: "AC00000000000000000000000000000001", AuthToken: "standin", Latency: 40 * time.Millisecond})
	address, stop, err := serve(ctx, provider)
	if err != nil {
		return result, err
	}
	defer stop()
	clients := s.clients()
	if err := clients.fill(ctx, s.QueueURL, s.Messages); err != nil {
		return result, err
	}
	began := time.Now()
	processes, err := s.start(ctx, address)
	defer func() {
		for _, p := range processes {
			result.EndedErrors = errors.Join(result.EndedErrors, p.Stop())
		}
	}()
	if err != nil {
		return result, err
	}
	err = Until(ctx, 4*time.Minute, fmt.Sprintf("%d texts are out, one message is put aside, and the desired count has moved (logs: %s)", s.Messages, s.Folder), func() (bool, error) {
		result.Texts = int(provider.Stats().Accepted)
		if result.Texts > 0 && result.FirstText == 0 {
			result.FirstText = time.Since(began)
		}
		for _, p := range processes {
			if err := p.Ended(); err != nil {
				return false, fmt.Errorf("%w (logs: %s)", err, s.Folder)
			}
		}
		return clients.look(ctx, s, &result)
	})
	return result, err
}

func (s System) start(ctx context.Context, twilioAddress string) ([]*Process, error) {
	database := "DATABASE_URL=sqlite:" + filepath.Join(s.Folder, "acs.db")
	worker := Environment(s.Endpoint, "worker", append([]string{
		database, "SMS_QUEUE_URL=" + s.QueueURL, "WORKER_TYPE=sms", "WORKER_STOP_TIMEOUT=30s", "WORKER_CONCURRENCY=4",
		"TWILIO_BASE_URL=" + twilioAddress, "TWILIO_ACCOUNT_SID=AC00000000000000000000000000000001", "TWILIO_AUTH_TOKEN=standin", "TWILIO_FROM_NUMBER=+15005550006",
	}, s.Worker...)...)
	controller := Environment(s.Endpoint, "controller", append([]string{
		database, "CONTROLLER_POLICY=" + s.Policy, "CONTROLLER_LISTEN=127.0.0.1:0", "CONTROLLER_METRICS_LISTEN=127.0.0.1:0",
	}, s.Controller...)...)
	first, err := Start(ctx, filepath.Join(s.Folder, "controller.log"), controller, filepath.Join(s.Folder, "bin", "controller"), "run")
	if err != nil {
		return nil, err
	}
	second, err := Start(ctx, filepath.Join(s.Folder, "worker.log"), worker, filepath.Join(s.Folder, "bin", "worker"), "run")
	if err != nil {
		return []*Process{first}, err
	}
	return []*Process{first, second}, nil
}

func serve(ctx context.Context, handler http.Handler) (address string, stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}

// Serve serves handler on a free port of this machine until stop is called.
func Serve(ctx context.Context, handler http.Handler) (address string, stop func(), err error) {
	return serve(ctx, handler)
}

type clients struct {
	sqs *sqs.Client
	ecs *ecs.Client
}

// Config is the SDK's for a stand-in.
func Config(endpoint, principal string) aws.Config {
	return aws.Config{
		Region: Region, BaseEndpoint: aws.String(endpoint), HTTPClient: http.DefaultClient,
		Credentials: credentials.NewStaticCredentialsProvider(principal, "standin", ""),
	}
}

func (s System) clients() clients {
	endpoint := s.Direct
	if endpoint == "" {
		endpoint = s.Endpoint
	}
	config := Config(endpoint, "check")
	return clients{sqs: sqs.NewFromConfig(config), ecs: ecs.NewFromConfig(config)}
}

func (c clients) fill(ctx context.Context, queue string, count int) error {
	soon, later := time.Now().Add(10*time.Second), time.Now().Add(75*time.Second)
	bodies := []string{
		"this is no message", // put aside
		fmt.Sprintf(`{"id":"check-soon","channel":"sms","type":"message_send","to":"+14155559998","body":"Soon","not_before":%q}`, soon.Format(time.RFC3339)),    // hidden until then
		fmt.Sprintf(`{"id":"check-later","channel":"sms","type":"message_send","to":"+14155559999","body":"Later","not_before":%q}`, later.Format(time.RFC3339)), // parked
	}
	for i := range count {
		bodies = append(bodies, fmt.Sprintf(`{"id":"check-%05d","channel":"sms","type":"message_send","to":"+1415555%04d","body":"Hello %d"}`, i, i, i))
	}
	for len(bodies) > 0 {
		n := min(10, len(bodies))
		var entries []types.SendMessageBatchRequestEntry
		for i, body := range bodies[:n] {
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(body)})
		}
		if _, err := c.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &queue, Entries: entries}); err != nil {
			return fmt.Errorf("put messages on the queue: %w", err)
		}
		bodies = bodies[n:]
	}
	return nil
}

// look notes the desired count and the dead letters, and says whether all is
// as it should be.
func (c clients) look(ctx context.Context, s System, result *Result) (bool, error) {
	services, err := c.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String(Cluster), Services: []string{WorkerService}})
	if err != nil {
		return false, fmt.Errorf("look at the worker service: %w", err)
	}
	for _, service := range services.Services {
		result.Desired = max(result.Desired, int(service.DesiredCount))
	}
	dead, err := c.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(s.QueueURL + "-dlq"), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages},
	})
	if err != nil {
		return false, fmt.Errorf("look at the dead letters: %w", err)
	}
	if _, err := fmt.Sscan(strings.TrimSpace(dead.Attributes["ApproximateNumberOfMessages"]), &result.Dead); err != nil {
		return false, fmt.Errorf("read the depth of the dead-letter queue: %w", err)
	}
	return result.Texts >= s.Messages+special && result.Desired > 1 && result.Dead == 1, nil
}

// CreateService registers a task definition and creates the worker service
// where terraform did not.
func CreateService(ctx context.Context, client *ecs.Client) error {
	definition, err := client.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("novaura-acs-processor"), NetworkMode: ecstypes.NetworkModeAwsvpc, Cpu: aws.String("256"), Memory: aws.String("512"),
		RequiresCompatibilities: []ecstypes.Compatibility{ecstypes.CompatibilityFargate},
		ContainerDefinitions:    []ecstypes.ContainerDefinition{{Name: aws.String("worker"), Image: aws.String("novaura-acs-processor:check"), Command: []string{"run"}}},
	})
	if err != nil {
		return fmt.Errorf("register the task definition: %w", err)
	}
	_, err = client.CreateService(ctx, &ecs.CreateServiceInput{
		Cluster: aws.String(Cluster), ServiceName: aws.String(WorkerService), DesiredCount: aws.Int32(1), LaunchType: ecstypes.LaunchTypeFargate,
		TaskDefinition: definition.TaskDefinition.TaskDefinitionArn,
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
			Subnets: []string{"subnet-check"}, SecurityGroups: []string{"sg-check"},
		}},
	})
	if err != nil {
		return fmt.Errorf("create the worker service: %w", err)
	}
	return nil
}

// CheckPolicy writes the policies that the checks run with. Its schedule always
// holds and wants more tasks than the service is created with, so that the
// count moves whatever the stand-in tells of rates and ages.
func CheckPolicy(folder string) (string, error) {
	path := filepath.Join(folder, "check-policy.yaml")
	return path, os.WriteFile(path, []byte(`apiVersion: acs.novaura.io/v1
kind: ScalingPolicy
metadata:
  name: communication-worker
spec:
  target:
    cluster: novaura-acs-processor-cluster
    service: novaura-acs-communication-processor-worker-service
  interval: 5s
  minTasks: 1
  maxTasks: 10
  queues:
    - name: novaura-acs-sms-events
      channel: sms
      maxAge: 30s
      throughputPerTask: 2
      deadLetterQueue: novaura-acs-sms-events-dlq
  schedules:
    - {name: always, cron: "* * * * *", timeZone: UTC, duration: 1h, minTasks: 3, maxTasks: 10}
---
apiVersion: acs.novaura.io/v1
kind: DeliveryPolicy
metadata:
  name: delivery
spec:
  channels:
    sms: {maxAttempts: 8}
`), 0o600)
}
