package simulate

import (
	"math"
	"time"

	"github.com/novaura/acs-operator/internal/scaling"
)

// Minute is what CloudWatch shows of one minute that ended at End.
type Minute struct {
	End     int     // second
	Visible float64 // of all queues: the sum that people put into one expression
	Tasks   int     // desired, as a custom metric per task would divide by
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
	first     float64 // what is shown of it at first, until whole
	whole     int     // second
}

func (r reading) at(second int) float64 {
	if second < r.whole {
		return r.first
	}
	return r.value
}

// series is what CloudWatch knows of a queue.
type series struct {
	sums     [metrics]float64 // of the minute that runs
	readings [metrics][]reading
}

// add adds a second to the minute.
func (s *series) add(q *queue, second int, done float64) {
	if second < len(q.Arrivals) {
		s.sums[sent] += q.Arrivals[second]
	}
	s.sums[received] += q.received
	s.sums[deleted] += done
}

// count closes the minute, when it is over.
func (w *world) count(second int) {
	if (second+1)%60 != 0 {
		return
	}
	minute, latest := Minute{End: second + 1, Tasks: w.running + len(w.starting)}, 0
	for _, q := range w.queues {
		minute.Visible += q.backlog - q.held
		latest = max(latest, w.close(q, second))
	}
	w.minutes, w.seen = append(w.minutes, minute), append(w.seen, latest)
}

// close closes a queue's minute, and returns when its depth is shown.
func (w *world) close(q *queue, second int) (shown int) {
	s := &q.series
	s.sums[visible], s.sums[inFlight], s.sums[age] = q.backlog-q.held, q.inFlight, q.age(second)
	low, high, fill := w.View.Delay[0], w.View.Delay[1], w.View.Filling
	for metric, value := range s.sums {
		seen := second + 1 + int(low+q.noise.Float64()*(high-low))
		if metric == visible {
			shown = seen
		}
		if metric == age && q.backlog < 0.5 {
			continue // SQS tells no age of an empty queue
		}
		r := reading{end: second + 1, seen: seen, value: value}
		if metric >= sent && fill.Minutes > 0 && q.noise.Float64() < fill.Minutes {
			r.first, r.whole = value*(fill.First[0]+q.noise.Float64()*(fill.First[1]-fill.First[0])), seen+fill.Seconds
		}
		s.readings[metric] = append(s.readings[metric], r)
	}
	s.sums = [metrics]float64{}
	return shown
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
func (w *world) shown(second int) []Minute {
	n := len(w.minutes)
	for n > 0 && w.seen[n-1] > second {
		n--
	}
	return w.minutes[max(0, n-20):n]
}

// look is what a controller would see at a second.
func (w *world) look(second int) Look {
	now := Epoch.Add(time.Duration(second) * time.Second)
	look := Look{Second: second, Minutes: w.shown(second), Observation: scaling.Observation{
		Time:    now,
		Service: &scaling.Service{Desired: w.running + len(w.starting), Running: w.running, Pending: len(w.starting)},
	}}
	if f := w.Service.Failing; second >= f[0] && second < f[1] {
		failed := (second - f[0]) / 60
		look.Observation.Service.FailedStarts = &failed
	}
	look.Observation.Queues = make(map[string]scaling.Queue, len(w.queues))
	for _, q := range w.queues {
		var told scaling.Queue
		if !w.blind(second) {
			told = q.cloudWatch(second)
			if w.View.Hybrid {
				w.View.live(q, &told, now)
			}
		}
		look.Observation.Queues[q.Queue.Name] = told
	}
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
func (q *queue) cloudWatch(second int) scaling.Queue {
	var told scaling.Queue
	for metric, to := range [metrics]**scaling.Sample{&told.Visible, &told.InFlight, &told.OldestAge, &told.Sent, &told.Received, &told.Deleted} {
		r, found := q.series.newest(metric, second)
		if !found || metric == age && r.end < second-300 {
			continue
		}
		period := 0.0
		if metric >= sent {
			period = 60
		}
		*to = r.sample(second, period)
	}
	told.Earlier = q.earlier(second)
	if told.Visible != nil {
		told.Delayed = &scaling.Sample{Time: told.Visible.Time}
	}
	return told
}

// earlier is the counts of the minutes before the newest of each metric that
// CloudWatch shows.
func (q *queue) earlier(second int) []scaling.Counts {
	counts := make([]scaling.Counts, 4)
	for metric, to := range [metrics]func(*scaling.Counts) **scaling.Sample{
		sent:     func(c *scaling.Counts) **scaling.Sample { return &c.Sent },
		received: func(c *scaling.Counts) **scaling.Sample { return &c.Received },
		deleted:  func(c *scaling.Counts) **scaling.Sample { return &c.Deleted },
	} {
		newest, found := q.series.newest(metric, second)
		if to == nil || !found {
			continue
		}
		all := q.series.readings[metric]
		for n := range counts {
			if i := newest.end/60 - 2 - n; i >= 0 && all[i].seen <= second {
				*to(&counts[n]) = all[i].sample(second, 60)
			}
		}
	}
	return counts
}

// sample is a reading as it is shown at a second.
func (r reading) sample(second int, period float64) *scaling.Sample {
	return &scaling.Sample{Value: math.Round(r.at(second)), Time: Epoch.Add(time.Duration(r.end) * time.Second), Period: period}
}

// live puts in the depths as SQS tells them, which is about so many.
func (v View) live(q *queue, told *scaling.Queue, now time.Time) {
	about := func(value float64) *scaling.Sample {
		return &scaling.Sample{Value: math.Max(0, math.Round(value*(1+v.CountError*q.noise.NormFloat64()))), Time: now}
	}
	told.Visible, told.InFlight, told.Delayed = about(q.backlog-q.held), about(q.inFlight), &scaling.Sample{Time: now}
	if told.Visible.Value == 0 && q.noise.Float64() < v.Phantoms {
		told.Visible.Value = float64(1 + q.noise.IntN(2))
	}
}
