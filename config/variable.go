package config

import (
	"slices"
	"strings"
)

// Kind is what a variable of an expression holds.
type Kind string

// The kinds of variable. Every number is a double, so that arithmetic between
// any two of them needs no conversion.
const (
	KindNumber Kind = "number"
	KindText   Kind = "text"
	KindBool   Kind = "bool"
)

// Variable is something that an alert's expression and message may name.
type Variable struct {
	Name string `json:"name"` // queue.visible
	Kind Kind   `json:"kind"`
	Unit string `json:"unit,omitempty"` // of a number: s, messages, messages/s, messages/min or tasks
	Doc  string `json:"doc"`
}

// The units of numbers.
const (
	unitSeconds   = "s"
	unitMessages  = "messages"
	unitPerSecond = "messages/s"
	unitPerMinute = "messages/min"
	unitTasks     = "tasks"
)

// variables is what expressions may name, in the order of the docs. What
// cannot be read, or is too old, is unknown; internal/alerting fills them.
var variables = []Variable{
	{"queue.name", KindText, "", "the queue's name"},
	{"queue.channel", KindText, "", "sms, email or push; empty where the policy names none"},
	{"queue.visible", KindNumber, unitMessages, "waiting to be received"},
	{"queue.inFlight", KindNumber, unitMessages, "received, not deleted yet"},
	{"queue.delayed", KindNumber, unitMessages, "not to be received yet"},
	{"queue.backlog", KindNumber, unitMessages, "what the decision counts: visible, in flight, parked"},
	{"queue.oldestAge", KindNumber, unitSeconds, "how long the oldest message has waited; 0 on an empty queue"},
	{"queue.oldestWaiting", KindNumber, unitSeconds, "the same by the workers' own reckoning"},
	{"queue.maxAge", KindNumber, unitSeconds, "the policy's objective"},
	{"queue.deadLetters", KindNumber, unitMessages, "on the dead-letter queue, where the policy names one"},
	{"queue.arrivalRate", KindNumber, unitPerSecond, "arriving, as the decision estimates it"},
	{"queue.deletedRate", KindNumber, unitPerSecond, "finished, over CloudWatch's last minute"},
	{"queue.failed", KindNumber, unitPerMinute, "failed for good, over the last minute"},
	{"queue.deadLettered", KindNumber, unitPerMinute, "moved to the dead-letter queue, over the last minute"},
	{"queue.credentialsRefused", KindNumber, unitPerMinute, "handed back because the provider refuses our credentials, over the last minute"},
	{"queue.parked", KindNumber, unitMessages, "waiting in the database, due within a start lag"},
	{"queue.providerLimited", KindBool, "", "the workers wait for the provider's rate limit"},
	{"queue.known", KindBool, "", "the queue's depth is known and fresh"},
	{"queue.reported", KindBool, "", "its workers publish how they fare, and what they said is fresh"},
	{"queue.need", KindNumber, unitTasks, "what this queue alone asks for"},
	{"queue.perTask", KindNumber, unitPerSecond, "what one task finishes, learned or told"},
	{"service.cluster", KindText, "", "the cluster, as the policy names it"},
	{"service.name", KindText, "", "the service, as the policy names it"},
	{"service.desired", KindNumber, unitTasks, "asked for"},
	{"service.running", KindNumber, unitTasks, "running"},
	{"service.pending", KindNumber, unitTasks, "starting"},
	{"service.protected", KindNumber, unitTasks, "under scale-in protection"},
	{"service.failedStarts", KindNumber, unitTasks, "failed to start since the deployment began"},
	{"service.rollout", KindBool, "", "a deployment is in progress"},
	{"service.known", KindBool, "", "the service's counts are known"},
	{"policy.name", KindText, "", "the ScalingPolicy's name"},
	{"policy.minTasks", KindNumber, unitTasks, "spec.minTasks"},
	{"policy.maxTasks", KindNumber, unitTasks, "spec.maxTasks"},
	{"policy.paused", KindBool, "", "spec.paused"},
	{"decision.desired", KindNumber, unitTasks, "decided on"},
	{"decision.current", KindNumber, unitTasks, "found before the decision"},
	{"decision.need", KindNumber, unitTasks, "wanted before any limit"},
	{"decision.limitedBy", KindText, "", "the rule that set the count apart from the need; empty: none"},
	{"decision.reason", KindText, "", "the decision in a sentence"},
	{"decision.atMaximum", KindBool, "", "maxTasks, the policy's or a schedule's, holds the count below the need"},
	{"decision.externalChange", KindBool, "", "someone else changed the count since the last decision"},
	{"decision.emergencyStop", KindBool, "", "someone set 0 although minTasks is above, and it is left so"},
	{"decision.fallback", KindBool, "", "the count is the fallback's, for want of metrics"},
	{"controller.policyAccepted", KindBool, "", "the newest version of the policies is followed"},
	{"controller.targetReadable", KindBool, "", "the service's counts could be read"},
	{"controller.targetWritable", KindBool, "", "the last write of the count succeeded, or none was tried"},
	{"controller.metricsReadable", KindBool, "", "every metric that was asked for came"},
	{"controller.historyWritable", KindBool, "", "the database takes decisions and state"},
	{"controller.notifierWorking", KindBool, "", "every receiver took what it was sent last, or nothing was sent"},
	{"controller.inDoubt", KindNumber, unitMessages, "held, since nobody knows whether they were sent"},
}

// Variables lists what an alert's expression and message may name.
func Variables() []Variable { return slices.Clone(variables) }

func isVariable(name string) bool {
	return slices.ContainsFunc(variables, func(v Variable) bool { return v.Name == name })
}

// variableGroups are the first parts of names: queue, service …
func variableGroups() []string {
	var groups []string
	for _, v := range variables {
		if group, _, _ := strings.Cut(v.Name, "."); !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	return groups
}

// suggestVariable names what was likely meant by a name that is none.
func suggestVariable(name string) string {
	group, field, dotted := strings.Cut(name, ".")
	groups := variableGroups()
	switch {
	case !dotted && slices.Contains(groups, group):
		return "name one of " + strings.Join(fieldsOfGroup(group), ", ")
	case !dotted: // a field without its group, or a group misspelt
		for _, v := range variables {
			if strings.HasSuffix(v.Name, "."+name) {
				return "did you mean \"" + v.Name + "\"?"
			}
		}
		return suggest(name, groups, "the variables are ")
	case !slices.Contains(groups, group):
		if known := groupMeant(group, groups); known != "" {
			return suggestField(known, field)
		}
		return suggest(group, groups, "the variables are ")
	}
	return suggestField(group, field)
}

func groupMeant(group string, groups []string) string {
	for _, known := range groups {
		if suggest(group, []string{known}, "") != "" {
			return known
		}
	}
	return ""
}

func suggestField(group, field string) string {
	names := fieldsOfGroup(group)
	for _, full := range names {
		if full == group+"."+field {
			return "did you mean \"" + full + "\"?"
		}
	}
	short := make([]string, len(names))
	for i, full := range names {
		short[i] = strings.TrimPrefix(full, group+".")
	}
	hint := suggest(field, short, "it has ")
	return strings.Replace(hint, "did you mean \"", "did you mean \""+group+".", 1)
}

func fieldsOfGroup(group string) []string {
	var names []string
	for _, v := range variables {
		if strings.HasPrefix(v.Name, group+".") {
			names = append(names, v.Name)
		}
	}
	return names
}
