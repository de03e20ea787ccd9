package scaling

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sample is a value and the time it was true at. In JSON it may also be a
// bare number, which is then true at the observation's time (its zero Time is
// filled in by Observation.Normalize).
type Sample struct {
	Value float64   `json:"value"`
	Time  time.Time `json:"time"`
	// Period is the length in seconds of the interval that ends at Time, for
	// counts (sent, received, deleted …); 0 for a gauge.
	Period float64 `json:"period,omitempty"`
}

// unknown stands where JSON leaves a number out, or has null: it is no count and
// no age, and Normalize takes it away.
const unknown = -1

// UnmarshalJSON reads an object, or a bare number. A value that is absent or null
// is unknown, not zero.
func (s *Sample) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '{' {
		*s = Sample{}
		return json.Unmarshal(data, &s.Value)
	}
	type plain Sample
	read := plain{Value: unknown}
	err := json.Unmarshal(data, &read)
	*s = Sample(read)
	return err
}

// Queue is what is known of one queue. Nil means unknown, never zero.
type Queue struct {
	Visible   *Sample `json:"visible,omitempty"`   // messages
	InFlight  *Sample `json:"inFlight,omitempty"`  // messages
	Delayed   *Sample `json:"delayed,omitempty"`   // messages
	OldestAge *Sample `json:"oldestAge,omitempty"` // seconds; AWS leaves out what was received three times

	Sent     *Sample `json:"sent,omitempty"`     // messages in Period
	Received *Sample `json:"received,omitempty"` // messages in Period
	Deleted  *Sample `json:"deleted,omitempty"`  // messages in Period

	// Earlier are the counts of minutes before the newest, as they are told now:
	// CloudWatch may add to a minute that it has shown, and shows some late.
	Earlier []Counts `json:"earlier,omitempty"`

	Failed       *Sample `json:"failed,omitempty"`       // messages in Period
	DeadLettered *Sample `json:"deadLettered,omitempty"` // messages in Period
	// CredentialsRefused is messages that wait, for the provider refuses our
	// credentials, in Period.
	CredentialsRefused *Sample `json:"credentialsRefused,omitempty"`
	ProviderLimited    *bool   `json:"providerLimited,omitempty"` // the workers wait for the provider's rate limit
	OldestWaiting      *Sample `json:"oldestWaiting,omitempty"`   // seconds, by the workers' own reckoning
	Parked             *Sample `json:"parked,omitempty"`          // messages due within a start lag

	DeadLetters *Sample `json:"deadLetters,omitempty"` // messages on the queue's dead-letter queue

	Retried     *Sample `json:"retried,omitempty"`     // messages given back for another try, in Period
	BusySeconds *Sample `json:"busySeconds,omitempty"` // slot-seconds that workers spent on messages, in Period
	SlotSeconds *Sample `json:"slotSeconds,omitempty"` // slot-seconds that running workers offered, in Period
	// OldestUnsettled is the age, in seconds, of the oldest message that workers
	// claimed and that has no end yet, by the database: in flight, retried or parked.
	OldestUnsettled *Sample `json:"oldestUnsettled,omitempty"`
	// Unread says that workers read other queues of the policy, and none reads this one.
	Unread    bool       `json:"unread,omitempty"`
	Providers []Provider `json:"providers,omitempty"` // how the providers answered the queue's workers
}

// Provider describes how one provider answered the workers of a queue, over the last
// minute.
type Provider struct {
	Name    string    `json:"name"`
	Time    time.Time `json:"time"`
	Calls   float64   `json:"calls"`
	Failed  float64   `json:"failed"`            // calls that failed by the provider's fault
	Limited float64   `json:"limited,omitempty"` // calls that the provider throttled
	Mean    float64   `json:"mean,omitempty"`    // seconds a call, on average
	// Open says that a worker's circuit breaker is open: it does not receive.
	Open bool `json:"open,omitempty"`
	// Rejecting says that it rejects our credentials or our set-up, and accepts nothing.
	Rejecting bool      `json:"rejecting,omitempty"`
	Since     time.Time `json:"since,omitzero"` // when the failures began that have not ended; zero: it works
	// Code, Class, HTTPStatus and Message are those of the most frequent failure, and
	// Share is its part of Calls.
	Code       string  `json:"code,omitempty"`
	Class      string  `json:"class,omitempty"`
	HTTPStatus int     `json:"httpStatus,omitempty"`
	Message    string  `json:"message,omitempty"`
	Share      float64 `json:"share,omitempty"`
	// CredentialsRejected says that the provider rejects our credentials.
	CredentialsRejected bool `json:"credentialsRejected,omitempty"`
}

// Counts are counts of messages in one Period each; nil is unknown, or told already.
type Counts struct {
	Sent     *Sample `json:"sent,omitempty"`
	Received *Sample `json:"received,omitempty"`
	Deleted  *Sample `json:"deleted,omitempty"`
}

// Service is the ECS service's task counts.
type Service struct {
	Desired      int   `json:"desired"`
	Running      int   `json:"running"`
	Pending      int   `json:"pending"`
	Rollout      *bool `json:"rollout,omitempty"`      // a deployment is in progress
	FailedStarts *int  `json:"failedStarts,omitempty"` // tasks that failed to start since the rollout began
	Protected    *int  `json:"protected,omitempty"`    // tasks under scale-in protection

	TaskDefinition string    `json:"taskDefinition,omitempty"` // family:revision of the newest deployment
	RolloutSince   time.Time `json:"rolloutSince,omitzero"`    // when the deployment that is in progress began
	RolloutRunning *int      `json:"rolloutRunning,omitempty"` // tasks of that deployment that run
	LastStop       *TaskStop `json:"lastStop,omitempty"`       // the newest task that stopped by itself; nil: none is known
	Stops          *int      `json:"stops,omitempty"`          // tasks that stopped by themselves within StopsWithin
	StopsUnknown   string    `json:"stopsUnknown,omitempty"`   // why Stops could not be read, and what to do; empty: it could, or was not needed
}

// StopsWithin is how far back Service.Stops counts.
const StopsWithin = 5 * time.Minute

// TaskStop describes a task that stopped without being asked to.
type TaskStop struct {
	Time           time.Time `json:"time"`
	TaskDefinition string    `json:"taskDefinition"`     // family:revision
	Reason         string    `json:"reason"`             // ECS's stoppedReason, or the container's own reason
	ExitCode       *int      `json:"exitCode,omitempty"` // of the essential container; nil: it never started
	StartedAt      time.Time `json:"startedAt,omitzero"` // zero: it never ran
}

// UnmarshalJSON reads an object. A count of tasks that is absent or null is unknown:
// 0 desired would say that somebody stopped the service, 0 running that none works.
func (s *Service) UnmarshalJSON(data []byte) error {
	type plain Service
	read := plain{Desired: unknown, Running: unknown}
	err := json.Unmarshal(data, &read)
	*s = Service(read)
	return err
}

// Text says why the task stopped, on which task definition and when; of nil, nothing.
func (s *TaskStop) Text() string {
	if s == nil {
		return ""
	}
	text := s.Reason
	if s.ExitCode != nil && !strings.Contains(text, "exit code") {
		text += " (exit code " + strconv.Itoa(*s.ExitCode) + ")"
	}
	return text + ", task definition " + s.TaskDefinition + ", at " + s.Time.UTC().Format("15:04:05 UTC")
}

// Observation is all that one decision sees. Queues are keyed by name.
type Observation struct {
	Time    time.Time        `json:"time"`
	Service *Service         `json:"service"`
	Queues  map[string]Queue `json:"queues"`
	Holds   []Hold           `json:"holds,omitempty"` // what forbids changes from outside
}

// Normalize returns the observation with what cannot be true made unknown:
// values that are negative or no number, counts whose period has not ended,
// gauges from a future that two clocks cannot explain. Samples without a time
// get the observation's, gauges from the next minute too: they are no fresher
// than now. Counts without a period get CloudWatch's minute.
func (o Observation) Normalize() Observation {
	queues := make(map[string]Queue, len(o.Queues))
	for name, q := range o.Queues {
		queues[name] = q.possible(o.Time)
	}
	o.Queues = queues
	o.Service = o.Service.possible()
	return o
}

func (q Queue) possible(now time.Time) Queue {
	for _, gauge := range []**Sample{&q.Visible, &q.InFlight, &q.Delayed, &q.OldestAge, &q.OldestWaiting, &q.Parked, &q.DeadLetters, &q.OldestUnsettled} {
		*gauge = (*gauge).gauge(now)
	}
	for _, count := range []**Sample{&q.Sent, &q.Received, &q.Deleted, &q.Failed, &q.DeadLettered, &q.CredentialsRefused, &q.Retried, &q.BusySeconds, &q.SlotSeconds} {
		*count = (*count).count(now)
	}
	q.Earlier = slices.Clone(q.Earlier)
	for i := range q.Earlier {
		for _, count := range []**Sample{&q.Earlier[i].Sent, &q.Earlier[i].Received, &q.Earlier[i].Deleted} {
			*count = (*count).count(now)
		}
	}
	return q
}

// maxCount is more messages, or tasks, than any account has.
const maxCount = 1e12

func (s *Sample) plausible() bool {
	return s != nil && s.Value >= 0 && s.Value <= maxCount // NaN is neither
}

// clocksApart is how far two clocks that somebody looks after may differ.
const clocksApart = time.Minute

func (s *Sample) gauge(now time.Time) *Sample {
	if !s.plausible() || s.Time.After(now.Add(clocksApart)) {
		return nil
	}
	if s.Time.IsZero() || s.Time.After(now) {
		return &Sample{Value: s.Value, Time: now, Period: s.Period}
	}
	return s
}

func (s *Sample) count(now time.Time) *Sample {
	if !s.plausible() || s.Time.After(now.Add(time.Second)) {
		return nil
	}
	at, period := s.Time, s.Period
	if at.IsZero() {
		at = now
	}
	if period == 0 {
		period = 60
	}
	if math.IsNaN(period) || period < 1 || period > 86400 {
		return nil
	}
	if at.Equal(s.Time) && period == s.Period {
		return s
	}
	return &Sample{Value: s.Value, Time: at, Period: period}
}

// rollsOut says that a deployment is in progress.
func (s Service) rollsOut() bool { return s.Rollout != nil && *s.Rollout }

func (s *Service) possible() *Service {
	if s == nil || min(s.Desired, s.Running, s.Pending) < 0 || max(s.Desired, s.Running, s.Pending) > maxTasks {
		return nil
	}
	return s
}

// fresh returns the sample unless it is missing or older at now than limit.
func (s *Sample) fresh(now time.Time, limit time.Duration) *Sample {
	if s == nil || now.Sub(s.Time) > limit {
		return nil
	}
	return s
}

// valueOf returns a sample's value, 0 when it is unknown.
func valueOf(s *Sample) float64 {
	if s == nil {
		return 0
	}
	return s.Value
}
