package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// The status words. Of those that hold, the first in this order is the policy's
// status.
const (
	StatusNotLeading       = "NotLeading"       // no controller decides
	StatusStopped          = "Stopped"          // somebody set 0 tasks
	StatusMetricsStale     = "MetricsStale"     // task counts or depths are unknown
	StatusDatabaseFailing  = "DatabaseFailing"  // workers or the controller cannot write
	StatusProviderFailing  = "ProviderFailing"  // a provider gets next to nothing done
	StatusTasksFailing     = "TasksFailing"     // tasks do not start, or keep stopping
	StatusNothingDone      = "NothingDone"      // there is work, and nothing is finished
	StatusCountNotWritable = "CountNotWritable" // ECS rejects the count
	StatusCountContested   = "CountContested"   // another autoscaler or controller sets the count too
	StatusAtMaximum        = "AtMaximum"        // maxTasks holds the count below the need
	StatusBehindObjective  = "BehindObjective"  // the oldest message is older than its objective
	StatusPolicyRefused    = "PolicyRefused"    // the newest version is not followed
	StatusPaused           = "Paused"           // by a person or by the policy
	StatusOK               = "OK"
)

const (
	// manyStops is how many tasks that stop by themselves within scaling.StopsWithin
	// are no accident.
	manyStops = 2
	// stopsLately is how long ago the newest of them was at most.
	stopsLately = 90 * time.Second
	// unreadableFor is how long metrics may not be read before it is called so.
	unreadableFor = 45 * time.Second
	// startsWithin is how long no task may run, although some should, before it is
	// called a failure.
	startsWithin = 2 * time.Minute
)

// Health is how a policy stands: one word of a closed list, and one sentence.
//
// OK says that the oldest message, waiting or in flight, is younger than its
// objective, and that work gets done.
type Health struct {
	Status  string    `json:"status"`
	Queue   string    `json:"queue,omitempty"` // that it is about; empty: the service
	Message string    `json:"message"`
	Since   time.Time `json:"since"`          // when Status became what it is
	Also    []string  `json:"also,omitempty"` // other words that hold, in their order
}

// OK reports whether nobody needs to act: nothing is wrong, or a person paused it.
func (h Health) OK() bool { return h.Status == StatusOK || h.Status == StatusPaused }

// moment is what a policy's health is judged on.
type moment struct {
	policy     *config.ScalingPolicy
	obs        scaling.Observation
	decision   scaling.Decision
	conditions []Condition
	database   database
	noneSince  time.Time // since when no task runs although some should; zero: one does
}

// finding is one thing that is wrong.
type finding struct{ status, queue, message string }

// judgeHealth lists what is wrong, the most important first.
func judgeHealth(m moment) (findings []finding) {
	for _, check := range []func() (finding, bool){
		m.stopped, m.metricsStale, m.databaseFailing, m.providerFailing, m.tasksFailing, m.nothingDone,
		m.countNotWritable, m.countContested, m.atMaximum, m.behindObjective, m.policyRefused, m.paused,
	} {
		if found, holds := check(); holds {
			findings = append(findings, found)
		}
	}
	return findings
}

// healthOf is the health that follows from findings; prev tells since when.
func healthOf(findings []finding, prev Health, now time.Time) Health {
	next := Health{Status: StatusOK, Message: "every message is younger than its objective, and work gets done", Since: now}
	if len(findings) > 0 {
		next.Status, next.Queue, next.Message = findings[0].status, findings[0].queue, findings[0].message
		for _, also := range findings[1:] {
			next.Also = append(next.Also, also.status)
		}
	}
	if prev.Status == next.Status {
		next.Since = prev.Since
	}
	return next
}

func (m moment) condition(kind string) Condition {
	at := slices.IndexFunc(m.conditions, func(c Condition) bool { return c.Type == kind })
	if at < 0 {
		return Condition{Type: kind, Status: Unknown}
	}
	return m.conditions[at]
}

func (m moment) stopped() (finding, bool) {
	stop := m.condition(EmergencyStop)
	return finding{StatusStopped, "", stop.Message}, stop.Status == True
}

// metricsStale is about the counts that decisions rest on. Those that are only
// missing from CloudWatch are the condition's to tell.
func (m moment) metricsStale() (finding, bool) {
	if m.obs.Service == nil {
		return finding{StatusMetricsStale, "", "the task counts of service " + m.policy.Spec.Target.Service + " are unknown: " + m.condition(TargetReadable).Message}, true
	}
	for _, spec := range m.policy.Spec.Queues {
		if m.fresh(m.obs.Queues[spec.Name].Visible) == nil {
			return finding{StatusMetricsStale, spec.Name, "the depth of " + spec.Name + " is unknown: " + m.condition(MetricsReadable).Message}, true
		}
	}
	if read := m.condition(MetricsReadable); read.Status == False && m.obs.Time.Sub(read.LastTransitionTime) >= unreadableFor {
		return finding{StatusMetricsStale, "", "metrics cannot be read since " + stampText(read.LastTransitionTime) + ": " + read.Message}, true
	}
	return finding{}, false
}

// fresh is a sample that decisions may still rest on; nil: there is none.
func (m moment) fresh(s *scaling.Sample) *scaling.Sample {
	if s == nil || m.obs.Time.Sub(s.Time) > m.policy.Spec.Fallback.After {
		return nil
	}
	return s
}

func (m moment) databaseFailing() (finding, bool) {
	return finding{StatusDatabaseFailing, "", "since " + stampText(m.database.Since) + " " + m.database.Problem}, m.database.Problem != ""
}

func (m moment) providerFailing() (finding, bool) {
	for _, spec := range m.policy.Spec.Queues {
		q := m.obs.Queues[spec.Name]
		for _, p := range q.Providers {
			if p.Failing(m.obs.Time) {
				text := fmt.Sprintf("%s fails for %s: %s", p.Name, spec.Name, p.Failure())
				if !p.Since.IsZero() {
					text += ", since " + stampText(p.Since)
				}
				return finding{StatusProviderFailing, spec.Name, text + "; its messages wait, and none is lost"}, true
			}
		}
	}
	return finding{}, false
}

func (m moment) tasksFailing() (finding, bool) {
	service := m.obs.Service
	if service == nil || service.Desired == 0 {
		return finding{}, false
	}
	var text string
	switch {
	case m.decision.LimitedBy == "failedStarts":
		text = "tasks do not start"
		if service.FailedStarts != nil && *service.FailedStarts > 0 {
			text = fmt.Sprintf("%d tasks failed to start", *service.FailedStarts)
		}
	case service.Stops != nil && *service.Stops >= manyStops && service.LastStop != nil && m.obs.Time.Sub(service.LastStop.Time) < stopsLately:
		text = fmt.Sprintf("%d tasks stopped by themselves within %s", *service.Stops, shortDuration(scaling.StopsWithin))
	case !m.noneSince.IsZero() && m.obs.Time.Sub(m.noneSince) >= startsWithin:
		text = "no task has run since " + stampText(m.noneSince)
	default:
		return finding{}, false
	}
	text = fmt.Sprintf("%d of %d tasks run: %s", service.Running, service.Desired, text)
	if stop := service.LastStop.Text(); stop != "" {
		text += "; the last one: " + stop
	}
	return finding{StatusTasksFailing, "", text}, true
}

func (m moment) nothingDone() (finding, bool) {
	for _, q := range m.decision.Queues {
		if q.Stalled != "" {
			return finding{StatusNothingDone, q.Queue, fmt.Sprintf("%.0f messages of %s are there, and %s", q.Backlog, q.Queue, q.Stalled)}, true
		}
	}
	service := m.obs.Service
	for _, spec := range m.policy.Spec.Queues {
		q := m.obs.Queues[spec.Name]
		waiting, deleted := m.fresh(q.Visible), m.fresh(q.Deleted)
		switch age := m.oldest(q); {
		case waiting == nil || waiting.Value == 0 || age <= spec.MaxAge.Seconds():
		case service != nil && service.Running == 0:
			return finding{StatusNothingDone, spec.Name, fmt.Sprintf("%.0f messages wait on %s, and no task runs", waiting.Value, spec.Name)}, true
		case deleted != nil && deleted.Value == 0 && !q.Works(m.obs.Time):
			return finding{StatusNothingDone, spec.Name, fmt.Sprintf("%.0f messages wait on %s, the oldest for %s, and none was finished in the last minute that CloudWatch shows",
				waiting.Value, spec.Name, config.Age(age))}, true
		}
	}
	return finding{}, false
}

func (m moment) countNotWritable() (finding, bool) {
	write := m.condition(TargetWritable)
	return finding{StatusCountNotWritable, "", write.Message}, write.Status == False
}

func (m moment) countContested() (finding, bool) {
	exclusive := m.condition(TargetExclusive)
	return finding{StatusCountContested, "", exclusive.Message}, exclusive.Status == False
}

func (m moment) atMaximum() (finding, bool) {
	d := m.decision
	if !d.AtMaximum() {
		return finding{}, false
	}
	text := fmt.Sprintf("%d tasks are needed, and the maximum is %d", d.Need, d.Desired)
	switch queue, done := d.LastDone(); {
	case done > 0:
		text += fmt.Sprintf("; with %d tasks %s is worked off at about %s", d.Desired, queue, stampText(d.Time.Add(done)))
	case queue != "":
		text += fmt.Sprintf("; with %d tasks the backlog of %s is never worked off", d.Desired, queue)
	}
	return finding{StatusAtMaximum, "", text}, true
}

// oldest is the age in seconds of the oldest message that is not done: waiting, in
// flight or waiting for a retry. 0: there is none, or none is known.
func (m moment) oldest(q scaling.Queue) float64 { return oldestOf(q, m.fresh) }

// oldestOf is the age of the oldest message of a queue, in seconds, by whoever knows
// of an older one. fresh leaves out what is too old.
func oldestOf(q scaling.Queue, fresh func(*scaling.Sample) *scaling.Sample) float64 {
	age := 0.0
	if s := fresh(q.OldestAge); s != nil && (q.Visible == nil || q.InFlight == nil || q.Visible.Value+q.InFlight.Value > 0) {
		age = s.Value
	}
	for _, s := range []*scaling.Sample{fresh(q.OldestWaiting), fresh(q.OldestUnsettled)} {
		if s != nil {
			age = max(age, s.Value)
		}
	}
	return age
}

// QueueAge is the age of a queue's oldest message beside its objective, in seconds.
type QueueAge struct {
	Queue     string  `json:"queue"`
	Oldest    float64 `json:"oldest"` // 0: there is none, or none is known
	Objective float64 `json:"objective"`
}

// worst is the queue whose oldest message is oldest against its objective.
func (m moment) worst() (worst QueueAge) {
	for _, spec := range m.policy.Spec.Queues {
		one := QueueAge{Queue: spec.Name, Oldest: m.oldest(m.obs.Queues[spec.Name]), Objective: spec.MaxAge.Seconds()}
		if worst.Queue == "" || one.Oldest*worst.Objective > worst.Oldest*one.Objective {
			worst = one
		}
	}
	return worst
}

func (m moment) behindObjective() (finding, bool) {
	w := m.worst()
	return finding{
		StatusBehindObjective, w.Queue,
		fmt.Sprintf("the oldest message of %s is %s old; the objective is %s", w.Queue, config.Age(w.Oldest), config.Age(w.Objective)),
	}, w.Oldest > w.Objective
}

func (m moment) policyRefused() (finding, bool) {
	accepted := m.condition(PolicyAccepted)
	return finding{StatusPolicyRefused, "", "the newest version is rejected, and the one before stays in force: " + accepted.Message}, accepted.Status == False
}

func (m moment) paused() (finding, bool) {
	pause := m.condition(Paused)
	if m.policy.Spec.Paused {
		return finding{StatusPaused, "", "spec.paused is true"}, true
	}
	return finding{StatusPaused, "", pause.Message}, pause.Status == True
}

// shortDuration writes 5m for 5m0s.
func shortDuration(d time.Duration) string { return config.Age(d.Seconds()).String() }

// judge sets the policy's health, and notes when it changes.
func (r *runner) judge(p *config.ScalingPolicy, obs scaling.Observation, d scaling.Decision) {
	if s := obs.Service; s != nil {
		switch {
		case s.Running > 0 || s.Desired == 0:
			r.noneSince = time.Time{}
		case r.noneSince.IsZero():
			r.noneSince = obs.Time
		}
	}
	r.mu.Lock()
	m := moment{policy: p, obs: obs, decision: d, conditions: slices.Clone(r.conditions), database: r.database, noneSince: r.noneSince}
	before := r.health
	r.findings = judgeHealth(m)
	r.health, r.worst = healthOf(r.findings, before, obs.Time), m.worst()
	now := r.health
	r.mu.Unlock()
	if before.Status == now.Status {
		return
	}
	r.logger.Info("status changed", "from", before.Status, "to", now.Status, "queue", now.Queue, "message", now.Message)
	kind := Warning
	if now.OK() {
		kind = Normal
	}
	r.notice(kind, "Status"+now.Status, now.Message)
}
