package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/check/harness"
)

// staging is the name of the second environment.
const staging = harness.Name + "-staging"

// wrongVariables makes several mistakes at once and wants each message, with
// what to do.
func (c *checker) wrongVariables() (string, error) {
	bare := filepath.Join(c.folder, "bare.tfvars")
	if err := os.WriteFile(bare, []byte("environment = \"production\"\nimage_tag = \"v1.0.0\"\n"), 0o600); err != nil {
		return "", err
	}
	mistakes := []struct{ args, want []string }{
		{
			[]string{"-var-file=" + c.vars, "-var=name=Novaura_ACS", "-var=db_host=postgres://db:5432/novaura", `-var=policy_files=["nowhere.yaml"]`, `-var=alarm_emails=["oncall"]`},
			[]string{"3 to 24 lower-case letters", "db_host must be a host name", "policy_files does not exist", "must be email addresses"},
		},
		{
			[]string{"-var-file=" + bare, `-var=policy_files=["policies/delivery-policy.yaml"]`, "-var=controller_tasks=2"},
			[]string{"db_password_arn must be set", "twilio_credentials_arn must be set", "has a ScalingPolicy"},
		},
	}
	found := 0
	for _, mistake := range mistakes {
		_, err := c.terraform.Run(c.ctx, append([]string{"plan", "-input=false", "-no-color"}, mistake.args...)...)
		for _, want := range mistake.want {
			if !says(err, want) {
				return "", fmt.Errorf("%v: got %w, want %q", mistake.args, err, want)
			}
			found++
		}
	}
	return fmt.Sprintf("%d mistakes named, each with its remedy", found), nil
}

// says tells whether an error has a text, wherever terraform breaks its lines.
func says(err error, text string) bool {
	return err != nil && strings.Contains(strings.Join(strings.Fields(err.Error()), " "), text)
}

// secondEnvironment does beside production what a team does for staging: by
// mistake with production's names, then with a name of its own; a destroy by
// mistake, then one on purpose. Production must keep its queues and messages.
func (c *checker) secondEnvironment() (string, error) {
	cloud := newCloud(c.endpoint)
	before, err := cloud.names(c.ctx)
	if err != nil {
		return "", err
	}
	second, err := c.newEnvironment()
	if err != nil {
		return "", err
	}
	if err := second.run("apply", "-auto-approve"); !says(err, "is not in this Terraform state") {
		return "", fmt.Errorf("an apply with production's names: got %w, want a refusal", err)
	}
	if err := cloud.unchanged(c.ctx, before); err != nil {
		return "", fmt.Errorf("after the refused apply: %w", err)
	}
	second.args = append(second.args, "-var=name="+staging)
	if err := errors.Join(second.run("apply", "-auto-approve"), cloud.send(c.ctx, harness.SMSQueue, staging+"-sms-events")); err != nil {
		return "", err
	}
	if err := second.run("plan", "-detailed-exitcode"); err != nil {
		return "", fmt.Errorf("staging's second plan: %w", err)
	}
	if err := second.destroy(); err != nil {
		return "", err
	}
	for _, queue := range []string{harness.SMSQueue, staging + "-sms-events"} {
		if n, err := cloud.waiting(c.ctx, queue); err != nil || n == "0" {
			return "", fmt.Errorf("%s has %s messages after staging's destroy (%w)", queue, n, err)
		}
	}
	if err := errors.Join(cloud.deleteQueues(c.ctx, staging), cloud.unchanged(c.ctx, before)); err != nil {
		return "", fmt.Errorf("after staging's destroy: %w", err)
	}
	found, err := c.secondPlan()
	return "production's names refused; " + staging + " applied and destroyed; production's plan " + found + ", messages kept", err
}

// environment is one with a state of its own.
type environment struct {
	*harness.Terraform

	ctx  context.Context
	args []string
}

// newEnvironment is staging, in production's VPC, and without a name yet.
func (c *checker) newEnvironment() (*environment, error) {
	folder := filepath.Join(c.folder, "staging")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return nil, err
	}
	terraform, err := harness.NewTerraform(c.ctx, folder, c.endpoint, c.log)
	if err != nil {
		return nil, err
	}
	args, err := c.stagingArgs()
	return &environment{Terraform: terraform, ctx: c.ctx, args: args}, err
}

func (e *environment) run(args ...string) error {
	_, err := e.Run(e.ctx, slices.Concat(args, e.args)...)
	return err
}

// destroy tries it without a second thought, which must fail, and then as
// docs/deploy.md says.
func (e *environment) destroy() error {
	if err := e.run("destroy", "-auto-approve"); !says(err, "Instance cannot be destroyed") {
		return fmt.Errorf("a destroy of the queues too: got %w, want a refusal", err)
	}
	if _, err := e.Run(e.ctx, "state", "rm", "-no-color", "aws_sqs_queue.events", "aws_sqs_queue.dlq"); err != nil {
		return err
	}
	return e.run("destroy", "-auto-approve")
}

// stagingArgs are staging's variables: production's VPC, and no name.
func (c *checker) stagingArgs() ([]string, error) {
	args := []string{"-input=false", "-no-color", "-var-file=" + c.vars, "-var=environment=staging"}
	for _, output := range []string{"vpc_id", "private_subnet_ids"} {
		value, err := c.terraform.Run(c.ctx, "output", "-json", output)
		if err != nil {
			return nil, err
		}
		args = append(args, "-var="+output+"="+strings.Trim(strings.TrimSpace(value), `"`))
	}
	return args, nil
}

// rollBack deploys another version, and goes back with the one command of
// docs/deploy.md: the former revision must still be there.
func (c *checker) rollBack() (string, error) {
	cloud := newCloud(c.endpoint)
	former, err := cloud.revision(c.ctx)
	if err != nil {
		return "", err
	}
	_, err = c.last("Apply complete!", "apply", "-auto-approve", "-input=false", "-no-color", "-var-file="+c.vars, "-var=scaling_policy_file="+c.policy, "-var=image_tag=v1.1.0")
	if err != nil {
		return "", err
	}
	newer, err := cloud.revision(c.ctx)
	if err != nil {
		return "", err
	}
	_, err = cloud.ecs.UpdateService(c.ctx, &ecs.UpdateServiceInput{
		Cluster: aws.String(harness.Cluster), Service: aws.String(harness.WorkerService), TaskDefinition: aws.String(former),
	})
	if err != nil {
		return "", fmt.Errorf("go back from %s to %s: %w", newer, former, err)
	}
	definition, err := cloud.ecs.DescribeTaskDefinition(c.ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(former)})
	if err != nil {
		return "", err
	}
	if status := definition.TaskDefinition.Status; former == newer || status != "ACTIVE" {
		return "", fmt.Errorf("the former revision %s of %s is %s, want ACTIVE", former, newer, status)
	}
	return newer[strings.LastIndexByte(newer, '/')+1:] + " back to " + former[strings.LastIndexByte(former, '/')+1:], nil
}

// cloud looks at what the stand-in has.
type cloud struct {
	sqs *sqs.Client
	ecs *ecs.Client
	sns *sns.Client
}

func newCloud(endpoint string) cloud {
	config := harness.Config(endpoint, "check")
	return cloud{sqs: sqs.NewFromConfig(config), ecs: ecs.NewFromConfig(config), sns: sns.NewFromConfig(config)}
}

// names are the queues, clusters and topics that exist, sorted: what AWS would
// hand over to whoever creates it again.
func (c cloud) names(ctx context.Context) ([]string, error) {
	found := map[string]bool{}
	queues, err := c.sqs.ListQueues(ctx, &sqs.ListQueuesInput{})
	if err != nil {
		return nil, fmt.Errorf("list the queues: %w", err)
	}
	for _, url := range queues.QueueUrls {
		found[url] = true
	}
	clusters, err := c.ecs.ListClusters(ctx, &ecs.ListClustersInput{})
	if err != nil {
		return nil, fmt.Errorf("list the clusters: %w", err)
	}
	described, err := c.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: clusters.ClusterArns})
	if err != nil {
		return nil, fmt.Errorf("describe the clusters: %w", err)
	}
	for _, cluster := range described.Clusters {
		if aws.ToString(cluster.Status) == "ACTIVE" { // a deleted one stays visible for a while
			found[*cluster.ClusterArn] = true
		}
	}
	topics, err := c.sns.ListTopics(ctx, &sns.ListTopicsInput{})
	if err != nil {
		return nil, fmt.Errorf("list the topics: %w", err)
	}
	for _, topic := range topics.Topics {
		found[*topic.TopicArn] = true
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// unchanged is an error where other names exist than before.
func (c cloud) unchanged(ctx context.Context, before []string) error {
	after, err := c.names(ctx)
	if err == nil && !slices.Equal(before, after) {
		err = fmt.Errorf("got %v, want %v", after, before)
	}
	return err
}

func (c cloud) url(ctx context.Context, queue string) (*string, error) {
	out, err := c.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &queue})
	if err != nil {
		return nil, fmt.Errorf("find queue %s: %w", queue, err)
	}
	return out.QueueUrl, nil
}

// send puts one message on each queue.
func (c cloud) send(ctx context.Context, queues ...string) error {
	for _, queue := range queues {
		url, err := c.url(ctx, queue)
		if err != nil {
			return err
		}
		if _, err := c.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("must not be lost")}); err != nil {
			return fmt.Errorf("send to %s: %w", queue, err)
		}
	}
	return nil
}

// waiting is the number of messages that wait on a queue.
func (c cloud) waiting(ctx context.Context, queue string) (string, error) {
	url, err := c.url(ctx, queue)
	if err != nil {
		return "", err
	}
	out, err := c.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages},
	})
	if err != nil {
		return "", fmt.Errorf("look at queue %s: %w", queue, err)
	}
	return out.Attributes["ApproximateNumberOfMessages"], nil
}

// deleteQueues deletes the queues of one environment, as its owner does by hand
// after a destroy.
func (c cloud) deleteQueues(ctx context.Context, name string) error {
	queues, err := c.sqs.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: aws.String(name + "-")})
	if err != nil {
		return fmt.Errorf("list the queues of %s: %w", name, err)
	}
	var errs []error
	for _, url := range queues.QueueUrls {
		_, err := c.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// revision is the task definition of the worker service.
func (c cloud) revision(ctx context.Context) (string, error) {
	out, err := c.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String(harness.Cluster), Services: []string{harness.WorkerService}})
	if err != nil || len(out.Services) == 0 {
		return "", fmt.Errorf("look at the worker service: %w", err)
	}
	return *out.Services[0].TaskDefinition, nil
}
