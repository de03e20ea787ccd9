package simulate

import (
	"math"
	"time"

	"github.com/novaura/acs-operator/internal/scaling"
)

// Minute is what CloudWatch shows of one minute that ended at End.
type Minute struct {
	End     int // second
	Visible float64
	Tasks   int // desired, as a custom metric per task would divide by
}

// The metrics of a queue, as the series keeps them.
const (
	visible = iota
	inFlight
	age
	sent
	received
	deleted
	metrics
)

// reading is one metric of one minute.
type reading struct {
	end, seen int // second of the minute's end; from which it is shown
	value     float64
}

// series is what CloudWatch knows.
type series struct {
	sums     [metrics]float64 // of the minute that runs
	readings [metrics][]reading
	minutes  []Minute
	seen     []int // when each of minutes is shown
}

// count adds a second to the minute, and closes it.
func (w *world) count(second int, arrived, served float64) {
	s := &w.series
	s.sums[sent] += arrived
	s.sums[received] += w.received
	s.sums[deleted] += served
	if (second+1)%60 != 0 {
		return
	}
	s.sums[visible], s.sums[inFlight], s.sums[age] = w.backlog-w.held, w.inFlight, w.age(second)
	low, high := w.View.Delay[0], w.View.Delay[1]
	latest := 0
	for metric, value := range s.sums {
		seen := second + 1 + int(low+w.noise.Float64()*(high-low))
		if metric == visible {
			latest = seen
		}
		if metric == age && w.backlog < 0.5 {
			continue // SQS tells no age of an empty queue
		}
		s.readings[metric] = append(s.readings[metric], reading{second + 1, seen, value})
	}
	s.minutes = append(s.minutes, Minute{second + 1, s.sums[visible], w.running + len(w.starting)})
	s.seen = append(s.seen, latest)
	s.sums = [metrics]float64{}
}

// newest is the newest reading of a metric that is shown at a second.
func (s *series) newest(metric, second int) (reading, bool) {
	all := s.readings[metric]
	for i := len(all) - 1; i >= max(0, len(all)-6); i-- {
		if all[i].seen <= second {
			return all[i], true
		}
	}
	return reading{}, false
}

// shown is the minutes that CloudWatch shows at a second.
func (s *series) shown(second int) []Minute {
	n := len(s.minutes)
	for n > 0 && s.seen[n-1] > second {
		n--
	}
	return s.minutes[max(0, n-20):n]
}

// look is what a controller would see at a second.
func (w *world) look(second int) Look {
	now := Epoch.Add(time.Duration(second) * time.Second)
	look := Look{Second: second, Minutes: w.series.shown(second), Observation: scaling.Observation{
		Time:    now,
		Service: &scaling.Service{Desired: w.running + len(w.starting), Running: w.running, Pending: len(w.starting)},
	}}
	if f := w.Service.Failing; second >= f[0] && second < f[1] {
		failed := (second - f[0]) / 60
		look.Observation.Service.FailedStarts = &failed
	}
	var q scaling.Queue
	if !w.blind(second) {
		q = w.cloudWatch(second)
		if w.View.Hybrid {
			w.live(&q, now)
		}
	}
	look.Observation.Queues = map[string]scaling.Queue{w.Policy.Spec.Queues[0].Name: q}
	return look
}

func (w *world) blind(second int) bool {
	for _, gap := range w.View.Gaps {
		if second >= gap[0] && second < gap[1] {
			return true
		}
	}
	return false
}

// cloudWatch is the newest of each metric that CloudWatch shows.
func (w *world) cloudWatch(second int) scaling.Queue {
	var q scaling.Queue
	for metric, to := range [metrics]**scaling.Sample{&q.Visible, &q.InFlight, &q.OldestAge, &q.Sent, &q.Received, &q.Deleted} {
		r, found := w.series.newest(metric, second)
		if !found || metric == age && r.end < second-300 {
			continue
		}
		*to = &scaling.Sample{Value: math.Round(r.value), Time: Epoch.Add(time.Duration(r.end) * time.Second)}
		if metric >= sent {
			(*to).Period = 60
		}
	}
	if q.Visible != nil {
		q.Delayed = &scaling.Sample{Time: q.Visible.Time}
	}
	return q
}

// live puts in the depths as SQS tells them, which is about so many.
func (w *world) live(q *scaling.Queue, now time.Time) {
	about := func(v float64) *scaling.Sample {
		return &scaling.Sample{Value: math.Max(0, math.Round(v*(1+w.View.CountError*w.noise.NormFloat64()))), Time: now}
	}
	q.Visible, q.InFlight, q.Delayed = about(w.backlog-w.held), about(w.inFlight), &scaling.Sample{Time: now}
	if q.Visible.Value == 0 && w.noise.Float64() < w.View.Phantoms {
		q.Visible.Value = float64(1 + w.noise.IntN(2))
	}
}
