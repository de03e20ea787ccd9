// Command alone checks docs/controller-only.md: the page's own policy and its
// Python consumer, with the shipped controller, against the stand-in for AWS.
// Messages arrive at once; the controller must add tasks, and each message must
// be processed exactly once, although half of the tasks are stopped on the way.
//
// It needs python3 with boto3. Run it with: make controller-only-check.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/check/harness"
)

// What the page's policy names.
const (
	page     = "docs/controller-only.md"
	cluster  = "shop"
	service  = "orders-worker"
	queue    = "orders"
	messages = 1500
	workTime = "0.4" // seconds a message
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	began := time.Now()
	err := check(ctx)
	stop()
	fmt.Printf("in all %s\n", time.Since(began).Round(time.Second))
	if err != nil {
		fmt.Fprintln(os.Stderr, "controller-only-check:", err)
		os.Exit(1)
	}
}

func check(ctx context.Context) error {
	folder, err := os.MkdirTemp("", "controller-only-")
	if err != nil {
		return err
	}
	policy, consumer, err := fromThePage(folder)
	if err != nil {
		return err
	}
	if err := harness.BuildPrograms(ctx, filepath.Join(folder, "bin"), "./controller", "./local"); err != nil {
		return err
	}
	log := filepath.Join(folder, "sandbox.log")
	sandbox, err := harness.Start(ctx, log, harness.Environment("", "sandbox"), filepath.Join(folder, "bin", "local"),
		"--only", "aws", "--aws", "127.0.0.1:0", "--data", filepath.Join(folder, "data"), "--start-lag", "2s")
	if err != nil {
		return err
	}
	defer func() { _ = sandbox.Stop() }()
	endpoint, err := endpointOf(ctx, log)
	if err != nil {
		return err
	}
	shop := newShop(endpoint)
	if err := shop.open(ctx, consumer); err != nil {
		return err
	}
	controller, err := harness.Start(ctx, filepath.Join(folder, "controller.log"),
		harness.Environment(endpoint, "controller", "DATABASE_URL=sqlite:"+filepath.Join(folder, "acs.db"), "CONTROLLER_POLICY="+policy,
			"CONTROLLER_LISTEN=127.0.0.1:0", "CONTROLLER_METRICS_LISTEN=127.0.0.1:0"),
		filepath.Join(folder, "bin", "controller"), "run")
	if err != nil {
		return err
	}
	err = shop.sell(ctx, log)
	if err = errors.Join(err, controller.Stop()); err != nil {
		return fmt.Errorf("%w (logs: %s)", err, folder)
	}
	return os.RemoveAll(folder)
}

// fromThePage writes the page's policy and consumer as files. The consumer works
// for a while on each message, in place of the comment that asks for that.
func fromThePage(folder string) (policy, consumer string, err error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return "", "", err
	}
	block := func(language string) string {
		_, rest, _ := strings.Cut(string(text), "```"+language+"\n")
		code, _, _ := strings.Cut(rest, "```")
		return code
	}
	program, placeholder := block("python"), "  # your work here"
	if !strings.Contains(program, placeholder) {
		return "", "", fmt.Errorf("the first Python block of %s has no %q", page, placeholder)
	}
	program = strings.Replace(program, placeholder, "; __import__('time').sleep("+workTime+")", 1)
	policy, consumer = filepath.Join(folder, "policy.yaml"), filepath.Join(folder, "consumer.py")
	return policy, consumer, errors.Join(os.WriteFile(policy, []byte(block("yaml")), 0o600), os.WriteFile(consumer, []byte(program), 0o600))
}

func endpointOf(ctx context.Context, log string) (endpoint string, err error) {
	err = harness.Until(ctx, 30*time.Second, "the sandbox says its address", func() (bool, error) {
		text, err := os.ReadFile(log)
		endpoint = regexp.MustCompile(`http://[0-9.:]+`).FindString(string(text))
		return endpoint != "", err
	})
	return endpoint, err
}

// shop is someone else's service and queue.
type shop struct {
	sqs *sqs.Client
	ecs *ecs.Client
	url *string
}

func newShop(endpoint string) *shop {
	config := harness.Config(endpoint, "check")
	return &shop{sqs: sqs.NewFromConfig(config), ecs: ecs.NewFromConfig(config)}
}

// open creates what exists already where the page is followed, with messages
// that wait.
func (s *shop) open(ctx context.Context, consumer string) error {
	for _, name := range []string{queue + "-dlq", queue} {
		created, err := s.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "60"}})
		if err != nil {
			return fmt.Errorf("create queue %s: %w", name, err)
		}
		s.url = created.QueueUrl
	}
	if _, err := s.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String(cluster)}); err != nil {
		return fmt.Errorf("create the cluster: %w", err)
	}
	_, err := s.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String(service), ContainerDefinitions: []ecstypes.ContainerDefinition{{
			Name: aws.String("consumer"), Image: aws.String("shop/orders:1"),
			Environment: []ecstypes.KeyValuePair{
				{Name: aws.String("QUEUE_URL"), Value: s.url}, {Name: aws.String("LOCAL_COMMAND"), Value: aws.String("python3 " + consumer)},
				{Name: aws.String("AWS_DEFAULT_REGION"), Value: aws.String(harness.Region)},
			},
		}},
	})
	if err != nil {
		return fmt.Errorf("register the task definition: %w", err)
	}
	_, err = s.ecs.CreateService(ctx, &ecs.CreateServiceInput{
		Cluster: aws.String(cluster), ServiceName: aws.String(service), TaskDefinition: aws.String(service), DesiredCount: aws.Int32(1), LaunchType: ecstypes.LaunchTypeFargate,
	})
	if err != nil {
		return fmt.Errorf("create the service: %w", err)
	}
	return s.order(ctx, messages)
}

func (s *shop) order(ctx context.Context, count int) error {
	for sent := 0; sent < count; sent += 10 {
		var entries []types.SendMessageBatchRequestEntry
		for i := range 10 {
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(strconv.Itoa(sent + i))})
		}
		if _, err := s.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: s.url, Entries: entries}); err != nil {
			return fmt.Errorf("put messages on the queue: %w", err)
		}
	}
	return nil
}

// sell waits until the controller has added tasks, stops half of them, and waits
// until each message was worked on. It reads the consumers' log.
func (s *shop) sell(ctx context.Context, log string) error {
	most, halved := int32(0), false
	var worked map[string]int
	err := harness.Until(ctx, 6*time.Minute, fmt.Sprintf("%d messages are worked on", messages), func() (bool, error) {
		out, err := s.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String(cluster), Services: []string{service}})
		if err != nil || len(out.Services) == 0 {
			return false, fmt.Errorf("look at the service: %w", err)
		}
		most = max(most, out.Services[0].DesiredCount)
		if running := out.Services[0].RunningCount; running >= 4 && !halved {
			halved = true
			_, err := s.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(service), DesiredCount: aws.Int32(running / 2)})
			if err != nil {
				return false, fmt.Errorf("stop half of the tasks: %w", err)
			}
		}
		worked, err = workedOn(log)
		return len(worked) >= messages, err
	})
	twice := 0
	for _, times := range worked {
		if times > 1 {
			twice++
		}
	}
	fmt.Printf("%d messages worked on, %d of them twice; 1 task became %d; half of the tasks stopped on the way: %t\n", len(worked), twice, most, halved)
	switch {
	case err != nil:
		return err
	case most < 4 || !halved:
		return errors.New("the controller did not add tasks")
	case twice > 0:
		return fmt.Errorf("%d messages were worked on twice: the consumer does not drain", twice)
	}
	return nil
}

// workedOn counts how often each message id was worked on.
func workedOn(log string) (map[string]int, error) {
	text, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	worked := map[string]int{}
	for _, found := range regexp.MustCompile(`work on (\S+)`).FindAllStringSubmatch(string(text), -1) {
		worked[found[1]]++
	}
	return worked, nil
}
