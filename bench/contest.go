package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/store/postgres/pgtest"
)

type options struct {
	messages, rounds int
	only             string
	latency          time.Duration
}

// stage is what all contestants share.
type stage struct {
	options

	folder   string // binaries and the peer
	endpoint string // the queue server
	provider string // URL of the provider
	dsn      string
	queues   *sqs.Client
}

// figure is what one run of one contestant cost.
type figure struct {
	perCPU, rate float64 // messages a CPU-second, messages/s
	rss          int64   // KiB, the peak

}

// contestant is how one is started, with its environment on top of the shared.
type contestant struct {
	name     string
	messages int // a share of the messages, in percent
	command  func(s *stage, schema string) *exec.Cmd
}

var contestants = []contestant{
	{"worker", 100, (*stage).worker},
	{"bare", 100, func(s *stage, schema string) *exec.Cmd { return s.self("bare", schema) }},
	{"floor", 100, func(s *stage, schema string) *exec.Cmd { return s.self("floor", schema) }},
	{"sqs-consumer", 50, func(s *stage, _ string) *exec.Cmd { return s.peer("") }},
	{"sqs-consumer, in batches", 50, func(s *stage, _ string) *exec.Cmd { return s.peer("BATCH=1") }},
}

func contest(ctx context.Context, o options) (err error) {
	s, stop, err := setUp(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	figures := map[string][]figure{}
	for round := range o.rounds {
		for _, c := range contestants {
			if o.only != "" && o.only != c.name {
				continue
			}
			f, err := s.measure(ctx, c, round)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			figures[c.name] = append(figures[c.name], f)
		}
	}
	report(figures, o)
	return nil
}

// setUp builds what is measured and starts what it is measured with.
func setUp(ctx context.Context, o options) (s *stage, stop func() error, err error) {
	s = &stage{options: o}
	if s.folder, err = os.MkdirTemp("", "bench"); err != nil {
		return nil, nil, err
	}
	var ends []func() error
	stop = func() error {
		var errs []error
		for _, end := range slices.Backward(ends) {
			errs = append(errs, end())
		}
		return errors.Join(append(errs, os.RemoveAll(s.folder))...)
	}
	for _, step := range []func(context.Context) (func() error, error){s.build, s.installPeer, s.startPostgres, s.startProvider, s.startQueues} {
		end, err := step(ctx)
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		if end != nil {
			ends = append(ends, end)
		}
	}
	return s, stop, nil
}

func (s *stage) build(ctx context.Context) (func() error, error) {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", s.folder+"/", "./worker", "./local")
	build.Env = append(cleanEnv(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build (run this in the checkout): %w: %s", err, output)
	}
	return nil, nil
}

// installPeer gets the npm library into a folder of its own.
func (s *stage) installPeer(ctx context.Context) (func() error, error) {
	if s.only != "" && !strings.HasPrefix(s.only, "sqs-consumer") {
		return nil, nil
	}
	for _, name := range []string{"package.json", "index.mjs"} {
		data, err := os.ReadFile(filepath.Join("bench", "peer", name))
		if err != nil {
			return nil, fmt.Errorf("read the peer (run this in the checkout): %w", err)
		}
		if err := os.WriteFile(filepath.Join(s.folder, name), data, 0o600); err != nil { //nolint:gosec // the folder is our own
			return nil, err
		}
	}
	install := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund")
	install.Dir = s.folder
	if output, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("install sqs-consumer: %w: %s", err, output)
	}
	return nil, nil
}

func (s *stage) startPostgres(context.Context) (func() error, error) {
	dsn, stop, err := pgtest.Start()
	s.dsn = dsn
	return stop, err
}

// startProvider serves what Twilio's API answers to a send, after the latency.
func (s *stage) startProvider(ctx context.Context) (func() error, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.latency > 0 {
			time.Sleep(s.latency)
		}
		_ = r.ParseForm()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, `{"sid":"SM%032x","status":"queued"}`, time.Now().UnixNano())
	})}
	go func() { _ = server.Serve(listener) }()
	s.provider = "http://" + listener.Addr().String()
	return server.Close, nil
}

// startQueues serves the stand-in for SQS, in a process of its own.
func (s *stage) startQueues(ctx context.Context) (func() error, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	s.endpoint = "http://" + address
	command := exec.CommandContext(ctx, filepath.Join(s.folder, "local"), "--only", "aws", "--aws", address, "--data", filepath.Join(s.folder, "data"))
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, err
	}
	s.queues = sqs.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: &s.endpoint, HTTPClient: http.DefaultClient,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	for ctx.Err() == nil {
		if _, err = s.queues.ListQueues(ctx, &sqs.ListQueuesInput{}); err == nil {
			break
		}
	}
	return func() error {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		return nil
	}, err
}

func (s *stage) environment(queue, schema string) []string {
	return append(cleanEnv(),
		"AWS_ENDPOINT_URL="+s.endpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
		"QUEUE_URL="+queue, "SMS_QUEUE_URL="+queue, "PROVIDER_URL="+s.provider+"/2010-04-01/Accounts/AC0/Messages.json",
		"DATABASE_URL="+s.dsn, "DB_SCHEMA="+schema, "PG_SCHEMA="+schema, "PG_HOST="+host(s.dsn), "LOG_LEVEL=info", "GOMAXPROCS=2",
		"WORKER_TYPE=sms", "TWILIO_BASE_URL="+s.provider, "TWILIO_ACCOUNT_SID=AC0", "TWILIO_AUTH_TOKEN=t", "TWILIO_FROM_NUMBER=+15005550006")
}

func host(dsn string) string {
	parsed, err := url.Parse(dsn)
	if err != nil {
		return ""
	}
	return cmp.Or(parsed.Query().Get("host"), parsed.Hostname())
}

func (s *stage) worker(string) *exec.Cmd {
	command := exec.Command(filepath.Join(s.folder, "worker"), "run", "--until-empty")
	return command
}

func (s *stage) self(role, _ string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err) // it runs
	}
	return exec.Command(self, "-role", role)
}

func (s *stage) peer(setting string) *exec.Cmd {
	command := exec.Command("node", "index.mjs")
	command.Dir, command.Env = s.folder, []string{setting}
	return command
}

// measure fills a queue, lets the contestant empty it, and reads what it cost.
func (s *stage) measure(ctx context.Context, c contestant, round int) (figure, error) {
	n := s.messages * c.messages / 100
	name := fmt.Sprintf("%s-%d", strings.ReplaceAll(c.name, ", in ", "-"), round)
	queue, err := s.fill(ctx, name, n)
	if err != nil {
		return figure{}, fmt.Errorf("fill the queue: %w", err)
	}
	schema := strings.ReplaceAll(name, "-", "_")
	command := c.command(s, schema)
	command.Env = append(s.environment(queue, schema), command.Env...)
	log, err := os.Create(filepath.Join(s.folder, name+".log"))
	if err != nil {
		return figure{}, err
	}
	defer func() { _ = log.Close() }()
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return figure{}, err
	}
	took := s.watch(ctx, queue, n)
	if err := command.Wait(); err != nil {
		text, _ := os.ReadFile(log.Name())
		return figure{}, fmt.Errorf("%w: %s", err, text[max(0, len(text)-2000):])
	}
	usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return figure{}, errors.New("the system does not say what a process used")
	}
	cpu := (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds()
	f := figure{perCPU: float64(n) / cpu, rate: float64(n) / took.Seconds(), rss: usage.Maxrss}
	fmt.Printf("round %d  %-24s %6d messages  %6.2f CPU-s  %7.0f messages/CPU-s  %6.0f messages/s  %3d MiB\n", round+1, c.name, n, cpu, f.perCPU, f.rate, f.rss/1024)
	return f, nil
}

// watch times the queue from the first message taken to the last deleted.
func (s *stage) watch(ctx context.Context, queue string, n int) time.Duration {
	const every = 20 * time.Millisecond
	var began time.Time
	for ctx.Err() == nil {
		time.Sleep(every)
		switch left, err := depth(ctx, s.queues, queue); {
		case err != nil:
		case left.visible+left.inFlight == 0:
			return time.Since(began)
		case began.IsZero() && left.visible < n:
			began = time.Now()
		}
	}
	return time.Since(began)
}

func report(figures map[string][]figure, o options) {
	median := func(name string, of func(figure) float64) float64 {
		values := make([]float64, 0, len(figures[name]))
		for _, f := range figures[name] {
			values = append(values, of(f))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	perCPU, rate := func(f figure) float64 { return f.perCPU }, func(f figure) float64 { return f.rate }
	fmt.Printf("\nmedian of %d round(s), provider latency %s\n", o.rounds, o.latency)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\tmessages/CPU-s\tworker is ×\tmessages/s\tworker is ×\tpeak MiB\t")
	for _, c := range contestants {
		if len(figures[c.name]) == 0 {
			continue
		}
		times := func(of func(figure) float64) string {
			if len(figures["worker"]) == 0 {
				return ""
			}
			return fmt.Sprintf("%.2f", median("worker", of)/median(c.name, of))
		}
		_, _ = fmt.Fprintf(table, "%s\t%.0f\t%s\t%.0f\t%s\t%.0f\t\n", c.name, median(c.name, perCPU), times(perCPU),
			median(c.name, rate), times(rate), median(c.name, func(f figure) float64 { return float64(f.rss) / 1024 }))
	}
	_ = table.Flush()
}

// cleanEnv is the environment without AWS's own settings.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
}
