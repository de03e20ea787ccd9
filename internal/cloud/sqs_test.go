package cloud

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// partly is SQS whose queues named slow… do not answer.
type partly struct{ queues }

func (p *partly) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, o ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	if strings.HasPrefix(*in.QueueUrl, "slow") {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return p.queues.GetQueueAttributes(ctx, in, o...)
}

func TestManyQueuesThatDoNotAnswerKeepNoOtherFromBeingRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, visible := map[string]string{}, map[string]string{}
		for i := range 30 {
			asked[fmt.Sprint("slow", i)], asked[fmt.Sprint("fine", i)] = "", ""
			visible[fmt.Sprint("fine", i)] = "1"
		}
		bounded, cancel := context.WithTimeout(t.Context(), 10*time.Second) // as the loop's
		defer cancel()
		found, err := newDepths(&partly{queues{visible: visible}}, "us-east-1").read(bounded, asked, fieldName, time.Now())
		if len(found) != 30 || err == nil || strings.Count(err.Error(), "no answer to sqs:GetQueueAttributes in time") != 1 {
			t.Errorf("read %d of the 30 that answer, error %v", len(found), err)
		}
	})
}
