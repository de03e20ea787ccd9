package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/config/source"
	"github.com/novaura/acs-operator/internal/api"
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
	Listen string            `env:"CONTROLLER_LISTEN" default:"127.0.0.1:8080" help:"Where the page and the API are served."`
	Link   map[string]string `env:"CONTROLLER_LINKS" placeholder:"NAME=URL" help:"Links shown on the page: a dashboard, a runbook."`
}

func (c runCommand) Run(ctx context.Context, streams cli.Streams) error {
	logger := cli.NewLogger(streams.Err)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("serve the page: %w; choose another address with --listen", err)
	}
	defer func() { _ = listener.Close() }()
	db, err := openStore(ctx, c.Flags, logger)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	services, metrics, err := adapters(ctx)
	if err != nil {
		return err
	}
	loop := reconcile.New(reconcile.Options{Services: services, Metrics: metrics, Memory: db, Logger: logger})
	following, stopFollowing := context.WithCancel(ctx)
	followed, err := c.follow(following, loop)
	if followed != nil {
		defer func() { <-followed }()
	}
	defer stopFollowing()
	if err != nil {
		return err
	}
	logger.Info("controller started", "policy", c.Policy, "page", "http://"+listener.Addr().String(), "version", version.String())
	return serve(ctx, c.handler(loop, db, logger), listener, loop)
}

func (c runCommand) handler(loop *reconcile.Loop, db store.Store, logger *slog.Logger) http.Handler {
	return api.Handler(api.Options{Policies: loop, History: db, Links: c.Link, Version: version.String(), Logger: logger})
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
		switch {
		case u.Err == nil && len(u.Policies.Scaling) == 0 && first:
			firstErr = cli.Usagef("%s holds no ScalingPolicy", c.Policy)
		case u.Err == nil:
			loop.Apply(u.Policies.Scaling)
		case first:
			firstErr = &cli.UsageError{Err: refusal(u.Err)}
		default:
			loop.Refuse(ctx, u.Err)
		}
		first = false
	})
	return followed, firstErr
}

// serve runs the loop and the page until ctx ends, and returns when both have
// stopped.
func serve(ctx context.Context, handler http.Handler, listener net.Listener, loop *reconcile.Loop) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	var (
		running  sync.WaitGroup
		serveErr error
	)
	running.Go(func() {
		defer cancel()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			serveErr = fmt.Errorf("serve the page: %w", err)
		}
	})
	running.Go(func() { loop.Run(ctx) })
	<-ctx.Done()
	bounded, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	err := server.Shutdown(bounded)
	running.Wait()
	return errors.Join(serveErr, err)
}

// ecsBound is the longest that one call of ECS takes, retries included.
const ecsBound = 8 * time.Second

// adapters connects to the account that the environment names.
func adapters(ctx context.Context) (*cloud.Services, *cloud.Metrics, error) {
	aws, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read the AWS settings: %w", err)
	}
	if aws.Region == "" {
		return nil, nil, cli.Usagef("AWS_REGION is not set: name the region of the service")
	}
	return cloud.NewServices(ecs.NewFromConfig(aws), ecsBound), cloud.NewMetrics(cloudwatch.NewFromConfig(aws), sqs.NewFromConfig(aws)), nil
}
