package ecs

import (
	"cmp"
	"context"
	"strconv"
	"time"
)

func (s *Server) runTask(_ context.Context, in *runTaskInput) (*taskAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	d, err := s.find(in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	if in.Count < 0 || in.Count > 10 {
		return nil, invalid("count must be between 1 and 10.")
	}
	answer := &taskAnswer{Tasks: &[]taskShape{}, Failures: &[]failure{}}
	for range max(in.Count, 1) {
		t := s.newTask(cluster, d, time.Now())
		t.startedBy = in.StartedBy
		if in.Group != "" {
			t.group = in.Group
		}
		if len(in.Overrides.Containers) > 0 {
			t.override = &in.Overrides.Containers[0]
		}
		*answer.Tasks = append(*answer.Tasks, s.taskShape(t))
	}
	s.poke()
	return answer, nil
}

// task returns a task of a cluster; the caller holds the lock.
func (s *Server) task(cluster, given string) *task {
	for _, t := range s.tasks {
		if t.cluster == cluster && t.id == nameOf(given) {
			return t
		}
	}
	return nil
}

func (s *Server) stopTask(_ context.Context, in *stopTaskInput) (*taskAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	t := s.task(cluster, in.Task)
	if t == nil {
		return nil, invalid("The referenced task was not found.")
	}
	reason := in.Reason
	if reason == "" {
		reason = "Task stopped by user"
	}
	s.stop(t, "UserInitiated", reason, time.Now())
	s.poke()
	shape := s.taskShape(t)
	return &taskAnswer{Task: &shape}, nil
}

func (s *Server) listTasks(_ context.Context, in *listTasksInput) (*arnsAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	if in.ServiceName != "" && s.services[cluster+"/"+nameOf(in.ServiceName)] == nil {
		return nil, serviceMissing()
	}
	wanted := in.DesiredStatus
	if wanted == "" {
		wanted = statusRunning
	}
	answer := &arnsAnswer{TaskArns: &[]string{}}
	for _, t := range s.tasks {
		ofService := in.ServiceName == "" || t.service != nil && t.service.name == nameOf(in.ServiceName)
		ofFamily := in.Family == "" || t.definition.Family == in.Family
		byStarter := in.StartedBy == "" || t.startedBy == in.StartedBy
		if t.cluster == cluster && t.desired == wanted && ofService && ofFamily && byStarter {
			*answer.TaskArns = append(*answer.TaskArns, t.arn)
		}
	}
	return answer, answer.page(in.MaxResults, in.NextToken)
}

// page leaves one page of the tasks; its token is how many came before the next.
func (a *arnsAnswer) page(size int, token string) error {
	const most = 100
	if size < 0 || size > most {
		return invalid("maxResults must be between 1 and 100.")
	}
	skip := 0
	if token != "" {
		var err error
		if skip, err = strconv.Atoi(token); err != nil || skip < 0 {
			return invalid("Invalid token.")
		}
	}
	rest := (*a.TaskArns)[min(skip, len(*a.TaskArns)):]
	if size = cmp.Or(size, most); len(rest) > size {
		rest, a.NextToken = rest[:size], strconv.Itoa(skip+size)
	}
	*a.TaskArns = rest
	return nil
}

func (s *Server) describeTasks(_ context.Context, in *describeTasksInput) (*taskAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	if len(in.Tasks) == 0 || len(in.Tasks) > 100 {
		return nil, invalid("Tasks must have between 1 and 100 entries.")
	}
	answer := &taskAnswer{Tasks: &[]taskShape{}, Failures: &[]failure{}}
	for _, given := range in.Tasks {
		if t := s.task(cluster, given); t != nil {
			*answer.Tasks = append(*answer.Tasks, s.taskShape(t))
		} else {
			*answer.Failures = append(*answer.Failures, failure{Arn: s.arn("task", cluster+"/"+nameOf(given)), Reason: "MISSING"})
		}
	}
	return answer, nil
}
