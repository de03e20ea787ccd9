package api

import (
	"context"
	"net/http"
	"time"

	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/reconcile"
)

// silencesShown is how long a silence that ended is still listed.
const silencesShown = 24 * time.Hour

func (s server) alerts(w http.ResponseWriter, _ *http.Request) {
	alerts := []alerting.Alert{}
	for _, view := range s.Policies.Views() {
		alerts = append(alerts, view.Alerts...)
	}
	writeJSON(w, alerts)
}

func (s server) silences(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readBound)
	defer cancel()
	rows, err := s.History.Silences(ctx, time.Now().Add(-silencesShown))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, reconcile.SilencesOf(rows))
}
