package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A Process is a program that the check started.
type Process struct {
	name  string
	cmd   *exec.Cmd
	ended chan error
}

// stopWithin is how long a program may take to end after SIGTERM.
const stopWithin = 30 * time.Second

// starts hands programs to the one thread that starts them. Linux kills them when
// that thread ends (prctl(2), PR_SET_PDEATHSIG), so it lives as long as the check:
// a check that is killed leaves no program behind.
var starts = sync.OnceValue(func() chan func() {
	queue := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range queue {
			start()
		}
	}()
	return queue
})

// Start runs a program in a process group of its own, its output to the file
// log, until Stop or until ctx ends.
func Start(ctx context.Context, log string, env []string, program string, args ...string) (*Process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWithin
	started := make(chan error, 1)
	starts() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &Process{name: filepath.Base(program), cmd: cmd, ended: make(chan error, 1)}
	go func() { p.ended <- cmd.Wait() }()
	return p, nil
}

// PID returns the process id, which is also its group's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop asks the program to end and waits until it has, half a minute at most;
// then it kills the program's group. The error is the program's own.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	defer func() { _ = syscall.Kill(-p.PID(), syscall.SIGKILL) }()
	select {
	case err := <-p.ended:
		p.ended <- err
		if err != nil {
			return fmt.Errorf("%s ended: %w", p.name, err)
		}
		return nil
	case <-time.After(stopWithin):
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.name, stopWithin)
	}
}

// Ended is an error when the program has ended, whatever it returned.
func (p *Process) Ended() error {
	select {
	case err := <-p.ended:
		p.ended <- err
		return fmt.Errorf("%s ended before its time: %w", p.name, err)
	default:
		return nil
	}
}
