package simulate

import (
	"math"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// countError is how far SQS's approximate counts are off, as a part.
const countError = 0.02

// minute is what CloudWatch knows of one minute.
type minute struct {
	visible, inFlight, age, sent, deleted float64
	end                                   int // second
	seen                                  int // second from which it can be read
}

// count adds a second to the minute, and closes it.
func (w *world) count(second int, arrived, served float64) {
	w.current.sent += arrived
	w.current.deleted += served
	if (second+1)%60 != 0 {
		return
	}
	w.current.end = second + 1
	w.current.visible, w.current.inFlight = w.visible, w.inFlight
	w.current.age = w.age(second)
	w.current.seen = w.current.end + 60 + w.random.IntN(121)
	w.minutes = append(w.minutes, w.current)
	w.current = minute{}
}

func (w *world) age(second int) float64 {
	if len(w.waiting) == 0 {
		return 0
	}
	return float64(second - w.waiting[0].second)
}

// observe is what a controller would see at a second: CloudWatch minutes one
// to three minutes late and, in the hybrid view, depths as SQS tells them.
func (w *world) observe(second int, now time.Time) scaling.Observation {
	var q scaling.Queue
	if m, found := w.readable(second); found {
		at := epoch.Add(time.Duration(m.end) * time.Second)
		q = scaling.Queue{
			Visible: gauge(m.visible, at), InFlight: gauge(m.inFlight, at), Delayed: gauge(0, at),
			Sent: &scaling.Sample{Value: m.sent, Time: at, Period: 60}, Deleted: &scaling.Sample{Value: m.deleted, Time: at, Period: 60},
		}
		if m.visible > 0 {
			q.OldestAge = gauge(m.age, at)
		}
	}
	if w.Policy.Spec.Metrics.Source != config.SourceCloudWatch {
		q.Visible = gauge(math.Max(0, math.Round(w.visible*(1+countError*w.random.NormFloat64()))), now)
		q.InFlight, q.Delayed = gauge(math.Round(w.inFlight), now), gauge(0, now)
	}
	return scaling.Observation{
		Time:    now,
		Service: &scaling.Service{Desired: w.running + len(w.starting), Running: w.running, Pending: len(w.starting)},
		Queues:  map[string]scaling.Queue{w.Policy.Spec.Queues[0].Name: q},
	}
}

// readable is the newest minute that CloudWatch shows by now.
func (w *world) readable(second int) (minute, bool) {
	for i := len(w.minutes) - 1; i >= max(0, len(w.minutes)-5); i-- {
		if w.minutes[i].seen <= second {
			return w.minutes[i], true
		}
	}
	return minute{}, false
}

func gauge(value float64, at time.Time) *scaling.Sample {
	return &scaling.Sample{Value: value, Time: at}
}
