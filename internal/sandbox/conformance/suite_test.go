// Package conformance holds the stand-ins against others' of the same
// services: one suite of behaviours, over the wire, through the Go SDK.
// differences_test.go is where they are known to part, and the AWS page that says
// who is right.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/internal/sandbox"
	sandboxcloudwatch "github.com/novaura/acs-operator/internal/sandbox/cloudwatch"
	"github.com/novaura/acs-operator/internal/sandbox/conformance/engine"
	sandboxecs "github.com/novaura/acs-operator/internal/sandbox/ecs"
	sandboxses "github.com/novaura/acs-operator/internal/sandbox/ses"
	sandboxsqs "github.com/novaura/acs-operator/internal/sandbox/sqs"
)

const (
	account = "123456789012" // moto's
	region  = "us-east-1"
)

// A behaviour is one thing that AWS does. It returns what is otherwise.
type behaviour struct {
	service, name string
	run           func(context.Context, *clients) error
}

// clients speak to one engine; each behaviour makes names of its own.
type clients struct {
	sqs     *sqs.Client
	sns     *sns.Client
	ecs     *ecs.Client
	s3      *s3.Client
	ssm     *ssm.Client
	secrets *secretsmanager.Client
	metrics *cloudwatch.Client
	scaling *applicationautoscaling.Client
	account string
	region  string
	subnet  string
	group   string
	// patience is how long a service may take to settle: what never does
	// costs the suite so long.
	patience time.Duration
}

func connect(endpoint string) *clients {
	config := aws.Config{
		Region: region, BaseEndpoint: &endpoint, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
	return &clients{
		sqs: sqs.NewFromConfig(config), sns: sns.NewFromConfig(config), ecs: ecs.NewFromConfig(config), ssm: ssm.NewFromConfig(config),
		s3:      s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true }),
		secrets: secretsmanager.NewFromConfig(config), metrics: cloudwatch.NewFromConfig(config),
		scaling: applicationautoscaling.NewFromConfig(config), account: account, region: region, subnet: "subnet-1", group: "sg-1", patience: 20 * time.Second,
	}
}

var counter atomic.Int64

// unique is a name that nothing else has.
func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, counter.Add(1)) }

// behaviours are all, service by service.
func behaviours() []behaviour {
	return slices.Concat(queues(), moves(), topics(), containers(), settings(), objects(), metrics())
}

// idle is a container that runs until it is asked to stop.
type idle struct{ end chan int }

func (i idle) Signal() {
	select {
	case i.end <- 0:
	default:
	}
}
func (i idle) Kill()     { i.Signal() }
func (i idle) Wait() int { return <-i.end }

type idlers struct{}

func (idlers) Launch(string, sandboxecs.Container) (sandboxecs.Process, error) {
	return idle{make(chan int, 1)}, nil
}

// ours is the sandbox on an address of its own.
func ours(t *testing.T) string {
	t.Helper()
	door := sandbox.New(account, region, sandboxsqs.New(sandboxsqs.Options{Account: account, Region: region}))
	tasks := sandboxecs.New(sandboxecs.Options{Account: account, Region: region, Launcher: idlers{}, SettleAfter: 100 * time.Millisecond})
	door.ECS, door.Agent, door.CloudWatch = tasks, tasks.Agent(), sandboxcloudwatch.New(sandboxcloudwatch.Options{})
	door.ECSControl, door.SES = http.HandlerFunc(tasks.ServeControl), sandboxses.New(sandboxses.Options{Account: account, Region: region})
	listening := httptest.NewServer(door)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- tasks.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		listening.Close()
	})
	return listening.URL
}

func TestContractOurs(t *testing.T) {
	t.Parallel()
	hold(t, "ours", connect(ours(t)), behaviours())
}

func TestContractMoto(t *testing.T) {
	t.Parallel()
	server, err := engine.Moto(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	c := connect(server.Endpoint)
	c.patience = 2 * time.Second
	if c.subnet, c.group, err = server.Network(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold(t, "moto", c, behaviours())
	compareBoto(t, server.Endpoint)
}

// fauxqs is installed from npm, which takes long: make conformance asks for it.
func TestContractFauxqs(t *testing.T) {
	if os.Getenv("CONFORMANCE_FAUXQS") == "" {
		t.Skip("set CONFORMANCE_FAUXQS=1, or run make conformance, to hold fauxqs to it too")
	}
	server, err := engine.Fauxqs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	var only []behaviour
	for _, b := range behaviours() {
		if b.service == "sqs" {
			only = append(only, b)
		}
	}
	c := connect(server.Endpoint)
	c.account = "000000000000"
	hold(t, "fauxqs", c, only)
}

// compareBoto asks ours and moto the same through boto3, whose CloudWatch
// speaks what the Go SDK doesn't.
func compareBoto(t *testing.T, moto string) {
	t.Helper()
	python, err := engine.Python(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(endpoint string) string {
		output, err := exec.CommandContext(t.Context(), python, "testdata/boto.py", endpoint).CombinedOutput()
		if err != nil {
			t.Fatalf("boto3 at %s: %v\n%s", endpoint, err, output)
		}
		return string(output)
	}
	here, there := ask(ours(t)), ask(moto)
	if diff := cmp.Diff(there, here); diff != "" {
		t.Errorf("boto3 sees moto (-) and ours (+) differ:\n%s", diff)
	}
	t.Logf("boto3: %d answers of ours are moto's", strings.Count(here, "\n"))
}

// hold runs behaviours against an engine, several at a time, and compares what
// comes out with what is known.
func hold(t *testing.T, name string, c *clients, all []behaviour) {
	t.Helper()
	outcomes := make([]error, len(all))
	var running sync.WaitGroup
	places := make(chan struct{}, 8)
	for i, b := range all {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			outcomes[i] = b.run(ctx, c)
		})
	}
	running.Wait()
	agree, differ := map[string]int{}, map[string]int{}
	for i, b := range all {
		known := differences[name][b.service+": "+b.name]
		switch {
		case outcomes[i] == nil && known == nil:
			agree[b.service]++
		case outcomes[i] == nil:
			t.Errorf("%s, %s: %s: is as in AWS now: take it off differences_test.go", name, b.service, b.name)
		case known == nil:
			t.Errorf("%s, %s: %s: %v", name, b.service, b.name, outcomes[i])
		default:
			differ[b.service]++
			t.Logf("%s parts from AWS: %s: %s: it %s; see %s", name, b.service, b.name, known.theirs, known.page)
		}
	}
	t.Log(summary(name, all, agree, differ))
}

func summary(name string, all []behaviour, agree, differ map[string]int) string {
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, "%s:", name)
	seen := map[string]bool{}
	agreed, differed := 0, 0
	for _, b := range all {
		if seen[b.service] {
			continue
		}
		seen[b.service] = true
		agreed, differed = agreed+agree[b.service], differed+differ[b.service]
		_, _ = fmt.Fprintf(&text, " %s %d+%d", b.service, agree[b.service], differ[b.service])
	}
	_, _ = fmt.Fprintf(&text, "; of %d behaviours %d as AWS documents, %d known differences", len(all), agreed, differed)
	return text.String()
}

// wantCode is nil when err is a refusal of that code.
func wantCode(err error, codes ...string) error {
	refusal, is := errors.AsType[smithy.APIError](err)
	if !is {
		return fmt.Errorf("got %w, want the error %s", orNone(err), strings.Join(codes, " or "))
	}
	if !slices.Contains(codes, refusal.ErrorCode()) {
		return fmt.Errorf("got the error %s (%s), want %s", refusal.ErrorCode(), refusal.ErrorMessage(), strings.Join(codes, " or "))
	}
	return nil
}

var errNone = errors.New("success")

func orNone(err error) error {
	if err == nil {
		return errNone
	}
	return err
}

// want compares what came with what AWS gives.
func want(what string, got, wanted any) error {
	if g, w := fmt.Sprint(got), fmt.Sprint(wanted); g != w {
		return fmt.Errorf("%s: got %s, want %s", what, g, w)
	}
	return nil
}

// until repeats a look every 200 ms until it is content, or ctx ends.
func until(ctx context.Context, look func() error) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("never: %w", err)
		case <-tick.C:
		}
	}
}
