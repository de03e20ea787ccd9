package main

import (
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/check/harness"
)

const (
	emailQueue = "novaura-acs-email-events"
	pushQueue  = "novaura-acs-push-events"
)

func awsIncidents() []Incident {
	return []Incident{
		{
			ID: "cloudwatch-missing", Name: "CloudWatch answers no call for 10 min",
			Cause: standIn("aws", `{"monitoring:GetMetricData":{"errors":{"InternalServiceFault":1}}}`), End: standIn("aws", `{"monitoring:GetMetricData":{}}`), During: 10 * time.Minute,
			Expect: Expect{Count: NeverIn(), Alerts: []string{"MetricsUnknown"}, Words: []string{"GetMetricData"}, Status: []string{"MetricsStale"}, Resolves: true},
		},
		{
			// The load and the harness go on sending, or nothing would arrive.
			ID: "sqs-throttles", Name: "SQS throttles every call but sends",
			Cause: standIn("aws", everySQSCall(`{"errors":{"RequestThrottled":1}}`)), End: standIn("aws", everySQSCall(`{}`)),
			Expect: Expect{Count: NeverIn(), Alerts: []string{"MetricsUnknown"}, Words: []string{"RequestThrottled"}, Status: []string{"MetricsStale", "NothingDone"}, Resolves: true},
		},
		{
			ID: "update-service-denied", Name: "ECS denies UpdateService while more tasks are needed", Setup: Setup{MinTasks: 1},
			Cause: inOrder(
				standIn("aws", `{"ecs:UpdateService":{"errors":{"AccessDeniedException":1}}}`),
				standIn("twilio", `{"latency":"3s"}`), put(harness.SMSQueue, texts(3000, "denied", "")...)),
			End:    inOrder(standIn("aws", `{"ecs:UpdateService":{}}`), standIn("twilio", `{"latency":"150ms"}`)),
			Expect: Expect{Count: Held(), Alerts: []string{"CountNotWritable"}, Words: []string{"ecs:UpdateService"}, Resolves: true},
		},
		{
			ID: "queue-deleted", Name: "A queue is deleted", Setup: Setup{Channels: "sms"},
			Cause: deleteQueue(pushQueue), End: createQueue(pushQueue),
			Expect: Expect{Count: Held(), Alerts: []string{"QueueMissing"}, Words: []string{pushQueue}, Resolves: true},
		},
		{
			ID: "queue-misspelt", Name: "A policy misspells a queue",
			Cause: edit((*Stage).scalingPolicy, "name: "+emailQueue+"\n", "name: novaura-acs-email-event\n"), End: restore((*Stage).scalingPolicy),
			Expect: Expect{Count: Held(), Alerts: []string{"QueueMissing"}, Words: []string{"novaura-acs-email-event"}, Resolves: true},
		},
		{
			ID: "worker-without-queue-url", Name: "The workers are deployed without one queue's URL", Setup: Setup{Channels: "sms,email"},
			Cause: inOrder(deployWith(map[string]string{"EMAIL_QUEUE_URL": ""}), stopRunning), End: deployFirst, During: 3 * time.Minute,
			Expect: Expect{Count: AtMost(usualMost), Alerts: []string{"QueueNotReceived"}, Words: []string{emailQueue}, Resolves: true},
		},
	}
}

// everySQSCall sets the same for each call that workers and controllers make.
func everySQSCall(behavior string) string {
	var calls []string
	for _, call := range []string{
		"ReceiveMessage", "DeleteMessage", "DeleteMessageBatch", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "GetQueueAttributes", "GetQueueUrl",
	} {
		calls = append(calls, `"sqs:`+call+`":`+behavior)
	}
	return "{" + strings.Join(calls, ",") + "}"
}
