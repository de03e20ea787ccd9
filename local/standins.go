package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox"
	"github.com/novaura/acs-operator/internal/sandbox/cloudwatch"
	"github.com/novaura/acs-operator/internal/sandbox/ecs"
	"github.com/novaura/acs-operator/internal/sandbox/ses"
	"github.com/novaura/acs-operator/internal/sandbox/sqs"
)

// queuesFile keeps what waits on the queues between two runs.
const queuesFile = "queues.json"

// standIns are AWS and the providers on one address.
type standIns struct {
	endpoint   string
	data       string
	sqs        *sqs.Service
	ecs        *ecs.Server
	metrics    *cloudwatch.Server
	faults     *sandbox.Faults
	database   *freezer
	*providers // nil with --only aws, but for SES

	server    *http.Server
	programs  *ecs.Programs
	stopECS   context.CancelFunc
	ecsEnded  chan error
	others    sync.WaitGroup
	tasksGone bool
}

// startStandIns serves until stop is called; ctx ends what runs in the
// background beside the tasks.
func startStandIns(ctx context.Context, o *options, database string, programs binaries, taskLog io.Writer) (*standIns, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.AWS)
	if err != nil {
		return nil, fmt.Errorf("serve the AWS endpoint: %w; choose another address with --aws", err)
	}
	s := &standIns{
		endpoint: "http://" + listener.Addr().String(), data: o.Data,
		sqs: sqs.New(sqs.Options{Account: o.Account, Region: region}), database: &freezer{database: database},
	}
	door := sandbox.New(o.Account, region, s.sqs)
	s.faults = door.Faults
	door.SES = ses.New(ses.Options{Account: o.Account, Region: region})
	if o.Only == "" {
		if err := s.loadQueues(); err != nil {
			return nil, errors.Join(err, listener.Close())
		}
		if s.providers, err = newProviders(ctx, s.endpoint, o.Account, s.sqs); err != nil {
			return nil, errors.Join(err, listener.Close())
		}
		door.SES = s.ses
		s.run(ctx, s.others.Go)
	}
	s.metrics = cloudwatch.New(cloudwatch.Options{Delay: o.MetricsDelay, Sample: s.sample, Usage: s.usage})
	images := map[string]string{}
	if programs.worker != "" { // empty with --only aws
		images[workerImage] = programs.worker
	}
	s.programs = ecs.NewPrograms(images, awsEnvironment(s.endpoint), s.logTo(taskLog))
	s.ecs = ecs.New(ecs.Options{Account: o.Account, Region: region, Launcher: s.programs, StartLag: o.StartLag, Endpoint: s.endpoint})
	door.CloudWatch, door.ECS, door.Agent, door.ECSControl = s.metrics, s.ecs, s.ecs.Agent(), http.HandlerFunc(s.ecs.ServeControl)
	s.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: s.handler(door), Protocols: protocols()}
	s.others.Go(func() { serveHTTP(s.server, listener) })
	s.others.Go(func() { _ = s.metrics.Run(ctx) })
	ecsCtx, stopECS := context.WithCancel(context.WithoutCancel(ctx))
	s.stopECS, s.ecsEnded = stopECS, make(chan error, 1)
	go func() { s.ecsEnded <- s.ecs.Run(ecsCtx) }()
	return s, nil
}

// protocols are HTTP/1.1, and for APNs HTTP/2 without TLS.
func protocols() *http.Protocols {
	both := new(http.Protocols)
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	return both
}

// handler tells the providers' paths from AWS's.
func (s *standIns) handler(aws http.Handler) http.Handler {
	if s.providers == nil {
		return aws
	}
	mux := http.NewServeMux()
	s.routes(mux)
	mux.Handle("/_sandbox/database", s.database)
	mux.Handle("/", aws)
	return mux
}

func (s *standIns) sample() []cloudwatch.QueueSample {
	queues := s.sqs.Sample()
	samples := make([]cloudwatch.QueueSample, len(queues))
	for i, q := range queues {
		samples[i] = cloudwatch.QueueSample(q)
	}
	return samples
}

func (s *standIns) usage() []cloudwatch.UsageSample {
	tasks := s.ecs.Usage()
	samples := make([]cloudwatch.UsageSample, len(tasks))
	for i, t := range tasks {
		samples[i] = cloudwatch.UsageSample(t)
	}
	return samples
}

// endFaults ends what would keep the system from stopping in order.
func (s *standIns) endFaults() error {
	s.faults.Clear()
	return s.database.thaw()
}

// stopTasks ends every task as ECS would, once.
func (s *standIns) stopTasks() error {
	if s.tasksGone {
		return nil
	}
	s.tasksGone = true
	s.stopECS()
	err := <-s.ecsEnded
	s.programs.Close()
	return err
}

// stop ends the tasks and then what they talk to. fall ends the context that
// the stand-ins were started with.
func (s *standIns) stop(fall context.CancelFunc) error {
	err := s.stopTasks()
	fall()
	bounded, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.server.Shutdown(bounded) != nil {
		err = errors.Join(err, s.server.Close()) // a page of the outbox that is still open
	}
	s.others.Wait()
	return err
}

// logTo writes each line of a task behind the first part of its id. Metrics
// among the lines become CloudWatch's, as CloudWatch Logs makes them.
func (s *standIns) logTo(w io.Writer) func(taskID, line string) {
	var mu sync.Mutex
	return func(taskID, line string) {
		mu.Lock()
		defer mu.Unlock()
		if err := s.metrics.Ingest([]byte(line)); err != nil {
			_, _ = fmt.Fprintf(w, "%s dropped by CloudWatch: %s\n", taskID[:8], err)
		}
		_, _ = fmt.Fprintf(w, "%s %s\n", taskID[:8], strings.TrimSpace(line))
	}
}

// lockFolder makes the data folder, and makes sure that one local system alone
// uses it.
func lockFolder(folder string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Join(folder, "logs"), 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w; choose another with --data", err)
	}
	file, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("use the data folder: %w; choose another with --data", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("use the data folder %s: another local system does; stop it, or choose another folder with --data", folder)
	}
	return func() { _ = file.Close() }, nil
}
