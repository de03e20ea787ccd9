package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/novaura/acs-operator/internal/reconcile"
)

// Health is what the health answers need of the loop.
type Health interface {
	Alive() error
	Views() []reconcile.View
	Standing() reconcile.Standing
}

// Database tells whether it answers.
type Database interface {
	Ready(ctx context.Context) error
}

// OperationsOptions are what Operations is made of.
type OperationsOptions struct {
	Health   Health
	Database Database
	Registry *prometheus.Registry
}

// Operations serves what machines ask for, on a port of their own:
//
//	GET /metrics Prometheus metrics
//	GET /healthz 200 while the loop turns: restart the process when not
//	GET /readyz  200 when policies are loaded, the database answers, and the
//	             lease is read: leading, or a standby that could
//	GET /statusz 200 while every policy is OK or Paused: for monitors, never for
//	             restarts
//
// A database that is gone makes a controller unready, never dead: a restart
// would not bring it back, and would cost the lead.
func Operations(o OperationsOptions) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Health.Alive(), "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		answer(w, o.ready(r.Context()), "ready, "+string(o.Health.Standing().Role))
	})
	mux.HandleFunc("GET /statusz", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.status(), "every policy is OK") })
	return mux
}

// status is an error that names the policies that need somebody, a line each.
func (o OperationsOptions) status() error {
	var errs []error
	for _, v := range o.Health.Views() {
		if v.Health.Status != "" && !v.Health.OK() {
			errs = append(errs, fmt.Errorf("%s is %s: %s", v.Policy.Metadata.Name, v.Health.Status, v.Health.Message))
		}
	}
	return errors.Join(errs...)
}

func answer(w http.ResponseWriter, err error, fine string) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, fine)
}

func (o OperationsOptions) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readBound)
	defer cancel()
	if len(o.Health.Views()) == 0 {
		return fmt.Errorf("no policy is loaded yet")
	}
	if err := o.Database.Ready(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if s := o.Health.Standing(); s.Problem != "" {
		return fmt.Errorf("lease: %s", s.Problem)
	}
	return nil
}
