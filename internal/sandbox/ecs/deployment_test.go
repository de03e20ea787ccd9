package ecs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// actor is a container that does as its command says: "work" until it is
// asked to stop, "crash" after a second, or "missing", an image that is not
// there.
type actor struct{ end chan int }

func (a actor) Signal() {
	select {
	case a.end <- 0:
	default:
	}
}
func (a actor) Kill()                               { a.Signal() }
func (a actor) Wait() int                           { return <-a.end }
func (a actor) Usage() (time.Duration, int64, bool) { return time.Since(began) / 8, 256 << 20, true }

var began = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when a synctest bubble begins

type theatre struct{}

func (theatre) Launch(_ string, c Container) (Process, error) {
	a := actor{make(chan int, 1)}
	switch c.Command[0] {
	case "missing":
		return nil, errors.New("image not found")
	case "crash":
		time.AfterFunc(time.Second, func() { a.end <- 1 })
	}
	return a, nil
}

// stage is a server on fake time, called as its operations are.
type stage struct {
	*Server
	t *testing.T
}

// play runs a story against a service s of cluster c that runs "work".
func play(t *testing.T, service map[string]any, story func(s stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := stage{New(Options{Account: "123456789012", Region: "us-east-1", Launcher: theatre{}, StartLag: 10 * time.Second, Endpoint: "http://agent"}), t}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		s.call("CreateCluster", map[string]any{"clusterName": "c"})
		service["cluster"], service["serviceName"], service["taskDefinition"] = "c", "s", s.define("work")
		s.call("CreateService", service)
		time.Sleep(20 * time.Second)
		story(s)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (s stage) call(operation string, in any) map[string]any {
	s.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.ops[operation](s.t.Context(), body)
	if err != nil {
		s.t.Fatalf("%s: %v", operation, err)
	}
	encoded, err := json.Marshal(out)
	if err != nil {
		s.t.Fatal(err)
	}
	answer := map[string]any{}
	if err := json.Unmarshal(encoded, &answer); err != nil {
		s.t.Fatal(err)
	}
	return answer
}

func (s stage) define(command string) string {
	s.t.Helper()
	answer := s.call("RegisterTaskDefinition", map[string]any{
		"family": "f", "cpu": "256", "memory": "512",
		"containerDefinitions": []any{map[string]any{"name": "w", "image": "i", "command": []string{command}}},
	})
	definition, _ := answer["taskDefinition"].(map[string]any)
	arn, _ := definition["taskDefinitionArn"].(string)
	return arn
}

func (s stage) update(in map[string]any) {
	s.t.Helper()
	in["cluster"], in["service"] = "c", "s"
	s.call("UpdateService", in)
}

func (s stage) look() serviceShape {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serviceShape(s.services["c/s"])
}

func (s stage) running() []string { return s.Running() }

func (s stage) said(text string) bool {
	for _, e := range s.look().Events {
		if strings.Contains(e.Message, text) {
			return true
		}
	}
	return false
}

func TestADeploymentKeepsItsBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		least, most         int // percent
		fewest, mostOfTasks int // running, and running or pending, while it rolls
	}{
		"ECS's defaults start as many more, and none is missed": {least: 100, most: 200, fewest: 4, mostOfTasks: 8},
		"half healthy, none more":                               {least: 50, most: 100, fewest: 2, mostOfTasks: 4},
		"one more at a time":                                    {least: 100, most: 125, fewest: 4, mostOfTasks: 5},
	} {
		t.Run(name, func(t *testing.T) {
			config := map[string]any{"minimumHealthyPercent": tc.least, "maximumPercent": tc.most}
			play(t, map[string]any{"desiredCount": 4, "deploymentConfiguration": config}, func(s stage) {
				before := s.look()
				if before.RunningCount != 4 || before.Deployments[0].RolloutState != rolloutCompleted || !s.said("has reached a steady state") {
					t.Fatalf("before: %+v", before)
				}
				s.update(map[string]any{"taskDefinition": s.define("work")})
				fewest, most, both := 4, 0, false
				for range 1200 {
					time.Sleep(100 * time.Millisecond)
					now := s.look()
					fewest, most = min(fewest, now.RunningCount), max(most, now.RunningCount+now.PendingCount)
					both = both || len(now.Deployments) == 2 && now.Deployments[0].Status == "PRIMARY" && now.Deployments[1].Status == "ACTIVE" &&
						now.Deployments[0].RolloutState == rolloutInProgress
				}
				after := s.look()
				if len(after.Deployments) != 1 || after.Deployments[0].RolloutState != rolloutCompleted || after.RunningCount != 4 {
					t.Errorf("after: %+v", after)
				}
				if fewest != tc.fewest || most != tc.mostOfTasks || !both {
					t.Errorf("at least %d ran, at most %d there were, two deployments: %v; want %d, %d", fewest, most, both, tc.fewest, tc.mostOfTasks)
				}
				if !s.said("(deployment " + after.Deployments[0].ID + ") deployment completed.") {
					t.Error("the completed deployment was not announced")
				}
			})
		})
	}
}

func TestTheCircuitBreaker(t *testing.T) {
	for name, tc := range map[string]struct {
		breaker map[string]any
		image   string
		rollout string // of the primary deployment, in the end
		back    bool   // to the old definition
	}{
		"crashes are rolled back":               {map[string]any{"enable": true, "rollback": true}, "crash", rolloutCompleted, true},
		"a missing image is rolled back":        {map[string]any{"enable": true, "rollback": true}, "missing", rolloutCompleted, true},
		"without rollback the deployment fails": {map[string]any{"enable": true, "rollback": false}, "crash", rolloutFailed, false},
		"without a breaker it tries for ever":   {map[string]any{"enable": false, "rollback": false}, "crash", rolloutInProgress, false},
	} {
		t.Run(name, func(t *testing.T) {
			config := map[string]any{"deploymentCircuitBreaker": tc.breaker}
			play(t, map[string]any{"desiredCount": 2, "deploymentConfiguration": config}, func(s stage) {
				old := s.look().TaskDefinition
				s.update(map[string]any{"taskDefinition": s.define(tc.image)})
				time.Sleep(5 * time.Minute)
				got := s.look()
				if got.Deployments[0].RolloutState != tc.rollout || (got.TaskDefinition == old) != tc.back {
					t.Errorf("rollout %s of %s, want %s, back: %v", got.Deployments[0].RolloutState, got.TaskDefinition, tc.rollout, tc.back)
				}
				if got.RunningCount < 2 {
					t.Errorf("%d run, the old ones should", got.RunningCount)
				}
				if tc.back && (!s.said("deployment failed: tasks failed to start.") || !s.said("rolling back to deployment")) {
					t.Errorf("events: %+v", got.Events)
				}
			})
		})
	}
}

func TestAProtectedTaskIsNotScaledIn(t *testing.T) {
	play(t, map[string]any{"desiredCount": 3}, func(s stage) {
		kept := s.running()[0] // the oldest: a scale-in would take it first
		s.call("UpdateTaskProtection", map[string]any{"cluster": "c", "tasks": []string{kept}, "protectionEnabled": true, "expiresInMinutes": 5})
		s.update(map[string]any{"desiredCount": 0})
		time.Sleep(time.Minute)
		if ids := s.running(); len(ids) != 1 || ids[0] != kept {
			t.Fatalf("running: %v, want %s alone", ids, kept)
		}
		time.Sleep(5 * time.Minute)
		if ids := s.running(); len(ids) != 0 {
			t.Errorf("running when the protection has expired: %v", ids)
		}
	})
}

func TestATaskAsksItsAgent(t *testing.T) {
	play(t, map[string]any{"desiredCount": 1}, func(s stage) {
		id := s.running()[0]
		ask := func(method, path, body string) string {
			r := httptest.NewRequestWithContext(t.Context(), method, "/_ecs/"+path, bytes.NewBufferString(body))
			answer := httptest.NewRecorder()
			s.Agent().ServeHTTP(answer, r)
			return answer.Body.String()
		}
		state := "api/" + id + "/task-protection/v1/state"
		for _, tc := range []struct{ what, method, path, body, want string }{
			{"metadata of the container", http.MethodGet, "v4/" + id, "", `"Name":"w"`},
			{"metadata of the task", http.MethodGet, "v4/" + id + "/task", "", `"TaskARN":"arn:aws:ecs:us-east-1:123456789012:task/c/` + id},
			{"not protected at first", http.MethodGet, state, "", `{"protection":{"ProtectionEnabled":false,"TaskArn":`},
			{"protected", http.MethodPut, state, `{"ProtectionEnabled":true,"ExpiresInMinutes":60}`, `{"protection":{"ExpirationDate":"2000-01-01T01:00:20Z","ProtectionEnabled":true`},
			{"no such time", http.MethodPut, state, `{"ProtectionEnabled":true,"ExpiresInMinutes":5000}`, `"Code":"InvalidParameterException"`},
			{"nothing said", http.MethodPut, state, `{}`, `"error"`},
		} {
			if got := ask(tc.method, tc.path, tc.body); !strings.Contains(got, tc.want) {
				t.Errorf("%s: %s, want %s", tc.what, got, tc.want)
			}
		}
		s.update(map[string]any{"taskDefinition": s.define("work")})
		time.Sleep(30 * time.Second)
		if got := ask(http.MethodPut, state, `{"ProtectionEnabled":true}`); !strings.Contains(got, `"Reason":"DEPLOYMENT_BLOCKED"`) {
			t.Errorf("protection while a deployment waits: %s", got)
		}
	})
}

func TestUsageIsOfWhatWasReserved(t *testing.T) {
	play(t, map[string]any{"desiredCount": 1}, func(s stage) {
		s.Usage() // from here on
		time.Sleep(time.Minute)
		got := s.Usage()
		want := UsageSample{Cluster: "c", Service: "s", CPU: 50, Memory: 50}
		if len(got) != 1 || got[0] != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}
