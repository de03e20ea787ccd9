package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/novaura/acs-operator/internal/deadletter"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/secret"
)

// What queues and clocks should be like.
const (
	leastReceives   = 5 // a deployment alone may cost a message one or two
	leastVisibility = 30 * time.Second
	mostSkew        = 5 * time.Second
)

// checkSender makes the sender of a channel and tries it, sending nothing.
func (c doctorCommand) checkSender(ctx context.Context, config aws.Config, channel message.Channel) finding {
	ctx, cancel := context.WithTimeout(ctx, oneCheck)
	defer cancel()
	name := "sender " + string(channel)
	sender, err := builder{senderFlags: c.senderFlags, aws: config, kept: map[string]*secret.Secret{}, timeout: oneCheck}.sender(ctx, channel)
	if err != nil {
		return finding{name, failed, err.Error(), "correct the settings that are named"}
	}
	switch err := provider.Check(ctx, sender); {
	case errors.Is(err, provider.ErrNoCheck):
		return finding{name, warned, sender.Name() + " is set up; " + err.Error(), "nothing, or send one message"}
	case err != nil:
		return finding{name, failed, err.Error(), "check the credentials, and that the provider is reached from here"}
	}
	return finding{name, fine, sender.Name() + " answers", ""}
}

func (c doctorCommand) checkQueues(ctx context.Context, config aws.Config) (findings []finding) {
	queues, _, err := c.queues()
	if err != nil {
		return nil // settings has said so
	}
	client := sqs.NewFromConfig(config, func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	for i, queue := range queues {
		bounded, cancel := context.WithTimeout(ctx, oneCheck)
		found, skew := checkQueue(bounded, client, queue.Name, queue.URL)
		cancel()
		if findings = append(findings, found...); i == 0 && skew != nil {
			findings = append(findings, *skew)
		}
	}
	return findings
}

// checkQueue looks at one queue, and at our clock by AWS's; nil: AWS did not
// tell.
func checkQueue(ctx context.Context, client *sqs.Client, name, url string) (findings []finding, skew *finding) {
	name = "queue " + name
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{
		types.QueueAttributeNameVisibilityTimeout, types.QueueAttributeNameRedrivePolicy, types.QueueAttributeNameApproximateNumberOfMessages,
	}})
	if err != nil {
		return []finding{{name, failed, err.Error(), "check its URL, the region and the role's permission sqs:GetQueueAttributes"}}, nil
	}
	reached := finding{name, fine, "reached, about " + out.Attributes["ApproximateNumberOfMessages"] + " messages wait", ""}
	return []finding{reached, checkVisibility(name, out.Attributes["VisibilityTimeout"]), checkRedrive(ctx, client, name, url, out.Attributes["RedrivePolicy"])},
		checkClock(awsmiddleware.GetServerTime(out.ResultMetadata))
}

func checkVisibility(name, text string) finding {
	name += " visibility"
	seconds, err := strconv.Atoi(text)
	if visibility := time.Duration(seconds) * time.Second; err != nil || visibility < leastVisibility {
		return finding{
			name, warned, text + "s: the worker asks for its own time with each receive, and others who receive may not",
			fmt.Sprintf("set the queue's visibility timeout to %s or more", leastVisibility),
		}
	}
	return finding{name, fine, text + "s", ""}
}

func checkRedrive(ctx context.Context, client *sqs.Client, name, url, text string) finding {
	name += " dead letters"
	if text == "" {
		return finding{name, failed, "it has no RedrivePolicy: what nobody can process is tried until it expires", "give the queue a dead-letter queue with maxReceiveCount 5 or more"}
	}
	var policy struct {
		Receives json.Number `json:"maxReceiveCount"` // AWS takes it as a string too
	}
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		return finding{name, failed, "its RedrivePolicy cannot be read", "set it again"}
	}
	dead, err := deadletter.Find(ctx, client, url)
	if err == nil {
		_, err = client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &dead, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages},
		})
	}
	if err != nil {
		return finding{name, failed, err.Error(), "check that the queue is there, and the role's permissions for it"}
	}
	if receives, err := policy.Receives.Int64(); err != nil || receives < leastReceives {
		return finding{
			name, failed, fmt.Sprintf("maxReceiveCount is %s: workers that are replaced use it up, and good messages are taken for poison", policy.Receives),
			fmt.Sprintf("set it to %d or more", leastReceives),
		}
	}
	return finding{name, fine, fmt.Sprintf("%s is reached, maxReceiveCount is %s", queueName(dead), policy.Receives), ""}
}

func checkClock(server time.Time, told bool) *finding {
	if !told {
		return nil
	}
	skew := time.Since(server).Round(time.Second) // AWS tells whole seconds
	if skew.Abs() > mostSkew {
		return &finding{"clock", warned, fmt.Sprintf("ours is %s off AWS's", skew), "set the machine's clock (chrony, NTP)"}
	}
	return &finding{"clock", fine, "within seconds of AWS's", ""}
}
