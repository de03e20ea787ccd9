package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestARequestIsReadInIAMsTerms(t *testing.T) {
	t.Parallel()
	const sms, worker = "arn:aws:sqs:us-east-1:123456789012:sms", "arn:aws:ecs:us-east-1:123456789012:service/c/w"
	for name, tc := range map[string]struct {
		service, path, target, body string
		want                        []call
	}{
		"a batch is the action of one":               {"sqs", "/", "AmazonSQS.DeleteMessageBatch", `{"QueueUrl":"http://h/123456789012/sms","Entries":[]}`, []call{{"me", "sqs:DeleteMessage", sms}}},
		"a queue may be named":                       {"sqs", "/", "AmazonSQS.GetQueueUrl", `{"QueueName":"sms"}`, []call{{"me", "sqs:GetQueueUrl", sms}}},
		"each service of a request is asked for":     {"ecs", "/", "AmazonEC2ContainerServiceV20141113.DescribeServices", `{"cluster":"c","services":["w","x"]}`, []call{{"me", "ecs:DescribeServices", worker}, {"me", "ecs:DescribeServices", strings.TrimSuffix(worker, "w") + "x"}}},
		"an update names one service":                {"ecs", "/", "AmazonEC2ContainerServiceV20141113.UpdateService", `{"cluster":"c","service":"w","desiredCount":2}`, []call{{"me", "ecs:UpdateService", worker}}},
		"metrics have no resource":                   {"monitoring", "/service/GraniteServiceVersion20100801/operation/GetMetricData", "", "\xa0", []call{{"me", "cloudwatch:GetMetricData", "*"}}},
		"a parameter's slash is not doubled":         {"ssm", "/", "AmazonSSM.GetParameter", `{"Name":"/acs/p"}`, []call{{"me", "ssm:GetParameter", "arn:aws:ssm:us-east-1:123456789012:parameter/acs/p"}}},
		"an object is its bucket and key":            {"s3", "/bucket/a/b.yaml", "", "", []call{{"me", "s3:GetObject", "arn:aws:s3:::bucket/a/b.yaml"}}},
		"a topic is its ARN":                         {"sns", "/", "", "Action=Publish&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Aops", []call{{"me", "sns:Publish", "arn:aws:sns:us-east-1:123456789012:ops"}}},
		"a mail is its sender's identity and set":    {"ses", "/v2/email/outbound-emails", "", `{"FromEmailAddress":"Shop <a@example.com>","ConfigurationSetName":"s","Content":{"Simple":{}}}`, []call{{"me", "ses:SendEmail", "arn:aws:ses:us-east-1:123456789012:identity/example.com"}, {"me", "ses:SendEmail", "arn:aws:ses:us-east-1:123456789012:configuration-set/s"}}},
		"a mail as MIME is another action":           {"ses", "/v2/email/outbound-emails", "", `{"FromEmailAddress":"a@example.com","Content":{"Raw":{"Data":""}}}`, []call{{"me", "ses:SendRawEmail", "arn:aws:ses:us-east-1:123456789012:identity/example.com"}}},
		"another call of SES is an error":            {"ses", "/v2/email/account", "", "", nil},
		"a service that is not known is an error":    {"iam", "/", "", "", nil},
		"a call of ECS without service is an error":  {"ecs", "/", "AmazonEC2ContainerServiceV20141113.ListServices", `{"cluster":"c"}`, nil},
		"a list of tasks is asked of the cluster":    {"ecs", "/", "AmazonEC2ContainerServiceV20141113.ListTasks", `{"cluster":"c","serviceName":"w"}`, []call{{"me", "ecs:ListTasks", "arn:aws:ecs:us-east-1:123456789012:container-instance/c/*"}}},
		"each task of a request is asked for":        {"ecs", "/", "AmazonEC2ContainerServiceV20141113.DescribeTasks", `{"cluster":"c","tasks":["arn:aws:ecs:us-east-1:123456789012:task/c/1","2"]}`, []call{{"me", "ecs:DescribeTasks", "arn:aws:ecs:us-east-1:123456789012:task/c/1"}, {"me", "ecs:DescribeTasks", "arn:aws:ecs:us-east-1:123456789012:task/c/2"}}},
		"a body that cannot be read is an error too": {"sqs", "/", "AmazonSQS.SendMessage", `{`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := httptest.NewRequest(http.MethodGet, "http://h"+tc.path, nil)
			request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=me/20260101/us-east-1/"+tc.service+"/aws4_request, SignedHeaders=host")
			if tc.target != "" {
				request.Header.Set("X-Amz-Target", tc.target)
			}
			got, err := callsOf(request, []byte(tc.body))
			if (err != nil) != (tc.want == nil) {
				t.Fatalf("got error %v", err)
			}
			if diff := cmp.Diff(tc.want, got); err == nil && diff != "" {
				t.Error(diff)
			}
		})
	}
}
