package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/novaura/acs-operator/internal/reconcile"
	"github.com/novaura/acs-operator/internal/store"
)

// rowsAtMost bounds what one request may ask for.
const rowsAtMost = 1000

// limitOf is how many rows a request wants.
func limitOf(r *http.Request) int {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 || limit > rowsAtMost {
		return 100
	}
	return limit
}

// withoutHistory is a view without the points of its charts.
func withoutHistory(v reconcile.View) reconcile.View {
	v.History = nil
	return v
}

func (s server) policies(w http.ResponseWriter, _ *http.Request) {
	views := []reconcile.View{}
	for _, v := range s.Policies.Views() {
		views = append(views, withoutHistory(v))
	}
	writeJSON(w, views)
}

func (s server) policy(w http.ResponseWriter, r *http.Request) {
	for _, v := range s.Policies.Views() {
		if v.Policy.Metadata.Name == r.PathValue("name") {
			writeJSON(w, withoutHistory(v))
			return
		}
	}
	http.Error(w, "there is no such policy", http.StatusNotFound)
}

func (s server) events(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readBound)
	defer cancel()
	policy, limit, read := r.URL.Query().Get("policy"), limitOf(r), rowsAtMost // of all policies, one's are picked
	if policy == "" {
		read = limit
	}
	rows, err := s.History.Notices(ctx, read)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	found := []Notice{}
	for _, n := range rows {
		if (policy == "" || n.Policy == policy || n.Policy == store.EveryPolicy) && len(found) < limit {
			found = append(found, noticeOf(n))
		}
	}
	writeJSON(w, found)
}

func (s server) leader(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Policies.Standing()) }
