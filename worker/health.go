package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/cli"
)

// serveHealth serves /livez, for the container's health check, /readyz, for
// people and balancers, and /metrics, for Prometheus. A worker is not ready while
// the database does not answer or cannot be written to, and while a provider
// rejects its credentials. These are no reason to kill it: the next one would find
// them as they are.
func (s *services) serveHealth(ctx context.Context, running *sync.WaitGroup) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.HealthListen)
	if err != nil {
		return cli.Usagef("WORKER_HEALTH_LISTEN: listen on %s: %w", s.HealthListen, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { s.answer(w, s.live(r.Context())) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { s.answer(w, s.ready(r.Context())) })
	mux.Handle("GET /metrics", s.metrics())
	const bound = 10 * time.Second
	server := &http.Server{Handler: mux, ReadTimeout: bound, WriteTimeout: bound, IdleTimeout: time.Minute}
	s.logger.InfoContext(ctx, "health is served", "address", listener.Addr().String())
	running.Go(func() { _ = server.Serve(listener) })
	running.Go(func() {
		<-ctx.Done()
		_ = server.Close()
	})
	return nil
}

func (s *services) answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// live is an error when a new process would do better: a consumer does not
// answer, or its slots are all taken by jobs that ignore their end.
func (s *services) live(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		for _, c := range s.consumers {
			if now := c.Stats(); now.StuckNow >= now.Slots {
				answered <- fmt.Errorf("%d jobs of %s ignore that their time is over", now.StuckNow, c.Queue.Name)
				return
			}
		}
		answered <- nil
	}()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return fmt.Errorf("a consumer does not answer")
	}
}

func (s *services) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := s.db.Ready(ctx); err != nil {
		return fmt.Errorf("the database does not answer")
	}
	if problems := slices.Concat(s.reporter.problems(), s.problems()); len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	return nil
}
