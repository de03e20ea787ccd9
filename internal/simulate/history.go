package simulate

import (
	"errors"
	"maps"
	"slices"

	"github.com/novaura/acs-operator/internal/scaling"
)

// History gathers what a controller saw of a queue's arrivals, in any order.
type History struct {
	queue   string
	sent    map[int64]float64 // messages/s by the Unix second at which their minute began
	period  int64
	perTask float64
	atLeast float64 // messages/s that a task was seen to do
}

// NewHistory gathers of one queue.
func NewHistory(queue string) *History {
	return &History{queue: queue, sent: map[int64]float64{}, period: 60}
}

// Add takes an observation's count of sent messages in.
func (h *History) Add(o scaling.Observation) {
	if s := o.Queues[h.queue].Sent; s != nil && s.Period >= 1 && s.Value >= 0 {
		h.period = int64(s.Period)
		h.sent[s.Time.Unix()-h.period] = s.Value / s.Period
	}
}

// Learned takes in what a decision knew of a task. The first that knew counts;
// where none did, the highest rate that a task was seen to do at least.
func (h *History) Learned(d scaling.Decision) {
	for _, q := range d.Queues {
		switch {
		case q.Queue != h.queue:
		case q.Learned && h.perTask == 0:
			h.perTask = q.PerTask
		case !q.Learned:
			h.atLeast = max(h.atLeast, q.PerTask)
		}
	}
}

// Rates returns the arrivals, messages/s, one a second, and what a task did a
// second, 0 when nothing is known of that. Minutes without a count repeat the one
// before.
func (h *History) Rates() (rates []float64, perTask float64, err error) {
	if len(h.sent) < 2 {
		return nil, 0, errors.New("there are no counts of sent messages")
	}
	begins := slices.Sorted(maps.Keys(h.sent))
	last := h.sent[begins[0]]
	for at := begins[0]; at <= begins[len(begins)-1] && len(rates) < 60*day; at += h.period {
		if rate, known := h.sent[at]; known {
			last = rate
		}
		rates = append(rates, flat(int(h.period), last)...)
	}
	if h.perTask == 0 {
		return rates, h.atLeast, nil
	}
	return rates, h.perTask, nil
}
