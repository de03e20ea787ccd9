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
	unitShare     = "share" // from 0 to 1; prints as a percentage
)

// variables is what expressions may name, in the order of the docs. A value that
// cannot be read, or is too old, is unknown; internal/alerting fills them.
var variables = []Variable{
	{"queue.name", KindText, "", "the queue's name"},
	{"queue.channel", KindText, "", "sms, email or push; empty if the policy names none"},
	{"queue.visible", KindNumber, unitMessages, "waiting to be received"},
	{"queue.inFlight", KindNumber, unitMessages, "received and not deleted yet"},
	{"queue.delayed", KindNumber, unitMessages, "not to be received yet"},
	{"queue.backlog", KindNumber, unitMessages, "what the decision counts: visible, in flight and parked"},
	{"queue.oldestAge", KindNumber, unitSeconds, "age of the oldest message, as CloudWatch shows it; 0 on an empty queue"},
	{"queue.oldestWaiting", KindNumber, unitSeconds, "age of the oldest message that a worker holds"},
	{"queue.oldestUnsettled", KindNumber, unitSeconds, "age of the oldest message that workers claimed and did not finish, by the database"},
	{"queue.oldest", KindNumber, unitSeconds, "the highest of these three ages"},
	{"queue.maxAge", KindNumber, unitSeconds, "the objective: spec.queues[].maxAge"},
	{"queue.doneAt", KindText, "", "when the backlog is worked off at this count: \"the backlog is worked off at about 14:05:07 UTC\", or never"},
	{"queue.nothingDone", KindBool, "", "there is work, and next to nothing is finished"},
	{"queue.missing", KindBool, "", "the queue does not exist"},
	{"queue.unread", KindBool, "", "workers report that they read other queues of the policy, and none reads this one"},
	{"queue.deadLetters", KindNumber, unitMessages, "on the dead-letter queue, if the policy names one"},
	{"queue.deadLetterReasons", KindText, "", "why messages failed within the last day, the most frequent reason first"},
	{"queue.arrivalRate", KindNumber, unitPerSecond, "arriving, as the decision estimates it"},
	{"queue.receivedRate", KindNumber, unitPerSecond, "received by workers, over CloudWatch's last minute"},
	{"queue.deletedRate", KindNumber, unitPerSecond, "finished, over CloudWatch's last minute"},
	{"queue.failed", KindNumber, unitPerMinute, "failed for good, over the last minute"},
	{"queue.retried", KindNumber, unitPerMinute, "given back for another try, over the last minute"},
	{"queue.deadLettered", KindNumber, unitPerMinute, "moved to the dead-letter queue, over the last minute"},
	{"queue.credentialsRefused", KindNumber, unitPerMinute, "handed back because the provider rejects our credentials, over the last minute"},
	{"queue.parked", KindNumber, unitMessages, "kept in the database and due within the start-up time of a task"},
	{"queue.provider", KindText, "", "the provider that does worst, such as twilio"},
	{"queue.providerFailing", KindBool, "", "that provider gets next to nothing done"},
	{"queue.providerErrors", KindNumber, unitShare, "calls of it that failed by its own fault, over the last minute"},
	{"queue.providerThrottled", KindNumber, unitShare, "calls of it that it throttled, over the last minute"},
	{"queue.providerLatency", KindNumber, unitSeconds, "mean time of a call, over the last minute"},
	{"queue.providerError", KindText, "", "its most frequent failure, such as \"HTTP 500, code 20500, 98% of calls\""},
	{"queue.providerMessage", KindText, "", "what it says about that failure"},
	{"queue.providerSince", KindText, "", "since when it fails, such as 14:05 UTC"},
	{"queue.credentialsRejected", KindBool, "", "the provider rejects our credentials for most calls"},
	{"queue.senderRejected", KindBool, "", "the provider rejects our set-up for most calls, such as a sender that is not allowed"},
	{"queue.providerLimited", KindBool, "", "the workers wait for the provider's rate limit"},
	{"queue.complaints", KindNumber, unitMessages, "complaints of the worst sender or campaign, over the last hour"},
	{"queue.complaintRate", KindNumber, unitShare, "of its mails"},
	{"queue.complaintSource", KindText, "", "that sender or campaign"},
	{"queue.bounces", KindNumber, unitMessages, "bounces of the worst sender or campaign, over the last hour"},
	{"queue.bounceRate", KindNumber, unitShare, "of its mails"},
	{"queue.bounceSource", KindText, "", "that sender or campaign"},
	{"queue.optOuts", KindNumber, unitMessages, "STOP answers to the worst sender, over the last hour"},
	{"queue.optOutRate", KindNumber, unitShare, "of its texts"},
	{"queue.optOutSource", KindText, "", "that sender"},
	{"queue.known", KindBool, "", "the queue's depth is known and fresh"},
	{"queue.reported", KindBool, "", "its workers publish metrics, and these are fresh"},
	{"queue.need", KindNumber, unitTasks, "what this queue alone needs"},
	{"queue.perTask", KindNumber, unitPerSecond, "what one task finishes, learned or given"},
	{"service.cluster", KindText, "", "the cluster, as the policy names it"},
	{"service.name", KindText, "", "the service, as the policy names it"},
	{"service.desired", KindNumber, unitTasks, "desired"},
	{"service.running", KindNumber, unitTasks, "running"},
	{"service.pending", KindNumber, unitTasks, "starting"},
	{"service.protected", KindNumber, unitTasks, "under scale-in protection"},
	{"service.failedStarts", KindNumber, unitTasks, "failed to start since the deployment began"},
	{"service.stops", KindNumber, unitTasks, "stopped by themselves within the last five minutes"},
	{"service.lastStop", KindText, "", "why the newest of them stopped: reason, exit code, task definition"},
	{"service.lastStopAge", KindNumber, unitSeconds, "how long ago that was; a day if none is known"},
	{"service.taskDefinition", KindText, "", "the newest task definition, family:revision"},
	{"service.rollout", KindBool, "", "a deployment is in progress"},
	{"service.rolloutAge", KindNumber, unitSeconds, "how long that deployment has lasted"},
	{"service.rolloutRunning", KindNumber, unitTasks, "of the newest deployment, running"},
	{"service.known", KindBool, "", "the service's counts are known"},
	{"policy.name", KindText, "", "the ScalingPolicy's name"},
	{"policy.minTasks", KindNumber, unitTasks, "spec.minTasks"},
	{"policy.maxTasks", KindNumber, unitTasks, "spec.maxTasks"},
	{"policy.paused", KindBool, "", "spec.paused"},
	{"decision.desired", KindNumber, unitTasks, "the count decided on"},
	{"decision.current", KindNumber, unitTasks, "the count before the decision"},
	{"decision.need", KindNumber, unitTasks, "needed before any limit"},
	{"decision.limitedBy", KindText, "", "the rule that set the count apart from the need; empty: none"},
	{"decision.reason", KindText, "", "the decision in a sentence"},
	{"decision.atMaximum", KindBool, "", "maxTasks, the policy's or a schedule's, holds the count below the need"},
	{"decision.externalChange", KindBool, "", "someone else changed the count since the last decision"},
	{"decision.change", KindText, "", "that change, such as \"from 4 to 40\""},
	{"decision.emergencyStop", KindBool, "", "someone set 0 although minTasks is above, and it is left at 0"},
	{"decision.fallback", KindBool, "", "the count is the fallback's, because metrics are missing"},
	{"controller.policyAccepted", KindBool, "", "the newest version of the policies is followed"},
	{"controller.policyProblem", KindText, "", "why the newest version is not followed: the first mistakes with their places; empty: it is followed"},
	{"controller.targetReadable", KindBool, "", "the service's counts could be read"},
	{"controller.targetWritable", KindBool, "", "the last write of the count succeeded, or none was tried"},
	{"controller.targetProblem", KindText, "", "why the service cannot be read or written"},
	{"controller.metricsReadable", KindBool, "", "every metric that was asked for came"},
	{"controller.metricsProblem", KindText, "", "which call failed, and why"},
	{"controller.historyWritable", KindBool, "", "the database takes decisions and state"},
	{"controller.databaseFailing", KindBool, "", "the controller or the workers cannot write to the database"},
	{"controller.databaseProblem", KindText, "", "who cannot, and why"},
	{"controller.databaseSince", KindText, "", "since when"},
	{"controller.databaseLatency", KindNumber, unitSeconds, "mean time of a worker's claim, over the last minute"},
	{"controller.notifierWorking", KindBool, "", "every receiver took its last notification, or none was sent"},
	{"controller.inDoubt", KindNumber, unitMessages, "held, because nobody knows whether they were sent"},
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
