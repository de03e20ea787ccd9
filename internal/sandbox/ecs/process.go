package ecs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Programs launches containers as processes of this machine.
//
// The processes die with this one, even when it is killed: each is started
// with a parent-death signal (prctl(2), PR_SET_PDEATHSIG), which Linux ties
// to the thread that started it; so one thread starts them all, and lives as
// long as the Programs.
type Programs struct {
	images      map[string]string
	environment []string
	log         func(taskID, line string)
	starts      chan start
}

type start struct {
	command *exec.Cmd
	err     chan error
}

// NewPrograms maps an image's name, without registry and tag, to the program
// that is its entry point. environment comes before a container's own; log is
// given each line that a container writes, and may be called from many
// goroutines.
func NewPrograms(images map[string]string, environment []string, log func(taskID, line string)) *Programs {
	p := &Programs{images: images, environment: environment, log: log, starts: make(chan start)}
	go func() {
		runtime.LockOSThread()
		for s := range p.starts {
			s.err <- s.command.Start()
		}
	}()
	return p
}

// Close ends the thread that starts processes, when none runs any more.
func (p *Programs) Close() { close(p.starts) }

// Launch starts a container's program in a process group of its own.
func (p *Programs) Launch(taskID string, c Container) (Process, error) {
	command, err := p.command(c)
	if err != nil {
		return nil, err
	}
	command.Env = append(append([]string{}, p.environment...), c.Environment...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command.Stdout, command.Stderr = writer, writer
	s := start{command, make(chan error, 1)}
	p.starts <- s
	err = <-s.err
	_ = writer.Close()
	if err != nil {
		_ = reader.Close()
		return nil, fmt.Errorf("start %s: %w", command.Path, err)
	}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		p.copyLog(taskID, reader)
	}()
	return &processHandle{command: command, logged: logged}, nil
}

// command is the container's program: the one of its image or, for an image that
// is not on this machine, the command line in its environment's LOCAL_COMMAND.
func (p *Programs) command(c Container) (*exec.Cmd, error) {
	image, _, _ := strings.Cut(c.Image[strings.LastIndexByte(c.Image, '/')+1:], ":")
	if program, known := p.images[image]; known {
		return exec.Command(program, c.Command...), nil
	}
	for _, setting := range slices.Backward(c.Environment) { // the last one counts
		if line, found := strings.CutPrefix(setting, "LOCAL_COMMAND="); found {
			return exec.Command("sh", "-c", "exec "+line), nil // exec: signals reach the program
		}
	}
	return nil, fmt.Errorf("pull image %s: not on this machine; to run a command instead, name it in the container's environment variable LOCAL_COMMAND", c.Image)
}

func (p *Programs) copyLog(taskID string, from io.ReadCloser) {
	defer func() { _ = from.Close() }()
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			p.log(taskID, strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			return
		}
	}
}

type processHandle struct {
	command *exec.Cmd
	logged  chan struct{}
}

func (p *processHandle) Signal() { _ = syscall.Kill(-p.command.Process.Pid, syscall.SIGTERM) }
func (p *processHandle) Kill()   { _ = syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL) }

// Usage reads what Linux tells of the process in /proc, see proc_pid_stat(5).
func (p *processHandle) Usage() (spent time.Duration, resident int64, known bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.Process.Pid))
	_, fields, found := strings.Cut(string(text), ") ") // the name before may hold anything
	values := strings.Fields(fields)
	if err != nil || !found || len(values) < 22 {
		return 0, 0, false
	}
	number := func(field int) int64 { // fields count from 3 behind the name
		n, _ := strconv.ParseInt(values[field-3], 10, 64)
		return n
	}
	const tick = time.Second / 100 // USER_HZ, which is 100 on every platform that Go runs on
	return time.Duration(number(14)+number(15)) * tick, number(24) * int64(os.Getpagesize()), true
}

// Wait returns the exit code, 128 and the signal's number for one that was
// killed, as a container's is.
func (p *processHandle) Wait() int {
	err := p.command.Wait()
	<-p.logged
	exit := (*exec.ExitError)(nil)
	if errors.As(err, &exit) {
		if status, isWait := exit.Sys().(syscall.WaitStatus); isWait && status.Signaled() {
			return 128 + int(status.Signal())
		}
	}
	return p.command.ProcessState.ExitCode()
}
