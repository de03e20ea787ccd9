package ecs

import (
	"context"
	"encoding/json"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

type clusterInput struct {
	ClusterName string          `json:"clusterName"`
	Cluster     string          `json:"cluster"`
	Clusters    []string        `json:"clusters"`
	Settings    json.RawMessage `json:"settings"`
	Tags        []tag           `json:"tags"`
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
		s.settings[name] = in.Settings
		s.setTags(s.arn("cluster", name), in.Tags)
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

// deleteCluster forgets a cluster that nothing runs in.
func (s *Server) deleteCluster(_ context.Context, in *clusterInput) (*clusterAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, err := s.clusterName(in.Cluster)
	if err != nil {
		return nil, err
	}
	shape := s.clusterShape(name)
	switch {
	case shape.Services > 0:
		return nil, &awswire.Error{Code: "ClusterContainsServicesException", Message: "The Cluster cannot be deleted while Services are active."}
	case shape.RunningTasks+shape.PendingTasks > 0:
		return nil, &awswire.Error{Code: "ClusterContainsTasksException", Message: "The Cluster cannot be deleted while Tasks are active."}
	}
	delete(s.clusters, name)
	shape.Status = "INACTIVE"
	return &clusterAnswer{Cluster: &shape}, nil
}

type tagsInput struct {
	ResourceArn string   `json:"resourceArn"`
	Tags        []tag    `json:"tags"`
	TagKeys     []string `json:"tagKeys"`
}

type tagsAnswer struct {
	Tags []tag `json:"tags,omitempty"`
}

// setTags adds tags, and replaces those of the same key; the caller holds the
// lock.
func (s *Server) setTags(arn string, tags []tag) {
	for _, t := range tags {
		s.dropTags(arn, []string{t.Key})
		s.tags[arn] = append(s.tags[arn], t)
	}
}

func (s *Server) dropTags(arn string, keys []string) {
	s.tags[arn] = slices.DeleteFunc(s.tags[arn], func(t tag) bool { return slices.Contains(keys, t.Key) })
}

func (s *Server) tagResource(_ context.Context, in *tagsInput) (*tagsAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.knows(in.ResourceArn); err != nil {
		return nil, err
	}
	s.setTags(in.ResourceArn, in.Tags)
	return &tagsAnswer{}, nil
}

func (s *Server) untagResource(_ context.Context, in *tagsInput) (*tagsAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.knows(in.ResourceArn); err != nil {
		return nil, err
	}
	s.dropTags(in.ResourceArn, in.TagKeys)
	return &tagsAnswer{}, nil
}

func (s *Server) listTags(_ context.Context, in *tagsInput) (*tagsAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.knows(in.ResourceArn); err != nil {
		return nil, err
	}
	return &tagsAnswer{Tags: slices.Clone(s.tags[in.ResourceArn])}, nil
}

// knows tells whether an ARN is a cluster's, a service's, a task's or a
// definition's. The caller holds the lock.
func (s *Server) knows(arn string) error {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(arn, s.arn("", "")[:len(s.arn("", ""))-1]), "/")
	known := false
	switch kind {
	case "cluster":
		_, known = s.clusters[rest]
	case "service":
		known = s.services[rest] != nil
	case "task":
		cluster, id, _ := strings.Cut(rest, "/")
		known = s.task(cluster, id) != nil
	case "task-definition":
		_, err := s.find(rest)
		known = err == nil
	}
	if !known {
		return invalid("The specified resource was not found: " + arn)
	}
	return nil
}
