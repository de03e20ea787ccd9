package consumer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// noParking answers every poll at once.
type noParking struct{ *fakeSQS }

func (n noParking) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, options ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	in.WaitTimeSeconds = 0
	return n.fakeSQS.ReceiveMessage(ctx, in, options...)
}

func TestADrainFlushesTheDeletesThatWait(t *testing.T) {
	for n := 1; n <= 9; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake(bodies(n)...)
				c := start(t, f, Options{Handler: takes(time.Second, Outcome{})})
				pass(time.Second + linger/2)
				if len(f.of("delete")) != 0 {
					t.Fatal("the deletes do not wait")
				}
				c.stop()
				if left := f.left(); len(left) != 0 {
					t.Errorf("left %v", left)
				}
			})
		})
	}
}

func TestADrainLetsTheParkedPollEndAndHandsBackWhatItBrings(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake()
		var ran atomic.Int32
		c := start(t, f, Options{StopTimeout: 30 * time.Second, Handler: each(func(context.Context, Received) Outcome { ran.Add(1); return Outcome{} })})
		pass(2 * time.Second)
		c.end()
		pass(3 * time.Second)
		f.put("late")
		<-c.done
		if got := f.of("receive"); len(got) != 1 || got[0].wait != 20 || got[0].got != 1 {
			t.Errorf("receives %+v, want the one, parked for as long as the budget allows", got)
		}
		if in := f.visibleIn("late"); in > 0 || ran.Load() != 0 || c.Stats().HandedBack != 1 {
			t.Errorf("visible in %v, ran %d, got %+v; want it handed back", in, ran.Load(), c.Stats())
		}
		if took := time.Since(epoch); took > 6*time.Second {
			t.Errorf("drained at %v, want as soon as nothing is held", took)
		}
	})
}

func TestADrainLetsJobsFinishAndThenEndsTheirContexts(t *testing.T) {
	for name, tc := range map[string]struct {
		job   each
		ended time.Duration // when Run returns, with a budget of 20 s from 1 s on
		left  int
		says  string
	}{
		"a job that ends in time is settled": {job: takes(10*time.Second, Outcome{}), ended: 10 * time.Second},
		"a job that obeys is handed back": {job: func(ctx context.Context, _ Received) Outcome {
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), errStopping) {
				return Outcome{}
			}
			return Outcome{Action: HandBack}
		}, ended: 16 * time.Second, left: 1},
		"a job that ends after its context's end is settled": {job: takes(18*time.Second, Outcome{}), ended: 18 * time.Second},
		"a job that obeys nothing is left to the visibility timeout": {job: takes(time.Hour, Outcome{}), ended: 19 * time.Second, left: 1,
			says: "a job ignores that its context ended"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake("m")
				c := start(t, f, Options{Slots: 1, StopTimeout: 20 * time.Second, Handler: tc.job})
				pass(time.Second)
				c.stop()
				if took := time.Since(epoch); took < tc.ended || took > tc.ended+100*time.Millisecond {
					t.Errorf("drained at %v, want %v", took, tc.ended)
				}
				if got := len(f.left()); got != tc.left || !strings.Contains(c.log.String(), tc.says) {
					t.Errorf("left %d, want %d, and the log to say %q:\n%s", got, tc.left, tc.says, c.log)
				}
				if strings.Contains(name, "handed back") && f.visibleIn("m") > 0 {
					t.Errorf("visible in %v, want at once", f.visibleIn("m"))
				}
				time.Sleep(time.Hour) // let the one that obeys nothing end
			})
		})
	}
}

func TestADrainThatSQSDoesNotAnswerEndsWithItsBudget(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("m")
		c := start(t, f, Options{Slots: 1, StopTimeout: 20 * time.Second, Handler: takes(2*time.Second, Outcome{})})
		pass(time.Second)
		for range 1000 {
			f.fail["delete"] = append(f.fail["delete"], errors.New("reset"))
		}
		c.stop()
		if took := time.Since(epoch); took > 21*time.Second || c.Stats().DeletesFailed != 1 {
			t.Errorf("drained at %v with %+v", took, c.Stats())
		}
	})
}
