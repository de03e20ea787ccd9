package ecs

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// containerMetadata and taskMetadata are the fields of "Amazon ECS task
// metadata endpoint version 4" that have a meaning here.
type containerMetadata struct {
	DockerID      string `json:"DockerId"`
	Name          string
	DockerName    string
	Image         string
	Labels        map[string]string
	DesiredStatus string
	KnownStatus   string
	Limits        map[string]float64
	CreatedAt     string
	StartedAt     string `json:",omitempty"`
	Type          string
	ContainerARN  string
}

type taskMetadata struct {
	Cluster          string
	TaskARN          string
	Family           string
	Revision         string
	ServiceName      string `json:",omitempty"`
	DesiredStatus    string
	KnownStatus      string
	Limits           map[string]float64 // vCPU, MiB
	PullStartedAt    string
	PullStoppedAt    string
	AvailabilityZone string
	LaunchType       string
	Containers       []containerMetadata
}

func (s *Server) agentContainer(w http.ResponseWriter, r *http.Request) {
	s.tellMetadata(w, r, func(t *task) any { return s.containerMetadata(t) })
}

func (s *Server) agentTask(w http.ResponseWriter, r *http.Request) {
	s.tellMetadata(w, r, func(t *task) any { return s.taskMetadata(t) })
}

func (s *Server) tellMetadata(w http.ResponseWriter, r *http.Request, of func(*task) any) {
	t := s.anyTask(r.PathValue("id"))
	if t == nil {
		http.Error(w, "no task of this id", http.StatusNotFound)
		return
	}
	s.mu.Lock()
	body := of(t)
	s.mu.Unlock()
	writeAgent(w, http.StatusOK, body)
}

func (s *Server) containerMetadata(t *task) containerMetadata {
	first := t.definition.Input.ContainerDefinitions[0]
	m := containerMetadata{
		DockerID: t.id + "-0", Name: first.Name, DockerName: first.Name, Image: first.Image,
		DesiredStatus: t.desired, KnownStatus: t.status, Limits: t.definition.limits(), Type: "NORMAL", CreatedAt: t.created.UTC().Format(time.RFC3339Nano),
		ContainerARN: s.arn("container", t.cluster+"/"+t.id+"/"+t.id[:8]),
		Labels: map[string]string{
			"com.amazonaws.ecs.cluster": s.arn("cluster", t.cluster), "com.amazonaws.ecs.container-name": first.Name,
			"com.amazonaws.ecs.task-arn": t.arn, "com.amazonaws.ecs.task-definition-family": t.definition.Family,
			"com.amazonaws.ecs.task-definition-version": strconv.Itoa(t.definition.Revision),
		},
	}
	if !t.started.IsZero() {
		m.StartedAt = t.started.UTC().Format(time.RFC3339Nano)
	}
	return m
}

func (s *Server) taskMetadata(t *task) taskMetadata {
	m := taskMetadata{
		Cluster: s.arn("cluster", t.cluster), TaskARN: t.arn, Family: t.definition.Family, Revision: strconv.Itoa(t.definition.Revision),
		DesiredStatus: t.desired, KnownStatus: t.status, LaunchType: "FARGATE", AvailabilityZone: s.options.Region + "a",
		PullStartedAt: t.created.UTC().Format(time.RFC3339Nano), PullStoppedAt: t.created.UTC().Format(time.RFC3339Nano),
		Limits: t.definition.limits(), Containers: []containerMetadata{s.containerMetadata(t)},
	}
	if t.service != nil {
		m.ServiceName = t.service.name
	}
	return m
}

// limits are what a task reserves: CPU in vCPUs, Memory in MiB.
func (d *definition) limits() map[string]float64 {
	cpu, memory := d.reserved()
	return map[string]float64{"CPU": cpu, "Memory": memory}
}

// reserved reads cpu and memory as they are given: "256" or ".25 vCPU",
// "512" or "0.5 GB". What says nothing reserves one vCPU and 2 GiB.
func (d *definition) reserved() (vCPU, mebibytes float64) {
	vCPU, mebibytes = quantity(d.Input.CPU, "vcpu", 1024), quantity(d.Input.Memory, "gb", 1)
	if strings.Contains(strings.ToLower(d.Input.Memory), "gb") {
		mebibytes *= 1024
	}
	if vCPU <= 0 {
		vCPU = 1
	}
	if mebibytes <= 0 {
		mebibytes = 2048
	}
	return vCPU, mebibytes
}

// quantity is a number with a unit, or a bare one, which is divided.
func quantity(text, unit string, bare float64) float64 {
	number, with := strings.CutSuffix(strings.ToLower(strings.TrimSpace(text)), unit)
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		return 0
	}
	if with {
		return n
	}
	return n / bare
}

// A UsageSample is what one running task uses of what it reserved.
type UsageSample struct {
	Cluster, Service string
	CPU, Memory      float64 // percent
}

// A usage is implemented by processes that can be measured.
type usage interface {
	// Usage is the processor time spent since the start, and the memory
	// resident now, in bytes; false when it can't be told.
	Usage() (spent time.Duration, resident int64, known bool)
}

// Usage measures the tasks of services since the last call. A task that was
// not there then is measured from the next call on.
func (s *Server) Usage() []UsageSample {
	s.mu.Lock()
	defer s.mu.Unlock()
	var samples []UsageSample
	now := time.Now()
	for _, t := range s.tasks {
		process, measurable := t.process.(usage)
		if !measurable || t.service == nil || t.status == statusStopped {
			continue
		}
		spent, resident, known := process.Usage()
		if !known {
			continue
		}
		before, at := t.spent, t.measured
		t.spent, t.measured = spent, now
		if at.IsZero() || !now.After(at) {
			continue
		}
		vCPU, mebibytes := t.definition.reserved()
		samples = append(samples, UsageSample{
			Cluster: t.cluster, Service: t.service.name,
			CPU:    100 * (spent - before).Seconds() / now.Sub(at).Seconds() / vCPU,
			Memory: 100 * float64(resident) / (mebibytes * (1 << 20)),
		})
	}
	return samples
}
