package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// This file has hints for people who come from other autoscalers, and for text
// that was meant for another program.

// foreignFields say what stands for a field of the HorizontalPodAutoscaler, of
// KEDA or of Application Auto Scaling.
var foreignFields = map[string]string{
	"minReplicas": "it is called minTasks here", "minReplicaCount": "it is called minTasks here", "minCapacity": "it is called minTasks here",
	"maxReplicas": "it is called maxTasks here", "maxReplicaCount": "it is called maxTasks here", "maxCapacity": "it is called maxTasks here",
	"idleReplicaCount": "write minTasks: 0 to run no task while the queues are empty",
	"replicas":         "the controller decides on the number of tasks, between minTasks and maxTasks",
	"pollingInterval":  "it is called interval here, and is a duration like 15s",
	"cooldownPeriod":   "write behavior.scaleDown.stabilizationWindow, a duration like 5m",
	"scaleInCooldown":  "write behavior.scaleDown.stabilizationWindow, a duration like 5m",
	"scaleOutCooldown": "write behavior.scaleUp.stabilizationWindow, a duration like 1m",
	"queueLength":      "the objective is an age, not a length: write maxAge, like 60s",
	"targetValue":      "the objective is an age: write maxAge, like 60s",
	"averageValue":     "the objective is an age: write maxAge, like 60s",
	"metricName":       "the metrics of a queue are known: name the queue alone",
	"queueURL":         "it is called url here",
	"queueName":        "it is called name here",
	"scaleTargetRef":   "it is called target here, with cluster and service",
	"triggers":         "it is called queues here",
	"namespace":        "policies have no namespaces: remove it",

	"stabilizationWindowSeconds": "it is called stabilizationWindow here, and is a duration like 300s",
	"periodSeconds":              "it is called period here, and is a duration like 15s",
}

// unknownFieldHint says what was likely meant by a field that does not exist.
func unknownFieldHint(key string, names []string) string {
	if hint, known := foreignFields[key]; known {
		return hint
	}
	return suggest(key, names, "the fields here are ")
}

// unknownWordHint says what was likely meant by a word that is not of a list.
func unknownWordHint(text string, enum []string) string {
	if text == "Pods" && slices.Contains(enum, TasksPolicy) {
		return `write "Tasks"`
	}
	return suggest(text, enum, "")
}

// unrendered is what is wrong with a value that another program was to replace.
var unrendered = finding{"looks like a template that was not rendered", "render the file first, or write the value"}

// isUnrendered tells whether a value is {{ … }} without quotes, which YAML reads
// as a mapping with a mapping for a key, or a text with it.
func isUnrendered(n *yaml.Node) bool {
	inner := n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0 && len(n.Content) == 2
	return inner && n.Content[0].Kind == yaml.MappingNode || n.Kind == yaml.ScalarNode && strings.HasPrefix(n.Value, "{{")
}

var percentage = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,6})?%$`)

// percent is what is wrong with a share written as 10%; nil for other text.
// One is what 100 % is: 1 of a fraction, 100 of a percentage.
func percent(text string, one float64) *finding {
	if !percentage.MatchString(text) {
		return nil
	}
	share, _ := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64) // by the pattern
	return &finding{"has a percent sign", "write " + strconv.FormatFloat(share*one/100, 'f', -1, 64)}
}

// syntaxHint says how to mend what the YAML parser refuses.
func syntaxHint(problem, line string) string {
	switch {
	case strings.Contains(line, "{{"):
		return "if this is a template, render it first; if it is text, put it in quotes"
	case strings.Contains(problem, "tab character"):
		return "indent with spaces"
	case strings.Contains(problem, "'-' indicator"):
		return "start every item of a list with \"- \", and indent all of them alike"
	case strings.Contains(problem, "did not find expected key"), strings.Contains(problem, "mapping values are not allowed"):
		return "look at the indentation of this line and of the one before; text with \": \" in it needs quotes"
	}
	return ""
}
