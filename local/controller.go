package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// stopBound is how long the controller may take to stop.
	stopBound = 10 * time.Second

	firstRestart   = time.Second
	longestRestart = 30 * time.Second
	// settledAfter is how long the controller must run to count as up: one that
	// refuses its policy ends sooner.
	settledAfter = 3 * time.Second
	tailLines    = 10
)

// A supervisor runs the controller and starts it again when it ends, as ECS
// does: after 1, 2, 4 … 30 s. It says at once what happened.
type supervisor struct {
	// run runs the controller until it ends or ctx does. errNeverStarts is final.
	run func(ctx context.Context) error
	log string // the path of the controller's log
	out io.Writer
	// tail is what the controller logged last.
	tail *tail

	mu    sync.Mutex
	since time.Time // when the controller went down; zero: it is up, or starts for the first time
	said  string    // what was said of its last end
}

// errNeverStarts says that there is no program to start.
var errNeverStarts = errors.New("start the controller")

// supervise returns when ctx ends and the controller has stopped, or when the
// controller can never start.
func (s *supervisor) supervise(ctx context.Context) error {
	for delay := firstRestart; ctx.Err() == nil; delay = min(2*delay, longestRestart) {
		began := time.Now()
		s.tail.reset()
		err := s.runOnce(ctx)
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errNeverStarts) {
			return err
		}
		if time.Since(began) >= longestRestart {
			delay = firstRestart
		}
		s.sayDown(err, time.Since(began), delay)
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
	return nil //nolint:nilerr // the controller was asked to end: how it did is no matter
}

// runOnce runs the controller once, and says so when it is up again.
func (s *supervisor) runOnce(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	settled := time.NewTimer(settledAfter)
	defer settled.Stop()
	select {
	case err := <-ended:
		return err
	case <-settled.C:
	}
	s.sayUp()
	return <-ended
}

func (s *supervisor) sayUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() {
		_, _ = fmt.Fprintf(s.out, "controller: up again after %s\n", time.Since(s.since).Round(time.Second))
	}
	s.since, s.said = time.Time{}, ""
}

// sayDown tells how the controller ended. The first time it shows the end of
// the log, then the last line alone while that stays the same.
func (s *supervisor) sayDown(err error, ran, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		s.since = time.Now()
	}
	status, lines := "exit status 0", s.tail.lines()
	if err != nil {
		status = err.Error()
	}
	last := ""
	if len(lines) > 0 {
		last = lines[len(lines)-1]
	}
	if said := status + last; said != s.said {
		s.said = said
		_, _ = fmt.Fprintf(s.out, "controller: ended with %s after %s; starts again in %s. The end of its log, %s:\n", status, ran.Round(100*time.Millisecond), delay, s.log)
		for _, line := range lines {
			_, _ = fmt.Fprintf(s.out, "  %s\n", line)
		}
		return
	}
	_, _ = fmt.Fprintf(s.out, "controller: down for %s, ended with %s again; starts again in %s. It says: %s\n", time.Since(s.since).Round(time.Second), status, delay, last)
}

// status is what the status line adds while the controller is down; empty: it
// is up.
func (s *supervisor) status() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return ""
	}
	return fmt.Sprintf("controller: down for %s, restarting", time.Since(s.since).Round(time.Second))
}

// newSupervisor runs program. Its log goes to a file, and each line to ingest.
func newSupervisor(program string, env []string, logPath string, out io.Writer, ingest func([]byte) error) *supervisor {
	s := &supervisor{log: logPath, out: out, tail: &tail{}}
	s.run = func(ctx context.Context) error {
		return runController(ctx, program, env, logPath, func(line []byte) error {
			s.tail.add(line)
			return ingest(line)
		})
	}
	return s
}

// runController runs the controller until it ends or ctx does. The error is how
// it ended: "exit status 2", "signal: killed".
func runController(ctx context.Context, program string, env []string, logPath string, each func([]byte) error) error {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", errNeverStarts, err)
	}
	defer func() { _ = log.Close() }()
	command := exec.CommandContext(ctx, program, "run")
	lines := &tee{to: log, each: each}
	command.Env, command.Stdout, command.Stderr = env, lines, lines
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // Ctrl-C reaches this process alone, which stops the others in order
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopBound
	runtime.LockOSThread() // the death signal comes when the starting thread ends: prctl(2)
	defer runtime.UnlockOSThread()
	if err := command.Start(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", errNeverStarts, err)
	}
	return command.Wait() // what ended before it started is an error, too
}

// maxLine bounds what a tee keeps of a line that doesn't end.
const maxLine = 1 << 20

// A tee writes on, and hands over each line. What a line is good for is not
// the writer's concern: a refused one is written all the same.
type tee struct {
	to   io.Writer
	each func([]byte) error
	line []byte
}

func (t *tee) Write(text []byte) (int, error) {
	for rest := text; len(rest) > 0; {
		part, after, ended := bytes.Cut(rest, []byte("\n"))
		rest = after
		if len(t.line)+len(part) <= maxLine {
			t.line = append(t.line, part...)
		}
		if ended {
			_ = t.each(t.line)
			t.line = t.line[:0]
		}
	}
	return t.to.Write(text)
}

// A tail keeps the last lines of a log, the long ones cut. Its methods may be
// called concurrently.
type tail struct {
	mu   sync.Mutex
	kept []string
}

func (t *tail) add(line []byte) {
	const longest = 500
	text := strings.ToValidUTF8(string(line[:min(len(line), longest)]), "")
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, text)
	t.kept = t.kept[max(0, len(t.kept)-tailLines):]
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.kept)
}

func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = nil
}
