// Package harness is what the checks, chaos and incidents share: processes that
// end with their check, a proxy that makes a connection slow or refuses it,
// terraform against a stand-in, and the shipped programs run end to end against
// whatever stands in for AWS.
//
// It is for the checks' mains alone: nothing that is shipped imports it.
// Start with Process, Proxy, Terraform and System.
package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The names that terraform gives.
const (
	Name              = "novaura-acs"
	Account           = "123456789012"
	Region            = "us-east-1"
	Cluster           = "novaura-acs-processor-cluster"
	WorkerService     = "novaura-acs-communication-processor-worker-service"
	ControllerService = "novaura-acs-controller-service"
	SMSQueue          = "novaura-acs-sms-events"
	PolicyParameter   = "/novaura-acs/scaling-policy"
)

// Environment is what a program needs to reach a stand-in, as principal. It is
// the whole environment, so that no real credentials are ever used.
func Environment(endpoint, principal string, more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "AWS_ENDPOINT_URL=" + endpoint, "AWS_REGION=" + Region, "AWS_DEFAULT_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=" + principal, "AWS_SECRET_ACCESS_KEY=standin", "AWS_EC2_METADATA_DISABLED=true",
	}, more...)
}

// StartMoto starts moto_server, which stands in for the whole of AWS, and
// returns its address. It is a Python package: pip install 'moto[server]'.
func StartMoto(ctx context.Context, folder string) (endpoint string, stop func(), err error) {
	program, err := exec.LookPath("moto_server")
	if err != nil {
		return "", nil, fmt.Errorf("find moto_server: %w; install it with: pip install 'moto[server]'", err)
	}
	port, err := FreePort(ctx)
	if err != nil {
		return "", nil, err
	}
	env := append(os.Environ(), "MOTO_ECS_SERVICE_RUNNING=1")
	process, err := Start(ctx, filepath.Join(folder, "moto.log"), env, program, "-H", "127.0.0.1", "-p", port)
	if err != nil {
		return "", nil, err
	}
	endpoint = "http://127.0.0.1:" + port
	err = Until(ctx, time.Minute, "moto_server answers", func() (bool, error) { return answers(ctx, endpoint), nil })
	if err != nil {
		return "", nil, errors.Join(err, process.Stop())
	}
	return endpoint, func() { _ = process.Stop() }, nil
}

func answers(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return response.Body.Close() == nil
}

// FreePort returns a port of 127.0.0.1 that was free a moment ago.
func FreePort(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, errors.Join(err, listener.Close())
}

// Until asks done four times a second until it says so, bound at the most.
func Until(ctx context.Context, bound time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: not within %s", what, bound)
		case <-ticker.C:
		}
	}
}

// BuildPrograms builds the worker and the controller into folder.
func BuildPrograms(ctx context.Context, folder string, packages ...string) error {
	build := exec.CommandContext(ctx, "go", append([]string{"build", "-o", folder + string(filepath.Separator)}, packages...)...)
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %v: %w\n%s", packages, err, output)
	}
	return nil
}
