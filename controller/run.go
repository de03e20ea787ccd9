package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/novaura/acs-operator/config/source"
	"github.com/novaura/acs-operator/internal/api"
	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/cloud"
	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
	"github.com/novaura/acs-operator/internal/version"
)

type runCommand struct {
	policyFlag
	open.Flags
	metricsFlag
	receiverFlags

	Listen    string            `env:"CONTROLLER_LISTEN" default:"127.0.0.1:8080" help:"Where the page and the API are served. They read only; who can reach the address can read."`
	Link      map[string]string `env:"CONTROLLER_LINKS" placeholder:"NAME=URL" help:"Links shown on the page: a dashboard, a runbook."`
	Retention time.Duration     `env:"CONTROLLER_HISTORY_RETENTION" name:"history-retention" default:"336h" help:"How long decisions and events are kept."`
	EMF       string            `env:"CONTROLLER_EMF" name:"emf" enum:"auto,on,off" default:"auto" help:"Write the heartbeat as an EMF log line to standard output: auto (on ECS), on or off."`
}

// controllerParts are what one controller is made of.
type controllerParts struct {
	command  runCommand
	db       store.Store
	leader   *reconcile.Leader
	loop     *reconcile.Loop
	registry *prometheus.Registry
	logger   *slog.Logger
	out      io.Writer
}

func (c runCommand) Run(ctx context.Context, streams cli.Streams) error {
	logger := cli.NewLogger(streams.Err)
	page, metrics, err := c.listen(ctx)
	if err != nil {
		return err
	}
	defer func() { _, _ = page.Close(), metrics.Close() }()
	db, err := c.Open(ctx)
	if errors.Is(err, open.ErrSetting) {
		return &cli.UsageError{Err: err}
	}
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	parts, err := c.assemble(ctx, db, logger, streams.Out)
	if err != nil {
		return err
	}
	following, stopFollowing := context.WithCancel(ctx)
	followed, err := c.follow(following, parts.loop)
	if followed != nil {
		defer func() { <-followed }()
	}
	defer stopFollowing()
	if err != nil {
		return err
	}
	logger.Info("controller started", "policy", c.Policy, "page", "http://"+page.Addr().String(),
		"metrics", "http://"+metrics.Addr().String()+"/metrics", "version", version.String())
	return parts.serve(ctx, page, metrics)
}

// listen takes both addresses before anything else starts.
func (c runCommand) listen(ctx context.Context) (page, metrics net.Listener, err error) {
	var lc net.ListenConfig
	if page, err = lc.Listen(ctx, "tcp", c.Listen); err != nil {
		return nil, nil, fmt.Errorf("serve the page: %w; choose another address with --listen", err)
	}
	if metrics, err = lc.Listen(ctx, "tcp", c.MetricsListen); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("serve metrics and health: %w; choose another address with --metrics-listen", err), page.Close())
	}
	return page, metrics, nil
}

func (c runCommand) assemble(ctx context.Context, db store.Store, logger *slog.Logger, out io.Writer) (*controllerParts, error) {
	services, metrics, rivals, err := adapters(ctx)
	if err != nil {
		return nil, err
	}
	notifier, err := c.notifier(ctx, "http://"+c.Listen, db)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	leader := reconcile.NewLeader(db, reconcile.Holder(), logger)
	loop := reconcile.New(reconcile.Options{
		Services: services, Metrics: metrics, Rivals: rivals, Memory: db, Leader: leader, Retention: c.Retention,
		Instruments: reconcile.NewInstruments(registry), Notifier: notifier, Orders: db, Workers: db, Logger: logger,
	})
	registry.MustRegister(loop)
	return &controllerParts{command: c, db: db, leader: leader, loop: loop, registry: registry, logger: logger, out: out}, nil
}

// follow hands every accepted version of the policies to the loop, and every
// refusal. The first version must be good: there is nothing else to run. The
// channel is closed when the following is over.
func (c runCommand) follow(ctx context.Context, loop *reconcile.Loop) (<-chan struct{}, error) {
	src, err := source.Open(c.Policy)
	if err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	first := true
	var firstErr error
	followed := source.Follow(ctx, src, func(u source.Update) {
		if u.Err == nil && len(u.Policies.Scaling) == 0 { // half a file, more likely than a wish
			u.Err = fmt.Errorf("%s holds no ScalingPolicy; to scale nothing, pause the policies or stop the controller", c.Policy)
		}
		switch {
		case u.Err == nil:
			loop.ApplyAlerts(u.Policies.Alert)
			loop.Apply(u.Policies.Scaling)
		case first && u.Unread:
			firstErr = unread(u.Err)
		case first:
			firstErr = &cli.UsageError{Err: refusal(u.Err)}
		default:
			loop.Refuse(u.Err)
		}
		first = false
	})
	return followed, firstErr
}

// serve runs everything until ctx ends or a part cannot go on, and returns
// when all have stopped; the lease is released last, when nothing is written
// any more.
func (p *controllerParts) serve(ctx context.Context, page, metrics net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pages := &http.Server{
		Handler: p.page(), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	operations := &http.Server{Handler: p.operations(), ReadHeaderTimeout: 10 * time.Second}
	var serving, looping, leading sync.WaitGroup
	for server, listener := range map[*http.Server]net.Listener{pages: page, operations: metrics} {
		serving.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serve %s: %w", listener.Addr(), err))
			}
		})
	}
	lead, endLead := context.WithCancel(context.WithoutCancel(ctx))
	defer endLead()
	leading.Go(func() {
		if err := p.prepare(ctx); err != nil {
			cancel(err)
			return
		}
		p.leader.Run(lead)
	})
	looping.Go(func() { p.loop.Run(ctx) })
	if p.heartbeats() {
		looping.Go(func() { p.loop.Heartbeat(ctx, p.out) })
	}
	<-ctx.Done()
	looping.Wait()
	endLead()
	leading.Wait()
	bounded, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	err := errors.Join(pages.Shutdown(bounded), operations.Shutdown(bounded))
	serving.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

func (p *controllerParts) page() http.Handler {
	return api.Handler(api.Options{
		Policies: p.loop, History: p.db, Links: p.command.Link, Version: version.String(), Logger: p.logger,
	})
}

func (p *controllerParts) operations() http.Handler {
	return api.Operations(api.OperationsOptions{Health: p.loop, Database: p.db, Registry: p.registry})
}

// heartbeats says whether a log driver makes metrics of EMF lines: on ECS,
// unless told otherwise.
func (p *controllerParts) heartbeats() bool {
	switch p.command.EMF {
	case "on":
		return true
	case "off":
		return false
	}
	return os.Getenv("ECS_CONTAINER_METADATA_URI_V4") != ""
}

// ecsBound is the longest that one call of ECS takes, retries included.
const ecsBound = 8 * time.Second

// adapters connects to the account that the environment names.
func adapters(ctx context.Context) (*cloud.Services, *cloud.Metrics, *cloud.Rivals, error) {
	aws, err := awsclient.Load(ctx)
	if errors.Is(err, awsclient.ErrNoRegion) {
		return nil, nil, nil, &cli.UsageError{Err: err}
	}
	if err != nil {
		return nil, nil, nil, err
	}
	return cloud.NewServices(ecs.NewFromConfig(aws), ecsBound),
		cloud.NewMetrics(cloudwatch.NewFromConfig(aws), sqs.NewFromConfig(aws), aws.Region),
		cloud.NewRivals(applicationautoscaling.NewFromConfig(aws)), nil
}
