package main

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// mostBody bounds what is read of one notification.
const mostBody = 1 << 20

// notification is Alertmanager's webhook format, as far as it is used here.
type notification struct {
	Alerts []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"alerts"`
}

// receive records each alert of each notification, with the time at which it came.
func (r *recorder) receive(w http.ResponseWriter, request *http.Request) {
	var told notification
	if err := json.NewDecoder(http.MaxBytesReader(w, request.Body, mostBody)).Decode(&told); err != nil {
		r.troublef("read a notification: %v", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := time.Now()
	r.record(func(f *Facts) {
		for _, alert := range told.Alerts {
			f.Notices = append(f.Notices, Notice{
				Time: now, Alert: alert.Labels["alertname"], Firing: alert.Status == "firing", Text: textOf(alert.Annotations),
			})
		}
	})
}

// textOf is all that a notification says in words: the summary first.
func textOf(annotations map[string]string) string {
	names := slices.SortedFunc(maps.Keys(annotations), func(a, b string) int {
		return cmp.Or(-boolCompare(a == "summary", b == "summary"), strings.Compare(a, b))
	})
	var parts []string
	for _, name := range names {
		switch text := annotations[name]; {
		case text == "":
		case name == "summary":
			parts = append(parts, text)
		default:
			parts = append(parts, name+": "+text)
		}
	}
	return strings.Join(parts, " | ")
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
