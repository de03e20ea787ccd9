package scaling

import (
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

// monday is when the stories of these tests begin.
var monday = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

const queueName = "sms-events"

// policy has one queue, tasks of 8/s, and no limit that a test did not ask
// for.
func policy(changes ...func(*config.ScalingSpec)) *config.ScalingPolicy {
	free := config.ScalingRules{SelectPolicy: config.SelectMax, Policies: []config.RatePolicy{{Type: config.TasksPolicy, Value: 1000, Period: time.Second}}}
	p := &config.ScalingPolicy{Metadata: config.Metadata{Name: "worker"}, Spec: config.ScalingSpec{
		Interval: 15 * time.Second, MinTasks: 1, MaxTasks: 40,
		Queues:   []config.QueueSpec{{Name: queueName, MaxAge: time.Minute, ThroughputPerTask: 8}},
		Behavior: config.Behavior{ScaleUp: free, ScaleDown: free},
		Fallback: config.Fallback{After: 5 * time.Minute, Behavior: config.FallbackCurrentIfHigher, Tasks: 6},
	}}
	for _, change := range changes {
		change(&p.Spec)
	}
	return p
}

// seen is an observation of so many running tasks and waiting messages, with
// everything known.
func seen(tasks int, visible, perMinute float64, changes ...func(*Observation, *Queue)) Observation {
	q := Queue{
		Visible: &Sample{Value: visible}, InFlight: &Sample{}, Delayed: &Sample{}, OldestAge: &Sample{Value: 1},
		Sent: &Sample{Value: perMinute, Period: 60}, Deleted: &Sample{Value: perMinute, Period: 60},
	}
	obs := Observation{Service: &Service{Desired: tasks, Running: tasks}}
	for _, change := range changes {
		change(&obs, &q)
	}
	obs.Queues = map[string]Queue{queueName: q}
	return obs
}

// story decides one observation after the other, 15 s apart, and returns the
// last decision.
func story(t *testing.T, p *config.ScalingPolicy, observations ...Observation) Decision {
	t.Helper()
	var state State
	var d Decision
	for i, obs := range observations {
		obs.Time = monday.Add(time.Duration(i) * 15 * time.Second)
		d, state = Decide(p, obs, state, obs.Time)
	}
	return d
}

// again repeats an observation.
func again(n int, obs Observation) []Observation {
	all := make([]Observation, n)
	for i := range all {
		all[i] = obs
	}
	return all
}
