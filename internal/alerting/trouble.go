package alerting

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// troubles adds what is wrong with the controller's own calls, in words.
func (in *Input) troubles(values config.Values) {
	c := &in.Controller
	values["controller.targetProblem"], values["controller.metricsProblem"] = c.TargetProblem, c.MetricsProblem
	values["controller.databaseProblem"], values["controller.databaseFailing"] = c.DatabaseProblem, c.DatabaseProblem != ""
	values["controller.databaseSince"], values["controller.databaseLatency"] = clock(c.DatabaseSince), 0.0
	if c.DatabaseLatency != nil {
		values["controller.databaseLatency"] = *c.DatabaseLatency
	}
	values["decision.change"] = cmp.Or(ChangeOf(in.Decision), in.Change)
}

// ChangeOf describes the change of the count by someone else that a decision met; empty:
// it met none.
func ChangeOf(d scaling.Decision) string {
	for _, step := range d.Steps {
		if step.Rule == "externalChange" {
			return fmt.Sprintf("from %d to %d at %s", step.From, step.To, clock(d.Time))
		}
	}
	return ""
}

// stops adds why tasks stopped by themselves, and how long a deployment lasts.
func (in *Input) stops(values config.Values, s *scaling.Service) {
	values["service.stops"], values["service.taskDefinition"], values["service.lastStop"] = count(s.Stops), s.TaskDefinition, s.LastStop.Text()
	values["service.rolloutRunning"] = count(s.RolloutRunning)
	values["service.rolloutAge"], values["service.lastStopAge"] = 0.0, (24 * time.Hour).Seconds()
	if s.LastStop != nil {
		values["service.lastStopAge"] = max(0, in.Observation.Time.Sub(s.LastStop.Time).Seconds())
	}
	if !s.RolloutSince.IsZero() {
		values["service.rolloutAge"] = max(0, in.Observation.Time.Sub(s.RolloutSince).Seconds())
	}
}

// providerValues adds how the provider does that does worst. It is unknown while workers
// that reported before do not report any more; of workers that never do, nothing fails.
func (in *Input) providerValues(values config.Values, providers []scaling.Provider, now time.Time) {
	refused, _ := values["queue.credentialsRefused"].(float64)
	if providers == nil && in.Reported && refused == 0 {
		return
	}
	if len(providers) == 0 {
		providers = []scaling.Provider{{}}
	}
	worst := slices.MaxFunc(providers, func(a, b scaling.Provider) int {
		return cmp.Or(cmp.Compare(rank(a, now), rank(b, now)), cmp.Compare(a.Failed/max(1, a.Calls), b.Failed/max(1, b.Calls)), cmp.Compare(a.Mean, b.Mean))
	})
	failing, config := worst.Failing(now), worst.Rejecting || worst.Class == "config"
	values["queue.provider"], values["queue.providerError"], values["queue.providerMessage"] = worst.Name, worst.Failure(), worst.Message
	values["queue.providerErrors"], values["queue.providerThrottled"] = share(worst.Failed, worst), share(worst.Limited, worst)
	values["queue.providerLatency"], values["queue.providerSince"] = worst.Mean, clock(worst.Since)
	values["queue.providerFailing"] = failing && !config
	values["queue.credentialsRejected"] = refused > 0 || failing && config && worst.CredentialsRejected
	values["queue.senderRejected"] = failing && config && !worst.CredentialsRejected
}

func rank(p scaling.Provider, now time.Time) int {
	if p.Failing(now) {
		return 1
	}
	return 0
}

// share is a part of a provider's calls; of too few calls it says nothing.
func share(part float64, p scaling.Provider) float64 {
	const enough = 10
	if p.Calls < enough {
		return 0
	}
	return part / p.Calls
}

// messageValues adds what the history says about a queue's messages.
func (in *Input) messageValues(values config.Values, queue string) {
	messages, known := in.Messages[queue]
	if !known && in.Reported {
		return // the database does not answer
	}
	values["queue.deadLetterReasons"] = messages.DeadLetterReasons
	for _, one := range []struct {
		count, rate, source string
		of                  func(Feedback) int
	}{
		{"queue.complaints", "queue.complaintRate", "queue.complaintSource", func(f Feedback) int { return f.Complained }},
		{"queue.bounces", "queue.bounceRate", "queue.bounceSource", func(f Feedback) int { return f.Bounced }},
		{"queue.optOuts", "queue.optOutRate", "queue.optOutSource", func(f Feedback) int { return f.OptedOut }},
	} {
		worst := Feedback{}
		for _, f := range messages.Feedback {
			if one.of(f)*max(1, worst.Sent) > one.of(worst)*max(1, f.Sent) {
				worst = f
			}
		}
		values[one.count], values[one.source] = float64(one.of(worst)), worst.Source
		values[one.rate] = min(1, float64(one.of(worst))/float64(max(1, worst.Sent)))
	}
}

// doneAt says when a backlog will be worked off at the decided count.
func doneAt(need scaling.QueueNeed, now time.Time) string {
	switch {
	case need.Backlog < 1:
		return "nothing is left"
	case need.Drain <= 0 && !need.Stands():
		return "when the backlog is worked off is not known yet"
	case need.Drain <= 0:
		return "the backlog is never worked off at this count"
	}
	return "the backlog is worked off at about " + clock(now.Add(time.Duration(need.Drain*float64(time.Second))))
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("15:04:05 UTC")
}

// highest is the highest of the values that are known; nil: none is.
func highest(values ...any) any {
	var most any
	for _, value := range values {
		if number, ok := value.(float64); ok && (most == nil || number > most.(float64)) { //nolint:forcetypeassert // only numbers are kept
			most = number
		}
	}
	return most
}
