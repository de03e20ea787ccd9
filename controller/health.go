package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/cli"
)

// metricsFlag is where metrics and health are; run serves them and health asks
// them.
type metricsFlag struct {
	MetricsListen string `env:"CONTROLLER_METRICS_LISTEN" name:"metrics-listen" default:"127.0.0.1:9464" help:"Where /metrics, /healthz and /readyz are served."`
}

type healthCommand struct {
	metricsFlag

	Ready  bool `xor:"what" help:"Ask for readiness (policies, database, lease) instead of liveness."`
	Status bool `xor:"what" help:"Ask whether every policy is OK or Paused: for monitors, not for the container's health check."`
}

// Run is for a container's health check, where there is no curl.
func (c healthCommand) Run(ctx context.Context, streams cli.Streams) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	host, port, err := net.SplitHostPort(c.MetricsListen)
	if err != nil {
		return cli.Usagef("--metrics-listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	path := "/healthz"
	if c.Ready {
		path = "/readyz"
	}
	if c.Status {
		path = "/statusz"
	}
	url := "http://" + net.JoinHostPort(host, port) + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the controller: %w; does it run, and serve its health there (CONTROLLER_METRICS_LISTEN)?", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("ask the controller at %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the controller at %s answers %s: %s", url, response.Status, strings.TrimSpace(string(body)))
	}
	_, err = streams.Out.Write(body)
	return err
}
