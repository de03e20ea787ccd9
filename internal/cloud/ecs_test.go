package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/awsclient"
)

// cluster is one of ECS, by the names of its services.
type cluster struct {
	mu       sync.Mutex
	services map[string]map[string]any
	calls    []string
	deaf     bool // UpdateService answers, and changes nothing
	late     bool // DescribeServices does not show what UpdateService did
	stopped  []map[string]any
	denied   string // the action that is not allowed
}

// answerTasks answers what asks about stopped tasks.
func (c *cluster) answerTasks(w http.ResponseWriter, action string, asked []string) {
	arns, tasks := []any{}, []any{}
	for _, one := range c.stopped {
		arns = append(arns, one["taskArn"])
		if slices.Contains(asked, one["taskArn"].(string)) {
			tasks = append(tasks, one)
		}
	}
	if action == "ListTasks" {
		_ = json.NewEncoder(w).Encode(map[string]any{"taskArns": arns})
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"tasks": tasks})
}

func (c *cluster) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w.Result(), nil
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var in struct {
		Services     []string
		Tasks        []string
		Service      string
		DesiredCount int
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	c.calls = append(c.calls, action)
	if action == c.denied {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"User: arn:aws:sts::123456789012:assumed-role/novaura-acs-controller-task/0f3c is not authorized to perform: ecs:`+action+` on resource: arn:aws:ecs:us-east-1:123456789012:service/c/s because no identity-based policy allows the ecs:`+action+` action"}`)
		return
	}
	if action == "ListTasks" || action == "DescribeTasks" {
		c.answerTasks(w, action, in.Tasks)
		return
	}
	if action == "UpdateService" {
		shown := map[string]any{"serviceName": in.Service, "desiredCount": in.DesiredCount}
		if c.deaf {
			shown = c.services[in.Service]
		} else if !c.late {
			c.services[in.Service]["desiredCount"] = in.DesiredCount
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"service": shown})
		return
	}
	found, failures := []any{}, []any{}
	for _, name := range in.Services {
		if one := c.services[name]; one != nil {
			found = append([]any{one}, found...) // in no particular order
			continue
		}
		failures = append(failures, map[string]any{"arn": "arn:aws:ecs:us-east-1:123456789012:service/c/" + name, "reason": "MISSING"})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"services": found, "failures": failures})
}

// with makes a cluster of one service, s, with 3 tasks and what is given.
func with(more map[string]any) *cluster {
	one := map[string]any{"serviceName": "s", "status": "ACTIVE", "desiredCount": 3, "runningCount": 3}
	maps.Copy(one, more)
	return &cluster{services: map[string]map[string]any{"s": one}}
}

func (c *cluster) open() *Services {
	return NewServices(ecs.New(ecs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://ecs"), HTTPClient: c, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}), 8*time.Second)
}

var ref = config.ServiceRef{Cluster: "c", Service: "s"}

func TestServicesThatAreDescribedTogetherShareCallsOfTenAndKeepApart(t *testing.T) {
	c := &cluster{services: map[string]map[string]any{}}
	for i := range 24 {
		name := fmt.Sprint("s", i)
		c.services[name] = map[string]any{"serviceName": name, "status": "ACTIVE", "desiredCount": i, "runningCount": i}
	}
	s := c.open()
	var asking sync.WaitGroup
	for i := range 25 { // the last is missing
		asking.Go(func() {
			got, err := s.Describe(t.Context(), config.ServiceRef{Cluster: "c", Service: fmt.Sprint("s", i)})
			switch {
			case i == 24 && (err == nil || !strings.Contains(err.Error(), "does not exist")):
				t.Errorf("the missing service says %v", err)
			case i < 24 && (err != nil || got.Desired != i):
				t.Errorf("service %d has %d tasks desired, error %v", i, got.Desired, err)
			}
		})
	}
	asking.Wait()
	if len(c.calls) != 3 {
		t.Errorf("%d calls for 25 services, want 3", len(c.calls))
	}
}

func TestAServiceThatNobodyCanScaleSaysWhy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		service map[string]any
		want    string
	}{
		"deleted":         {map[string]any{"status": "INACTIVE"}, "it was deleted"},
		"being deleted":   {map[string]any{"status": "DRAINING", "desiredCount": 0}, "it is being deleted"},
		"one an instance": {map[string]any{"schedulingStrategy": "DAEMON"}, "DAEMON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := with(tc.service).open().Describe(t.Context(), ref); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestARolloutIsSeenWhoeverDeploys(t *testing.T) {
	t.Parallel()
	primary := func(state string) map[string]any { return map[string]any{"status": "PRIMARY", "rolloutState": state} }
	older := map[string]any{"status": "ACTIVE"}
	for name, tc := range map[string]struct {
		service map[string]any
		want    string
	}{
		"ECS rolls":                      {map[string]any{"deployments": []any{primary("IN_PROGRESS"), older}}, "true"},
		"ECS is done":                    {map[string]any{"deployments": []any{primary("COMPLETED")}}, "false"},
		"behind a Classic Load Balancer": {map[string]any{"deployments": []any{primary(""), older}}, "true"},
		"there, when it is done":         {map[string]any{"deployments": []any{primary("")}}, "false"},
		"CodeDeploy, blue and green":     {map[string]any{"taskSets": []any{older, older}}, "true"},
		"CodeDeploy, blue":               {map[string]any{"taskSets": []any{older}}, "false"},
		"nothing is said":                {nil, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := with(tc.service).open().Describe(t.Context(), ref)
			got := "unknown"
			if found.Rollout != nil {
				got = fmt.Sprint(*found.Rollout)
			}
			if err != nil || got != tc.want {
				t.Errorf("rollout is %s (%v), want %s", got, err, tc.want)
			}
		})
	}
}

func TestAWriteThatChangedNothingIsAFailure(t *testing.T) {
	t.Parallel()
	c := with(nil)
	c.deaf = true
	if err := c.open().SetDesired(t.Context(), ref, 8); err == nil || !strings.Contains(err.Error(), "still 3") {
		t.Errorf("error is %v, want the count that stayed", err)
	}
}

func TestACountFromBeforeOurWriteIsNobodyElsesForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := with(nil)
		c.late = true
		s := c.open()
		read := func() int {
			t.Helper()
			found, err := s.Describe(context.WithoutCancel(t.Context()), ref)
			if err != nil {
				t.Fatal(err)
			}
			return found.Desired
		}
		read()
		if err := s.SetDesired(t.Context(), ref, 8); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := read(); got != 8 {
			t.Errorf("a second after the write %d are desired, want the 8 written", got)
		}
		time.Sleep(settlesWithin)
		if got := read(); got != 3 {
			t.Errorf("long after it %d are desired, want the 3 that ECS tells", got)
		}
		c.services["s"]["desiredCount"] = 5
		if got := read(); got != 5 {
			t.Errorf("%d are desired, want another's 5", got)
		}
	})
}

func TestACountThatSomeoneElseSetIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	c := with(nil)
	s := c.open()
	if _, err := s.Describe(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if err := s.SetDesired(t.Context(), ref, 8); err != nil {
		t.Fatal(err)
	}
	c.services["s"]["desiredCount"] = 0
	if found, err := s.Describe(t.Context(), ref); err != nil || found.Desired != 0 {
		t.Errorf("%d are desired (%v), want the 0 that someone set", found.Desired, err)
	}
}

func TestADeniedWriteNamesTheActionTheServiceAndTheRole(t *testing.T) {
	t.Parallel()
	c := with(nil)
	c.denied = "UpdateService"
	err := c.open().SetDesired(t.Context(), ref, 8)
	const want = `set desired count of service "s" in cluster "c" to 8: ECS denies ecs:UpdateService on arn:aws:ecs:us-east-1:123456789012:service/c/s ` +
		`to role novaura-acs-controller-task (AccessDeniedException: no identity-based policy allows the ecs:UpdateService action): ` +
		`allow ecs:UpdateService in the policy of role novaura-acs-controller-task`
	if !errors.Is(err, awsclient.ErrDenied) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
