package iam_test

import (
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/iam"
)

const document = `{"Version": "2012-10-17", "Statement": [
	{"Sid": "Work", "Effect": "Allow", "Action": ["sqs:ReceiveMessage", "sqs:Delete*"], "Resource": "arn:aws:sqs:us-east-1:1:sms"},
	{"Sid": "Secret", "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": ["arn:aws:sm:secret:db", "arn:aws:sm:secret:db-??????"]},
	{"Sid": "Steer", "Effect": "Allow", "Action": "ecs:UpdateService", "Resource": "arn:aws:ecs:us-east-1:1:service/c/*",
	 "Condition": {"ArnEquals": {"ecs:cluster": "arn:aws:ecs:us-east-1:1:cluster/c"}}},
	{"Sid": "Logs", "Effect": "Allow", "Action": "logs:*", "Resource": "*",
	 "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:ecs:*:1:*"}, "StringEquals": {"aws:SourceAccount": ["1", "2"]}, "StringLike": {"kms:ViaService": "sqs.*"}}},
	{"Sid": "NoPlain", "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
]}`

func TestARequestIsJudgedAsIAMJudges(t *testing.T) {
	t.Parallel()
	policy, err := iam.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	const sms, service = "arn:aws:sqs:us-east-1:1:sms", "arn:aws:ecs:us-east-1:1:service/c/worker"
	context := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	cluster := context("ecs:cluster", "arn:aws:ecs:us-east-1:1:cluster/c")
	for name, tc := range map[string]struct {
		request iam.Request
		want    iam.Decision
	}{
		"a named action on a named resource is allowed": {iam.Request{Action: "sqs:ReceiveMessage", Resource: sms}, iam.Decision{Allowed: true, By: "Work"}},
		"an action is compared without regard to case":  {iam.Request{Action: "SQS:receivemessage", Resource: sms}, iam.Decision{Allowed: true, By: "Work"}},
		"a star in an action stands for any text":       {iam.Request{Action: "sqs:DeleteMessage", Resource: sms}, iam.Decision{Allowed: true, By: "Work"}},
		"what nobody allows is denied":                  {iam.Request{Action: "sqs:PurgeQueue", Resource: sms}, iam.Decision{}},
		"another resource is denied":                    {iam.Request{Action: "sqs:ReceiveMessage", Resource: sms + "-dlq"}, iam.Decision{}},
		"a resource is compared with regard to case":    {iam.Request{Action: "sqs:ReceiveMessage", Resource: strings.ToUpper(sms)}, iam.Decision{}},
		"the name as given is allowed":                  {iam.Request{Action: "secretsmanager:GetSecretValue", Resource: "arn:aws:sm:secret:db"}, iam.Decision{Allowed: true, By: "Secret"}},
		"six question marks are six characters":         {iam.Request{Action: "secretsmanager:GetSecretValue", Resource: "arn:aws:sm:secret:db-AbC123"}, iam.Decision{Allowed: true, By: "Secret"}},
		"six question marks are no longer name":         {iam.Request{Action: "secretsmanager:GetSecretValue", Resource: "arn:aws:sm:secret:db-admin-AbC123"}, iam.Decision{}},
		"a condition that holds lets pass":              {iam.Request{Action: "ecs:UpdateService", Resource: service, Context: cluster}, iam.Decision{Allowed: true, By: "Steer"}},
		"a key is compared without regard to case":      {iam.Request{Action: "ecs:UpdateService", Resource: service, Context: context("ECS:Cluster", cluster["ecs:cluster"])}, iam.Decision{Allowed: true, By: "Steer"}},
		"a condition whose key is absent fails":         {iam.Request{Action: "ecs:UpdateService", Resource: service}, iam.Decision{}},
		"another value of the key fails":                {iam.Request{Action: "ecs:UpdateService", Resource: service, Context: context("ecs:cluster", "arn:aws:ecs:us-east-1:1:cluster/d")}, iam.Decision{}},
		"all conditions must hold":                      {iam.Request{Action: "logs:X", Resource: "r", Context: context("aws:SourceArn", "arn:aws:ecs:eu-west-1:1:task/x", "aws:SourceAccount", "2", "kms:ViaService", "sqs.eu")}, iam.Decision{Allowed: true, By: "Logs"}},
		"one condition of several that fails is enough": {iam.Request{Action: "logs:X", Resource: "r", Context: context("aws:SourceArn", "arn:aws:ecs:eu-west-1:1:task/x", "aws:SourceAccount", "3", "kms:ViaService", "sqs.eu")}, iam.Decision{}},
		"a star in an ARN does not reach the next part": {iam.Request{Action: "logs:X", Resource: "r", Context: context("aws:SourceArn", "arn:aws:ecs:eu:9:1:x", "aws:SourceAccount", "2", "kms:ViaService", "sqs.eu")}, iam.Decision{}},
		"what is no ARN is not like one":                {iam.Request{Action: "logs:X", Resource: "r", Context: context("aws:SourceArn", "ecs", "aws:SourceAccount", "2", "kms:ViaService", "sqs.eu")}, iam.Decision{}},
		"a deny wins over an allow":                     {iam.Request{Action: "sqs:ReceiveMessage", Resource: sms, Context: context("aws:SecureTransport", "false")}, iam.Decision{By: "NoPlain"}},
		"a deny whose condition fails says nothing":     {iam.Request{Action: "sqs:ReceiveMessage", Resource: sms, Context: context("aws:SecureTransport", "true")}, iam.Decision{Allowed: true, By: "Work"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := policy.Decide(tc.request); got != tc.want {
				t.Errorf("%s on %s: got %+v, want %+v", tc.request.Action, tc.request.Resource, got, tc.want)
			}
		})
	}
}

func TestAPolicyThatIsNotUnderstoodIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ document, want string }{
		"an operator that is not known": {`{"Statement": [{"Sid": "A", "Effect": "Allow", "Action": "a", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}]}`, "IpAddress"},
		"an element that is not known":  {`{"Statement": [{"Sid": "A", "Effect": "Allow", "NotAction": "a", "Resource": "*"}]}`, "NotAction"},
		"an effect that is none":        {`{"Statement": [{"Sid": "A", "Effect": "allow", "Action": "a", "Resource": "*"}]}`, `"allow"`},
		"text that is no JSON":          {`{`, "read a policy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := iam.Parse(tc.document); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one that has %s", err, tc.want)
			}
		})
	}
}
