package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// account is as much of AWS as a controller needs: one service, whose count
// is set, and queues with messages.
type account struct {
	mu      sync.Mutex
	desired int
	visible int
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	switch action {
	case "DescribeServices":
		answer(map[string]any{"services": []any{map[string]any{"status": "ACTIVE", "desiredCount": a.desired, "runningCount": a.desired, "pendingCount": 0}}})
	case "UpdateService":
		var in struct {
			DesiredCount int `json:"desiredCount"`
		}
		_ = json.Unmarshal(body, &in)
		a.desired = in.DesiredCount
		answer(map[string]any{"service": map[string]any{}})
	case "DescribeScalableTargets":
		answer(map[string]any{"ScalableTargets": []any{}})
	case "GetQueueAttributes":
		answer(map[string]any{"Attributes": map[string]string{
			"ApproximateNumberOfMessages": strconv.Itoa(a.visible), "ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0",
		}})
	default: // CloudWatch among them: its metrics are unknown
		w.WriteHeader(http.StatusBadRequest)
		answer(map[string]any{"__type": "AccessDenied", "message": "not in this story"})
	}
}

func (a *account) set(desired, visible int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.desired, a.visible = desired, visible
}

func (a *account) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.desired
}

// story is one controller, called as a shell would.
type story struct {
	*account

	t       *testing.T
	policy  string
	metrics string
	log     *lockedBuffer
	stop    func() int
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

const storyPolicy = `apiVersion: acs.novaura.io/v1
kind: ScalingPolicy
metadata: {name: worker}
spec:
  target: {cluster: c, service: s}
  interval: 1s
  minTasks: 1
  maxTasks: 20
  queues: [{url: "URL/123456789012/q", maxAge: 60s, throughputPerTask: 10}]
`

func begin(t *testing.T) *story {
	t.Helper()
	s := &story{account: &account{desired: 2, visible: 0}, t: t, log: &lockedBuffer{}, metrics: freePort(t)}
	aws := httptest.NewServer(s.account)
	t.Cleanup(aws.Close)
	s.policy = filepath.Join(t.TempDir(), "policy.yaml")
	s.write(strings.Replace(storyPolicy, "URL", aws.URL, 1))
	for name, value := range map[string]string{
		"CONTROLLER_POLICY": s.policy, "DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "acs.db"), "CONTROLLER_LISTEN": "127.0.0.1:0",
		"CONTROLLER_METRICS_LISTEN": s.metrics, "CONTROLLER_EMF": "on", "AWS_ENDPOINT_URL": aws.URL, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "CONTROLLER_AUTHOR": "ann", "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"run"}, strings.NewReader(""), s.log, s.log) }()
	s.stop = func() int { cancel(); code := <-ended; ended <- code; return code }
	t.Cleanup(func() {
		if code := s.stop(); code != 0 || t.Failed() {
			t.Errorf("exit code %d\n%s", code, s.log)
		}
	})
	return s
}

func (s *story) write(policy string) {
	s.t.Helper()
	if err := os.WriteFile(s.policy, []byte(policy), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) edit(old, to string) {
	s.t.Helper()
	text := s.read()
	if !strings.Contains(text, old) {
		s.t.Fatalf("no %q to edit", old)
	}
	s.write(strings.Replace(text, old, to, 1))
}

func (s *story) read() string {
	s.t.Helper()
	text, err := os.ReadFile(s.policy)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// says runs a verb and returns what it printed.
func (s *story) says(args ...string) string {
	var out bytes.Buffer
	run(s.t.Context(), args, strings.NewReader(""), &out, &out)
	return out.String()
}

// until waits for what must come.
func (s *story) until(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			s.t.Fatalf("never: %s\n%s", what, s.says("describe"))
		case <-tick.C:
		}
	}
}

func (s *story) scrape() string {
	s.t.Helper()
	response, err := http.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(body)
}

func (s *story) untilSays(want string, args ...string) {
	s.t.Helper()
	s.until(strings.Join(args, " ")+" says "+want, func() bool { return strings.Contains(s.says(args...), want) })
}

func TestAControllersDay(t *testing.T) {
	s := begin(t)
	s.untilSays("ready, leading", "health", "--ready")
	s.untilSays("leads since", "get")

	if got := s.scrape(); !strings.Contains(got, `acs_leader{role="leading"} 1`) || !strings.Contains(got, `acs_service_desired_tasks{policy="worker"} 2`) {
		t.Errorf("metrics: %s", got)
	}

	s.set(2, 100_000)
	s.until("a dump raises the count", func() bool { return s.count() > 2 })
	s.untilSays("SuccessfulRescale", "describe")

	if got := s.says("pause", "--for", "1h"); !strings.Contains(got, "--reason is missing") {
		t.Errorf("a pause without a reason: %s", got)
	}
	if got := s.says("pause", "--for", "1h", "--reason", "provider incident"); !strings.Contains(got, "worker paused (both)") {
		t.Errorf("pause: %s", got)
	}
	s.untilSays("Paused", "get")
	s.untilSays("says ann: provider incident", "describe", "worker")
	s.set(3, 100_000)
	s.untilSays("ExternalChange", "describe")
	s.untilSays("says ann: provider incident", "plan")
	if s.count() != 3 {
		t.Errorf("set to %d during the pause", s.count())
	}
	s.says("resume")
	s.until("scaling goes on", func() bool { return s.count() > 3 })

	s.edit("maxTasks: 20", "maxTasks: twenty")
	s.untilSays("PolicyRefused", "get")
	s.untilSays("PolicyRefused", "describe")
	s.untilSays("PolicyRefused", "alerts")
	if got := s.says("describe", "other"); !strings.Contains(got, `no policy "other", only worker`) {
		t.Errorf("describe of no policy: %s", got)
	}
	good := s.read()
	s.write("apiVersion: acs.novaura.io/v1\nkind: DeliveryPolicy\nmetadata: {name: d}\nspec: {}\n")
	s.untilSays("holds no ScalingPolicy", "describe")
	s.write(good)
	s.edit("maxTasks: twenty", "maxTasks: 19")
	s.untilSays("generation 2 is followed", "describe")
	s.until("the new maximum holds", func() bool { return s.count() == 19 })

	s.set(0, 100_000)
	s.untilSays("worker is Stopped", "get")
	s.untilSays("worker is Stopped", "health", "--status")
	if s.count() != 0 {
		t.Errorf("the emergency stop was overruled: %d tasks", s.count())
	}
	if got := s.says("get", "worker", "-o", "yaml"); !strings.Contains(got, "maxAge: 1m0s") || !strings.Contains(got, "observedGeneration: 2") {
		t.Errorf("get -o yaml: %s", got)
	}
	if got := s.says("history", "--changes"); !strings.Contains(got, " → ") {
		t.Errorf("history: %s", got)
	}
	if got := s.says("history", "--replay", time.Now().Format(time.RFC3339)); !strings.Contains(got, "the same states as recorded") {
		t.Errorf("replay: %s", got)
	}
	if code := s.stop(); code != 0 || !strings.Contains(s.log.String(), `"Namespace":"ACS/Controller"`) {
		t.Errorf("exit code %d, or no heartbeat", code)
	}
	if got := s.says("get"); !strings.Contains(got, "Nobody leads: the last controller was stopped") {
		t.Errorf("after the stop: %s", got)
	}
	if got := s.says("health"); !strings.Contains(got, "ask the controller") {
		t.Errorf("health of a controller that is gone: %s", got)
	}
}

func TestExplainTellsAFieldAndItsNeighbours(t *testing.T) {
	for field, want := range map[string]string{
		"ScalingPolicy.spec.queues.maxAge":    "no message waits longer",
		"scalingpolicy.spec.queues[].maxAge":  "FIELD:    spec.queues[].maxAge <duration>",
		"ScalingPolicy.spec.behavior.scaleUp": "stabilizationWindow\t<duration>",
		"ScalingPolicy.spec":                  "target\t<ServiceRef> -required-",
		"ScalingPolicy.spec.queue":            "its fields are behavior",
		"ScalingPolicy.spec.interval.seconds": "has no fields",
		"Policy":                              "start with one of ScalingPolicy",
	} {
		_, out, errOut := controller(t, "", "explain", field)
		if !strings.Contains(out+errOut, want) {
			t.Errorf("explain %s: %s%s, want %q in it", field, out, errOut, want)
		}
	}
}
