// Package engine starts what stands in for AWS and is not ours: moto and
// fauxqs. They are programs of other languages; each is taken from the
// machine, or else installed into a folder of its own from its registry. What
// can't be had is an error that says what to do.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// The versions that are installed where none is there.
const (
	motoVersion   = "5.2.1"
	fauxqsVersion = "2.4.1"
	nodeVersion   = "22" // fauxqs needs 22.5 at least
)

const (
	installBound = 5 * time.Minute
	startBound   = time.Minute
)

// A Server is a program that serves AWS's API at Endpoint until Stop.
type Server struct {
	Endpoint string
	command  *exec.Cmd
	log      *os.File
}

// Moto starts moto_server on a port of its own.
func Moto(ctx context.Context) (*Server, error) {
	program, err := motoProgram(ctx)
	if err != nil {
		return nil, err
	}
	return start(ctx, "/moto-api/", func(port string) *exec.Cmd {
		return exec.Command(program, "-H", "127.0.0.1", "-p", port)
	})
}

// Python is a Python that has boto3: the machine's, or the one that moto was
// installed into.
func Python(ctx context.Context) (string, error) {
	if exec.CommandContext(ctx, "python3", "-c", "import boto3").Run() == nil {
		return "python3", nil
	}
	program, err := motoProgram(ctx)
	if err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(program), "python3"), nil
}

func motoProgram(ctx context.Context) (string, error) {
	if program, err := exec.LookPath("moto_server"); err == nil {
		return program, nil
	}
	folder, err := cacheFolder("moto-" + motoVersion)
	if err != nil {
		return "", err
	}
	program := filepath.Join(folder, "bin", "moto_server")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	for _, line := range [][]string{
		{"python3", "-m", "venv", folder},
		{filepath.Join(folder, "bin", "pip"), "install", "--quiet", "moto[server]==" + motoVersion, "boto3"},
	} {
		if err := install(ctx, line); err != nil {
			return "", fmt.Errorf("find moto_server: it is not in PATH, and installing it failed: %w; "+
				"install it (pip install 'moto[server]==%s'), so that moto_server is in PATH", err, motoVersion)
		}
	}
	return program, nil
}

// Fauxqs starts fauxqs, which serves SQS, on a port of its own.
func Fauxqs(ctx context.Context) (*Server, error) {
	folder, err := cacheFolder("fauxqs-" + fauxqsVersion)
	if err != nil {
		return nil, err
	}
	program := filepath.Join(folder, "node_modules", "fauxqs")
	if _, err := os.Stat(program); err != nil {
		line := []string{"npm", "install", "--no-save", "--no-fund", "--no-audit", "--prefix", folder, "fauxqs@" + fauxqsVersion, "node@" + nodeVersion}
		if err := install(ctx, line); err != nil {
			return nil, fmt.Errorf("install fauxqs: %w; it needs npm and its registry", err)
		}
	}
	node := filepath.Join(folder, "node_modules", "node", "bin", "node")
	// Its own command listens on every interface; this one does not.
	script := `import {buildApp} from "fauxqs"; await buildApp({logger: false}).listen({port: +process.argv[1], host: "127.0.0.1"})`
	return start(ctx, "/health", func(port string) *exec.Cmd {
		command := exec.Command(node, "--input-type=module", "--eval", script, port)
		command.Dir = folder
		return command
	})
}

// cacheFolder is where what was installed stays from run to run.
func cacheFolder(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	folder := filepath.Join(cache, "acs-operator", name)
	return folder, os.MkdirAll(folder, 0o755) //nolint:gosec // programs from a public registry
}

func install(ctx context.Context, line []string) error {
	ctx, cancel := context.WithTimeout(ctx, installBound)
	defer cancel()
	if output, err := exec.CommandContext(ctx, line[0], line[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(line, " "), err, output)
	}
	return nil
}

// start runs a program on a free port, and waits until path answers.
func start(ctx context.Context, path string, program func(port string) *exec.Cmd) (*Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp("", "engine-*.log")
	if err != nil {
		return nil, err
	}
	s := &Server{Endpoint: "http://" + address, command: program(port), log: log}
	s.command.Stdout, s.command.Stderr = log, log
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", s.command.Path, err), log.Close())
	}
	if err := s.await(ctx, path); err != nil {
		return nil, fmt.Errorf("start %s: %w\n%s", s.command.Path, err, s.Stop())
	}
	return s, nil
}

func (s *Server) await(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+path, http.NoBody)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			return response.Body.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for its first answer: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// Stop ends the program and all that it started, and returns what it logged.
func (s *Server) Stop() string {
	_ = syscall.Kill(-s.command.Process.Pid, syscall.SIGKILL)
	_ = s.command.Wait()
	_, _ = s.log.Seek(0, io.SeekStart)
	text, _ := io.ReadAll(s.log)
	_ = s.log.Close()
	_ = os.Remove(s.log.Name())
	return string(text)
}

var (
	subnetID = regexp.MustCompile(`subnet-[0-9a-f]+`)
	groupID  = regexp.MustCompile(`sg-[0-9a-f]+`)
)

// Network is a subnet and a security group that moto has from the start: it
// checks those of a service.
func (s *Server) Network(ctx context.Context) (subnet, group string, err error) {
	ask := func(action string, pattern *regexp.Regexp) (string, error) {
		form := url.Values{"Action": {action}, "Version": {"2016-11-15"}}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoint, strings.NewReader(form.Encode()))
		if err != nil {
			return "", err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return "", err
		}
		if found := pattern.Find(body); found != nil {
			return string(found), nil
		}
		return "", fmt.Errorf("%s of moto answers none: %s", action, body)
	}
	if subnet, err = ask("DescribeSubnets", subnetID); err != nil {
		return "", "", err
	}
	group, err = ask("DescribeSecurityGroups", groupID)
	return subnet, group, err
}
