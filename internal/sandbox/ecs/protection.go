package ecs

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// The bounds of ExpiresInMinutes, see UpdateTaskProtection.
const (
	defaultProtection = 120
	longestProtection = 2880
)

type protectionInput struct {
	Cluster          string   `json:"cluster"`
	Tasks            []string `json:"tasks"`
	Enabled          bool     `json:"protectionEnabled"`
	ExpiresInMinutes *int     `json:"expiresInMinutes"`
}

type protectedTask struct {
	TaskArn        string   `json:"taskArn"`
	Enabled        bool     `json:"protectionEnabled"`
	ExpirationDate *float64 `json:"expirationDate,omitempty"`
}

type protectionAnswer struct {
	ProtectedTasks []protectedTask `json:"protectedTasks"`
	Failures       []failure       `json:"failures"`
}

func (in *protectionInput) minutes() (int, error) {
	if in.ExpiresInMinutes == nil {
		return defaultProtection, nil
	}
	if n := *in.ExpiresInMinutes; n < 1 || n > longestProtection {
		return 0, invalid("expiresInMinutes must be between 1 and 2880.")
	}
	return *in.ExpiresInMinutes, nil
}

func (s *Server) updateTaskProtection(_ context.Context, in *protectionInput) (*protectionAnswer, error) {
	minutes, err := in.minutes()
	if err != nil {
		return nil, err
	}
	if len(in.Tasks) == 0 || len(in.Tasks) > 10 {
		return nil, invalid("tasks must have between 1 and 10 entries.")
	}
	return s.eachTask(in, func(t *task, now time.Time) string { return t.protect(in.Enabled, minutes, now) })
}

// getTaskProtection tells of the tasks that are named, and of all that are
// protected where none is.
func (s *Server) getTaskProtection(_ context.Context, in *protectionInput) (*protectionAnswer, error) {
	return s.eachTask(in, func(t *task, _ time.Time) string { return t.protectable() })
}

func (s *Server) eachTask(in *protectionInput, do func(*task, time.Time) string) (*protectionAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if len(in.Tasks) == 0 {
		for _, t := range s.tasks {
			if t.cluster == cluster && t.protectedUntil.After(now) && t.protectable() == "" {
				in.Tasks = append(in.Tasks, t.arn)
			}
		}
	}
	answer := &protectionAnswer{ProtectedTasks: []protectedTask{}, Failures: []failure{}}
	for _, given := range in.Tasks {
		t := s.task(cluster, given)
		if t == nil {
			answer.Failures = append(answer.Failures, failure{s.arn("task", cluster+"/"+nameOf(given)), "MISSING"})
			continue
		}
		if reason := do(t, now); reason != "" {
			answer.Failures = append(answer.Failures, failure{t.arn, reason})
			continue
		}
		shape := protectedTask{TaskArn: t.arn, Enabled: t.protectedUntil.After(now)}
		if shape.Enabled {
			shape.ExpirationDate = optional(t.protectedUntil)
		}
		answer.ProtectedTasks = append(answer.ProtectedTasks, shape)
	}
	s.poke()
	return answer, nil
}

// protectable says why a task can't be protected, with AWS's reason.
func (t *task) protectable() string {
	if t.service == nil || t.desired == statusStopped {
		return "TASK_NOT_VALID"
	}
	return ""
}

// protect keeps a task from scale-in and deployments for so many minutes. One
// that a deployment waits for can't be protected again.
func (t *task) protect(enabled bool, minutes int, now time.Time) (reason string) {
	if reason := t.protectable(); reason != "" {
		return reason
	}
	if enabled && t.deployment != t.service.primary() {
		return "DEPLOYMENT_BLOCKED"
	}
	t.protectedUntil = time.Time{}
	if enabled {
		t.protectedUntil = now.Add(time.Duration(minutes) * time.Minute)
	}
	return ""
}

// agentPath is where the door serves what a container asks its agent.
const agentPath = "/_ecs/"

// Agent serves the two endpoints that a container finds in its environment:
// task metadata version 4 (ECS_CONTAINER_METADATA_URI_V4) and task scale-in
// protection (ECS_AGENT_URI).
func (s *Server) Agent() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+agentPath+"v4/{id}", s.agentContainer)
	mux.HandleFunc("GET "+agentPath+"v4/{id}/task", s.agentTask)
	mux.HandleFunc("GET "+agentPath+"api/{id}/task-protection/v1/state", s.agentProtection)
	mux.HandleFunc("PUT "+agentPath+"api/{id}/task-protection/v1/state", s.agentProtection)
	return mux
}

// agentEnvironment are the variables that lead a container to its agent.
func (s *Server) agentEnvironment(taskID string) []string {
	if s.options.Endpoint == "" {
		return nil
	}
	return []string{
		"ECS_CONTAINER_METADATA_URI_V4=" + s.options.Endpoint + agentPath + "v4/" + taskID,
		"ECS_AGENT_URI=" + s.options.Endpoint + agentPath + "api/" + taskID,
		"AWS_EXECUTION_ENV=AWS_ECS_FARGATE",
	}
}

type agentState struct {
	ExpirationDate    string `json:",omitempty"`
	ProtectionEnabled bool
	TaskArn           string
}

type agentFailure struct {
	Arn    string
	Detail *string
	Reason string
}

type agentError struct{ Arn, Code, Message string }

type agentAnswer struct {
	RequestID  string        `json:"requestID,omitempty"`
	Protection *agentState   `json:"protection,omitempty"`
	Failure    *agentFailure `json:"failure,omitempty"`
	Error      *agentError   `json:"error,omitempty"`
}

func (s *Server) agentProtection(w http.ResponseWriter, r *http.Request) {
	t := s.anyTask(r.PathValue("id"))
	if t == nil {
		http.Error(w, "no task of this id", http.StatusNotFound)
		return
	}
	in := protectionInput{Cluster: t.cluster, Tasks: []string{t.arn}}
	call := s.getTaskProtection
	if r.Method == http.MethodPut {
		var given struct {
			ProtectionEnabled *bool
			ExpiresInMinutes  *int
		}
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&given)
		if err != nil || given.ProtectionEnabled == nil {
			writeAgent(w, http.StatusBadRequest, agentAnswer{RequestID: awswire.UUID(), Error: &agentError{t.arn, "InvalidParameterException", "Invalid request: does not contain 'ProtectionEnabled' field"}})
			return
		}
		in.Enabled, in.ExpiresInMinutes, call = *given.ProtectionEnabled, given.ExpiresInMinutes, s.updateTaskProtection
	}
	answer, err := call(r.Context(), &in)
	switch {
	case err != nil:
		typed := awswire.AsError(err)
		writeAgent(w, typed.HTTPStatus(), agentAnswer{RequestID: awswire.UUID(), Error: &agentError{t.arn, typed.Code, typed.Message}})
	case len(answer.Failures) > 0:
		writeAgent(w, http.StatusOK, agentAnswer{Failure: &agentFailure{Arn: t.arn, Reason: answer.Failures[0].Reason}})
	default:
		state := agentState{ProtectionEnabled: answer.ProtectedTasks[0].Enabled, TaskArn: t.arn}
		if at := answer.ProtectedTasks[0].ExpirationDate; at != nil {
			state.ExpirationDate = time.UnixMilli(int64(*at * 1000)).UTC().Format(time.RFC3339)
		}
		writeAgent(w, http.StatusOK, agentAnswer{Protection: &state})
	}
}

func (s *Server) anyTask(id string) *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tasks {
		if t.id == id {
			return t
		}
	}
	return nil
}

func writeAgent(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // plain structures: only the caller who hung up is an error
}
