package reconcile

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

// The types of condition. They are kept apart, so that one that flaps does
// not hide another.
const (
	PolicyAccepted  = "PolicyAccepted"
	TargetReadable  = "TargetReadable"
	TargetWritable  = "TargetWritable"
	TargetExclusive = "TargetExclusive" // no other autoscaler has it
	MetricsReadable = "MetricsReadable"
	MemoryWritable  = "HistoryWritable"
	Led             = "Leading" // this controller holds the lease

	// ScalingLimited and the next two are trouble when they are True.
	ScalingLimited = "ScalingLimited"
	Paused         = "Paused"
	EmergencyStop  = "EmergencyStop"
)

// errorClasses name, in metrics, what a condition's error is about.
var errorClasses = map[string]string{
	TargetReadable: "target_read", TargetWritable: "target_write", MetricsReadable: "metrics",
}

// Healthy says whether a condition has the status that one hopes for.
func (c Condition) Healthy() bool {
	switch c.Type {
	case ScalingLimited, Paused, EmergencyStop:
		return c.Status == False
	}
	return c.Status == True
}

// The statuses of a condition.
const (
	True    = "True"
	False   = "False"
	Unknown = "Unknown"
)

// The types of event.
const (
	Normal  = "Normal"
	Warning = "Warning"
)

// Condition is one aspect of a policy's health, as Kubernetes writes them.
// LastTransitionTime moves only when Status flips.
type Condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"`
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
	ObservedGeneration int64     `json:"observedGeneration"`
}

// Point is one moment on the page's charts.
type Point struct {
	Time    time.Time             `json:"time"`
	Desired int                   `json:"desired"`
	Running int                   `json:"running"`
	Pending int                   `json:"pending"`
	Queues  map[string]QueuePoint `json:"queues"`
}

// QueuePoint is one queue at that moment; nil is unknown. Rates are in
// messages/s, the age in seconds.
type QueuePoint struct {
	Visible  *float64 `json:"visible"`
	InFlight *float64 `json:"inFlight"`
	Age      *float64 `json:"age"`
	Sent     *float64 `json:"sent"`
	Deleted  *float64 `json:"deleted"`
}

// View is one policy as it stands: spec and status.
type View struct {
	Policy      *config.ScalingPolicy `json:"policy"`
	Health      Health                `json:"health"`
	Worst       QueueAge              `json:"worst"` // the queue that is worst against its objective
	Conditions  []Condition           `json:"conditions"`
	Observation scaling.Observation   `json:"observation"`
	Decision    *scaling.Decision     `json:"decision"`
	Pause       *store.Pause          `json:"pause,omitempty"`
	History     []Point               `json:"history"`
	Alerts      []alerting.Alert      `json:"alerts"`
}

func (r *runner) condition(kind string) Condition {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conditions {
		if c.Type == kind {
			return c
		}
	}
	return Condition{Type: kind, Status: Unknown}
}

// setCondition reports whether the status flipped.
func (r *runner) setCondition(kind, status, reason, message string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		LastTransitionTime: time.Now(), ObservedGeneration: r.policy.Metadata.Generation,
	}
	at := slices.IndexFunc(r.conditions, func(c Condition) bool { return c.Type == kind })
	if at < 0 {
		r.conditions = append(r.conditions, next)
		slices.SortFunc(r.conditions, func(a, b Condition) int { return strings.Compare(a.Type, b.Type) })
		return true
	}
	flipped := r.conditions[at].Status != status
	if !flipped {
		next.LastTransitionTime = r.conditions[at].LastTransitionTime
	}
	r.conditions[at] = next
	return flipped
}

func (r *runner) publish(obs scaling.Observation, d *scaling.Decision) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if obs.Time.Before(r.seen.Time) {
		return // a peek that took longer than the tick after it
	}
	r.seen = obs
	if d != nil {
		r.decision = d
	}
	if obs.Service == nil {
		return
	}
	r.history = append(r.history, pointOf(obs))
	if surplus := len(r.history) - historySize; surplus > 0 {
		r.history = slices.Delete(r.history, 0, surplus)
	}
}

func (r *runner) view() View {
	alerts := r.shown()
	r.mu.Lock()
	defer r.mu.Unlock()
	return View{
		Policy: r.policy, Health: r.health, Worst: r.worst, Conditions: slices.Clone(r.conditions), Observation: r.seen,
		Decision: r.decision, Pause: r.pause, History: slices.Clone(r.history), Alerts: alerts,
	}
}

func (r *runner) peek(ctx context.Context) {
	r.peeking.Lock()
	defer r.peeking.Unlock()
	r.mu.Lock()
	recent := time.Since(r.seen.Time) < peekEvery-100*time.Millisecond
	r.mu.Unlock()
	if recent {
		return
	}
	obs, serviceErr, _ := r.look(ctx, r.current()) // what fails is the tick's to report
	if ctx.Err() == nil && serviceErr == nil {
		r.publish(obs, nil)
	}
}

func pointOf(obs scaling.Observation) Point {
	point := Point{
		Time: obs.Time, Desired: obs.Service.Desired, Running: obs.Service.Running, Pending: obs.Service.Pending,
		Queues: make(map[string]QueuePoint, len(obs.Queues)),
	}
	for name, q := range obs.Queues {
		point.Queues[name] = QueuePoint{
			Visible: gauge(q.Visible), InFlight: gauge(q.InFlight), Age: gauge(q.OldestAge), Sent: rate(q.Sent), Deleted: rate(q.Deleted),
		}
	}
	return point
}

func gauge(s *scaling.Sample) *float64 {
	if s == nil {
		return nil
	}
	return &s.Value
}

func rate(s *scaling.Sample) *float64 {
	if s == nil || s.Period <= 0 {
		return nil
	}
	perSecond := s.Value / s.Period
	return &perSecond
}

// sorted lists the runners of the policies that are followed, by name; the
// caller holds the lock.
func (l *Loop) sorted() []*runner {
	runners := make([]*runner, 0, len(l.runners))
	for _, r := range l.runners {
		if !r.isGone() {
			runners = append(runners, r)
		}
	}
	slices.SortFunc(runners, func(a, b *runner) int { return strings.Compare(a.current().Metadata.Name, b.current().Metadata.Name) })
	return runners
}

func boolStatus(holds bool) string {
	if holds {
		return True
	}
	return False
}

func limitReason(limitedBy string) string {
	if limitedBy == "" {
		return "DesiredWithinRange"
	}
	return strings.ToUpper(limitedBy[:1]) + limitedBy[1:]
}

func memoryReason(err error) string {
	if err != nil {
		return "DatabaseUnreachable"
	}
	return "Succeeded"
}

func errorText(err error) string {
	if err != nil {
		return err.Error()
	}
	return "decisions and state are kept"
}
