package scaling

import (
	"fmt"
	"slices"
	"strings"
)

// limitedBy names the last rule that set the count apart from the need.
func (d *deciding) limitedBy() string {
	for _, step := range slices.Backward(d.out.Steps) {
		switch rule := step.Rule; rule {
		case "externalChange":
		case "paused", "emergencyStop", "fallback", "failedStarts", "stoppingTasks", "failing", "providerFailing":
			return rule
		default:
			if d.tasks != d.out.Need {
				return rule
			}
		}
	}
	if d.blind {
		return "unknown"
	}
	return ""
}

// reason is the decision in one sentence: the neediest queue, then what held
// the count elsewhere, in order.
func (d *deciding) reason() string {
	parts := []string{d.worst()}
	if d.competes {
		parts = append(parts, fmt.Sprintf("its queues compete (%.0f%% of a task's rate is left when both are busy): the sum of their needs, %s", 100*d.state.Competition.Part, number(float64(d.out.Need))))
	}
	for _, s := range d.out.Steps {
		parts = append(parts, s.sentence())
	}
	return strings.Join(parts, "; ")
}

// worst describes the queue that is worst against its objective: one that stands still,
// then the one that is latest, then the one that needs the most tasks.
func (d *deciding) worst() string {
	if len(d.out.Queues) == 0 {
		return "no queues"
	}
	worst := 0
	for i := range d.out.Queues {
		if slices.Compare(d.trouble(i), d.trouble(worst)) > 0 {
			worst = i
		}
	}
	return d.out.Queues[worst].sentence(d.queues[worst].spec.MaxAge.Seconds(), d.current, d.fleet.running)
}

// trouble ranks a queue, the most important measure first.
func (d *deciding) trouble(i int) []float64 {
	q := &d.out.Queues[i]
	stalled, late := 0.0, 0.0
	if d.queues[i].stalled != "" && q.Backlog+q.InFlight > 0 {
		stalled = 1
	}
	if objective := d.queues[i].spec.MaxAge.Seconds(); q.Age > objective {
		late = q.Age / objective
	}
	return []float64{stalled, late, float64(q.Need), q.Backlog}
}

// sentence describes one queue's need and the estimates behind it. objective is in
// seconds.
func (q *QueueNeed) sentence(objective float64, current, running int) string {
	if !q.Known && q.Why == "depth unknown" {
		return q.Queue + ": depth unknown"
	}
	arriving := "arrivals not known yet"
	switch {
	case q.Surge:
		arriving = "a surge of " + perSecond(q.Arrival)
	case q.ArrivalKnown:
		arriving = perSecond(q.Arrival) + " arriving"
	}
	doing := ""
	if q.PerTask > 0 {
		doing = ", " + taskCount(current) + verb(current, " does ", " do ") + perSecond(q.PerTask*float64(current))
		if running < current {
			doing = fmt.Sprintf(", %d of %s run%s and %s ", running, taskCount(current), verb(running, "s", ""), verb(running, "does", "do")) + perSecond(q.PerTask*float64(running))
		}
	}
	return q.Queue + ": " + q.depths(objective) + ", " + arriving + doing + ": " + q.Why
}

// depths says how much waits, and while it is late, how much is in flight and how old
// the oldest message is.
func (q *QueueNeed) depths(objective float64) string {
	waiting := number(max(0, q.Backlog-q.InFlight)) + " waiting"
	if q.Age <= objective {
		return waiting
	}
	return fmt.Sprintf("%s, %s in flight, the oldest %s old (objective %s)", waiting, number(q.InFlight), seconds(q.Age), seconds(objective))
}

// verb is what so many tasks do: one does, two do.
func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// sentence tells what a rule did.
func (s Step) sentence() string {
	count := number(float64(s.To))
	switch s.Rule {
	case "externalChange":
		return s.Reason
	case "paused", "emergencyStop":
		return "held at " + count + ": " + s.Reason
	case "providerFailing", "failing": // the queue's own sentence says why
		return "held at " + count
	case "unknown", "rollout", "failedStarts", "stoppingTasks", "providerLimited", "protected":
		return "held at " + count + " (" + s.Reason + ")"
	case "stabilization":
		if s.To > s.From {
			return "not below " + count + " (" + s.Reason + ")"
		}
		return "not above " + count + " (" + s.Reason + ")"
	case "tolerance":
		return "left at " + count + " (within tolerance)"
	case "behavior":
		return "limited to " + count + " by " + s.Reason
	case "minTasks", "maxTasks":
		return "held to " + s.Reason
	case "fallback":
		return "raised to " + count + " by fallback (" + s.Reason + ")"
	}
	if s.Rule == "saturated" {
		return "held to " + count + ": " + s.Reason
	}
	if s.To > s.From {
		return "raised to " + count + " by " + s.Reason
	}
	return "limited to " + count + " by " + s.Reason
}
