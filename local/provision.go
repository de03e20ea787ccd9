package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/message"
)

// The names that the terraform gives, here too.
const (
	region        = "us-east-1"
	cluster       = "novaura-acs-processor-cluster"
	workerService = "novaura-acs-communication-processor-worker-service"
	workerImage   = "novaura-acs-processor"
	smsQueue      = "novaura-acs-sms-events"
	emailQueue    = "novaura-acs-email-events"
	pushQueue     = "novaura-acs-push-events"
	// maxReceiveCount is well above the worker's tries and waits: the worker
	// itself puts aside what can never succeed, with the reason; SQS's own
	// redrive is for what keeps killing workers.
	maxReceiveCount = "25"
	senderNumber    = "+15005550006"
	twilioAccount   = "AC00000000000000000000000000000001"
	twilioToken     = "local"
)

// stopTimeout is short, so that Ctrl-C is: a drain waits for the parked poll,
// which lasts a third of it.
const stopTimeout = 10 * time.Second

// awsConfig talks to the endpoint with made-up credentials.
func awsConfig(endpoint string) aws.Config {
	return aws.Config{
		Region: region, BaseEndpoint: aws.String(endpoint), HTTPClient: http.DefaultClient,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	}
}

// A queue is a channel's: its name, the worker's variable for it and, once
// provisioned, its URL.
type queue struct {
	channel        message.Channel
	name, variable string
	url            string
}

func channelQueues() []queue {
	return []queue{
		{channel: message.SMS, name: smsQueue, variable: "SMS_QUEUE_URL"},
		{channel: message.Email, name: emailQueue, variable: "EMAIL_QUEUE_URL"},
		{channel: message.Push, name: pushQueue, variable: "PUSH_QUEUE_URL"},
	}
}

// provision makes what terraform makes of queues and services, over the wire
// that real clients use. It returns the queues with their URLs.
func provision(ctx context.Context, config aws.Config, workerEnv map[string]string, tasks int32) ([]queue, error) {
	queues := channelQueues()
	for i := range queues {
		var err error
		if queues[i].url, err = provisionQueue(ctx, sqs.NewFromConfig(config), queues[i].name); err != nil {
			return nil, err
		}
		workerEnv[queues[i].variable] = queues[i].url
	}
	client := ecs.NewFromConfig(config)
	if _, err := client.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String(cluster)}); err != nil {
		return nil, fmt.Errorf("create cluster %s: %w", cluster, err)
	}
	definition, err := client.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family:                  aws.String(workerImage),
		RequiresCompatibilities: []ecstypes.Compatibility{ecstypes.CompatibilityFargate},
		NetworkMode:             ecstypes.NetworkModeAwsvpc,
		Cpu:                     aws.String("256"),
		Memory:                  aws.String("512"),
		ContainerDefinitions: []ecstypes.ContainerDefinition{{
			Name: aws.String("worker"), Image: aws.String(workerImage + ":local"), Command: []string{"run"},
			Environment: environmentOf(workerEnv), StopTimeout: aws.Int32(int32(stopTimeout.Seconds())),
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("register task definition %s: %w", workerImage, err)
	}
	_, err = client.CreateService(ctx, &ecs.CreateServiceInput{
		Cluster: aws.String(cluster), ServiceName: aws.String(workerService), DesiredCount: aws.Int32(tasks),
		TaskDefinition: definition.TaskDefinition.TaskDefinitionArn, LaunchType: ecstypes.LaunchTypeFargate,
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{Subnets: []string{"subnet-local"}, SecurityGroups: []string{"sg-local"}}},
	})
	if err != nil {
		return nil, fmt.Errorf("create service %s: %w", workerService, err)
	}
	return queues, nil
}

// provisionQueue makes a queue and its dead-letter queue; one that a former
// run left is taken over with its messages.
func provisionQueue(ctx context.Context, client *sqs.Client, name string) (string, error) {
	deadLetters, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name + "-dlq")})
	if err != nil {
		return "", fmt.Errorf("create queue %s-dlq: %w", name, err)
	}
	attributes, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: deadLetters.QueueUrl, AttributeNames: []sqsAttribute{"QueueArn"}})
	if err != nil {
		return "", fmt.Errorf("describe queue %s-dlq: %w", name, err)
	}
	queue, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: map[string]string{
		"VisibilityTimeout": "60",
		"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%s}`, attributes.Attributes["QueueArn"], maxReceiveCount),
	}})
	if err != nil {
		return "", fmt.Errorf("create queue %s: %w", name, err)
	}
	return *queue.QueueUrl, nil
}

func environmentOf(env map[string]string) []ecstypes.KeyValuePair {
	pairs := make([]ecstypes.KeyValuePair, 0, len(env))
	for name, value := range env {
		pairs = append(pairs, ecstypes.KeyValuePair{Name: aws.String(name), Value: aws.String(value)})
	}
	return pairs
}

// depth is how many messages a queue holds: visible, in flight, delayed.
func depth(ctx context.Context, client *sqs.Client, queueURL string) (int64, error) {
	attributes, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queueURL, AttributeNames: []sqsAttribute{
		"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
	}})
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, text := range attributes.Attributes {
		var count int64
		if _, err := fmt.Sscan(text, &count); err != nil {
			return 0, errors.Join(errors.New("read a queue's depth"), err)
		}
		sum += count
	}
	return sum, nil
}
