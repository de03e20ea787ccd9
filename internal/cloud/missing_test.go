package cloud

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/sandbox/sqs"
)

// errNoQueue is SQS's answer for a name that it does not know.
var errNoQueue = &smithy.GenericAPIError{Code: "QueueDoesNotExist", Message: "The specified queue does not exist."}

func TestAMissingQueueSaysWhichOneWhereAndWhatToCheck(t *testing.T) {
	t.Parallel()
	urls := []string{"https://sqs.eu-west-1.amazonaws.com/123456789012/sms-events", "https://sqs.eu-west-1.amazonaws.com/123456789012/push-events"}
	for name, tc := range map[string]struct {
		queue  config.QueueSpec
		names  []string
		denied error
		want   string
	}{
		"a misspelt name, where the queues may be listed": {
			config.QueueSpec{Name: "sms-evnts"}, urls, nil,
			`queue "sms-evnts" does not exist in region eu-west-1 (sqs:GetQueueUrl answers QueueDoesNotExist): was it deleted, or is spec.queues[].name misspelt? Did you mean "sms-events"?`,
		},
		"a misspelt name, where they may not": {
			config.QueueSpec{Name: "sms-evnts"}, nil, &smithy.GenericAPIError{Code: "AccessDenied"},
			`queue "sms-evnts" does not exist in region eu-west-1 (sqs:GetQueueUrl answers QueueDoesNotExist): was it deleted, or is spec.queues[].name misspelt?`,
		},
		"a deleted queue is not taken for another one": {
			config.QueueSpec{Name: "sms-events"}, urls[1:], nil,
			`queue "sms-events" does not exist in region eu-west-1 (sqs:GetQueueUrl answers QueueDoesNotExist): was it deleted, or is spec.queues[].name misspelt?`,
		},
		"a url names the account": {
			config.QueueSpec{Name: "sms", URL: "https://sqs.eu-west-1.amazonaws.com/123456789012/sms"}, nil, nil,
			`queue "sms" does not exist in region eu-west-1, account 123456789012 (sqs:GetQueueAttributes answers QueueDoesNotExist): was it deleted, or is spec.queues[].url misspelt?`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			account := &queues{refusal: errNoQueue, names: tc.names, denied: tc.denied}
			m := NewMetrics(&cloudWatch{}, account, "eu-west-1")
			p := policy(config.SourceHybrid)
			p.Spec.Queues = []config.QueueSpec{tc.queue}
			for range 2 { // the queues are listed once
				_, err := m.Observe(t.Context(), p, time.Now())
				var missing *QueueMissingError
				if !errors.Is(err, ErrQueueMissing) || !errors.As(err, &missing) || missing.Queue != tc.queue.Name || !errors.Is(err, awsclient.ErrNotFound) {
					t.Fatalf("error is %v", err)
				}
				if missing.Error() != tc.want {
					t.Errorf("got  %s\nwant %s", missing, tc.want)
				}
			}
			if account.listed != 1 {
				t.Errorf("the queues were listed %d times, want once", account.listed)
			}
		})
	}
}

func TestADepthThatCannotBeReadSaysWhichQueueWhichCallAndHowOldItIs(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 5, 8, 0, 15, 0, time.UTC)
	throttled := &smithy.GenericAPIError{Code: "RequestThrottled", Message: "Rate exceeded"}
	for name, tc := range map[string]struct {
		before bool // it was read before
		field  string
		want   string
	}{
		"a queue that was read before": {
			true, fieldName,
			`read the depth of queues ["sms"]: SQS throttles sqs:GetQueueAttributes (RequestThrottled: Rate exceeded): this account makes too many of these calls; the program tries again. It was last read at 08:00:15 UTC; meanwhile the controller uses CloudWatch's counts, which are minutes old`,
		},
		"a dead-letter queue that never was": {
			false, fieldDeadLetter,
			`read the depth of queues ["sms"]: SQS throttles sqs:GetQueueUrl (RequestThrottled: Rate exceeded): this account makes too many of these calls; the program tries again. It was not read since this program started`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			account := &queues{visible: map[string]string{"sms": "1"}}
			d := newDepths(account, "us-east-1")
			if tc.before {
				if _, err := d.read(t.Context(), map[string]string{"sms": ""}, tc.field, at); err != nil {
					t.Fatal(err)
				}
			}
			account.refusal = throttled
			for tick := range 3 {
				_, err := d.read(t.Context(), map[string]string{"sms": ""}, tc.field, at.Add(time.Duration(tick+1)*15*time.Second))
				if !errors.Is(err, awsclient.ErrThrottled) || err.Error() != tc.want {
					t.Errorf("tick %d:\ngot  %v\nwant %s", tick, err, tc.want)
				}
			}
		})
	}
}

func TestTheStandInsMissingQueueIsOne(t *testing.T) {
	t.Parallel()
	door := httptest.NewServer(nil)
	t.Cleanup(door.Close)
	service := sqs.New(sqs.Options{Account: "123456789012", Region: "us-east-1", Endpoint: door.URL})
	door.Config.Handler = service
	client := awssqs.New(awssqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(door.URL), HTTPClient: door.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	if _, err := client.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("sms-events")}); err != nil {
		t.Fatal(err)
	}
	p := policy(config.SourceHybrid)
	p.Spec.Queues = []config.QueueSpec{{Name: "sms-event"}, {Name: "sms-events", DeadLetterQueue: "none"}}
	got, err := NewMetrics(&cloudWatch{}, client, "us-east-1").Observe(t.Context(), p, time.Now())
	if got["sms-events"].Visible == nil {
		t.Errorf("got %+v, want the queue that exists", got)
	}
	var names []string
	for _, missing := range MissingQueues(fmt.Errorf("observe: %w", err)) {
		names = append(names, missing.Queue)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"none", "sms-event"}) {
		t.Errorf("missing are %q, want both", names)
	}
	for _, want := range []string{`queue "sms-event" does not exist`, `Did you mean "sms-events"?`, `dead-letter queue "none" does not exist`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s in it", fmt.Sprint(err), want)
		}
	}
}
