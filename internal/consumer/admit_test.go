package consumer

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"time"
)

func TestWhileAProviderFailsOneMessageAtATimeIsReceivedAndTheOthersKeepTheirCount(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake(bodies(40)...)
		var open atomic.Bool
		open.Store(true)
		probe := make(chan time.Time, 1)
		probe <- time.Now()
		start(t, f, Options{Slots: 20, Handler: each(func(context.Context, Received) Outcome {
			if open.Load() {
				return Outcome{Action: Retry, After: 30 * time.Second}
			}
			return Outcome{}
		}), Admit: func(n int) (int, time.Duration) {
			if !open.Load() {
				return n, 0
			}
			select {
			case <-probe:
				return 1, 0
			default:
				return 0, time.Second
			}
		}})
		pass(9 * time.Second)
		if got := f.of("receive"); len(got) != 1 || got[0].asked != 1 {
			t.Errorf("got receives %+v, want one that asks for one message", got)
		}
		open.Store(false)
		pass(3 * time.Second)
		if left := f.left(); len(left) != 1 {
			t.Errorf("%d messages are left 3 s after the provider works again, want the one that waits", len(left))
		}
	})
}

func TestADrainDoesNotWaitForWhatIsNotAdmitted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFake(bodies(3)...)
		began := time.Now()
		c := New(Options{SQS: f, Handler: each(func(context.Context, Received) Outcome { return Outcome{} }), Admit: func(int) (int, time.Duration) {
			return 0, time.Hour
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it drained after %s", took)
		}
	})
}

func TestBusyAndOfferedSlotsAreCounted(t *testing.T) {
	near := func(got, want float64) bool { return math.Abs(got-want) <= 0.15*want+1 }
	inBubble(t, func(t *testing.T) {
		f := newFake(bodies(5)...)
		var stop atomic.Bool
		c := start(t, f, Options{Slots: 10, Handler: each(func(context.Context, Received) Outcome {
			time.Sleep(10 * time.Second)
			return Outcome{}
		}), Admit: func(n int) (int, time.Duration) {
			if stop.Load() {
				return 0, time.Second
			}
			return n, 0
		}})
		pass(5 * time.Second)
		if s := c.Stats(); !near(s.BusySeconds, 25) || !near(s.SlotSeconds, 50) {
			t.Errorf("five jobs that run for 5 s in ten slots: got %+v", s)
		}
		pass(55 * time.Second)
		if s := c.Stats(); !near(s.BusySeconds, 50) || !near(s.SlotSeconds, 600) {
			t.Errorf("five jobs that took 10 s, after a minute: got %+v", s)
		}
		stop.Store(true)
		pass(time.Minute)
		before := c.Stats().SlotSeconds
		pass(time.Minute)
		if s := c.Stats(); s.SlotSeconds != before {
			t.Errorf("slots are offered although nothing is admitted: %v, then %v", before, s.SlotSeconds)
		}
	})
}
