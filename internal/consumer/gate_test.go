package consumer

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestPitfall16NothingIsReceivedWhileTheDatabaseIsDown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake(bodies(3)...)
		var down atomic.Bool
		var asked atomic.Int32
		down.Store(true)
		work := func(context.Context, Received) Outcome {
			if down.Load() {
				return Outcome{Action: Retry, After: 10 * time.Second, Pause: 10 * time.Second, Gate: true}
			}
			return Outcome{}
		}
		start(t, f, Options{Slots: 10, Handler: each(work), Ready: func(context.Context) error {
			asked.Add(1)
			if down.Load() {
				return errors.New("no database")
			}
			return nil
		}})
		pass(10 * time.Minute)
		if got := f.of("receive"); len(got) != 1 {
			t.Errorf("%d receives in ten minutes without a database, want one", len(got))
		}
		if n := asked.Load(); n < 100 || n > 500 {
			t.Errorf("asked %d times whether it is back, want each few seconds", n)
		}
		down.Store(false)
		pass(time.Minute)
		if left := f.left(); len(left) != 0 {
			t.Errorf("%v are left when it is back", left)
		}
	})
}

func TestTheHandlerKnowsHowOftenAMessageMayCome(t *testing.T) {
	for policy, want := range map[string]int{
		`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:dlq","maxReceiveCount":5}`:   5,
		`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:dlq","maxReceiveCount":"7"}`: 7,
		``: 0,
	} {
		inBubble(t, func(t *testing.T) {
			f := newFake()
			f.policy = policy
			var got atomic.Int32
			got.Store(-1)
			start(t, f, Options{Handler: each(func(_ context.Context, r Received) Outcome {
				got.Store(int32(r.MaxReceives))
				return Outcome{}
			})})
			pass(time.Second)
			f.put("m")
			pass(time.Minute)
			if int(got.Load()) != want {
				t.Errorf("policy %s: got %d, want %d", policy, got.Load(), want)
			}
		})
	}
}
