package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/sandbox/sqs"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// Everything is quicker here than in production, in the same proportions.
const (
	providerTimeout = time.Second
	providerSettles = 2 * time.Second
	lease           = 4 * time.Second
	visibility      = 5 * time.Second
	maxReceives     = 6
	queueName       = "novaura-acs-sms-events"
)

// world is all that an experiment has running.
type world struct {
	command

	folder   string
	program  string // the worker
	database *database
	provider *unreliable
	sqs      *sqs.Service
	server   *http.Server
	address  string
	client   *awssqs.Client
	queue    string // URLs
	dead     string
	db       store.Store
	logs     io.WriteCloser
	sent     *sent

	mu      sync.Mutex
	workers []*exec.Cmd
	killed  int
}

func (c command) build(ctx context.Context) (w *world, err error) {
	w = &world{command: c, provider: newUnreliable(c.Seed, c.Messages), sent: &sent{events: map[text]map[string]bool{}}}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.folder, err = os.MkdirTemp("", "chaos-worker"); err != nil {
		return w, err
	}
	if c.Logs != "" {
		if w.logs, err = os.Create(c.Logs); err != nil {
			return w, err
		}
	}
	if err := w.compile(ctx); err != nil {
		return w, err
	}
	if w.database, err = startDatabase(ctx); err != nil {
		return w, err
	}
	if w.db, err = open.Open(ctx, w.database.dsn()); err != nil {
		return w, err
	}
	if _, err := w.db.Migrate(ctx); err != nil {
		return w, err
	}
	return w, w.serve(ctx)
}

func (w *world) compile(ctx context.Context) error {
	w.program = filepath.Join(w.folder, "worker")
	args := []string{"build", "-o", w.program}
	if w.WithoutClaim {
		args = append(args, "-tags", "chaos_without_claim")
	}
	output, err := exec.CommandContext(ctx, "go", append(args, "github.com/novaura/acs-operator/worker")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the worker: %w: %s", err, output)
	}
	return nil
}

// serve serves SQS and Twilio, and makes the queues.
func (w *world) serve(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w.address, w.sqs = "http://"+listener.Addr().String(), sqs.New(sqs.Options{})
	mux := http.NewServeMux()
	mux.Handle("/2010-04-01/", w.provider)
	mux.Handle("/", w.sqs)
	w.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = w.server.Serve(listener) }()
	w.client = awssqs.New(awssqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(w.address), Credentials: credentials.NewStaticCredentialsProvider("chaos", "chaos", ""),
		RetryMaxAttempts: 20,
	})
	dead, err := w.client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String(queueName + "-dlq")})
	if err != nil {
		return err
	}
	queue, err := w.client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String(queueName), Attributes: map[string]string{
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:%s-dlq","maxReceiveCount":"%d"}`, queueName, maxReceives),
	}})
	if err != nil {
		return err
	}
	w.queue, w.dead = *queue.QueueUrl, *dead.QueueUrl
	return nil
}

// start starts one worker in a place.
func (w *world) start(ctx context.Context, place int) error {
	c := exec.CommandContext(ctx, w.program, "run", "--worker-type", "sms")
	c.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + w.folder, "AWS_REGION=us-east-1", "AWS_ENDPOINT_URL=" + w.address, "AWS_ACCESS_KEY_ID=chaos",
		"AWS_SECRET_ACCESS_KEY=chaos", "DATABASE_URL=" + w.database.dsn(), "SMS_QUEUE_URL=" + w.queue, "TWILIO_ACCOUNT_SID=" + twilioAccount,
		"TWILIO_AUTH_TOKEN=" + twilioToken, "TWILIO_FROM_NUMBER=+15005550006", "TWILIO_BASE_URL=" + w.address,
		"WORKER_LEASE=" + lease.String(), "WORKER_PROVIDER_TIMEOUT=" + providerTimeout.String(),
		"WORKER_PROVIDER_SETTLES=" + providerSettles.String(), "WORKER_VISIBILITY_TIMEOUT=" + visibility.String(),
		"WORKER_STOP_TIMEOUT=8s", "WORKER_CONCURRENCY=20",
	}
	c.Stderr = w.logs
	if err := c.Start(); err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.workers[place] = c
	return nil
}

// play is the experiment: everything at once, until all is settled.
func (w *world) play(ctx context.Context) error {
	w.workers = make([]*exec.Cmd, w.Workers)
	for place := range w.workers {
		if err := w.start(ctx, place); err != nil {
			return err
		}
	}
	w.sqs.SetFaults(sqs.Faults{ErrorRate: 0.02, DuplicateRate: 0.03, LostDeleteRate: 0.02, Latency: time.Millisecond})
	var all sync.WaitGroup
	errs := make([]error, 4)
	all.Go(func() { errs[0] = w.load(ctx) })
	all.Go(func() { errs[1] = w.spread(ctx, w.Kills, 2, w.kill) })
	all.Go(func() {
		errs[2] = w.spread(ctx, w.Restarts, 3, func(ctx context.Context, n int) error { return w.database.restart(ctx, n%2 == 0) })
	})
	all.Go(func() {
		errs[3] = w.spread(ctx, w.Cuts, 4, func(context.Context, int) error { w.database.proxy.Cut(); return nil })
	})
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	w.mostly(ctx)
	w.sqs.SetFaults(sqs.Faults{})
	w.provider.quiet()
	return w.settle(ctx)
}

// mostly waits until nine in ten messages were accepted: the faults go on for
// so long, and end that the rest may.
func (w *world) mostly(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, w.Patience/2)
	defer cancel()
	for w.provider.total() < w.Messages*9/10 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// spread does something so many times at random moments of the experiment.
func (w *world) spread(ctx context.Context, times int, stream uint64, do func(context.Context, int) error) error {
	random := rand.New(rand.NewPCG(w.Seed, stream)) //nolint:gosec // chance, no secret
	began := time.Now()
	for n := range times {
		part := float64(w.For) / float64(times)
		moment := began.Add(time.Duration(part * (float64(n) + random.Float64())))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(moment)):
		}
		if err := do(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// kill ends a worker without a word, or one in ten with SIGTERM, and starts
// another in its place.
func (w *world) kill(ctx context.Context, n int) error {
	place := (n*7 + int(w.Seed)) % len(w.workers) //nolint:gosec // a place
	w.mu.Lock()
	victim := w.workers[place]
	w.killed++
	w.mu.Unlock()
	if n%10 == 9 {
		_ = victim.Process.Signal(syscall.SIGTERM)
		go func() { _ = victim.Wait() }()
	} else {
		_ = victim.Process.Kill()
		_ = victim.Wait()
	}
	return w.start(ctx, place)
}

// settle waits until nothing is on the queue, parked or worked on.
func (w *world) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.Patience)
	defer cancel()
	for quiet := 0; quiet < 2; {
		select {
		case <-ctx.Done():
			return nil // the result tells what is open
		case <-time.After(500 * time.Millisecond):
		}
		open, err := w.open(ctx)
		if err != nil || open > 0 {
			quiet = 0
			continue
		}
		quiet++
	}
	return nil
}

func (w *world) close() {
	w.mu.Lock()
	workers := w.workers
	w.mu.Unlock()
	for _, worker := range workers {
		if worker != nil {
			_ = worker.Process.Kill()
			_ = worker.Wait()
		}
	}
	if w.db != nil {
		_ = w.db.Close()
	}
	if w.database != nil {
		w.database.close()
	}
	if w.server != nil {
		_ = w.server.Close()
	}
	if w.logs != nil {
		_ = w.logs.Close()
	}
	_ = os.RemoveAll(w.folder)
}
