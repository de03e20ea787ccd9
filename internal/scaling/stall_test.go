package scaling

import (
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

func TestAProviderFailsByItsOwnFaultAndNotByAMessages(t *testing.T) {
	t.Parallel()
	now := monday
	for name, tc := range map[string]struct {
		p    Provider
		want bool
	}{
		"all calls fail": {Provider{Calls: 40, Failed: 40}, true},
		"a third fails":  {Provider{Calls: 100, Failed: 33}, false},
		"its breaker is open, and few calls tell": {Provider{Calls: 1, Failed: 1, Open: true}, true},
		"credentials are rejected":                {Provider{Calls: 20, Class: "config", Share: 1, CredentialsRejected: true}, true},
		"one sender of many is not allowed":       {Provider{Calls: 100, Class: "config", Share: 0.1}, false},
		"the only call of a quiet minute failed":  {Provider{Calls: 1, Failed: 1, Since: now.Add(-10 * time.Second)}, false},
		"the only calls have failed for minutes":  {Provider{Calls: 2, Failed: 2, Since: now.Add(-3 * time.Minute)}, true},
		"nothing is sent":                         {Provider{}, false},
		"half a minute's report is old":           {Provider{Calls: 40, Failed: 40, Time: now.Add(-10 * time.Minute)}, false},
		"throttled calls are no failure":          {Provider{Calls: 40, Limited: 40, Class: "throttled", Share: 1}, false},
	} {
		if tc.p.Time.IsZero() {
			tc.p.Time = now
		}
		if got := tc.p.Failing(now); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// down marks a queue's provider as failing.
func down(_ *Observation, q *Queue) {
	q.Providers = []Provider{{Name: "twilio", Calls: 100, Failed: 98, HTTPStatus: 500, Code: "20500", Class: "transient", Share: 0.98}}
}

// dated gives reports the observation's time, as the loop does.
func dated(observations []Observation) []Observation {
	for i := range observations {
		queues := map[string]Queue{}
		for name, q := range observations[i].Queues {
			for j := range q.Providers {
				q.Providers[j].Time = monday.Add(time.Duration(i) * 15 * time.Second)
			}
			queues[name] = q
		}
		observations[i].Queues = queues
	}
	return observations
}

func TestTheCountIsHeldWhileAProviderFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tasks   int
		waiting float64
	}{
		"while the backlog grows": {2, 50_000},
		"while little waits":      {9, 5},
		"while nothing waits":     {9, 0},
	} {
		d := story(t, policy(), dated(again(8, seen(tc.tasks, tc.waiting, 600, down)))...)
		if d.Desired != tc.tasks || d.LimitedBy != "providerFailing" || !strings.Contains(d.Reason, "twilio fails (HTTP 500, code 20500, 98% of calls)") {
			t.Errorf("%s: %d tasks became %d, limited by %q: %s", name, tc.tasks, d.Desired, d.LimitedBy, d.Reason)
		}
	}
}

func TestAQueueThatWorksGetsItsTasksBesideOneWhoseProviderFails(t *testing.T) {
	t.Parallel()
	p := policy(func(s *config.ScalingSpec) {
		s.Queues = append(s.Queues, config.QueueSpec{Name: "mails", MaxAge: time.Minute, ThroughputPerTask: 8})
	})
	obs := seen(2, 50_000, 600, down)
	obs.Queues["mails"] = seen(2, 3_000, 600).Queues[queueName]
	if d := story(t, p, dated(again(3, obs))...); d.Desired < 5 || d.Desired > 15 {
		t.Errorf("%d tasks: %s", d.Desired, d.Reason)
	}
}

func TestOneOfTwoProvidersThatFailsHoldsNothing(t *testing.T) {
	t.Parallel()
	both := func(o *Observation, q *Queue) {
		down(o, q)
		q.Providers = append(q.Providers, Provider{Name: "fcm", Calls: 100})
	}
	if d := story(t, policy(), dated(again(3, seen(2, 3_000, 600, both)))...); d.Desired <= 2 {
		t.Errorf("%d tasks: %s", d.Desired, d.Reason)
	}
}

func TestTheQueueInTroubleIsExplainedAndNotTheNeediest(t *testing.T) {
	t.Parallel()
	p := policy(func(s *config.ScalingSpec) {
		s.Queues = append(s.Queues, config.QueueSpec{Name: "mails", MaxAge: time.Minute, ThroughputPerTask: 8})
	})
	obs := seen(9, 0, 60, func(_ *Observation, q *Queue) {
		q.InFlight, q.OldestUnsettled = &Sample{Value: 40}, &Sample{Value: 130}
	})
	obs.Queues["mails"] = seen(9, 0, 66*60).Queues[queueName]
	if d := story(t, p, again(3, obs)...); !strings.HasPrefix(d.Reason, queueName+": 0 waiting, 40 in flight, the oldest 2m10s old (objective 1m)") {
		t.Error(d.Reason)
	}
}

func TestNoTaskIsAddedForAQueueThatNoWorkerReads(t *testing.T) {
	t.Parallel()
	unread := func(_ *Observation, q *Queue) { q.Unread = true }
	d := story(t, policy(), again(4, seen(2, 3_000, 600, unread))...)
	if d.Desired != 2 || d.LimitedBy != "failing" || !strings.Contains(d.Reason, "no worker reads it") {
		t.Errorf("%d tasks, limited by %q: %s", d.Desired, d.LimitedBy, d.Reason)
	}
}
