package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// runSystem finds what the system needs, and runs it in its data folder.
func runSystem(ctx context.Context, o *options, streams cli.Streams) error {
	unlock, err := lockFolder(o.Data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := findPolicies(o, streams.Out); err != nil {
		return err
	}
	if err := checkFree(ctx, o.Listen); err != nil {
		return err
	}
	database, err := databaseURL(o)
	if err != nil {
		return err
	}
	taskLog, err := os.OpenFile(filepath.Join(o.Data, "logs", "worker.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = taskLog.Close() }()
	programs, err := findBinaries(ctx, filepath.Join(o.Data, "bin"), streams.Err)
	if err != nil {
		return err
	}
	return operate(ctx, o, streams, programs, database, taskLog)
}

// operate starts everything in the order in which things need each other, and
// stops it in the reverse order:
//
//	stand-ins ▶ queues and service ▶ controller ▶ load
func operate(ctx context.Context, o *options, streams cli.Streams, programs binaries, database string, taskLog io.Writer) (err error) {
	began := time.Now()
	// The stand-ins outlive ctx: the workers need them while they drain.
	standing, fall := context.WithCancel(context.WithoutCancel(ctx))
	defer fall()
	s, err := startStandIns(standing, o, database, programs, taskLog)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop(fall), s.saveQueues()) }()

	inherited := map[message.Channel]held{}
	for _, q := range channelQueues() { // before a worker takes any of it
		inherited[q.channel] = holdings(s.sqs, q)
	}
	workerEnv := s.workerEnvironment(database)
	queues, err := provision(ctx, awsConfig(s.endpoint), workerEnv, 1)
	if err != nil {
		return err
	}
	r, err := newReport(ctx, o, s, database, queues, streams.Out)
	if err != nil {
		return err
	}
	defer func() { _ = r.db.Close() }()
	r.began, r.inherited = began, inherited
	r.controller = newSupervisor(programs.controller, controllerEnvironment(o, s, database), filepath.Join(o.Data, "logs", "controller.log"), streams.Out, s.metrics.Ingest)
	if err := greet(streams.Out, o, s, programs, workerEnv); err != nil {
		return err
	}
	controllerCtx, stopController := context.WithCancel(standing)
	defer stopController()
	ended := make(chan error, 1)
	go func() { ended <- r.controller.supervise(controllerCtx) }()
	runUntilDone(ctx, o, r, ended)
	_, _ = fmt.Fprintln(streams.Err, "stopping: the controller, then the workers, each finishing what it holds …")
	err = s.endFaults()
	stopController()
	err = errors.Join(err, <-ended, s.stopTasks())
	return errors.Join(err, r.summary(context.WithoutCancel(ctx)))
}

// newReport opens what the report reads from.
func newReport(ctx context.Context, o *options, s *standIns, database string, queues []queue, out io.Writer) (*report, error) {
	r := &report{
		providers: s.providers, queues: queues, service: s.sqs, out: out,
		sqs: sqs.NewFromConfig(awsConfig(s.endpoint)), ecs: ecs.NewFromConfig(awsConfig(s.endpoint)),
	}
	r.load = newLoad(r.sqs, s.providers, queues, o.Channels, out)
	var err error
	r.db, err = openStore(ctx, database)
	return r, err
}

// runUntilDone keeps the load coming until ctx ends, the time that --for gives
// is over, or the controller can never start. What ended stays in its channel.
func runUntilDone(ctx context.Context, o *options, r *report, ended chan error) {
	ctx, cancel := o.bounded(ctx)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { r.watch(ctx) })
	if o.Load != "none" {
		running.Go(func() { r.load.run(ctx, o.Load, o.Rate) })
	}
	select {
	case <-ctx.Done():
	case err := <-ended:
		ended <- err // the caller waits for it too
	}
	cancel()
	running.Wait()
}

func (s *standIns) workerEnvironment(database string) map[string]string {
	env := maps.Clone(s.env)
	env["WORKER_TYPE"], env["DATABASE_URL"], env["WORKER_STOP_TIMEOUT"] = "all", database, stopTimeout.String()
	return env
}

func awsEnvironment(endpoint string) []string {
	return []string{
		"AWS_ENDPOINT_URL=" + endpoint, "AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LOG_LEVEL=" + os.Getenv("LOG_LEVEL"), "AWS_EC2_METADATA_DISABLED=true",
	}
}

func controllerEnvironment(o *options, s *standIns, database string) []string {
	return append(awsEnvironment(s.endpoint),
		"DATABASE_URL="+database, "CONTROLLER_POLICY="+o.Policy, "CONTROLLER_LISTEN="+o.Listen, "CONTROLLER_METRICS_LISTEN="+metricsListen(),
		"CONTROLLER_LINKS=Outbox="+s.endpoint+"/outbox",
		// The receivers of alerts; what a policy's {env: NAME} names is the user's
		// own. Mails go another way than the workers', and arrive when SES fails.
		"TWILIO_BASE_URL="+s.endpoint, "TWILIO_ACCOUNT_SID="+twilioAccount, "TWILIO_AUTH_TOKEN="+twilioToken, "TWILIO_FROM_NUMBER="+senderNumber,
		"EMAIL_PROVIDER=smtp", "SMTP_URL="+s.smtpURL(), "EMAIL_FROM="+mailSender,
		"SLACK_WEBHOOK_URL="+os.Getenv("SLACK_WEBHOOK_URL"), "PAGERDUTY_ROUTING_KEY="+os.Getenv("PAGERDUTY_ROUTING_KEY"))
}

// metricsListen is any free port unless the user names one: several local
// systems may run at once. The controller's log names it.
func metricsListen() string {
	if address := os.Getenv("CONTROLLER_METRICS_LISTEN"); address != "" {
		return address
	}
	return "127.0.0.1:0"
}

// checkFree finds out before anything starts whether the page's port can be
// had: the controller would say it in its log alone.
func checkFree(ctx context.Context, address string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("serve the page: %w; choose another address with --listen", err)
	}
	return listener.Close()
}

// openStore waits until the controller has made the database's schema.
func openStore(ctx context.Context, database string) (store.Store, error) {
	db, err := open.Open(ctx, database)
	if err != nil {
		return nil, err
	}
	if _, err := db.Migrate(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// serveOnlyAWS serves the AWS endpoint alone, empty, until ctx ends.
func serveOnlyAWS(ctx context.Context, o *options, streams cli.Streams) error {
	ctx, cancel := o.bounded(ctx)
	defer cancel()
	s, err := startStandIns(ctx, o, "", binaries{}, streams.Err)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(streams.Out, "AWS endpoint %s, account %s, region %s\n", s.endpoint, o.Account, region)
	<-ctx.Done()
	return s.stop(func() {})
}

// saveQueues keeps what still waits on the queues for the next start.
func (s *standIns) saveQueues() error {
	file, err := os.CreateTemp(s.data, "queues.*")
	if err != nil {
		return fmt.Errorf("keep the queues: %w", err)
	}
	if err := errors.Join(s.sqs.Save(file), file.Close()); err != nil {
		return fmt.Errorf("keep the queues: %w", err)
	}
	return os.Rename(file.Name(), filepath.Join(s.data, queuesFile))
}

// loadQueues brings back what a former run left on the queues.
func (s *standIns) loadQueues() error {
	file, err := os.Open(filepath.Join(s.data, queuesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := s.sqs.Load(file); err != nil {
		return fmt.Errorf("bring back the queues of the last run from %s: %w; move the file away to start without them", file.Name(), err)
	}
	return nil
}

func serveHTTP(server *http.Server, listener net.Listener) {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		slog.Error("serve the stand-ins", "error", err)
	}
}
