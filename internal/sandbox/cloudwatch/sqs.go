package cloudwatch

import (
	"context"
	"time"
)

// QueueSample is a queue at one moment.
type QueueSample struct {
	Name                         string
	Visible, NotVisible, Delayed int // messages
	OldestAge                    time.Duration
	HasAge                       bool // false when the queue has no active message

	// Cumulative since the queue was made.
	Sent, Received, Deleted, EmptyReceives, SentBytes int64
}

// Run publishes the queues' minutes until ctx ends, and returns nil then. A
// queue's first minute counts from Run's start, or from its creation.
//
// SQS gives CloudWatch one value a minute for a depth or an age; so the queues
// are sampled where the minutes meet.
func (s *Server) Run(ctx context.Context) error {
	if s.sample == nil {
		s.sample = func() []QueueSample { return nil }
	}
	if s.usage == nil {
		s.usage = func() []UsageSample { return nil }
	}
	before := byName(s.sample())
	s.usage() // measured from here on
	for {
		start := time.Now().Truncate(resolution)
		if !sleep(ctx, time.Until(start.Add(resolution))) {
			return nil
		}
		after := byName(s.sample())
		s.publish(start, before, after)
		s.publishUsage(start, s.usage())
		before = after
	}
}

func sleep(ctx context.Context, d time.Duration) (elapsed bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func byName(samples []QueueSample) map[string]QueueSample {
	named := make(map[string]QueueSample, len(samples))
	for _, q := range samples {
		named[q.Name] = q
	}
	return named
}

// publish closes the period that began at start.
func (s *Server) publish(start time.Time, before, after map[string]QueueSample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(start.Add(resolution))
	for name, q := range after {
		was := before[name]
		s.gauges(start, q)
		s.counts(start, was, q)
	}
}

func (s *Server) gauges(start time.Time, q QueueSample) {
	s.emit(start, q.Name, "ApproximateNumberOfMessagesVisible", "Count", single(float64(q.Visible)))
	s.emit(start, q.Name, "ApproximateNumberOfMessagesNotVisible", "Count", single(float64(q.NotVisible)))
	s.emit(start, q.Name, "ApproximateNumberOfMessagesDelayed", "Count", single(float64(q.Delayed)))
	if q.HasAge {
		s.emit(start, q.Name, "ApproximateAgeOfOldestMessage", "Seconds", single(q.OldestAge.Truncate(time.Second).Seconds()))
	}
}

func (s *Server) counts(start time.Time, was, q QueueSample) {
	sent := grown(was.Sent, q.Sent)
	s.emit(start, q.Name, "NumberOfMessagesSent", "Count", single(sent))
	s.emit(start, q.Name, "NumberOfMessagesReceived", "Count", single(grown(was.Received, q.Received)))
	s.emit(start, q.Name, "NumberOfMessagesDeleted", "Count", single(grown(was.Deleted, q.Deleted)))
	s.emit(start, q.Name, "NumberOfEmptyReceives", "Count", single(grown(was.EmptyReceives, q.EmptyReceives)))
	if sent > 0 {
		size := &point{}
		size.add(grown(was.SentBytes, q.SentBytes)/sent, sent)
		s.emit(start, q.Name, "SentMessageSize", "Bytes", size)
	}
}

// grown is a counter's increase; one that fell belongs to a queue made anew.
func grown(was, is int64) float64 {
	if is < was {
		return float64(is)
	}
	return float64(is - was)
}

// emit adds a point of AWS/SQS. The caller holds s.mu. With no room for a new
// metric it is left out: unknown, not zero.
func (s *Server) emit(start time.Time, queue, metric, unit string, p *point) {
	id := metricID{"AWS/SQS", metric, []dimension{{"QueueName", queue}}}
	if m, ok := s.upsert(id, unit, true); ok {
		m.add(start, p)
	}
}

// UsageSample is what one running task uses of what it reserved.
type UsageSample struct {
	Cluster, Service string
	CPU, Memory      float64 // percent
}

// publishUsage closes the period that began at start for AWS/ECS: one sample
// a task, as in AWS, so that Average is the service's, and SampleCount counts
// its tasks.
func (s *Server) publishUsage(start time.Time, samples []UsageSample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range samples {
		dimensions := []dimension{{"ClusterName", u.Cluster}, {"ServiceName", u.Service}}
		for metric, value := range map[string]float64{"CPUUtilization": u.CPU, "MemoryUtilization": u.Memory} {
			if m, ok := s.upsert(metricID{"AWS/ECS", metric, dimensions}, "Percent", true); ok {
				m.add(start, single(value))
			}
		}
	}
}
