package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/ecsagent"
	"github.com/novaura/acs-operator/internal/parking"
	"github.com/novaura/acs-operator/internal/processor"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// serviceFlags are the settings of what runs beside the consumers.
type serviceFlags struct {
	HealthListen string `env:"WORKER_HEALTH_LISTEN" name:"health-listen" placeholder:"HOST:PORT" help:"Where /livez, /readyz and /metrics are served; not at all when absent."`
	EMF          string `env:"WORKER_EMF" name:"emf" enum:"auto,true,false" default:"auto" help:"Metrics as log lines that CloudWatch reads (EMF), on standard output; auto: on ECS."`
	Service      string `env:"WORKER_SERVICE" name:"service" help:"The service's name in the metrics; what ECS says when absent."`
}

// services is what runs beside the consumers until they have drained.
type services struct {
	serviceFlags

	upkeep    upkeep
	db        store.Store
	sqs       *sqs.Client
	handler   *processor.Processor
	problems  func() []string // why the handler cannot do its work now
	reporter  reporter
	queues    []consumer.Queue
	consumers []*consumer.Consumer
	out       io.Writer
	logger    *slog.Logger
}

// start starts them. ctx ends with the signal to stop; the returned function
// ends what lasts until the consumers have drained, and waits for it.
func (s *services) start(ctx context.Context) (stop func(), err error) {
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	if s.HealthListen != "" {
		if err := s.serveHealth(lasting, &running); err != nil {
			end()
			return nil, err
		}
	}
	carrier := parking.Carrier{Store: s.db, SQS: s.sqs, Queues: map[string]string{}, Logger: s.logger}
	for _, q := range s.queues {
		carrier.Queues[q.Name] = q.URL
	}
	running.Go(func() { carrier.Run(ctx) })
	running.Go(func() { s.upkeep.run(ctx) })
	s.reporter.consumers = s.consumers
	running.Go(func() { s.reporter.run(lasting) })
	if agent := os.Getenv("ECS_AGENT_URI"); agent != "" {
		protector := ecsagent.Protector{AgentURI: strings.TrimSuffix(agent, "/"), Busy: s.busy, Logger: s.logger}
		running.Go(func() { protector.Run(lasting) })
	}
	metadata := os.Getenv("ECS_CONTAINER_METADATA_URI_V4")
	if s.EMF == "true" || s.EMF == "auto" && metadata != "" {
		s.Service = serviceName(ctx, s.Service, metadata)
		running.Go(func() { s.publish(lasting) })
	}
	return func() { end(); running.Wait() }, nil
}

// keep has a dead letter's row keep it, where its queue has no dead-letter queue.
func (s *services) keep(ctx context.Context, r consumer.Received, row string) error {
	return s.db.Keep(ctx, row, store.Parked{Body: redact.Personal(r.Body), Attributes: r.Attributes.Encode(), GroupID: r.GroupID})
}

func (s *services) busy() bool {
	for _, c := range s.consumers {
		if c.Stats().InFlight > 0 {
			return true
		}
	}
	return false
}

// defaultService is the predecessor's, whose alarms stay.
const defaultService = "novaura-acs-communication-processor-worker-service"

// serviceName is the setting, or what the task's metadata say, or the default.
func serviceName(ctx context.Context, setting, metadata string) string {
	if setting != "" || metadata == "" {
		return cmpOr(setting, defaultService)
	}
	const bound = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	var task struct{ ServiceName string }
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, metadata+"/task", nil)
	if err == nil {
		var answer *http.Response
		if answer, err = http.DefaultClient.Do(request); err == nil {
			err = json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&task)
			_ = answer.Body.Close()
		}
	}
	if err != nil {
		return defaultService
	}
	return cmpOr(task.ServiceName, defaultService)
}

func cmpOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// checkStop says where a stop could cut a send short: nothing is lost or sent
// twice then, but the next worker must ask the provider first.
func checkStop(logger *slog.Logger, stopTimeout, providerTimeout time.Duration) {
	if need := stopNeeds(providerTimeout); need > stopTimeout {
		logger.Info("a stop may cut a slow send short, which then waits to be resolved; a longer stopTimeout avoids it",
			"variable", "WORKER_STOP_TIMEOUT", "is", stopTimeout.String(), "enough", need.String())
	}
}

// stopNeeds is the stopTimeout that cuts no send short: jobs have three quarters
// of the drain, which has five sixths of it.
func stopNeeds(providerTimeout time.Duration) time.Duration {
	const margin = 5 * time.Second
	return (providerTimeout + margin) * 8 / 5
}

// healthCommand is the container's health check.
type healthCommand struct {
	HealthListen string `env:"WORKER_HEALTH_LISTEN" name:"health-listen" placeholder:"HOST:PORT" help:"Where the worker serves it."`
}

// Run exits 0 when the worker lives.
func (c healthCommand) Run(ctx context.Context, streams cli.Streams) error {
	if c.HealthListen == "" {
		return cli.Usagef("WORKER_HEALTH_LISTEN is not set: name where the worker serves its health, for example 127.0.0.1:8081")
	}
	const bound = 4 * time.Second
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	address := c.HealthListen
	if strings.HasPrefix(address, ":") {
		address = "127.0.0.1" + address
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/livez", nil)
	if err != nil {
		return cli.Usagef("WORKER_HEALTH_LISTEN is %q: write HOST:PORT", c.HealthListen)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the worker for its health: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the worker is not healthy: HTTP %d: %s", answer.StatusCode, strings.TrimSpace(string(text)))
	}
	_, err = streams.Out.Write(text)
	return err
}
