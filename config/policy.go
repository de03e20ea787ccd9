// Package config is the policies: their types, defaults, validation and JSON
// Schema. It does no I/O; config/source brings the bytes.
//
// Start with ScalingPolicy, then Parse. A field's rules stand in its tags and
// serve the decoder and the schema alike: jsonschema (required, enum, minimum,
// maximum, exclusiveMinimum, minItems; of a duration, as a duration), form (a
// name of forms.go) and word (the one word that may stand for a number). What
// concerns several fields at once is in validate.go.
package config

import "time"

// APIVersion is the group and version of every policy.
const APIVersion = "acs.novaura.io/v1"

// The kinds of policy.
const (
	KindScalingPolicy  = "ScalingPolicy"
	KindAlertPolicy    = "AlertPolicy"
	KindDeliveryPolicy = "DeliveryPolicy"
)

// Metadata names a policy, in the manner of Kubernetes.
type Metadata struct {
	// Name identifies the policy among those of its kind.
	Name        string            `form:"name"                  json:"name"                  jsonschema:"required" yaml:"name"`
	Labels      map[string]string `json:"labels,omitempty"      yaml:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty" yaml:"annotations,omitempty"`
	// Generation counts the accepted versions of the policy, from 1; set by
	// the controller, not by the file.
	Generation int64 `json:"generation,omitempty" yaml:"-"`
}

// ScalingPolicy says how one ECS service follows its queues.
type ScalingPolicy struct {
	Metadata Metadata    `json:"metadata" jsonschema:"required" yaml:"metadata"`
	Spec     ScalingSpec `json:"spec"     jsonschema:"required" yaml:"spec"`
}

// ServiceRef names an ECS service.
type ServiceRef struct {
	Cluster string `form:"cluster" json:"cluster" jsonschema:"required" yaml:"cluster"`
	Service string `form:"service" json:"service" jsonschema:"required" yaml:"service"`
}

// ScalingSpec is what the operator wants.
type ScalingSpec struct {
	Target ServiceRef `json:"target" jsonschema:"required" yaml:"target"`
	// Interval is the time between two decisions; default 15s, at least 1s.
	Interval time.Duration `json:"interval" jsonschema:"minimum=1s,maximum=1h" yaml:"interval"`
	// MinTasks and MaxTasks bound the count; 0 ≤ MinTasks ≤ MaxTasks.
	// Defaults 1 and 10. MinTasks 0 scales to zero and wakes on the first
	// message.
	MinTasks  int         `json:"minTasks"            jsonschema:"minimum=0,maximum=5000" yaml:"minTasks"`
	MaxTasks  int         `json:"maxTasks"            jsonschema:"minimum=1,maximum=5000" yaml:"maxTasks"`
	Queues    []QueueSpec `json:"queues"              jsonschema:"required,minItems=1,maxItems=1000"    yaml:"queues"`
	Metrics   MetricsSpec `json:"metrics"             yaml:"metrics"`
	Behavior  Behavior    `json:"behavior"            yaml:"behavior"`
	Schedules []Schedule  `json:"schedules,omitempty" jsonschema:"maxItems=100" yaml:"schedules,omitempty"`
	Fallback  Fallback    `json:"fallback"            yaml:"fallback"`
	Paused    bool        `json:"paused,omitempty"    yaml:"paused,omitempty"`
}

// QueueSpec is one queue and its objective.
type QueueSpec struct {
	// Name is the queue's name; or URL is given, whose last part it is then.
	Name    string `form:"queue"             json:"name"                                yaml:"name"`
	URL     string `form:"queueURL"          json:"url,omitempty"                       yaml:"url,omitempty"`
	Channel string `json:"channel,omitempty" jsonschema:"enum=sms,enum=email,enum=push" yaml:"channel,omitempty"` // sms, email or push
	// MaxAge is the objective: no message waits longer. Default 60s.
	MaxAge time.Duration `json:"maxAge" jsonschema:"minimum=1s,maximum=336h" yaml:"maxAge"`
	// ThroughputPerTask is in messages/s; 0 stands for auto: learned.
	ThroughputPerTask float64 `json:"throughputPerTask" jsonschema:"exclusiveMinimum=0,maximum=100000" word:"auto" yaml:"throughputPerTask"`
	// MaxThroughput is what the provider takes, in messages/s over all
	// tasks; 0: unlimited.
	MaxThroughput float64 `json:"maxThroughput,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1000000" yaml:"maxThroughput,omitempty"`
	// DeadLetterQueue is watched too; a name.
	DeadLetterQueue string `form:"queue" json:"deadLetterQueue,omitempty" yaml:"deadLetterQueue,omitempty"`
}

// The sources of metrics.
const (
	SourceCloudWatch = "cloudwatch" // everything from CloudWatch, minutes late
	SourceHybrid     = "hybrid"     // depth live from SQS, age and rates from CloudWatch
)

// MetricsSpec says where observations come from; default hybrid.
type MetricsSpec struct {
	Source string `json:"source" jsonschema:"enum=cloudwatch,enum=hybrid" yaml:"source"`
}

// Behavior limits the speed of change, with the semantics of the
// HorizontalPodAutoscaler v2, tasks for pods.
type Behavior struct {
	ScaleUp   ScalingRules `json:"scaleUp"   yaml:"scaleUp"`
	ScaleDown ScalingRules `json:"scaleDown" yaml:"scaleDown"`
}

// The ways to choose among policies of one direction.
const (
	SelectMax      = "Max"      // the largest change
	SelectMin      = "Min"      // the smallest
	SelectDisabled = "Disabled" // no change in this direction
)

// ScalingRules limits one direction.
type ScalingRules struct {
	// StabilizationWindow: going up, the lowest advice of the window counts;
	// going down, the highest. 0s to 1h.
	StabilizationWindow time.Duration `json:"stabilizationWindow" jsonschema:"minimum=0s,maximum=1h" yaml:"stabilizationWindow"`
	// Tolerance is the relative difference below which the count is left
	// alone, 0 to 1.
	Tolerance    float64      `json:"tolerance"    jsonschema:"minimum=0,maximum=1"             yaml:"tolerance"`
	SelectPolicy string       `json:"selectPolicy" jsonschema:"enum=Max,enum=Min,enum=Disabled" yaml:"selectPolicy"`
	Policies     []RatePolicy `json:"policies"     jsonschema:"minItems=1,maxItems=20"                      yaml:"policies"`
}

// The types of a rate policy.
const (
	PercentPolicy = "Percent"
	TasksPolicy   = "Tasks"
)

// RatePolicy allows so much change in so much time.
type RatePolicy struct {
	Type   string        `json:"type"   jsonschema:"required,enum=Percent,enum=Tasks"  yaml:"type"`   // Percent or Tasks
	Value  int           `json:"value"  jsonschema:"required,minimum=1,maximum=100000" yaml:"value"`  // percent or tasks, above 0
	Period time.Duration `json:"period" jsonschema:"required,minimum=1s,maximum=30m"   yaml:"period"` // 1s to 30m
}

// Schedule raises or lowers the bounds for a while.
type Schedule struct {
	Name     string        `form:"name"               json:"name"                                   jsonschema:"required"     yaml:"name"`
	Cron     string        `form:"cron"               json:"cron"                                   jsonschema:"required"     yaml:"cron"` // five fields
	TimeZone string        `form:"timeZone"           json:"timeZone,omitempty"                     yaml:"timeZone,omitempty"`             // IANA; default UTC
	Duration time.Duration `json:"duration"           jsonschema:"required,minimum=1s,maximum=744h" yaml:"duration"`
	MinTasks *int          `json:"minTasks,omitempty" jsonschema:"minimum=0,maximum=5000"           yaml:"minTasks,omitempty"` // nil: the policy's
	MaxTasks *int          `json:"maxTasks,omitempty" jsonschema:"minimum=1,maximum=5000"           yaml:"maxTasks,omitempty"`
}

// The behaviors of a fallback, as KEDA names them.
const (
	FallbackStatic          = "static"
	FallbackCurrent         = "current"
	FallbackCurrentIfHigher = "currentIfHigher"
	FallbackCurrentIfLower  = "currentIfLower"
)

// Fallback is what holds when no depth is younger than After.
type Fallback struct {
	After    time.Duration `json:"after"    jsonschema:"minimum=1s,maximum=24h"                                            yaml:"after"`    // default 5m
	Behavior string        `json:"behavior" jsonschema:"enum=static,enum=current,enum=currentIfHigher,enum=currentIfLower" yaml:"behavior"` // default currentIfHigher
	Tasks    int           `json:"tasks"    jsonschema:"minimum=0,maximum=5000"                                            yaml:"tasks"`    // default minTasks
}
