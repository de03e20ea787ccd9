package ecsagent

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// agent answers as the ECS agent does, and remembers when it was asked what.
type agent struct {
	began  time.Time
	calls  []string
	answer string
	hangs  bool
}

func (a *agent) RoundTrip(r *http.Request) (*http.Response, error) {
	var body struct {
		ProtectionEnabled bool
		ExpiresInMinutes  int
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, err
	}
	call := "off"
	if body.ProtectionEnabled {
		call = "on"
	}
	if r.Method != http.MethodPut || r.URL.Path != "/api/task-protection/v1/state" || body.ProtectionEnabled != (body.ExpiresInMinutes == 10) {
		return nil, errors.New("not the agent's call")
	}
	a.calls = append(a.calls, time.Since(a.began).String()+" "+call)
	if a.hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(a.answer))}, nil
}

// play runs a Protector in a bubble, for as long as busy has it.
func play(t *testing.T, a *agent, busy func(since time.Duration) bool, length time.Duration) []string {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a.began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		p := &Protector{
			AgentURI: "http://agent/api", Logger: slog.New(slog.DiscardHandler), HTTP: &http.Client{Transport: a},
			Busy: func() bool { return busy(time.Since(a.began)) },
		}
		p.Run(ctx)
	})
	return a.calls
}

func TestPitfall23ProtectionFollowsBusinessWithFewCalls(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		agent  agent
		busy   func(time.Duration) bool
		length time.Duration
		want   []string
	}{
		"taken at once, kept through short pauses, given back when idle": {
			busy:   func(at time.Duration) bool { return at < 40*time.Second && at%(10*time.Second) < 5*time.Second },
			length: 90 * time.Second, want: []string{"1s on", "54s off"},
		},
		"renewed before it expires, and given back at the end": {
			busy: func(time.Duration) bool { return true }, length: 11 * time.Minute, want: []string{"1s on", "5m1s on", "10m1s on", "11m0s off"},
		},
		"a deployment that waits is not asked in a loop, and not for ever": {
			agent: agent{answer: `{"failure":{"Arn":"a","Detail":"d","Reason":"DEPLOYMENT_BLOCKED"}}`},
			busy:  func(time.Duration) bool { return true }, length: 35 * time.Second, want: []string{"1s on", "16s on", "31s on"},
		},
		"an agent that fails is asked again, not in a loop": {
			agent: agent{answer: `{"error":{"Arn":"a","Code":"ServerException","Message":"m"}}`},
			busy:  func(time.Duration) bool { return true }, length: 35 * time.Second, want: []string{"1s on", "16s on", "31s on"},
		},
		"a task that ECS stops, and protects no more, asks on as long as it is busy": {
			agent: agent{answer: `{"failure":{"Arn":"a","Detail":"d","Reason":"TASK_NOT_VALID"}}`},
			busy:  func(at time.Duration) bool { return at < 20*time.Second }, length: time.Minute, want: []string{"1s on", "16s on"},
		},
		"what is no JSON is judged by its status": {
			agent: agent{answer: `<html>`}, busy: func(at time.Duration) bool { return at < 5*time.Second }, length: 40 * time.Second, want: []string{"1s on", "24s off"},
		},
		"an agent that hangs is given up after seconds": {
			agent: agent{hangs: true}, busy: func(time.Duration) bool { return true }, length: 30 * time.Second, want: []string{"1s on", "19s on"},
		},
		"an idle task says nothing": {busy: func(time.Duration) bool { return false }, length: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, play(t, &tc.agent, tc.busy, tc.length)); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}
