package ecs

import (
	"bytes"
	"context"
	"slices"
	"sort"
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
		created: now, configuration: in.DeploymentConfiguration.orDefaults(), input: *in,
	}
	v.deploy(d, now)
	s.setTags(v.arn, in.Tags)
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
			shape := s.serviceShape(v)
			if slices.Contains(in.Include, "TAGS") {
				shape.Tags = s.tags[v.arn]
			}
			*answer.Services = append(*answer.Services, shape)
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
	if err := s.redeploy(v, in); err != nil {
		return nil, err
	}
	if in.DesiredCount != nil {
		v.desired = *in.DesiredCount
	}
	s.poke()
	shape := s.serviceShape(v)
	return &serviceAnswer{Service: &shape}, nil
}

// redeploy begins a deployment where an update calls for one: another task
// definition, another network, or by force. The caller holds the lock.
func (s *Server) redeploy(v *service, in *updateServiceInput) error {
	d := v.primary().definition
	if in.TaskDefinition != "" {
		found, err := s.find(in.TaskDefinition)
		if err != nil {
			return err
		}
		d = found
	}
	moved := in.NetworkConfiguration != nil && !bytes.Equal(in.NetworkConfiguration, v.input.NetworkConfiguration)
	if in.DeploymentConfiguration != nil {
		v.configuration = in.DeploymentConfiguration.orDefaults()
	}
	if moved {
		v.input.NetworkConfiguration = in.NetworkConfiguration
	}
	if d != v.primary().definition || moved || in.ForceNewDeployment {
		v.deploy(d, time.Now())
	}
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
