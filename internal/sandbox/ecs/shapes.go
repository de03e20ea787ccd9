package ecs

import (
	"encoding/json"
	"fmt"
	"time"
)

// The shapes of the wire: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/.

type registerInput struct {
	Family                  string                `json:"family"`
	ContainerDefinitions    []containerDefinition `json:"containerDefinitions"`
	CPU                     string                `json:"cpu,omitempty"`
	Memory                  string                `json:"memory,omitempty"`
	NetworkMode             string                `json:"networkMode,omitempty"`
	TaskRoleArn             string                `json:"taskRoleArn,omitempty"`
	ExecutionRoleArn        string                `json:"executionRoleArn,omitempty"`
	RequiresCompatibilities []string              `json:"requiresCompatibilities,omitempty"`
}

// containerDefinition keeps what it does not understand, and gives it back.
type containerDefinition struct {
	containerFields
	all json.RawMessage
}

type containerFields struct {
	Name        string   `json:"name"`
	Image       string   `json:"image"`
	Command     []string `json:"command"`
	StopTimeout *int     `json:"stopTimeout"`
	Environment []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"environment"`
}

func (c *containerDefinition) UnmarshalJSON(data []byte) error {
	c.all = append(json.RawMessage{}, data...)
	return json.Unmarshal(data, &c.containerFields)
}

func (c containerDefinition) MarshalJSON() ([]byte, error) { return c.all, nil }

type definitionInput struct {
	TaskDefinition string `json:"taskDefinition"`
	FamilyPrefix   string `json:"familyPrefix"`
}

type definitionAnswer struct {
	TaskDefinition *definitionShape `json:"taskDefinition"`
}

type definitionShape struct {
	registerInput
	Arn          string  `json:"taskDefinitionArn"`
	Revision     int     `json:"revision"`
	Status       string  `json:"status"`
	RegisteredAt float64 `json:"registeredAt"`
}

func (d *definition) name() string { return fmt.Sprintf("%s:%d", d.Family, d.Revision) }

func (d *definition) shape() *definitionShape {
	return &definitionShape{d.Input, d.Arn, d.Revision, d.Status, epoch(d.Registered)}
}

type failure struct {
	Arn    string `json:"arn"`
	Reason string `json:"reason"`
}

// arnsAnswer is the answer of every List operation; it has the one list that
// was asked for.
type arnsAnswer struct {
	ClusterArns        *[]string `json:"clusterArns,omitempty"`
	TaskDefinitionArns *[]string `json:"taskDefinitionArns,omitempty"`
	ServiceArns        *[]string `json:"serviceArns,omitempty"`
	TaskArns           *[]string `json:"taskArns,omitempty"`
}

type clusterAnswer struct {
	Cluster  *clusterShape  `json:"cluster,omitempty"`
	Clusters []clusterShape `json:"clusters,omitempty"`
	Failures []failure      `json:"failures,omitempty"`
}

type clusterShape struct {
	Arn          string `json:"clusterArn"`
	Name         string `json:"clusterName"`
	Status       string `json:"status"`
	RunningTasks int    `json:"runningTasksCount"`
	PendingTasks int    `json:"pendingTasksCount"`
	Services     int    `json:"activeServicesCount"`
}

func (s *Server) clusterShape(name string) clusterShape {
	shape := clusterShape{Arn: s.arn("cluster", name), Name: name, Status: "ACTIVE"}
	for _, v := range s.services {
		if v.cluster == name && !v.deleted {
			shape.Services++
		}
	}
	for _, t := range s.tasks {
		switch {
		case t.cluster != name:
		case t.status == statusRunning:
			shape.RunningTasks++
		case t.status == statusPending:
			shape.PendingTasks++
		}
	}
	return shape
}

type createServiceInput struct {
	Cluster              string          `json:"cluster"`
	ServiceName          string          `json:"serviceName"`
	TaskDefinition       string          `json:"taskDefinition"`
	DesiredCount         int             `json:"desiredCount"`
	LaunchType           string          `json:"launchType"`
	NetworkConfiguration json.RawMessage `json:"networkConfiguration"`
}

type describeServicesInput struct {
	Cluster  string   `json:"cluster"`
	Services []string `json:"services"`
}

type updateServiceInput struct {
	Cluster            string `json:"cluster"`
	Service            string `json:"service"`
	DesiredCount       *int   `json:"desiredCount"`
	TaskDefinition     string `json:"taskDefinition"`
	ForceNewDeployment bool   `json:"forceNewDeployment"`
	Force              bool   `json:"force"`
}

type serviceAnswer struct {
	Service  *serviceShape   `json:"service,omitempty"`
	Services *[]serviceShape `json:"services,omitempty"`
	Failures *[]failure      `json:"failures,omitempty"`
}

type serviceShape struct {
	Arn                  string            `json:"serviceArn"`
	Name                 string            `json:"serviceName"`
	ClusterArn           string            `json:"clusterArn"`
	Status               string            `json:"status"`
	DesiredCount         int               `json:"desiredCount"`
	RunningCount         int               `json:"runningCount"`
	PendingCount         int               `json:"pendingCount"`
	LaunchType           string            `json:"launchType,omitempty"`
	TaskDefinition       string            `json:"taskDefinition"`
	NetworkConfiguration json.RawMessage   `json:"networkConfiguration,omitempty"`
	CreatedAt            float64           `json:"createdAt"`
	SchedulingStrategy   string            `json:"schedulingStrategy"`
	Deployments          []deploymentShape `json:"deployments"`
	Events               []event           `json:"events"`
}

type deploymentShape struct {
	ID             string  `json:"id"`
	Status         string  `json:"status"`
	TaskDefinition string  `json:"taskDefinition"`
	DesiredCount   int     `json:"desiredCount"`
	RunningCount   int     `json:"runningCount"`
	PendingCount   int     `json:"pendingCount"`
	FailedTasks    int     `json:"failedTasks"`
	CreatedAt      float64 `json:"createdAt"`
	UpdatedAt      float64 `json:"updatedAt"`
	LaunchType     string  `json:"launchType,omitempty"`
	RolloutState   string  `json:"rolloutState"`
}

func (s *Server) serviceShape(v *service) serviceShape {
	status := "ACTIVE"
	if v.deleted {
		status = "INACTIVE"
	}
	shape := serviceShape{
		Arn: v.arn, Name: v.name, ClusterArn: s.arn("cluster", v.cluster), Status: status, DesiredCount: v.desired,
		LaunchType: v.input.LaunchType, TaskDefinition: v.definition.Arn, NetworkConfiguration: v.input.NetworkConfiguration,
		CreatedAt: epoch(v.created), SchedulingStrategy: "REPLICA", Events: append([]event{}, v.events...),
	}
	primary := deploymentShape{
		ID: v.deploymentID, Status: "PRIMARY", TaskDefinition: v.definition.Arn, DesiredCount: v.desired, FailedTasks: v.failedTasks,
		CreatedAt: epoch(v.updated), UpdatedAt: epoch(v.updated), LaunchType: v.input.LaunchType, RolloutState: "COMPLETED",
	}
	for _, t := range s.tasks {
		if t.service != v {
			continue
		}
		running, pending := t.status == statusRunning, t.status == statusPending
		if t.definition != v.definition && (running || pending) {
			primary.RolloutState = "IN_PROGRESS"
		}
		if running {
			shape.RunningCount++
		}
		if pending {
			shape.PendingCount++
		}
	}
	primary.RunningCount, primary.PendingCount = shape.RunningCount, shape.PendingCount
	shape.Deployments = []deploymentShape{primary}
	return shape
}

type runTaskInput struct {
	Cluster        string `json:"cluster"`
	TaskDefinition string `json:"taskDefinition"`
	Count          int    `json:"count"`
}

type stopTaskInput struct {
	Cluster string `json:"cluster"`
	Task    string `json:"task"`
	Reason  string `json:"reason"`
}

type listTasksInput struct {
	Cluster       string `json:"cluster"`
	ServiceName   string `json:"serviceName"`
	Family        string `json:"family"`
	DesiredStatus string `json:"desiredStatus"`
}

type describeTasksInput struct {
	Cluster string   `json:"cluster"`
	Tasks   []string `json:"tasks"`
}

type taskAnswer struct {
	Task     *taskShape   `json:"task,omitempty"`
	Tasks    *[]taskShape `json:"tasks,omitempty"`
	Failures *[]failure   `json:"failures,omitempty"`
}

type taskShape struct {
	Arn               string           `json:"taskArn"`
	ClusterArn        string           `json:"clusterArn"`
	TaskDefinitionArn string           `json:"taskDefinitionArn"`
	Group             string           `json:"group"`
	LaunchType        string           `json:"launchType"`
	LastStatus        string           `json:"lastStatus"`
	DesiredStatus     string           `json:"desiredStatus"`
	CreatedAt         float64          `json:"createdAt"`
	StartedAt         *float64         `json:"startedAt,omitempty"`
	StoppedAt         *float64         `json:"stoppedAt,omitempty"`
	StopCode          string           `json:"stopCode,omitempty"`
	StoppedReason     string           `json:"stoppedReason,omitempty"`
	Containers        []containerShape `json:"containers"`
}

type containerShape struct {
	Name       string `json:"name"`
	Image      string `json:"image"`
	LastStatus string `json:"lastStatus"`
	ExitCode   *int   `json:"exitCode,omitempty"`
}

func (s *Server) taskShape(t *task) taskShape {
	first := t.definition.Input.ContainerDefinitions[0]
	return taskShape{
		Arn: t.arn, ClusterArn: s.arn("cluster", t.cluster), TaskDefinitionArn: t.definition.Arn, Group: t.group, LaunchType: "FARGATE",
		LastStatus: t.status, DesiredStatus: t.desired, CreatedAt: epoch(t.created), StartedAt: optional(t.started), StoppedAt: optional(t.stopped),
		StopCode: t.stopCode, StoppedReason: t.stoppedReason,
		Containers: []containerShape{{Name: first.Name, Image: first.Image, LastStatus: t.status, ExitCode: t.exitCode}},
	}
}

func optional(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	seconds := epoch(t)
	return &seconds
}
