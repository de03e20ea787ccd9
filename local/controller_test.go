package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a supervisor whose controller runs for each of the times, one after
// the other, and then until it is stopped.
func fake(times ...time.Duration) (s *supervisor, out *bytes.Buffer, starts *[]time.Duration) {
	out, starts = &bytes.Buffer{}, &[]time.Duration{}
	began := time.Now()
	s = &supervisor{log: "controller.log", out: out, tail: &tail{}}
	s.run = func(ctx context.Context) error {
		*starts = append(*starts, time.Since(began))
		s.tail.add([]byte("controller: policy.yaml:5:3: spec.maxTasks is missing"))
		if len(*starts) > len(times) {
			<-ctx.Done()
			return ctx.Err()
		}
		time.Sleep(times[len(*starts)-1])
		return errors.New("exit status 2")
	}
	return s, out, starts
}

func TestAControllerThatKeepsDyingIsStartedAgainEverMoreSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, out, starts := fake(make([]time.Duration, 7)...)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := s.supervise(ctx); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(*starts); got != "[0s 1s 3s 7s 15s 31s 1m1s 1m31s]" {
			t.Errorf("started at %s", got)
		}
		said := strings.Split(strings.TrimSpace(out.String()), "\n")
		for i, want := range []string{
			"controller: ended with exit status 2 after 0s; starts again in 1s. The end of its log, controller.log:",
			"  controller: policy.yaml:5:3: spec.maxTasks is missing",
			"controller: down for 1s, ended with exit status 2 again; starts again in 2s. It says: controller: policy.yaml:5:3: spec.maxTasks is missing",
		} {
			if said[i] != want {
				t.Errorf("line %d: said %q, want %q", i+1, said[i], want)
			}
		}
		if got, want := said[len(said)-1], "controller: up again after 1m34s"; got != want {
			t.Errorf("at last it said %q, want %q", got, want)
		}
	})
}

func TestAControllerThatRanForLongIsStartedAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, starts := fake(0, 0, time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		if err := s.supervise(ctx); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(*starts); got != "[0s 1s 3s 1h0m4s]" {
			t.Errorf("started at %s", got)
		}
	})
}

func TestTheStatusSaysSoUntilTheControllerHasSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := fake(10 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.supervise(ctx) }()
		for _, step := range []struct {
			wait time.Duration
			want string
		}{
			{9 * time.Second, ""},
			{1500 * time.Millisecond, "controller: down for 1s, restarting"},
			{2 * time.Second, "controller: down for 3s, restarting"}, // it runs, but has not settled
			{2 * time.Second, ""},
		} {
			time.Sleep(step.wait)
			synctest.Wait()
			if got := s.status(); got != step.want {
				t.Errorf("got %q, want %q", got, step.want)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAControllerThatCanNeverStartEndsTheSystem(t *testing.T) {
	s := newSupervisor("/no/such/program", nil, t.TempDir()+"/controller.log", &bytes.Buffer{}, func([]byte) error { return nil })
	if err := s.supervise(t.Context()); !errors.Is(err, errNeverStarts) || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("got %v, want an error that names the program", err)
	}
}
