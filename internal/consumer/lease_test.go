package consumer

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func TestAMessageStaysInvisibleFromItsReceiptOn(t *testing.T) {
	for name, slow := range map[string]Handler{
		"while its job runs": takes(4*time.Minute, Outcome{}),
		"while it waits in Prepare": prepare(func(ctx context.Context, batch []Received) []Job {
			time.Sleep(4 * time.Minute)
			return takes(0, Outcome{}).Prepare(ctx, batch)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake(bodies(25)...)
				c := start(t, f, Options{Slots: 30, VisibilityTimeout: 30 * time.Second, Handler: slow})
				pass(3 * time.Minute)
				for _, call := range f.of("visibility") {
					if len(call.handles) > 10 || call.seconds[0] != 30 {
						t.Fatalf("heartbeat %+v, want at most ten entries with the whole window", call)
					}
				}
				pass(2 * time.Minute)
				if s := c.Stats(); s.Received != 25 || s.Deleted != 25 || s.LeasesLost != 0 {
					t.Errorf("got %+v, want 25 received once and deleted", s)
				}
			})
		})
	}
}

func TestAHeartbeatThatFailsForNowIsRepeatedBeforeTheWindowEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("m")
		f.fail["visibility"] = []error{errors.New("reset"), errors.New("reset")}
		f.failPart["visibility"] = []types.BatchResultErrorEntry{{Code: aws.String("InternalError")}}
		c := start(t, f, Options{VisibilityTimeout: 30 * time.Second, Handler: takes(2*time.Minute, Outcome{})})
		pass(3 * time.Minute)
		if s := c.Stats(); s.Received != 1 || s.Deleted != 1 || s.LeasesLost != 0 {
			t.Errorf("got %+v, want one received once and deleted", s)
		}
	})
}

func TestALostLeaseEndsTheJobAndLeavesTheMessageToItsNextOwner(t *testing.T) {
	for _, code := range []string{"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue", "AWS.SimpleQueueService.MessageNotInflight"} {
		t.Run(code, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake("m")
				f.failPart["visibility"] = []types.BatchResultErrorEntry{{Code: &code, SenderFault: true}}
				var cause error
				c := start(t, f, Options{VisibilityTimeout: 30 * time.Second, Handler: each(func(ctx context.Context, r Received) Outcome {
					if r.ReceiveCount > 1 {
						return Outcome{}
					}
					<-ctx.Done()
					cause = context.Cause(ctx)
					return Outcome{Action: Retry, After: time.Hour}
				})})
				pass(29 * time.Second)
				if !errors.Is(cause, errLeaseLost) {
					t.Errorf("cause %v, want %v", cause, errLeaseLost)
				}
				if got := f.of("visibility"); len(got) != 1 {
					t.Errorf("visibility calls: got %+v, want only the heartbeat", got)
				}
				pass(10 * time.Second)
				if s := c.Stats(); s.Deleted != 1 || s.LeasesLost != 1 || s.Retried != 0 {
					t.Errorf("got %+v, want it deleted when it came again", s)
				}
			})
		})
	}
}

func TestHeartbeatsThatNeverSucceedLoseTheLease(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("m")
		f.refuse = func(string, string) *types.BatchResultErrorEntry {
			return &types.BatchResultErrorEntry{Code: aws.String("InternalError")}
		}
		var at atomic.Int64
		start(t, f, Options{Slots: 1, VisibilityTimeout: 30 * time.Second, Handler: each(func(ctx context.Context, _ Received) Outcome {
			<-ctx.Done()
			at.CompareAndSwap(0, int64(time.Since(epoch)))
			return Outcome{Action: Retry}
		})})
		pass(40 * time.Second)
		if got := time.Duration(at.Load()); got < 30*time.Second || got > 33*time.Second {
			t.Errorf("context ended at %v, want at the window's end", got)
		}
	})
}

func TestNoMessageIsHeldLongerThanMaxHold(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("m")
		release := make(chan struct{})
		var cause error
		c := start(t, f, Options{Slots: 1, MaxHold: 2 * time.Minute, VisibilityTimeout: 30 * time.Second, Handler: each(func(ctx context.Context, _ Received) Outcome {
			<-ctx.Done()
			cause = context.Cause(ctx)
			<-release
			return Outcome{}
		})})
		pass(109 * time.Second)
		if !errors.Is(cause, errHeldLong) {
			t.Errorf("cause %v at 109 s, want %v", cause, errHeldLong)
		}
		if end := f.visibleIn("m"); end > 12*time.Second {
			t.Errorf("invisible for another %v, want no longer than MaxHold", end)
		}
		close(release)
		pass(time.Second)
		if s := c.Stats(); s.Deleted != 1 {
			t.Errorf("got %+v, want it deleted", s)
		}
	})
}

func TestAStuckJobIsReportedAndItsSlotServesOthersButItsMessageIsNotRunTwice(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("stuck")
		release := make(chan struct{})
		var runs atomic.Int32
		c := start(t, f, Options{Slots: 1, MaxHold: time.Minute, VisibilityTimeout: 30 * time.Second, Handler: each(func(_ context.Context, r Received) Outcome {
			if r.Body == "stuck" {
				runs.Add(1)
				<-release
			}
			return Outcome{}
		})})
		pass(80 * time.Second)
		if !strings.Contains(c.log.String(), "a job ignores that its context ended") || c.Stats().Stuck != 1 {
			t.Errorf("got %+v and the log\n%s", c.Stats(), c.log)
		}
		f.put("other")
		pass(2 * time.Minute)
		if got := f.left(); len(got) != 1 || got[0] != "stuck" {
			t.Errorf("left %v, want the other done", got)
		}
		close(release)
		pass(time.Second)
		if runs.Load() != 1 || len(f.left()) != 0 {
			t.Errorf("ran %d times with %v left; want once, and deleted under the newest handle", runs.Load(), f.left())
		}
	})
}

func TestAMessageThatComesAgainWhileItIsHeldIsDeletedUnderTheNewerHandle(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("m")
		var runs atomic.Int32
		c := start(t, f, Options{Handler: each(func(context.Context, Received) Outcome {
			runs.Add(1)
			time.Sleep(30 * time.Second)
			return Outcome{}
		})})
		pass(5 * time.Second)
		f.mu.Lock()
		f.messages[0].visibleAt = time.Now() // at least once, says SQS
		f.mu.Unlock()
		pass(40 * time.Second)
		if s := c.Stats(); runs.Load() != 1 || s.Received != 2 || s.Deleted != 1 || len(f.left()) != 0 {
			t.Errorf("ran %d times, got %+v, left %v", runs.Load(), s, f.left())
		}
	})
}
