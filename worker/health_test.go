package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/store"
)

// dead is a database that does not answer.
type dead struct{ store.Store }

func (dead) Ready(context.Context) error { return errors.New("connection refused") }

func TestADeadDatabaseMakesAWorkerUnreadyAndNoReasonToKillIt(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	beside := &services{
		serviceFlags: serviceFlags{HealthListen: address}, db: dead{}, problems: func() []string { return nil }, logger: slog.New(slog.DiscardHandler),
		consumers: []*consumer.Consumer{consumer.New(consumer.Options{})},
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	if err := beside.serveHealth(ctx, &running); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := worker(t, map[string]string{"WORKER_HEALTH_LISTEN": address}, "health"); code != 0 || out != "ok\n" {
		t.Errorf("health: exit code %d, %s%s", code, out, errOut)
	}
	answer, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readyz: HTTP %d", answer.StatusCode)
	}
	cancel()
	running.Wait()
	if code, _, errOut := worker(t, map[string]string{"WORKER_HEALTH_LISTEN": address}, "health"); code != 1 || !strings.Contains(errOut, "health") {
		t.Errorf("a worker that is gone: exit code %d, %s", code, errOut)
	}
}

// living is a database that answers.
type living struct{ store.Store }

func (living) Ready(context.Context) error { return nil }

func TestCredentialsThatAreRefusedMakeAWorkerUnready(t *testing.T) {
	var refusals []string
	beside := &services{db: living{}, problems: func() []string { return refusals }}
	if err := beside.ready(t.Context()); err != nil {
		t.Error(err)
	}
	refusals = []string{"credentials refused since 2026-01-05T08:00:00Z: twilio: credentials refused, HTTP 401, code 20003"}
	if err := beside.ready(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "credentials refused") {
		t.Errorf("got %v", err)
	}
}
