package conformance

// A difference is a behaviour in which an engine parts from AWS.
type difference struct {
	theirs string // what it does
	page   string // the page that decides; ours does as it says
}

// The pages of AWS that decide.
const (
	sqsAPI        = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/"
	ecsAPI        = "https://docs.aws.amazon.com/AmazonECS/latest/APIReference/"
	cloudWatchAPI = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/"
)

// differences are by engine, and by service and behaviour. A behaviour that is
// as in AWS after all fails the test, so that this list stays true.
var differences = map[string]map[string]*difference{
	"ours": {},
	"moto": {
		"sqs: an old receipt handle deletes nothing, and is no error":                 {"deletes the message", sqsAPI + "API_DeleteMessage.html"},
		"sqs: a batch fails entry by entry":                                           {"takes characters that a message can't have", sqsAPI + "API_SendMessageBatch.html"},
		"sqs: an attribute that isn't there":                                          {"takes any attribute", sqsAPI + "API_CreateQueue.html"},
		"sqs: an attribute out of bounds":                                             {"takes any value", sqsAPI + "API_SetQueueAttributes.html"},
		"sqs: a purge within a minute of one":                                         {"purges again", sqsAPI + "API_PurgeQueue.html"},
		"sqs: a name just deleted rests for a minute":                                 {"creates it at once", sqsAPI + "API_DeleteQueue.html"},
		"sqs: a message received too often becomes a dead letter, with its source":    {"moves it, without DeadLetterQueueSourceArn", sqsAPI + "API_ReceiveMessage.html"},
		"sqs: a move task brings dead letters back, as new messages":                  {"has no move tasks: 500", sqsAPI + "API_StartMessageMoveTask.html"},
		"sqs: one move task at a time, which can be cancelled":                        {"has no move tasks: 500", sqsAPI + "API_CancelMessageMoveTask.html"},
		"sqs: a move task from what is no dead-letter queue":                          {"has no move tasks: 500", sqsAPI + "API_StartMessageMoveTask.html"},
		"sqs: a move task from a queue that isn't there":                              {"has no move tasks: 500", sqsAPI + "API_StartMessageMoveTask.html"},
		"ecs: the desired count is set, and a negative one refused":                   {"takes a negative count", ecsAPI + "API_UpdateService.html"},
		"ecs: a service that runs tasks is not deleted without force":                 {"answers the count of before", ecsAPI + "API_DeleteService.html"},
		"ecs: a service starts its tasks and says that it is steady":                  {"starts no tasks, has no events", ecsAPI + "API_ServiceEvent.html"},
		"ecs: another task definition is a deployment of its own, until it completes": {"never completes a deployment", ecsAPI + "API_Deployment.html"},
		"ecs: a protected task outlives a scale-in":                                   {"starts no tasks, has no UpdateTaskProtection", ecsAPI + "API_UpdateTaskProtection.html"},
		"ecs: a stopped task keeps its reason":                                        {"starts no tasks of services", ecsAPI + "API_Task.html"},
		"cloudwatch: what is put by rpc-v2-CBOR is read by it":                        {"answers the protocol of the Go SDK with 404; the older ones are compared through boto3", cloudWatchAPI + "API_PutMetricData.html"},
		"cloudwatch: nobody puts metrics into AWS's namespaces":                       {"as above", cloudWatchAPI + "API_PutMetricData.html"},
	},
	"fauxqs": {
		"sqs: a message above 1 MiB is refused":                                    {"prefixes the error's code", sqsAPI + "CommonErrors.html"},
		"sqs: a receive of eleven":                                                 {"prefixes the error's code", sqsAPI + "CommonErrors.html"},
		"sqs: a wait of 21 s":                                                      {"prefixes the error's code", sqsAPI + "CommonErrors.html"},
		"sqs: an attribute out of bounds":                                          {"prefixes the error's code", sqsAPI + "API_CreateQueue.html"},
		"sqs: the same queue again is the same":                                    {"has another code for the refusal", sqsAPI + "API_CreateQueue.html"},
		"sqs: a handle of nothing":                                                 {"takes any handle", sqsAPI + "API_DeleteMessage.html"},
		"sqs: an attribute that isn't there":                                       {"takes any attribute", sqsAPI + "API_CreateQueue.html"},
		"sqs: a purge within a minute of one":                                      {"purges again", sqsAPI + "API_PurgeQueue.html"},
		"sqs: a name just deleted rests for a minute":                              {"creates it at once", sqsAPI + "API_DeleteQueue.html"},
		"sqs: a message received too often becomes a dead letter, with its source": {"has no ListDeadLetterSourceQueues", sqsAPI + "API_ListDeadLetterSourceQueues.html"},
		"sqs: a move task brings dead letters back, as new messages":               {"has no move tasks", sqsAPI + "API_StartMessageMoveTask.html"},
		"sqs: one move task at a time, which can be cancelled":                     {"has no move tasks", sqsAPI + "API_CancelMessageMoveTask.html"},
		"sqs: a move task from what is no dead-letter queue":                       {"has no move tasks", sqsAPI + "API_StartMessageMoveTask.html"},
		"sqs: a move task from a queue that isn't there":                           {"has no move tasks", sqsAPI + "API_StartMessageMoveTask.html"},
	},
}
