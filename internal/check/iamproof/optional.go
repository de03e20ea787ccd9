package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/check/harness"
)

// What the optional variables name in the proof.
const (
	mailDomain  = "example.com"        // ses_identity_arns: the worker's
	alertDomain = "alerts.example.com" // alert_ses_identity_arns: the controller's
	alertTopic  = "oncall"             // alert_topic_arns
	mailSet     = "novaura-acs"        // webhooks' configuration set
	emailQueue  = "novaura-acs-email-events"
	attachments = "novaura-acs-attachments" // attachment_prefixes: the bucket
)

// optionalVars switch on every permission that a variable may add to the roles
// of the programs, so that each is proven too.
func optionalVars() []string {
	return []string{
		"-var=webhooks=true",
		fmt.Sprintf("-var=ses_identity_arns=[%q]", arn("ses", "identity/"+mailDomain)),
		fmt.Sprintf("-var=alert_ses_identity_arns=[%q]", arn("ses", "identity/"+alertDomain)),
		fmt.Sprintf("-var=attachment_prefixes=[%q]", "s3://"+attachments+"/mails/"),
		fmt.Sprintf("-var=alert_topic_arns=[%q]", arn("sns", alertTopic)),
	}
}

// provisionMails makes the email queue and puts two mails on it: one that SES
// composes, and one that goes out as MIME, since it has an attachment.
func provisionMails(ctx context.Context, config aws.Config, system *harness.System) error {
	client := sqs.NewFromConfig(config)
	queue := ""
	for _, name := range []string{emailQueue + "-dlq", emailQueue} {
		created, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name)})
		if err != nil {
			return fmt.Errorf("create queue %s: %w", name, err)
		}
		queue = *created.QueueUrl
	}
	files := s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })
	_, err := files.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(attachments)})
	if err == nil {
		_, err = files.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(attachments), Key: aws.String("mails/a.txt"), Body: strings.NewReader("Hello")})
	}
	if err != nil {
		return fmt.Errorf("put an attachment into a bucket: %w", err)
	}
	for _, more := range []string{"", `,"attachments":[{"url":"s3://` + attachments + `/mails/a.txt","filename":"a.txt"}]`} {
		_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: aws.String(
			`{"channel":"email","type":"message_send","to":"anna@example.org","subject":"Hello","body":"Hello"` + more + `}`)})
		if err != nil {
			return fmt.Errorf("put a mail on its queue: %w", err)
		}
	}
	system.Worker = append(system.Worker, "WORKER_TYPE=sms,email", "EMAIL_QUEUE_URL="+queue,
		"EMAIL_PROVIDER=ses", "EMAIL_FROM=shop@"+mailDomain, "SES_CONFIGURATION_SET="+mailSet, "EMAIL_ATTACHMENT_PREFIXES=s3://"+attachments+"/mails/")
	if _, err := sns.NewFromConfig(config).CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(alertTopic)}); err != nil {
		return fmt.Errorf("create the topic: %w", err)
	}
	return nil
}

// testReceivers has the controller send a test to each kind of receiver that
// AWS delivers.
func testReceivers(ctx context.Context, endpoint, folder string) error {
	policy := filepath.Join(folder, "alert-policy.yaml")
	err := os.WriteFile(policy, []byte(`apiVersion: acs.novaura.io/v1
kind: AlertPolicy
metadata:
  name: proof
spec:
  receivers:
    - {name: topic, sns: {topicARN: "`+arn("sns", alertTopic)+`"}}
    - {name: mail, email: {to: ["oncall@example.org"]}}
  rules:
    - {alert: Never, expr: queue.visible < 0, severity: info, receivers: [topic, mail], message: never}
`), 0o600)
	if err != nil {
		return err
	}
	for _, receiver := range []string{"topic", "mail"} {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		cmd := exec.CommandContext(ctx, filepath.Join(folder, "bin", "controller"), "alerts", "test", receiver, "--policy", policy)
		cmd.Env = harness.Environment(endpoint, "controller", "EMAIL_PROVIDER=ses", "EMAIL_FROM=alerts@"+alertDomain)
		output, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			return fmt.Errorf("test the receiver %s: %w\n%s", receiver, err, output)
		}
	}
	return nil
}

// redrive puts a message on the dead-letter queue, and sends it again as a person
// on call does.
func redrive(ctx context.Context, system harness.System, endpoint string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err := sqs.NewFromConfig(harness.Config(system.Direct, "check")).SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl:    aws.String(system.QueueURL + "-dlq"),
		MessageBody: aws.String(`{"id":"check-redrive","channel":"sms","type":"message_send","to":"+14155559997","body":"Again"}`),
	})
	if err != nil {
		return fmt.Errorf("put a dead letter on its queue: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(system.Folder, "bin", "worker"), "redrive")
	cmd.Env = harness.Environment(endpoint, "ops", "DATABASE_URL=sqlite:"+filepath.Join(system.Folder, "acs.db"), "SMS_QUEUE_URL="+system.QueueURL)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("redrive the dead letter: %w\n%s", err, output)
	}
	return nil
}

// mailsSent waits until both mails are out.
func mailsSent(ctx context.Context, r *recorder) error {
	err := harness.Until(ctx, time.Minute, "both mails are out", func() (bool, error) {
		return r.made("worker", "ses:SendEmail") && r.made("worker", "ses:SendRawEmail"), nil
	})
	if err != nil {
		return errors.Join(err, errors.New("look at worker.log"))
	}
	return nil
}
