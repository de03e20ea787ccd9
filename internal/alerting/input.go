package alerting

import (
	"maps"
	"slices"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// Input is what rules are judged on: one observation of one ScalingPolicy,
// the decision that followed, and how the controller itself does.
type Input struct {
	Policy      *config.ScalingPolicy
	Observation scaling.Observation
	Decision    scaling.Decision
	Controller  Controller
	Messages    map[string]Messages // by queue; nil: nothing is known
	NothingDone map[string]bool     // by queue: there is work, and next to nothing is finished
	Missing     map[string]bool     // by queue: it does not exist
	// Reported says that workers share the controller's database, and reported lately.
	Reported bool
	// Change is the newest change of the count by someone else, such as "from 4 to 40 at
	// 14:05:07 UTC"; empty: none is known.
	Change string
}

// Controller is how the controller does; nil is unknown. A problem is a sentence, empty
// while there is none.
type Controller struct {
	PolicyAccepted, TargetReadable, TargetWritable, MetricsReadable, HistoryWritable, NotifierWorking *bool

	// PolicyProblem says why the newest version of the policies is not followed;
	// empty: it is.
	PolicyProblem string

	InDoubt *float64 // messages

	TargetProblem, MetricsProblem, DatabaseProblem string

	DatabaseSince   time.Time
	DatabaseLatency *float64 // seconds a claim
}

// Messages is what the history says about the messages of one queue.
type Messages struct {
	DeadLetterReasons string // "bad_field 12, id_reuse 3"
	Feedback          []Feedback
}

// Feedback counts what recipients made of one sender's or campaign's messages.
type Feedback struct {
	Source                              string // for people: "campaign spring-sale", "news@example.com"
	Sent, Bounced, Complained, OptedOut int
}

// values are the variables of every rule but the queue's own. What is older
// than the policy's fallback.after is unknown.
func (in *Input) values() config.Values {
	in.Observation = in.Observation.Normalize()
	spec, d, c := &in.Policy.Spec, &in.Decision, &in.Controller
	values := config.Values{
		"service.cluster": spec.Target.Cluster, "service.name": spec.Target.Service, "service.known": in.Observation.Service != nil,
		"policy.name": in.Policy.Metadata.Name, "policy.minTasks": float64(spec.MinTasks), "policy.maxTasks": float64(spec.MaxTasks),
		"policy.paused": spec.Paused,

		"decision.desired": float64(d.Desired), "decision.current": float64(d.Current), "decision.need": float64(d.Need),
		"decision.limitedBy": d.LimitedBy, "decision.reason": d.Reason, "decision.atMaximum": d.AtMaximum(),
		"decision.externalChange": in.stepped("externalChange"), "decision.emergencyStop": in.stepped("emergencyStop"),
		"decision.fallback": in.stepped("fallback"),

		"controller.policyAccepted": known(c.PolicyAccepted), "controller.targetReadable": known(c.TargetReadable),
		"controller.targetWritable": known(c.TargetWritable), "controller.metricsReadable": known(c.MetricsReadable),
		"controller.historyWritable": known(c.HistoryWritable), "controller.notifierWorking": known(c.NotifierWorking),
		"controller.inDoubt": known(c.InDoubt), "controller.policyProblem": c.PolicyProblem,
	}
	in.troubles(values)
	if s := in.Observation.Service; s != nil {
		values["service.desired"], values["service.running"], values["service.pending"] = float64(s.Desired), float64(s.Running), float64(s.Pending)
		values["service.rollout"], values["service.protected"], values["service.failedStarts"] = known(s.Rollout), count(s.Protected), count(s.FailedStarts)
		in.stops(values, s)
	}
	return values
}

// queueValues adds the variables of the policy's i-th queue.
func (in *Input) queueValues(common config.Values, i int, now time.Time) config.Values {
	values, spec := maps.Clone(common), in.Policy.Spec.Queues[i]
	q := in.Observation.Queues[spec.Name]
	fresh := func(s *scaling.Sample) any {
		if s == nil || now.Sub(s.Time) > in.Policy.Spec.Fallback.After {
			return nil
		}
		return s.Value
	}
	values["queue.name"], values["queue.channel"], values["queue.maxAge"] = spec.Name, spec.Channel, spec.MaxAge.Seconds()
	values["queue.visible"], values["queue.inFlight"], values["queue.delayed"] = fresh(q.Visible), fresh(q.InFlight), fresh(q.Delayed)
	values["queue.oldestAge"], values["queue.oldestWaiting"] = fresh(q.OldestAge), fresh(q.OldestWaiting)
	values["queue.parked"], values["queue.deadLetters"] = fresh(q.Parked), fresh(q.DeadLetters)
	values["queue.deletedRate"] = rate(q.Deleted, fresh(q.Deleted), 1)
	values["queue.failed"], values["queue.deadLettered"] = rate(q.Failed, fresh(q.Failed), 60), rate(q.DeadLettered, fresh(q.DeadLettered), 60)
	values["queue.credentialsRefused"] = rate(q.CredentialsRefused, fresh(q.CredentialsRefused), 60)
	values["queue.providerLimited"] = known(q.ProviderLimited)
	values["queue.known"], values["queue.reported"] = values["queue.visible"] != nil, in.Reported || values["queue.credentialsRefused"] != nil
	values["queue.oldestUnsettled"] = fresh(q.OldestUnsettled)
	values["queue.receivedRate"], values["queue.retried"] = rate(q.Received, fresh(q.Received), 1), rate(q.Retried, fresh(q.Retried), 60)
	if values["queue.oldestAge"] == nil && values["queue.visible"] == 0.0 && values["queue.inFlight"] == 0.0 {
		values["queue.oldestAge"] = 0.0 // an empty queue has no age
	}
	values["queue.oldest"] = highest(values["queue.oldestAge"], values["queue.oldestWaiting"], values["queue.oldestUnsettled"])
	values["queue.nothingDone"], values["queue.missing"], values["queue.unread"] = in.NothingDone[spec.Name], in.Missing[spec.Name], q.Unread
	in.providerValues(values, q.Providers, now)
	in.messageValues(values, spec.Name)
	at := slices.IndexFunc(in.Decision.Queues, func(n scaling.QueueNeed) bool { return n.Queue == spec.Name })
	if at >= 0 {
		in.needValues(values, in.Decision.Queues[at])
	}
	return values
}

func (in *Input) needValues(values config.Values, need scaling.QueueNeed) {
	values["queue.perTask"], values["queue.doneAt"] = need.PerTask, doneAt(need, in.Decision.Time)
	if need.Known {
		values["queue.backlog"], values["queue.need"] = need.Backlog, float64(need.Need)
	}
	if need.ArrivalKnown {
		values["queue.arrivalRate"] = need.Arrival
	}
}

func (in *Input) stepped(rule string) bool {
	return slices.ContainsFunc(in.Decision.Steps, func(s scaling.Step) bool { return s.Rule == rule })
}

// rate is a count over so many seconds.
func rate(s *scaling.Sample, value any, seconds float64) any {
	messages, ok := value.(float64)
	if !ok || s.Period <= 0 {
		return nil
	}
	return messages * seconds / s.Period
}

// known is what a pointer points to, or nil.
func known[T any](value *T) any {
	if value == nil {
		return nil
	}
	return *value
}

func count(value *int) any {
	if value == nil {
		return nil
	}
	return float64(*value)
}
