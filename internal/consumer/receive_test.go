package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAReceiveAsksOnlyForWhatCanStart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake(bodies(10)...)
		c := start(t, f, Options{Slots: 3, Handler: takes(time.Minute, Outcome{})})
		pass(50 * time.Second)
		if got := f.of("receive"); len(got) != 1 || got[0].asked != 3 || got[0].window != 60 {
			t.Errorf("receives while every slot is busy: got %+v, want one, for 3, with the window stated", got)
		}
		pass(4 * time.Minute)
		if left := f.left(); len(left) != 0 {
			t.Errorf("left %v", left)
		}
		c.stop()
	})
}

func TestAnIdleQueueCostsOnePoll(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake()
		start(t, f, Options{Slots: 80, StopTimeout: time.Minute, Handler: takes(0, Outcome{})})
		pass(199 * time.Second)
		if got := len(f.of("receive")); got != 10 {
			t.Errorf("receives in 200 s: got %d, want 10 of 20 s each", got)
		}
	})
}

func TestAServerThatDoesNotParkPollsIsNotStormed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake()
		c := New(Options{SQS: noParking{f}, Handler: takes(0, Outcome{})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_ = c.Run(ctx)
		if got := len(f.of("receive")); got > 61 {
			t.Errorf("receives in a minute: got %d, want about one a second", got)
		}
	})
}

func TestFullBatchesBringMorePollersInAndTheyLeaveAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake(bodies(60)...)
		f.latency = 100 * time.Millisecond
		start(t, f, Options{Slots: 40, StopTimeout: time.Minute, Handler: takes(10*time.Second, Outcome{})})
		pass(time.Second)
		if got := len(f.of("receive")); got != 4 {
			t.Errorf("receives for 40 slots: got %d, want 4", got)
		}
		pass(time.Minute)
		before := len(f.of("receive"))
		pass(40 * time.Second)
		if got := len(f.of("receive")) - before; got > 3 {
			t.Errorf("receives in 40 idle seconds: got %d, want those of one poller", got)
		}
	})
}

func TestASlowMessageHoldsUpNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake(bodies(30)...)
		slow := each(func(_ context.Context, r Received) Outcome {
			if r.Body == "m00" {
				time.Sleep(2 * time.Minute)
			}
			return Outcome{}
		})
		start(t, f, Options{Slots: 10, Handler: slow})
		pass(5 * time.Second)
		if left := f.left(); len(left) != 1 {
			t.Errorf("left %v, want only the slow one", left)
		}
	})
}

func TestAPollThatFailsIsRepeatedWithBackoffAndNeverEndsTheRun(t *testing.T) {
	for name, tc := range map[string]struct {
		err         error
		least, most int // calls in the first 60 s
		says        string
	}{
		"a broken connection":         {errors.New("connection refused"), 5, 60, "cannot receive"},
		"too many messages in flight": {apiError("OverLimit"), 5, 60, "cannot receive"},
		"credentials refused":         {apiError("InvalidClientTokenId"), 6, 7, "receiving is not allowed"},
		"a queue that is missing":     {apiError("QueueDoesNotExist"), 6, 7, "the queue does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake("m")
				for range 300 {
					f.fail["receive"] = append(f.fail["receive"], tc.err)
				}
				c := start(t, f, Options{Slots: 80, Handler: takes(0, Outcome{})})
				pass(time.Minute)
				if got := len(f.of("receive")); got < tc.least || got > tc.most {
					t.Errorf("receives in a minute: got %d, want %d to %d", got, tc.least, tc.most)
				}
				if !strings.Contains(c.log.String(), tc.says) {
					t.Errorf("the log does not say %q:\n%s", tc.says, c.log)
				}
				f.mu.Lock()
				f.fail["receive"] = nil
				f.mu.Unlock()
				pass(11 * time.Second)
				if left := f.left(); len(left) != 0 {
					t.Errorf("left %v after the failure was over", left)
				}
			})
		})
	}
}

func TestAPauseStopsReceivingForTheLongestThatWasAsked(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake("long", "short", "working")
		var mu sync.Mutex
		ended := map[string]time.Duration{}
		start(t, f, Options{Slots: 3, Handler: each(func(ctx context.Context, r Received) Outcome {
			switch {
			case r.ReceiveCount > 1:
			case r.Body == "long":
				return Outcome{Action: HandBack, Pause: time.Minute}
			case r.Body == "short":
				time.Sleep(time.Second)
				return Outcome{Action: HandBack, Pause: 10 * time.Second}
			default:
				time.Sleep(30 * time.Second)
			}
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() == nil {
				ended[r.Body] = time.Since(epoch)
			}
			return Outcome{}
		})})
		pass(59 * time.Second)
		if got := len(f.of("receive")); got != 1 {
			t.Errorf("receives during the pause: got %d, want only the one before it", got)
		}
		pass(2 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(ended) != 3 || ended["working"] != 30*time.Second {
			t.Errorf("ended at %v, want all, and the one at work undisturbed at 30s", ended)
		}
	})
}

func TestUntilEmptyEndsWhenNothingIsLeftAnywhere(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(f *fakeSQS)
		handler Handler
		least   time.Duration
	}{
		"an empty queue":             {prepare: func(*fakeSQS) {}, handler: takes(0, Outcome{})},
		"what is here is finished":   {prepare: func(f *fakeSQS) { f.put("m") }, handler: takes(40*time.Second, Outcome{}), least: 40 * time.Second},
		"another worker holds one":   {prepare: func(f *fakeSQS) { f.put("m"); f.messages[0].visibleAt = epoch.Add(time.Minute) }, handler: takes(0, Outcome{}), least: time.Minute},
		"a retry is waited for":      {prepare: func(f *fakeSQS) { f.put("m") }, handler: retryOnce(90 * time.Second), least: 90 * time.Second},
		"counts that cannot be read": {prepare: func(f *fakeSQS) { f.fail["attributes"] = []error{apiError("x"), apiError("x")} }, handler: takes(0, Outcome{}), least: 3 * time.Second},
		"more pollers than one": {prepare: func(f *fakeSQS) {
			for _, b := range bodies(95) {
				f.put(b)
			}
		}, handler: takes(3*time.Second, Outcome{}), least: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFake()
				tc.prepare(f)
				c := start(t, f, Options{Slots: 40, UntilEmpty: true, Handler: tc.handler})
				<-c.done
				if took := time.Since(epoch); took < tc.least || took > tc.least+10*time.Second {
					t.Errorf("took %v, want %v and a little", took, tc.least)
				}
				if left := f.left(); len(left) != 0 {
					t.Errorf("left %v", left)
				}
			})
		})
	}
}

func retryOnce(after time.Duration) each {
	return func(_ context.Context, r Received) Outcome {
		if r.ReceiveCount == 1 {
			return Outcome{Action: Retry, After: after}
		}
		return Outcome{}
	}
}

func TestAPausedQueueHoldsUpNoOther(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		paused, other := newFake(bodies(20)...), newFake()
		start(t, paused, Options{Handler: takes(0, Outcome{Action: HandBack, Pause: time.Hour})})
		start(t, other, Options{Handler: takes(0, Outcome{})})
		pass(time.Minute)
		other.put("m")
		pass(time.Second)
		if left := other.left(); len(left) != 0 {
			t.Errorf("%v wait behind another queue's pause", left)
		}
	})
}

func TestReceivesAreCountedWhereTheServerDoesNotSay(t *testing.T) {
	for _, mute := range []bool{false, true} {
		inBubble(t, func(t *testing.T) {
			f := newFake("m")
			f.mute = mute
			f.policy = `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:dlq","maxReceiveCount":4}`
			var got []string
			start(t, f, Options{Handler: each(func(_ context.Context, r Received) Outcome {
				got = append(got, fmt.Sprint(r.ReceiveCount, r.LastReceives(), r.Uncounted))
				return Outcome{Action: []Action{Retry, Retry, Delete}[r.ReceiveCount-1], After: time.Second}
			})})
			pass(time.Minute)
			if want := fmt.Sprintf("1 false %[1]t, 2 false %[1]t, 3 true %[1]t", mute); strings.Join(got, ", ") != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestCountsOfReceivesAreForgottenInTime(t *testing.T) {
	t.Parallel()
	r := receives{}
	for i := range 5 * mostCounted / 2 {
		if n := r.one("often"); n != i+1 {
			t.Fatalf("the %d. time is counted as the %d.", i+1, n)
		}
		r.one(strconv.Itoa(i))
	}
	if kept := len(r.now) + len(r.before); kept > 2*mostCounted {
		t.Errorf("%d are kept", kept)
	}
	if n := r.one("0"); n != 1 {
		t.Errorf("one of long ago is counted as the %d.", n)
	}
}
