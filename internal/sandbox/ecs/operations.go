package ecs

import (
	"context"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// The typed errors, as AWS names them.
func clusterMissing() error {
	return &awswire.Error{Code: "ClusterNotFoundException", Message: "Cluster not found."}
}

func serviceMissing() error {
	return &awswire.Error{Code: "ServiceNotFoundException", Message: "Service not found."}
}

func invalid(message string) error {
	return &awswire.Error{Code: "InvalidParameterException", Message: message}
}

func clientError(message string) error {
	return &awswire.Error{Code: "ClientException", Message: message}
}

type clusterInput struct {
	ClusterName string   `json:"clusterName"`
	Clusters    []string `json:"clusters"`
}

// clusterName is the cluster that a request means: "default" where it names
// none. The caller holds the lock.
func (s *Server) clusterName(given string) (string, error) {
	name := nameOf(given)
	if name == "" {
		name = "default"
	}
	if _, known := s.clusters[name]; !known {
		return "", clusterMissing()
	}
	return name, nil
}

func (s *Server) createCluster(_ context.Context, in *clusterInput) (*clusterAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := in.ClusterName
	if name == "" {
		name = "default"
	}
	if _, known := s.clusters[name]; !known {
		s.clusters[name] = time.Now()
	}
	shape := s.clusterShape(name)
	return &clusterAnswer{Cluster: &shape}, nil
}

func (s *Server) describeClusters(_ context.Context, in *clusterInput) (*clusterAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &clusterAnswer{Clusters: []clusterShape{}, Failures: []failure{}}
	if len(in.Clusters) == 0 {
		in.Clusters = []string{"default"}
	}
	for _, given := range in.Clusters {
		if name, err := s.clusterName(given); err == nil {
			answer.Clusters = append(answer.Clusters, s.clusterShape(name))
		} else {
			answer.Failures = append(answer.Failures, failure{Arn: s.arn("cluster", nameOf(given)), Reason: "MISSING"})
		}
	}
	return answer, nil
}

func (s *Server) listClusters(context.Context, *clusterInput) (*arnsAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &arnsAnswer{ClusterArns: &[]string{}}
	for name := range s.clusters {
		*answer.ClusterArns = append(*answer.ClusterArns, s.arn("cluster", name))
	}
	sort.Strings(*answer.ClusterArns)
	return answer, nil
}

func (s *Server) registerTaskDefinition(_ context.Context, in *registerInput) (*definitionAnswer, error) {
	switch {
	case in.Family == "":
		return nil, clientError("Family should not be null or empty.")
	case len(in.ContainerDefinitions) == 0:
		return nil, clientError("Container list cannot be empty.")
	case in.ContainerDefinitions[0].Image == "":
		return nil, clientError("Container.image should not be null or empty.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	revisions := s.definitions[in.Family]
	d := &definition{Family: in.Family, Revision: len(revisions) + 1, Status: "ACTIVE", Input: *in, Registered: time.Now()}
	d.Arn = s.arn("task-definition", d.name())
	s.definitions[in.Family] = append(revisions, d)
	return &definitionAnswer{TaskDefinition: d.shape()}, nil
}

// find returns the definition that family, family:revision or an ARN names;
// the caller holds the lock.
func (s *Server) find(given string) (*definition, error) {
	family, revision, _ := strings.Cut(nameOf(given), ":")
	revisions := slices.Clone(s.definitions[family])
	slices.Reverse(revisions)
	for _, d := range revisions {
		if revision == "" && d.Status == "ACTIVE" || revision != "" && d.name() == family+":"+revision {
			return d, nil
		}
	}
	return nil, clientError("Unable to describe task definition.")
}

func (s *Server) describeTaskDefinition(_ context.Context, in *definitionInput) (*definitionAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.find(in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	return &definitionAnswer{TaskDefinition: d.shape()}, nil
}

func (s *Server) deregisterTaskDefinition(_ context.Context, in *definitionInput) (*definitionAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := s.find(in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	d.Status = "INACTIVE"
	return &definitionAnswer{TaskDefinition: d.shape()}, nil
}

func (s *Server) listTaskDefinitions(_ context.Context, in *definitionInput) (*arnsAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &arnsAnswer{TaskDefinitionArns: &[]string{}}
	for family, revisions := range s.definitions {
		for _, d := range revisions {
			if d.Status == "ACTIVE" && strings.HasPrefix(family, in.FamilyPrefix) {
				*answer.TaskDefinitionArns = append(*answer.TaskDefinitionArns, d.Arn)
			}
		}
	}
	sort.Strings(*answer.TaskDefinitionArns)
	return answer, nil
}

func (s *Server) createService(_ context.Context, in *createServiceInput) (*serviceAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	if in.ServiceName == "" || in.DesiredCount < 0 {
		return nil, invalid("serviceName must be set, and desiredCount must not be negative.")
	}
	if known := s.services[cluster+"/"+in.ServiceName]; known != nil && !known.deleted {
		return nil, invalid("Creation of service was not idempotent.")
	}
	d, err := s.find(in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	v := &service{
		cluster: cluster, name: in.ServiceName, arn: s.arn("service", cluster+"/"+in.ServiceName), desired: in.DesiredCount,
		definition: d, created: now, updated: now, deploymentID: "ecs-svc/" + newID()[:19], input: *in,
	}
	s.services[cluster+"/"+in.ServiceName] = v
	s.poke()
	shape := s.serviceShape(v)
	return &serviceAnswer{Service: &shape}, nil
}

// service returns a service that is there; the caller holds the lock.
func (s *Server) service(cluster, given string) (*service, error) {
	name, err := s.clusterName(cluster)
	if err != nil {
		return nil, err
	}
	v := s.services[name+"/"+nameOf(given)]
	if v == nil {
		return nil, serviceMissing()
	}
	return v, nil
}

func (s *Server) describeServices(_ context.Context, in *describeServicesInput) (*serviceAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	if len(in.Services) == 0 || len(in.Services) > 10 {
		return nil, invalid("Services must have between 1 and 10 entries.")
	}
	answer := &serviceAnswer{Services: &[]serviceShape{}, Failures: &[]failure{}}
	for _, given := range in.Services {
		if v := s.services[cluster+"/"+nameOf(given)]; v != nil {
			*answer.Services = append(*answer.Services, s.serviceShape(v))
		} else {
			*answer.Failures = append(*answer.Failures, failure{Arn: s.arn("service", cluster+"/"+nameOf(given)), Reason: "MISSING"})
		}
	}
	return answer, nil
}

func (s *Server) updateService(_ context.Context, in *updateServiceInput) (*serviceAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.service(in.Cluster, in.Service)
	if err != nil {
		return nil, err
	}
	if v.deleted {
		return nil, &awswire.Error{Code: "ServiceNotActiveException", Message: "Service was not ACTIVE."}
	}
	if in.DesiredCount != nil && *in.DesiredCount < 0 {
		return nil, invalid("desiredCount must not be negative.")
	}
	if in.TaskDefinition != "" || in.ForceNewDeployment {
		if err := s.deploy(v, in.TaskDefinition); err != nil {
			return nil, err
		}
	}
	if in.DesiredCount != nil {
		v.desired = *in.DesiredCount
	}
	s.poke()
	shape := s.serviceShape(v)
	return &serviceAnswer{Service: &shape}, nil
}

// deploy makes another definition, or a fresh copy of the same, the one that
// tasks run. The caller holds the lock.
func (s *Server) deploy(v *service, given string) error {
	d := v.definition
	if given != "" {
		found, err := s.find(given)
		if err != nil {
			return err
		}
		d = found
	}
	fresh := *d // tasks are told apart by identity: a forced deployment replaces all
	v.definition, v.updated, v.deploymentID = &fresh, time.Now(), "ecs-svc/"+newID()[:19]
	v.settled, v.failedTasks, v.failuresInARow, v.retryAt = false, 0, 0, time.Time{}
	return nil
}

func (s *Server) deleteService(_ context.Context, in *updateServiceInput) (*serviceAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.service(in.Cluster, in.Service)
	if err != nil {
		return nil, err
	}
	if v.desired > 0 && !in.Force {
		return nil, invalid("The service cannot be stopped while it is scaled above 0.")
	}
	v.desired, v.deleted = 0, true
	s.poke()
	shape := s.serviceShape(v)
	return &serviceAnswer{Service: &shape}, nil
}

func (s *Server) listServices(_ context.Context, in *describeServicesInput) (*arnsAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cluster, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	answer := &arnsAnswer{ServiceArns: &[]string{}}
	for _, v := range s.services {
		if v.cluster == cluster && !v.deleted {
			*answer.ServiceArns = append(*answer.ServiceArns, v.arn)
		}
	}
	sort.Strings(*answer.ServiceArns)
	return answer, nil
}

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
		if t.cluster == cluster && t.desired == wanted && ofService && (in.Family == "" || t.definition.Family == in.Family) {
			*answer.TaskArns = append(*answer.TaskArns, t.arn)
		}
	}
	return answer, nil
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
