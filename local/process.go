package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// stopBound is how long the controller may take to stop.
const stopBound = 10 * time.Second

// startController runs the controller until ctx ends, and sends how it ended.
// Its log goes to a file.
func startController(ctx context.Context, program string, env []string, logPath string) (chan error, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, program, "run")
	command.Env, command.Stdout, command.Stderr = env, log, log
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
