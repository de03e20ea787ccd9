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
	"syscall"
	"time"
)

// stopBound is how long the controller may take to stop.
const stopBound = 10 * time.Second

// startController runs the controller until ctx ends, and sends how it ended.
// Its log goes to a file, and each line to ingest.
func startController(ctx context.Context, program string, env []string, logPath string, ingest func([]byte) error) (chan error, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, program, "run")
	lines := &tee{to: log, each: ingest}
	command.Env, command.Stdout, command.Stderr = env, lines, lines
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // Ctrl-C reaches this process alone, which stops the others in order
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopBound
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the death signal comes when the starting thread ends: prctl(2)
		err := command.Start()
		started <- err
		if err == nil {
			err = command.Wait()
		}
		_ = log.Close()
		if ctx.Err() != nil {
			err = nil
		} else {
			err = errors.Join(errors.New("the controller stopped by itself; its log: "+logPath), err)
		}
		ended <- err
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the controller: %w", err)
	}
	return ended, nil
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
