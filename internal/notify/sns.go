package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
)

// Publisher is what is needed of SNS.
type Publisher interface {
	Publish(ctx context.Context, in *sns.PublishInput, options ...func(*sns.Options)) (*sns.PublishOutput, error)
}

// sns publishes the text for people, and for programs (subscribers of sqs,
// lambda and http) the webhook's body.
func (n *Notifier) sns(r config.Receiver, what alerting.Notification) (func(context.Context) error, error) {
	if n.options.SNS == nil {
		return nil, permanent(ConfigError, errors.New("the controller has no access to SNS"))
	}
	programs, err := json.Marshal(n.body(r, what))
	if err != nil {
		return nil, permanent(ClientError, fmt.Errorf("encode: %w", err))
	}
	message, err := json.Marshal(map[string]string{
		"default": written(what, n.options.PageURL), "sms": texted(what), "sqs": string(programs), "lambda": string(programs),
		"http": string(programs), "https": string(programs),
	})
	if err != nil {
		return nil, permanent(ClientError, fmt.Errorf("encode: %w", err))
	}
	return func(ctx context.Context) error {
		_, err := n.options.SNS.Publish(ctx, &sns.PublishInput{
			TopicArn: aws.String(r.SNS.TopicARN), Subject: aws.String(short(plain(title(what)), 100)), // SNS takes 100 ASCII characters
			Message: aws.String(string(message)), MessageStructure: aws.String("json"),
		})
		return awsError(err)
	}, nil
}

func awsError(err error) error {
	if err == nil {
		return nil
	}
	typed := smithy.APIError(nil)
	if errors.As(err, &typed) && typed.ErrorFault() == smithy.FaultClient {
		if code := typed.ErrorCode(); code == "ThrottlingException" || code == "Throttled" || code == "Throttling" {
			return temporary(RateLimited, err)
		}
		return permanent(ClientError, err)
	}
	return temporary(reasonOf(err), err)
}
