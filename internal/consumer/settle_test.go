package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func TestALoneDeleteWaitsNoLongerThanTheLinger(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("m")
		start(t, f, Options{Handler: takes(time.Second, Outcome{})})
		pass(2 * time.Second)
		if got := f.of("delete"); len(got) != 1 || got[0].at > time.Second+linger {
			t.Errorf("deletes %+v, want one within %v of the job's end", got, linger)
		}
	})
}

func TestTenDeletesGoAtOnceInOneCall(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake(bodies(10)...)
		start(t, f, Options{Handler: takes(time.Second, Outcome{})})
		pass(2 * time.Second)
		if got := f.of("delete"); len(got) != 1 || len(got[0].handles) != 10 || got[0].at != time.Second {
			t.Errorf("deletes %+v, want one of ten without waiting", got)
		}
	})
}

func TestOnlyTheFailedEntriesOfABatchAreRepeated(t *testing.T) {
	internal := types.BatchResultErrorEntry{Code: aws.String("InternalError")}
	invalid := types.BatchResultErrorEntry{Code: aws.String("ReceiptHandleIsInvalid"), SenderFault: true}
	for name, tc := range map[string]struct {
		parts []types.BatchResultErrorEntry
		calls []error
		want  []int // entries of each call
		left  int
	}{
		"none failed":               {want: []int{5}},
		"two failed":                {parts: []types.BatchResultErrorEntry{internal, internal}, want: []int{5, 2}},
		"our fault is not repeated": {parts: []types.BatchResultErrorEntry{invalid, internal}, want: []int{5, 1}, left: 1},
		"the whole call failed":     {calls: []error{errors.New("reset")}, want: []int{5, 5}},
		"it fails again and again":  {calls: slices.Repeat([]error{errors.New("reset")}, 4), want: []int{5, 5, 5, 5}, left: 5},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake(bodies(5)...)
				f.failPart["delete"], f.fail["delete"] = tc.parts, tc.calls
				c := start(t, f, Options{Handler: takes(0, Outcome{})})
				pass(5 * time.Second)
				var got []int
				for _, call := range f.of("delete") {
					got = append(got, len(call.handles))
				}
				if !slices.Equal(got, tc.want) || len(f.left()) != tc.left || c.Stats().DeletesFailed != tc.left {
					t.Errorf("calls of %v, left %d, failed %d; want %v, %d", got, len(f.left()), c.Stats().DeletesFailed, tc.want, tc.left)
				}
			})
		})
	}
}

func TestABatchHoldsNoHandleTwice(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake()
		c := New(Options{SQS: f, Queue: Queue{URL: "https://queue/events"}})
		for range 2 {
			go func() { _ = c.deletes.add(t.Context(), &entry{handle: "same"}) }()
		}
		pass(time.Second)
		if got := f.of("delete"); len(got) != 2 || len(got[0].handles) != 1 || len(got[1].handles) != 1 {
			t.Errorf("deletes %+v, want two calls of one", got)
		}
	})
}

func TestAnOutcomeSetsWhenTheMessageComesAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		outcome     Outcome
		least, most time.Duration
	}{
		"retry waits as long as it says":      {Outcome{Action: Retry, After: 90 * time.Second}, 85 * time.Second, 90 * time.Second},
		"retry is capped at SQS's 12 h":       {Outcome{Action: Retry, After: 24 * time.Hour}, 11 * time.Hour, 12 * time.Hour},
		"handed back is visible at once":      {Outcome{Action: HandBack, Pause: time.Hour}, 0, 0},
		"an action that there is not retries": {Outcome{Action: 17, Pause: time.Hour}, -5 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake("m")
				start(t, f, Options{Handler: takes(25*time.Second, tc.outcome)})
				pass(26 * time.Second)
				calls := f.of("visibility")
				set := time.Duration(calls[len(calls)-1].seconds[0]) * time.Second
				if len(f.left()) != 1 || set < tc.least || set > tc.most {
					t.Errorf("visible in %v with %v left, want %v to %v", set, f.left(), tc.least, tc.most)
				}
			})
		})
	}
}

func TestAPanicIsLoggedWithoutBodiesAndItsMessageRetried(t *testing.T) {
	const secret = "call +14155550123"
	for name, broken := range map[string]Handler{
		"in a job":                 each(func(_ context.Context, r Received) Outcome { panic(r.Body) }),
		"in a job, as an error":    each(func(_ context.Context, r Received) Outcome { panic(errors.New(r.Body)) }),
		"in a job, by the runtime": each(func(_ context.Context, r Received) Outcome { return []Outcome{}[r.ReceiveCount] }),
		"in Prepare":               prepare(func(_ context.Context, b []Received) []Job { panic(fmt.Sprint(b)) }),
		"too few jobs":             prepare(func(context.Context, []Received) []Job { return nil }),
		"a nil job":                prepare(func(context.Context, []Received) []Job { return []Job{nil} }),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake(secret)
				c := start(t, f, Options{Handler: broken})
				pass(500 * time.Millisecond)
				if wait := f.visibleIn(secret); wait <= 0 || wait > 2*time.Second {
					t.Errorf("comes again in %v, want within 2 s", wait)
				}
				pass(time.Hour)
				if n := len(f.of("receive")); n > 800 {
					t.Errorf("%d receives in an hour", n)
				}
				if s := c.Stats(); s.Failed < 5 || s.Failed > 20 || s.Deleted != 0 {
					t.Errorf("got %+v, want a few failures, ever rarer", s)
				}
				log := c.log.String()
				if strings.Contains(log, "4155550123") || !strings.Contains(log, "level=ERROR") {
					t.Errorf("the log shows the body, or nothing:\n%s", log)
				}
				if strings.HasPrefix(name, "in a job") && !strings.Contains(log, "settle_test.go") {
					t.Errorf("the log has no stack:\n%s", log)
				}
			})
		})
	}
}

func TestTheSummaryTellsWhatWasDoneOnceASecondAtMost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake(bodies(20)...)
		c := start(t, f, Options{Slots: 10, Handler: each(func(_ context.Context, r Received) Outcome {
			time.Sleep(1400 * time.Millisecond)
			return Outcome{Failed: r.Body == "m07"}
		})})
		pass(time.Minute)
		f.put("last")
		pass(1500 * time.Millisecond)
		c.stop()
		log := c.log.String()
		for phrase, want := range map[string]int{"Processed 10, Failed 1, Deleted 10": 1, "Processed 10, Failed 0, Deleted 10": 1, "Processed 1, Failed 0, Deleted 1": 1, `msg="Processed `: 3} {
			if got := strings.Count(log, phrase); got != want {
				t.Errorf("%q stands %d times, want %d, in\n%s", phrase, got, want, log)
			}
		}
	})
}

func TestStatsSayHowLongTheOldestHasWaited(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("m")
		c := start(t, f, Options{Handler: takes(time.Minute, Outcome{})})
		pass(30 * time.Second)
		if s := c.Stats(); s.InFlight != 1 || s.OldestWaiting != 30*time.Second {
			t.Errorf("got %+v", s)
		}
		pass(time.Minute)
		if s := c.Stats(); s.InFlight != 0 || s.OldestWaiting != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

// slowAnswers obeys a change of visibility long before it says so.
type slowAnswers struct{ *fakeSQS }

func (s slowAnswers) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	out, err := s.fakeSQS.ChangeMessageVisibilityBatch(ctx, in, o...)
	time.Sleep(3 * time.Second)
	return out, err
}

func TestAMessageThatComesBackBeforeItsHandBackIsAnsweredIsWorkedOnAnew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("m")
		c := New(Options{SQS: slowAnswers{f}, UntilEmpty: true, Handler: each(func(_ context.Context, r Received) Outcome {
			if r.ReceiveCount == 1 {
				return Outcome{Action: HandBack}
			}
			time.Sleep(time.Second)
			return Outcome{}
		})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_ = c.Run(ctx)
		if s := c.Stats(); s.Received != 2 || s.HandedBack != 1 || s.Deleted != 1 || len(f.left()) != 0 {
			t.Errorf("got %+v, left %v; want it received twice, handed back once", s, f.left())
		}
	})
}

// lateDeletes obeys a delete only after a while.
type lateDeletes struct{ *fakeSQS }

func (l lateDeletes) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	time.Sleep(3 * time.Second)
	return l.fakeSQS.DeleteMessageBatch(ctx, in, o...)
}

func TestAMessageThatComesAgainWhileItIsBeingDeletedIsDeletedToo(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("m")
		var runs atomic.Int32
		c := New(Options{SQS: lateDeletes{f}, Handler: each(func(context.Context, Received) Outcome { runs.Add(1); return Outcome{} })})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		time.AfterFunc(time.Second, func() {
			f.mu.Lock()
			f.messages[0].visibleAt = time.Now()
			f.mu.Unlock()
			f.put("another") // wakes the poll
		})
		_ = c.Run(ctx)
		if s := c.Stats(); runs.Load() != 2 || s.Received != 3 || len(f.left()) != 0 {
			t.Errorf("ran %d, got %+v, left %v; want one run each", runs.Load(), s, f.left())
		}
	})
}

func TestStatsCountWhatWaitsForCredentials(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake(bodies(3)...)
		refused := 0
		c := start(t, f, Options{Slots: 1, Handler: each(func(context.Context, Received) Outcome {
			if refused == 2 {
				return Outcome{}
			}
			refused++
			return Outcome{Action: HandBack, Failed: true, Refused: true, Pause: 30 * time.Second}
		})})
		pass(20 * time.Second)
		if got := c.Stats(); got.Refused != 1 || got.Received != 1 {
			t.Errorf("in the first pause: %d refused of %d received", got.Refused, got.Received)
		}
		pass(2 * time.Minute)
		if got := c.Stats(); got.Refused != 2 || got.Deleted != 3 || len(f.left()) != 0 {
			t.Errorf("got %+v", got)
		}
	})
}
