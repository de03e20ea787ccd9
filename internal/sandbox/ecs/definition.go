package ecs

import (
	"context"
	"slices"
	"sort"
	"strings"
	"time"
)

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
	s.setTags(d.Arn, in.Tags)
	return &definitionAnswer{TaskDefinition: d.shape(), Tags: in.Tags}, nil
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
	answer := &definitionAnswer{TaskDefinition: d.shape()}
	if slices.Contains(in.Include, "TAGS") {
		answer.Tags = s.tags[d.Arn]
	}
	return answer, nil
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
