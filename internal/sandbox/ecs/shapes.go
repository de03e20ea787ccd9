package ecs

import (
	"encoding/json"
	"fmt"
	"time"
)

// The shapes of the wire: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/.

// registerInput keeps what it does not understand, to give it back.
type registerInput struct {
	registerFields
	all map[string]json.RawMessage
}

type registerFields struct {
	Family                  string                `json:"family"`
	ContainerDefinitions    []containerDefinition `json:"containerDefinitions"`
	CPU                     string                `json:"cpu"`
	Memory                  string                `json:"memory"`
	RequiresCompatibilities []string              `json:"requiresCompatibilities"`
	Tags                    []tag                 `json:"tags"`
}

func (in *registerInput) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &in.all); err != nil {
		return err
	}
	delete(in.all, "tags") // they are beside the definition, not in it
	return json.Unmarshal(data, &in.registerFields)
}

type containerDefinition struct {
	Name        string   `json:"name"`
	Image       string   `json:"image"`
	Command     []string `json:"command"`
	StopTimeout *int     `json:"stopTimeout"`
	Environment []pair   `json:"environment"`
}

type pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type definitionInput struct {
	TaskDefinition string   `json:"taskDefinition"`
	FamilyPrefix   string   `json:"familyPrefix"`
	Status         string   `json:"status"`
	Sort           string   `json:"sort"`
	Include        []string `json:"include"`
}

type definitionAnswer struct {
	TaskDefinition map[string]any `json:"taskDefinition"`
	Tags           []tag          `json:"tags,omitempty"`
}

func (d *definition) name() string { return fmt.Sprintf("%s:%d", d.Family, d.Revision) }

// shape is the definition as it was given, and what ECS adds.
func (d *definition) shape() map[string]any {
	shape := map[string]any{
		"taskDefinitionArn": d.Arn, "revision": d.Revision, "status": d.Status, "registeredAt": epoch(d.Registered),
		"volumes": []any{}, "placementConstraints": []any{}, "compatibilities": []string{"EC2", "FARGATE"},
	}
	for name, value := range d.Input.all {
		shape[name] = value
	}
	return shape
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
	NextToken          string    `json:"nextToken,omitempty"`
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

	Settings json.RawMessage `json:"settings,omitempty"`
	Tags     []tag           `json:"tags,omitempty"`
}

func (s *Server) clusterShape(name string) clusterShape {
	shape := clusterShape{
		Arn: s.arn("cluster", name), Name: name, Status: "ACTIVE",
		Settings: s.settings[name], Tags: s.tags[s.arn("cluster", name)],
	}
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

// createServiceInput has what the sandbox acts on; of echo, what it only gives
// back.
type createServiceInput struct {
	Cluster                 string                  `json:"cluster"`
	ServiceName             string                  `json:"serviceName"`
	TaskDefinition          string                  `json:"taskDefinition"`
	DesiredCount            int                     `json:"desiredCount"`
	DeploymentConfiguration deploymentConfiguration `json:"deploymentConfiguration"`
	Tags                    []tag                   `json:"tags"`
	echo
}

type echo struct {
	LaunchType             string          `json:"launchType,omitempty"`
	PlatformVersion        string          `json:"platformVersion,omitempty"`
	NetworkConfiguration   json.RawMessage `json:"networkConfiguration,omitempty"`
	DeploymentController   json.RawMessage `json:"deploymentController,omitempty"`
	CapacityProviders      json.RawMessage `json:"capacityProviderStrategy,omitempty"`
	LoadBalancers          json.RawMessage `json:"loadBalancers,omitempty"`
	ServiceRegistries      json.RawMessage `json:"serviceRegistries,omitempty"`
	PropagateTags          string          `json:"propagateTags,omitempty"`
	ZoneRebalancing        string          `json:"availabilityZoneRebalancing,omitempty"`
	EnableECSManagedTags   bool            `json:"enableECSManagedTags"`
	EnableExecuteCommand   bool            `json:"enableExecuteCommand"`
	HealthCheckGracePeriod *int            `json:"healthCheckGracePeriodSeconds,omitempty"`
}

type describeServicesInput struct {
	Cluster  string   `json:"cluster"`
	Services []string `json:"services"`
	Include  []string `json:"include"`
}

type updateServiceInput struct {
	Cluster                 string                   `json:"cluster"`
	Service                 string                   `json:"service"`
	DesiredCount            *int                     `json:"desiredCount"`
	TaskDefinition          string                   `json:"taskDefinition"`
	ForceNewDeployment      bool                     `json:"forceNewDeployment"`
	Force                   bool                     `json:"force"`
	NetworkConfiguration    json.RawMessage          `json:"networkConfiguration"`
	DeploymentConfiguration *deploymentConfiguration `json:"deploymentConfiguration"`
}

type serviceAnswer struct {
	Service  *serviceShape   `json:"service,omitempty"`
	Services *[]serviceShape `json:"services,omitempty"`
	Failures *[]failure      `json:"failures,omitempty"`
}

type serviceShape struct {
	echo
	Arn                string                  `json:"serviceArn"`
	Name               string                  `json:"serviceName"`
	ClusterArn         string                  `json:"clusterArn"`
	Status             string                  `json:"status"`
	DesiredCount       int                     `json:"desiredCount"`
	RunningCount       int                     `json:"runningCount"`
	PendingCount       int                     `json:"pendingCount"`
	TaskDefinition     string                  `json:"taskDefinition"`
	CreatedAt          float64                 `json:"createdAt"`
	SchedulingStrategy string                  `json:"schedulingStrategy"`
	Configuration      deploymentConfiguration `json:"deploymentConfiguration"`
	Deployments        []deploymentShape       `json:"deployments"`
	Events             []event                 `json:"events"`
	Tags               []tag                   `json:"tags,omitempty"`
}

type deploymentShape struct {
	ID             string          `json:"id"`
	Status         string          `json:"status"`
	TaskDefinition string          `json:"taskDefinition"`
	DesiredCount   int             `json:"desiredCount"`
	RunningCount   int             `json:"runningCount"`
	PendingCount   int             `json:"pendingCount"`
	FailedTasks    int             `json:"failedTasks"`
	CreatedAt      float64         `json:"createdAt"`
	UpdatedAt      float64         `json:"updatedAt"`
	LaunchType     string          `json:"launchType,omitempty"`
	Network        json.RawMessage `json:"networkConfiguration,omitempty"`
	RolloutState   string          `json:"rolloutState"`
	Reason         string          `json:"rolloutStateReason"`
}

func (s *Server) serviceShape(v *service) serviceShape {
	status := "ACTIVE"
	if v.deleted {
		status = "INACTIVE"
	}
	shape := serviceShape{
		echo: v.input.echo, Arn: v.arn, Name: v.name, ClusterArn: s.arn("cluster", v.cluster), Status: status, DesiredCount: v.desired,
		TaskDefinition: v.primary().definition.Arn, CreatedAt: epoch(v.created), SchedulingStrategy: "REPLICA",
		Configuration: v.configuration, Deployments: []deploymentShape{}, Events: append([]event{}, v.events...),
	}
	for i, d := range v.deployments {
		one := deploymentShape{
			ID: d.id, Status: "ACTIVE", TaskDefinition: d.definition.Arn, FailedTasks: d.failedTasks, CreatedAt: epoch(d.created),
			UpdatedAt: epoch(d.updated), LaunchType: v.input.LaunchType, Network: v.input.NetworkConfiguration,
			RolloutState: d.rollout, Reason: d.reason,
		}
		if i == 0 {
			one.Status, one.DesiredCount = "PRIMARY", v.desired
		}
		for _, t := range s.tasks {
			switch {
			case t.deployment != d:
			case t.status == statusRunning:
				one.RunningCount++
			case t.status == statusPending:
				one.PendingCount++
			}
		}
		if i > 0 {
			one.DesiredCount = one.RunningCount + one.PendingCount
			if one.DesiredCount == 0 && d.rollout != rolloutFailed {
				continue // drained
			}
		}
		shape.RunningCount += one.RunningCount
		shape.PendingCount += one.PendingCount
		shape.Deployments = append(shape.Deployments, one)
	}
	if v.deleted && shape.RunningCount > 0 {
		shape.Status = "DRAINING"
	}
	return shape
}

type runTaskInput struct {
	Cluster        string `json:"cluster"`
	TaskDefinition string `json:"taskDefinition"`
	Count          int    `json:"count"`
	Group          string `json:"group"`
	StartedBy      string `json:"startedBy"`
	Overrides      struct {
		Containers []containerOverride `json:"containerOverrides"`
	} `json:"overrides"`
}

// containerOverride is what RunTask may give a container other than its
// definition has.
type containerOverride struct {
	Name        string   `json:"name"`
	Command     []string `json:"command"`
	Environment []pair   `json:"environment"`
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
	StartedBy     string `json:"startedBy"`
	MaxResults    int    `json:"maxResults"`
	NextToken     string `json:"nextToken"`
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
	StartedBy         string           `json:"startedBy,omitempty"`
	CPU               string           `json:"cpu,omitempty"`
	Memory            string           `json:"memory,omitempty"`
	AvailabilityZone  string           `json:"availabilityZone"`
	Connectivity      string           `json:"connectivity"`
	LaunchType        string           `json:"launchType"`
	LastStatus        string           `json:"lastStatus"`
	DesiredStatus     string           `json:"desiredStatus"`
	CreatedAt         float64          `json:"createdAt"`
	StartedAt         *float64         `json:"startedAt,omitempty"`
	StoppingAt        *float64         `json:"stoppingAt,omitempty"`
	StoppedAt         *float64         `json:"stoppedAt,omitempty"`
	StopCode          string           `json:"stopCode,omitempty"`
	StoppedReason     string           `json:"stoppedReason,omitempty"`
	Containers        []containerShape `json:"containers"`
}

type containerShape struct {
	Arn        string `json:"containerArn"`
	TaskArn    string `json:"taskArn"`
	Reason     string `json:"reason,omitempty"`
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
		StopCode: t.stopCode, StoppedReason: t.stoppedReason, StoppingAt: optional(t.stopping), StartedBy: t.startedBy,
		CPU: t.definition.Input.CPU, Memory: t.definition.Input.Memory, AvailabilityZone: s.options.Region + "a", Connectivity: "CONNECTED",
		Containers: []containerShape{{Arn: s.arn("container", t.cluster+"/"+t.id+"/"+t.id[:8]), TaskArn: t.arn, Name: first.Name, Image: first.Image, LastStatus: t.status, ExitCode: t.exitCode}},
	}
}

func optional(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	seconds := epoch(t)
	return &seconds
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}
