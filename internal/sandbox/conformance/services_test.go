package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/applicationautoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// fanOut is a topic with one queue behind it.
func (c *clients) fanOut(ctx context.Context, attributes map[string]string) (topic, queue *string, err error) {
	name := unique("fan")
	if queue, err = c.queue(ctx, name); err != nil {
		return nil, nil, err
	}
	out, err := c.sns.CreateTopic(ctx, &sns.CreateTopicInput{Name: &name})
	if err != nil {
		return nil, nil, err
	}
	_, err = c.sns.Subscribe(ctx, &sns.SubscribeInput{TopicArn: out.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String(c.queueARN(name)), Attributes: attributes})
	return out.TopicArn, queue, err
}

func topics() []behaviour {
	attributes := map[string]snstypes.MessageAttributeValue{"kind": {DataType: aws.String("String"), StringValue: aws.String("v")}}
	return []behaviour{
		{"sns", "a queue gets the message in an envelope", func(ctx context.Context, c *clients) error {
			topic, queue, err := c.fanOut(ctx, nil)
			if err != nil {
				return err
			}
			out, err := c.sns.Publish(ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String("hi"), Subject: aws.String("s"), MessageAttributes: attributes})
			if err != nil {
				return err
			}
			m, err := c.one(ctx, queue, 5)
			if err != nil {
				return err
			}
			var envelope struct {
				Type, MessageId, TopicArn, Subject, Message, Timestamp, SignatureVersion string
				MessageAttributes                                                        map[string]struct{ Type, Value string }
			}
			if err := json.Unmarshal([]byte(*m.Body), &envelope); err != nil {
				return err
			}
			return errors.Join(want("type", envelope.Type, "Notification"), want("message", envelope.Message, "hi"), want("subject", envelope.Subject, "s"),
				want("topic", envelope.TopicArn, *topic), want("id", envelope.MessageId, *out.MessageId), want("attribute", envelope.MessageAttributes["kind"].Value, "v"))
		}},
		{"sns", "raw delivery is the message itself, with its attributes", func(ctx context.Context, c *clients) error {
			topic, queue, err := c.fanOut(ctx, map[string]string{"RawMessageDelivery": "true"})
			if err != nil {
				return err
			}
			if _, err := c.sns.Publish(ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String("hi"), MessageAttributes: attributes}); err != nil {
				return err
			}
			m, err := c.one(ctx, queue, 5)
			if err != nil {
				return err
			}
			return errors.Join(want("body", *m.Body, "hi"), want("attribute", aws.ToString(m.MessageAttributes["kind"].StringValue), "v"))
		}},
		{"sns", "a filter keeps others' messages away", func(ctx context.Context, c *clients) error {
			topic, queue, err := c.fanOut(ctx, map[string]string{"FilterPolicy": `{"kind":["other"]}`})
			if err != nil {
				return err
			}
			if _, err := c.sns.Publish(ctx, &sns.PublishInput{TopicArn: topic, Message: aws.String("hi"), MessageAttributes: attributes}); err != nil {
				return err
			}
			got, err := c.receive(ctx, queue, 0)
			return errors.Join(err, want("messages", len(got), 0))
		}},
		{"sns", "a topic that isn't there", func(ctx context.Context, c *clients) error {
			_, err := c.sns.Publish(ctx, &sns.PublishInput{TopicArn: aws.String("arn:aws:sns:us-east-1:" + c.account + ":none"), Message: aws.String("hi")})
			return wantCode(err, "NotFound", "NotFoundException")
		}},
	}
}

func settings() []behaviour {
	put := func(ctx context.Context, c *clients, name, value string, overwrite bool) (*ssm.PutParameterOutput, error) {
		return c.ssm.PutParameter(ctx, &ssm.PutParameterInput{Name: &name, Value: &value, Type: ssmtypes.ParameterTypeSecureString, Overwrite: &overwrite})
	}
	secret := func(ctx context.Context, c *clients) (*secretsmanager.CreateSecretOutput, error) {
		return c.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(unique("db/password")), SecretString: aws.String("one")})
	}
	value := func(ctx context.Context, c *clients, id, stage *string) (string, error) {
		out, err := c.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: id, VersionStage: stage})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.SecretString), nil
	}
	return []behaviour{
		{"ssm", "a parameter has versions, the newest first", func(ctx context.Context, c *clients) error {
			name := unique("/policy")
			if _, err := put(ctx, c, name, "one", false); err != nil {
				return err
			}
			second, err := put(ctx, c, name, "two", true)
			if err != nil {
				return err
			}
			newest, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
			if err != nil {
				return err
			}
			first, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name + ":1"), WithDecryption: aws.Bool(true)})
			if err != nil {
				return err
			}
			_, again := put(ctx, c, name, "three", false)
			return errors.Join(want("version", second.Version, 2), want("newest", *newest.Parameter.Value, "two"), want("first", *first.Parameter.Value, "one"),
				wantCode(again, "ParameterAlreadyExists"), want("ARN", *newest.Parameter.ARN, "arn:aws:ssm:us-east-1:"+c.account+":parameter"+name))
		}},
		{"ssm", "a secure string is not told in clear unasked", func(ctx context.Context, c *clients) error {
			name := unique("secure")
			if _, err := put(ctx, c, name, "one", false); err != nil {
				return err
			}
			out, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: &name})
			if err != nil {
				return err
			}
			return want("in clear", *out.Parameter.Value == "one", false)
		}},
		{"ssm", "a parameter that isn't there", func(ctx context.Context, c *clients) error {
			_, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/none")})
			return wantCode(err, "ParameterNotFound")
		}},
		{"ssm", "parameters are listed by path", func(ctx context.Context, c *clients) error {
			path := unique("/tree")
			for _, name := range []string{"/a", "/b/c"} {
				if _, err := put(ctx, c, path+name, "v", false); err != nil {
					return err
				}
			}
			flat, err := c.ssm.GetParametersByPath(ctx, &ssm.GetParametersByPathInput{Path: &path})
			if err != nil {
				return err
			}
			deep, err := c.ssm.GetParametersByPath(ctx, &ssm.GetParametersByPathInput{Path: &path, Recursive: aws.Bool(true)})
			if err != nil {
				return err
			}
			return errors.Join(want("flat", len(flat.Parameters), 1), want("deep", len(deep.Parameters), 2))
		}},
		{"secretsmanager", "a secret is found by name, ARN, and ARN without its end", func(ctx context.Context, c *clients) error {
			made, err := secret(ctx, c)
			if err != nil {
				return err
			}
			partial := (*made.ARN)[:len(*made.ARN)-7]
			if partial != "arn:aws:secretsmanager:us-east-1:"+c.account+":secret:"+*made.Name {
				return fmt.Errorf("the ARN is %s", *made.ARN)
			}
			for _, id := range []*string{made.Name, made.ARN, &partial} {
				got, err := value(ctx, c, id, nil)
				if err := errors.Join(err, want(*id, got, "one")); err != nil {
					return err
				}
			}
			return nil
		}},
		{"secretsmanager", "a new value leaves the old one as AWSPREVIOUS", func(ctx context.Context, c *clients) error {
			made, err := secret(ctx, c)
			if err != nil {
				return err
			}
			if _, err := c.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: made.ARN, SecretString: aws.String("two")}); err != nil {
				return err
			}
			now, err := value(ctx, c, made.ARN, nil)
			before, err2 := value(ctx, c, made.ARN, aws.String("AWSPREVIOUS"))
			return errors.Join(err, err2, want("now", now, "two"), want("before", before, "one"))
		}},
		{"secretsmanager", "a secret that isn't there, or has no value, or is to be deleted", func(ctx context.Context, c *clients) error {
			_, none := value(ctx, c, aws.String("none"), nil)
			empty, err := c.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(unique("empty"))})
			if err != nil {
				return err
			}
			_, valueless := value(ctx, c, empty.ARN, nil)
			made, err := secret(ctx, c)
			if err != nil {
				return err
			}
			if _, err := c.secrets.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: made.ARN}); err != nil {
				return err
			}
			_, deleted := value(ctx, c, made.ARN, nil)
			return errors.Join(wantCode(none, "ResourceNotFoundException"), wantCode(valueless, "ResourceNotFoundException"), wantCode(deleted, "InvalidRequestException"))
		}},
		{"application-autoscaling", "nothing is steered at first, and what is registered is told", func(ctx context.Context, c *clients) error {
			in := &applicationautoscaling.DescribeScalableTargetsInput{ServiceNamespace: scalingtypes.ServiceNamespaceEcs}
			none, err := c.scaling.DescribeScalableTargets(ctx, in)
			if err != nil {
				return err
			}
			return want("targets", len(none.ScalableTargets), 0)
		}},
	}
}

func objects() []behaviour {
	// bucket holds one object, key: one.
	bucket := func(ctx context.Context, c *clients) (*string, error) {
		name := unique("bucket")
		if _, err := c.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name}); err != nil {
			return nil, err
		}
		_, err := c.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &name, Key: aws.String("a/key"), Body: strings.NewReader("one"), ContentType: aws.String("application/yaml")})
		return &name, err
	}
	key := aws.String("a/key")
	return []behaviour{
		{"s3", "an object comes back with its ETag", func(ctx context.Context, c *clients) error {
			name, err := bucket(ctx, c)
			if err != nil {
				return err
			}
			out, err := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key})
			if err != nil {
				return err
			}
			body, err := io.ReadAll(out.Body)
			head, err2 := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: name, Key: key})
			if err := errors.Join(err, err2, out.Body.Close()); err != nil {
				return err
			}
			return errors.Join(want("body", string(body), "one"), want("ETag", *out.ETag, `"f97c5d29941bfb1b2fdab0874906ab82"`), want("the head's", *head.ETag, *out.ETag),
				want("type", *out.ContentType, "application/yaml"), want("length", *head.ContentLength, 3))
		}},
		{"s3", "what hasn't changed is not sent again", func(ctx context.Context, c *clients) error {
			name, err := bucket(ctx, c)
			if err != nil {
				return err
			}
			head, err := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: name, Key: key})
			if err != nil {
				return err
			}
			_, err = c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key, IfNoneMatch: head.ETag})
			return wantCode(err, "NotModified")
		}},
		{"s3", "a key, and a bucket, that aren't there", func(ctx context.Context, c *clients) error {
			name, err := bucket(ctx, c)
			if err != nil {
				return err
			}
			_, noKey := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: aws.String("none")})
			_, noBucket := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("there-is-none"), Key: key})
			_, noHead := c.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: name, Key: aws.String("none")})
			return errors.Join(wantCode(noKey, "NoSuchKey"), wantCode(noBucket, "NoSuchBucket"), wantCode(noHead, "NotFound"))
		}},
		{"s3", "keys are listed by prefix, page and folder", func(ctx context.Context, c *clients) error {
			name, err := bucket(ctx, c)
			if err != nil {
				return err
			}
			for _, k := range []string{"a/other key", "b"} {
				if _, err := c.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: &k, Body: bytes.NewReader(nil)}); err != nil {
					return err
				}
			}
			first, err := c.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: name, Prefix: aws.String("a/"), MaxKeys: aws.Int32(1)})
			if err != nil {
				return err
			}
			second, err := c.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: name, Prefix: aws.String("a/"), ContinuationToken: first.NextContinuationToken})
			if err != nil {
				return err
			}
			folders, err := c.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: name, Delimiter: aws.String("/")})
			if err != nil {
				return err
			}
			if len(first.Contents) != 1 || len(second.Contents) != 1 || len(folders.CommonPrefixes) != 1 || len(folders.Contents) != 1 {
				return fmt.Errorf("pages of %d and %d keys, %d folders", len(first.Contents), len(second.Contents), len(folders.CommonPrefixes))
			}
			return errors.Join(want("first", *first.Contents[0].Key, "a/key"), want("second", *second.Contents[0].Key, "a/other key"), want("folder", *folders.CommonPrefixes[0].Prefix, "a/"))
		}},
		{"s3", "a bucket with versions keeps the old ones", func(ctx context.Context, c *clients) error {
			name, err := bucket(ctx, c)
			if err != nil {
				return err
			}
			_, err = c.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{Bucket: name, VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}})
			if err != nil {
				return err
			}
			made, err := c.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: name, Key: key, Body: strings.NewReader("two")})
			if err != nil {
				return err
			}
			if _, err := c.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: name, Key: key}); err != nil {
				return err
			}
			_, gone := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key})
			old, err := c.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: name, Key: key, VersionId: made.VersionId})
			if err != nil {
				return err
			}
			body, err := io.ReadAll(old.Body)
			return errors.Join(err, old.Body.Close(), wantCode(gone, "NoSuchKey"), want("old", string(body), "two"))
		}},
	}
}

func metrics() []behaviour {
	return []behaviour{
		{"cloudwatch", "what is put by rpc-v2-CBOR is read by it", func(ctx context.Context, c *clients) error {
			namespace, minute := unique("Test"), time.Now().Truncate(time.Minute)
			_, err := c.metrics.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: &namespace, MetricData: []cwtypes.MetricDatum{
				{MetricName: aws.String("m"), Timestamp: &minute, Value: aws.Float64(2)}, {MetricName: aws.String("m"), Timestamp: &minute, Value: aws.Float64(4)}}})
			if err != nil {
				return err
			}
			out, err := c.metrics.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
				Namespace: &namespace, MetricName: aws.String("m"), StartTime: &minute, EndTime: aws.Time(minute.Add(time.Minute)), Period: aws.Int32(60),
				Statistics: []cwtypes.Statistic{cwtypes.StatisticAverage},
			})
			if err != nil {
				return err
			}
			if len(out.Datapoints) != 1 {
				return fmt.Errorf("%d points", len(out.Datapoints))
			}
			return want("average", *out.Datapoints[0].Average, 3)
		}},
		{"cloudwatch", "nobody puts metrics into AWS's namespaces", func(ctx context.Context, c *clients) error {
			_, err := c.metrics.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("AWS/SQS"), MetricData: []cwtypes.MetricDatum{{MetricName: aws.String("m"), Value: aws.Float64(2)}}})
			return wantCode(err, "InvalidParameterValue", "InvalidParameterValueException")
		}},
	}
}
