package main

import (
	"slices"

	"github.com/novaura/acs-operator/internal/check/harness"
)

// neighbours are calls that lie near those that are made and must be denied.
func neighbours() []call {
	return slices.Concat(workerNeighbours(), controllerNeighbours(), otherNeighbours())
}

// Names that the lists share.
var (
	worker      = arn("ecs", "service/"+harness.Cluster+"/"+harness.WorkerService)
	controller  = arn("ecs", "service/"+harness.Cluster+"/"+harness.ControllerService)
	sms         = arn("sqs", harness.SMSQueue)
	deadLetters = arn("sqs", harness.SMSQueue+"-dlq")
	secret      = arn("secretsmanager", "secret:novaura/")
)

func workerNeighbours() []call {
	return []call{
		{"worker", "sqs:PurgeQueue", sms},
		{"worker", "sqs:DeleteQueue", sms},
		{"worker", "sqs:SetQueueAttributes", sms},
		{"worker", "sqs:AddPermission", sms},
		{"worker", "sqs:ReceiveMessage", arn("sqs", "orders")},
		{"worker", "sqs:SendMessage", arn("sqs", "orders")},
		{"worker", "sqs:SendMessage", "arn:aws:sqs:us-east-1:999999999999:" + harness.SMSQueue},
		{"worker", "sqs:ReceiveMessage", "arn:aws:sqs:eu-west-1:" + harness.Account + ":" + harness.SMSQueue},
		{"worker", "secretsmanager:GetSecretValue", secret + "stripe-AbC123"},
		{"worker", "secretsmanager:GetSecretValue", secret + "twilio-admin-AbC123"},
		{"worker", "secretsmanager:PutSecretValue", secret + "twilio-AbC123"},
		{"worker", "ecs:UpdateService", worker},
		{"worker", "ecs:UpdateTaskProtection", arn("ecs", "task/other-cluster/0123456789abcdef")},
		{"worker", "ses:SendEmail", arn("ses", "identity/"+alertDomain)},
		{"worker", "ses:SendRawEmail", arn("ses", "identity/other.example")},
		{"worker", "ses:SendEmail", arn("ses", "configuration-set/other")},
		{"worker", "ses:SendBulkEmail", arn("ses", "identity/"+mailDomain)},
		{"worker", "sns:Publish", arn("sns", alertTopic)},
		{"worker", "s3:GetObject", "arn:aws:s3:::" + attachments + "/invoices/a.txt"},
		{"worker", "s3:PutObject", "arn:aws:s3:::" + attachments + "/mails/a.txt"},
		{"worker", "s3:ListBucket", "arn:aws:s3:::" + attachments},
		{"worker", "ssm:PutParameter", arn("ssm", "parameter"+harness.PolicyParameter)},
		{"worker", "ssm:GetParameter", arn("ssm", "parameter/novaura-acs-staging/scaling-policy")},
		{"worker", "sqs:ReceiveMessage", deadLetters},
		{"worker", "sqs:ReceiveMessage", arn("sqs", "novaura-acs-staging-sms-events")},
		{"worker", "iam:PassRole", "arn:aws:iam::" + harness.Account + ":role/novaura-acs-worker-task"},
	}
}

func controllerNeighbours() []call {
	return []call{
		{"controller", "ecs:UpdateService", controller},
		{"controller", "ecs:UpdateService", arn("ecs", "service/"+harness.Cluster+"/shop")},
		{"controller", "ecs:UpdateService", arn("ecs", "service/other-cluster/"+harness.WorkerService)},
		{"controller", "ecs:DeleteService", worker},
		{"controller", "ecs:ListTasks", arn("ecs", "container-instance/other-cluster/*")},
		{"controller", "ecs:DescribeTasks", arn("ecs", "task/other-cluster/0123456789abcdef")},
		{"controller", "ecs:StopTask", arn("ecs", "task/"+harness.Cluster+"/0123456789abcdef")},
		{"controller", "ecs:UpdateTaskProtection", arn("ecs", "task/"+harness.Cluster+"/0123456789abcdef")},
		{"controller", "ecs:RunTask", arn("ecs", "task-definition/novaura-acs-processor:1")},
		{"controller", "ecs:RegisterTaskDefinition", "*"},
		{"controller", "ecs:ExecuteCommand", arn("ecs", "task/"+harness.Cluster+"/0123456789abcdef")},
		{"controller", "iam:PassRole", "arn:aws:iam::" + harness.Account + ":role/novaura-acs-worker-task"},
		{"controller", "sqs:ReceiveMessage", sms},
		{"controller", "sqs:SendMessage", sms},
		{"controller", "sqs:PurgeQueue", deadLetters},
		{"controller", "sqs:GetQueueAttributes", arn("sqs", "orders")},
		{"controller", "cloudwatch:PutMetricData", "*"},
		{"controller", "cloudwatch:DeleteAlarms", "*"},
		{"controller", "ssm:PutParameter", arn("ssm", "parameter"+harness.PolicyParameter)},
		{"controller", "ssm:GetParameter", arn("ssm", "parameter/novaura-acs/other")},
		{"controller", "secretsmanager:GetSecretValue", secret + "stripe-AbC123"},
		{"controller", "application-autoscaling:RegisterScalableTarget", "*"},
		{"controller", "sns:Publish", arn("sns", "orders")},
		{"controller", "sns:Publish", "arn:aws:sns:us-east-1:999999999999:" + alertTopic},
		{"controller", "sns:Subscribe", arn("sns", alertTopic)},
		{"controller", "ses:SendEmail", arn("ses", "identity/"+mailDomain)},
		{"controller", "ses:SendRawEmail", arn("ses", "identity/"+alertDomain)},
	}
}

// otherNeighbours are those of the on-call commands and of the webhooks' API.
func otherNeighbours() []call {
	return []call{
		{"ops", "sqs:ReceiveMessage", sms},
		{"ops", "sqs:DeleteMessage", sms},
		{"ops", "sqs:PurgeQueue", deadLetters},
		{"ops", "sqs:DeleteQueue", deadLetters},
		{"ops", "sqs:ReceiveMessage", arn("sqs", "novaura-acs-staging-sms-events-dlq")},
		{"ops", "ecs:UpdateService", worker},
		{"ops", "ecs:RunTask", arn("ecs", "task-definition/novaura-acs-ops:1")},
		{"ops", "ssm:GetParameter", arn("ssm", "parameter"+harness.PolicyParameter)},
		{"webhooks", "sqs:SendMessage", arn("sqs", emailQueue)},
		{"webhooks", "sqs:ReceiveMessage", sms},
	}
}

// onOurBehalf are permissions that no call of our programs shows, each with the
// page that says who uses it.
var onOurBehalf = map[string]string{
	"controller/ecs:GetTaskProtection":         "the controller itself, while a scale-down takes longer than 90 s (the run's does not): https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_GetTaskProtection.html",
	"ecs:GetTaskProtection":                    "ECS's agent, for the worker: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html",
	"ecs:UpdateTaskProtection":                 "ECS's agent, for the worker: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html",
	"ecr:GetAuthorizationToken":                "ECS, to start a task: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html",
	"ecr:BatchCheckLayerAvailability":          "ECS, to start a task: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html",
	"ecr:BatchGetImage":                        "ECS, to start a task: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html",
	"ecr:GetDownloadUrlForLayer":               "ECS, to start a task: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html",
	"logs:CreateLogStream":                     "the awslogs driver: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html",
	"logs:PutLogEvents":                        "the awslogs driver: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html",
	"webhooks/sqs:SendMessage":                 "API Gateway, for who posts: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-aws-services.html",
	"execution/secretsmanager:GetSecretValue":  "ECS, to start a task: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html",
	"controller/secretsmanager:GetSecretValue": "the controller itself, once a rotated secret is refused (the run rotates none): https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets.html",
	"ops/secretsmanager:GetSecretValue":        "worker redrive, once a rotated database password is refused: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets.html",
	"ops/sqs:ChangeMessageVisibility":          "worker redrive, to show the letters again that it leaves: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html",
	"worker/secretsmanager:GetSecretValue":     "the worker itself, once a rotated secret is refused (the run rotates none): https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets.html",
}
