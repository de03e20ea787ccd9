package reconcile

import (
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

func TestStatusIsOKOnlyWhileMessagesAreYoungAndWorkGetsDone(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 3, 4, 10, 0, time.UTC)
	sample := func(value float64) *scaling.Sample { return &scaling.Sample{Value: value, Time: now, Period: 60} }
	failing := []scaling.Provider{{
		Name: "twilio", Time: now, Calls: 140, Failed: 137, Since: now.Add(-time.Minute), HTTPStatus: 500, Code: "20500", Class: "transient", Share: 0.98,
	}}
	for name, tc := range map[string]struct {
		change func(*moment, *scaling.Queue)
		want   string
		says   string
	}{
		"nothing waits":                             {func(*moment, *scaling.Queue) {}, StatusOK, "work gets done"},
		"all is in flight, and nothing is late":     {func(_ *moment, q *scaling.Queue) { q.InFlight, q.OldestUnsettled = sample(9), sample(30) }, StatusOK, ""},
		"what is in flight is late":                 {func(_ *moment, q *scaling.Queue) { q.InFlight, q.OldestUnsettled = sample(1973), sample(120) }, StatusBehindObjective, "2m0s old; the objective is 1m0s"},
		"what waits is late":                        {func(_ *moment, q *scaling.Queue) { q.Visible, q.OldestAge = sample(5), sample(61) }, StatusBehindObjective, "1m1s old"},
		"an old age of a queue that is empty now":   {func(_ *moment, q *scaling.Queue) { q.OldestAge = sample(300) }, StatusOK, ""},
		"a provider fails although nothing is late": {func(_ *moment, q *scaling.Queue) { q.Providers = failing }, StatusProviderFailing, "twilio fails for q: HTTP 500, code 20500, 98% of calls, since 03:03:10Z"},
		"its report is old": {func(_ *moment, q *scaling.Queue) {
			old := failing[0]
			old.Time = now.Add(-time.Hour)
			q.Providers = []scaling.Provider{old}
		}, StatusOK, ""},
		"a breaker is open": {func(_ *moment, q *scaling.Queue) {
			q.Providers = []scaling.Provider{{Name: "ses", Time: now, Calls: 1, Failed: 1, Open: true}}
		}, StatusProviderFailing, "ses fails"},
		"work waits, is late, and nothing is finished": {func(_ *moment, q *scaling.Queue) {
			q.Visible, q.OldestAge, q.Deleted = sample(70), sample(90), sample(0)
		}, StatusNothingDone, "none was finished"},
		"the depth is unknown":         {func(_ *moment, q *scaling.Queue) { q.Visible = nil }, StatusMetricsStale, "the depth of q is unknown"},
		"the depth is ten minutes old": {func(_ *moment, q *scaling.Queue) { q.Visible = &scaling.Sample{Time: now.Add(-10 * time.Minute)} }, StatusMetricsStale, ""},
		"the service is unknown":       {func(m *moment, _ *scaling.Queue) { m.obs.Service = nil }, StatusMetricsStale, "the task counts of service s are unknown"},
		"the database fails": {func(m *moment, _ *scaling.Queue) {
			m.database = database{Problem: "workers cannot claim messages: disk full", Since: now}
		}, StatusDatabaseFailing, "disk full"},
		"someone set 0": {func(m *moment, _ *scaling.Queue) {
			m.conditions = []Condition{{Type: EmergencyStop, Status: True, Message: "by hand"}}
		}, StatusStopped, "by hand"},
		"tasks keep stopping": {func(m *moment, _ *scaling.Queue) {
			n, code := 4, 137
			m.obs.Service.Stops = &n
			m.obs.Service.LastStop = &scaling.TaskStop{Time: now, Reason: "OutOfMemoryError", ExitCode: &code, TaskDefinition: "worker:7"}
		}, StatusTasksFailing, "OutOfMemoryError (exit code 137), task definition worker:7"},
		"no task has run for three minutes": {func(m *moment, _ *scaling.Queue) {
			m.obs.Service.Running, m.noneSince = 0, now.Add(-3*time.Minute)
		}, StatusTasksFailing, "0 of 2 tasks run"},
		"a task has been starting for a minute": {func(m *moment, _ *scaling.Queue) {
			m.obs.Service.Running, m.noneSince = 0, now.Add(-time.Minute)
		}, StatusOK, ""},
		"the maximum holds the count down": {func(m *moment, _ *scaling.Queue) {
			m.decision = scaling.Decision{Need: 50, Desired: 40, LimitedBy: "maxTasks"}
		}, StatusAtMaximum, "50 tasks are needed, and the maximum is 40"},
		"one queue is worked off at the maximum, and another never is": {func(m *moment, _ *scaling.Queue) {
			m.decision = scaling.Decision{Need: 50, Desired: 40, LimitedBy: "maxTasks", Queues: []scaling.QueueNeed{
				{Queue: "mails", Backlog: 3, Drain: 0.2}, {Queue: "texts", Backlog: 26_823, PerTask: 1},
			}}
		}, StatusAtMaximum, "the backlog of texts is never worked off"},
		"nothing is promised at the maximum before a task's rate is known": {func(m *moment, _ *scaling.Queue) {
			m.decision = scaling.Decision{Need: 50, Desired: 40, LimitedBy: "maxTasks", Queues: []scaling.QueueNeed{
				{Queue: "mails", Backlog: 3, Drain: 0.2}, {Queue: "texts", Backlog: 26_823, PerTask: 1, AtLeast: true},
			}}
		}, StatusAtMaximum, "the maximum is 40"},
		"the count cannot be written": {func(m *moment, _ *scaling.Queue) {
			m.conditions = []Condition{{Type: TargetWritable, Status: False, Message: "ecs:UpdateService denied"}}
		}, StatusCountNotWritable, "UpdateService"},
		"a version is rejected": {func(m *moment, _ *scaling.Queue) {
			m.conditions = []Condition{{Type: PolicyAccepted, Status: False, Message: "p.yaml:3:1"}}
		}, StatusPolicyRefused, "p.yaml:3:1"},
		"a person paused it": {func(m *moment, _ *scaling.Queue) {
			m.conditions = []Condition{{Type: Paused, Status: True, Message: "says ann"}}
		}, StatusPaused, "says ann"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := moment{policy: &config.ScalingPolicy{Spec: config.ScalingSpec{
				Target: config.ServiceRef{Service: "s"}, Queues: []config.QueueSpec{{Name: "q", MaxAge: time.Minute}}, Fallback: config.Fallback{After: 5 * time.Minute},
			}}, obs: scaling.Observation{Time: now, Service: &scaling.Service{Desired: 2, Running: 2}}}
			q := scaling.Queue{Visible: sample(0), InFlight: sample(0), Deleted: sample(600)}
			tc.change(&m, &q)
			m.obs.Queues = map[string]scaling.Queue{"q": q}
			got := healthOf(judgeHealth(m), Health{}, now)
			if strings.HasPrefix(name, "nothing is promised") && strings.Contains(got.Message, "worked off") {
				t.Errorf("got %q", got.Message)
			}
			if got.Status != tc.want || !strings.Contains(got.Message, tc.says) {
				t.Errorf("%s: %q; want %s and %q", got.Status, got.Message, tc.want, tc.says)
			}
		})
	}
}

func TestAStatusLastsFromItsFirstMoment(t *testing.T) {
	t.Parallel()
	first := time.Date(2026, 12, 1, 3, 4, 10, 0, time.UTC)
	late := []finding{{StatusBehindObjective, "q", "late"}, {StatusPaused, "", "paused"}}
	h := healthOf(late, Health{Status: StatusOK, Since: first.Add(-time.Hour)}, first)
	h = healthOf(late, h, first.Add(time.Minute))
	if !h.Since.Equal(first) || len(h.Also) != 1 || h.Also[0] != StatusPaused {
		t.Errorf("got %+v", h)
	}
	if h = healthOf(nil, h, first.Add(time.Hour)); h.Status != StatusOK || !h.Since.Equal(first.Add(time.Hour)) || !h.OK() {
		t.Errorf("got %+v", h)
	}
}

func TestReportsOfSeveralWorkersAreAddedUp(t *testing.T) {
	t.Parallel()
	now := time.Now()
	fault := store.Failure{Class: "transient", Code: "20500", HTTPStatus: 500, Count: 30, ProviderFault: true}
	own := store.Failure{Class: "permanent", Code: "21211", HTTPStatus: 400, Count: 50}
	report := func(mean time.Duration, failures ...store.Failure) store.Report {
		return store.Report{Queue: "q", Providers: []store.ProviderReport{{
			Provider: "twilio", Calls: 60, Failed: 30, Mean: mean, FailedAt: now.Add(-mean), Failures: failures,
		}}}
	}
	got := providersOf([]store.Report{report(time.Second, fault, own), report(3*time.Second, fault)}, now)
	if len(got) != 1 || got[0].Calls != 120 || got[0].Failed != 60 || got[0].Mean != 2 || got[0].Code != "20500" || got[0].Share != 0.5 || !got[0].Since.Equal(now.Add(-3*time.Second)) {
		t.Errorf("got %+v", got)
	}
	if !got[0].Failing(now) {
		t.Error("half of the calls fail by the provider's fault, and it is not failing")
	}
}
