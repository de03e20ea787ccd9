// Package autoscaling stands in for Application Auto Scaling as far as its
// scalable targets and policies can be kept and described: who asks whether a
// service is steered by it gets a true answer. It steers nothing.
package autoscaling

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// Server is the stand-in, an http.Handler that is safe for concurrent use.
type Server struct {
	ops map[string]awswire.Op

	mu      sync.Mutex
	targets []target
}

// New returns a Server without targets.
func New() *Server {
	s := &Server{}
	s.ops = map[string]awswire.Op{
		"DescribeScalableTargets":  awswire.JSON(s.describe),
		"RegisterScalableTarget":   awswire.JSON(s.register),
		"DeregisterScalableTarget": awswire.JSON(s.deregister),
		"DescribeScalingPolicies":  awswire.JSON(s.policies),
	}
	return s
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { awswire.ServeJSON(w, r, s.ops) }

type target struct {
	ServiceNamespace  string
	ResourceID        string `json:"ResourceId"`
	ScalableDimension string
	MinCapacity       int
	MaxCapacity       int
	RoleARN           string
	CreationTime      float64
}

func (t target) is(o target) bool {
	return t.ServiceNamespace == o.ServiceNamespace && t.ResourceID == o.ResourceID && t.ScalableDimension == o.ScalableDimension
}

type describeInput struct {
	ServiceNamespace  string
	ResourceIDs       []string `json:"ResourceIds"`
	ScalableDimension string
}

type describeOutput struct{ ScalableTargets []target }

type empty struct{}

func missing(parameter string) error {
	return &awswire.Error{Code: "ValidationException", Message: "1 validation error detected: Value at '" + parameter + "' failed to satisfy constraint: Member must not be null"}
}

func (s *Server) describe(_ context.Context, in *describeInput) (*describeOutput, error) {
	if in.ServiceNamespace == "" {
		return nil, missing("serviceNamespace")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &describeOutput{ScalableTargets: []target{}}
	for _, t := range s.targets {
		if t.ServiceNamespace == in.ServiceNamespace &&
			(len(in.ResourceIDs) == 0 || slices.Contains(in.ResourceIDs, t.ResourceID)) &&
			(in.ScalableDimension == "" || in.ScalableDimension == t.ScalableDimension) {
			out.ScalableTargets = append(out.ScalableTargets, t)
		}
	}
	return out, nil
}

type registerInput struct {
	target
	MinCapacity, MaxCapacity *int
}

// register adds a target, or changes what a call gives of one that is there.
func (s *Server) register(_ context.Context, in *registerInput) (*empty, error) {
	switch "" {
	case in.ServiceNamespace:
		return nil, missing("serviceNamespace")
	case in.ResourceID:
		return nil, missing("resourceId")
	case in.ScalableDimension:
		return nil, missing("scalableDimension")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.targets, in.is)
	if at < 0 {
		if in.MinCapacity == nil || in.MaxCapacity == nil {
			return nil, missing(cmp.Or(map[bool]string{true: "minCapacity"}[in.MinCapacity == nil], "maxCapacity"))
		}
		in.CreationTime = awswire.Epoch(time.Now())
		s.targets = append(s.targets, in.target)
		at = len(s.targets) - 1
	}
	t := &s.targets[at]
	if in.MinCapacity != nil {
		t.MinCapacity = *in.MinCapacity
	}
	if in.MaxCapacity != nil {
		t.MaxCapacity = *in.MaxCapacity
	}
	return &empty{}, nil
}

func (s *Server) deregister(_ context.Context, in *target) (*empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.targets, in.is)
	if at < 0 {
		return nil, &awswire.Error{Code: "ObjectNotFoundException", Message: "No scalable target found for service namespace: " +
			in.ServiceNamespace + ", resource ID: " + in.ResourceID + ", scalable dimension: " + in.ScalableDimension}
	}
	s.targets = slices.Delete(s.targets, at, at+1)
	return &empty{}, nil
}

type policiesOutput struct{ ScalingPolicies []empty }

func (s *Server) policies(context.Context, *describeInput) (*policiesOutput, error) {
	return &policiesOutput{ScalingPolicies: []empty{}}, nil
}
