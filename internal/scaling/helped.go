package scaling

import "time"

const (
	// gainExpected is the part of a rise in tasks that must show as a rise in
	// work for the rise to have helped.
	gainExpected = 0.3
	// flatRises is how many rises in a row that gained nothing are proof: one
	// may have met a slowdown.
	flatRises = 2
	// steepRise is so many times the tasks that one rise is proof: a slowdown would
	// have to undo it, and not to be seen before the tasks came.
	steepRise = 2.5
	// fellTo is the part of the work before below which no limit explains what is
	// done by as many tasks or more: each does less.
	fellTo = 0.75
	// headroom is kept above the tasks that a limit was seen to need.
	headroom = 1.1
	// tryAgain is how long the proof holds before more tasks are tried again;
	// doubled each time it proves right.
	tryAgain    = 15 * time.Minute
	tryAgainMax = 4 * time.Hour
	// tryMore is how many times the tasks are tried then.
	tryMore = 1.5
)

// helped watches whether more tasks do more work: a provider's limit or a
// slow database shows as work that stays the same while tasks rise.
type helped struct {
	Tasks float64 `json:"tasks,omitempty"` // that ran in the minute compared with
	Rate  float64 `json:"rate,omitempty"`  // messages/s then
	Least bool    `json:"least,omitempty"` // they could have done more
	At    stamp   `json:"at,omitempty"`    // its end
	Flat  int     `json:"flat,omitempty"`  // rises in a row that gained nothing
	From  float64 `json:"from,omitempty"`  // tasks before the first of them
	Limit int     `json:"limit,omitempty"` // more tasks than these do not help; 0: they do
	Most  float64 `json:"most,omitempty"`  // messages/s that were done when that was seen
	Until stamp   `json:"until,omitempty"` // when more are tried
	Waits int     `json:"waits,omitempty"` // how often it proved right in a row
}

// compare takes a minute in. perTask is what one task was known to do before it,
// in messages/s; 0: nothing.
func (h *helped) compare(s served, perTask float64) {
	if s.end <= h.At {
		return // told late: a newer one is known
	}
	fell := s.busy && s.rate < fellTo*h.Rate && s.tasks >= 0.85*h.Tasks
	switch {
	case fell && h.Limit == 0: // before the rise, or while it came, each task did less
		*h = helped{At: s.end}
	case s.busy && s.steady && h.disproved(s):
		*h = helped{}
	}
	old := h.Tasks == 0 || !h.At.within(30*time.Minute, s.end)
	switch {
	case !s.steady && (!s.busy || !old || h.Limit > 0):
		return
	case old || s.tasks < 0.85*h.Tasks:
		if h.Limit == 0 {
			h.Flat = 0
		}
	case s.tasks < 1.15*h.Tasks: // as many tasks: the newest word counts
		if !s.busy && (s.rate < h.Rate || !h.Least) {
			return
		}
	case !s.busy:
		return
	default:
		h.risen(s, perTask)
	}
	h.Tasks, h.Rate, h.At, h.Least = s.tasks, s.rate, s.end, !s.busy
}

// risen takes in a busy minute of more tasks than the one compared with.
func (h *helped) risen(s served, perTask float64) {
	times := s.tasks / h.Tasks
	gain := (s.rate/max(h.Rate, 1e-9) - 1) / (times - 1) // at most, when those could have done more
	switch {
	case gain < gainExpected:
		if h.Flat == 0 {
			h.From = h.Tasks
		}
		h.Flat++
		if times >= steepRise {
			h.Flat = max(h.Flat, flatRises)
		}
	case !h.Least:
		h.Flat, h.Limit, h.Waits = 0, 0, 0
	}
	if h.Flat >= flatRises && (h.Limit == 0 || s.end >= h.Until) {
		if enough := headroom * s.rate / max(perTask, h.Rate/h.Tasks); h.Limit == 0 && enough > h.From {
			h.From = enough
		}
		h.Limit = min(max(1, ceil(h.From)), ceil(s.tasks))
		h.Most = s.rate
		wait := min(tryAgain<<min(h.Waits, 6), tryAgainMax)
		h.Until, h.Waits = s.end.add(wait), h.Waits+1
	}
}

// disproved says that so few tasks do clearly less than more did: it was each task
// that got fellTo, not a limit that was met.
func (h *helped) disproved(s served) bool {
	return h.Limit > 0 && s.tasks <= headroom*float64(h.Limit) && s.rate < fellTo*h.Most && s.tasks > fellTo*float64(h.Limit)
}

// turn has a limit tried again that is due: with a few more tasks where work waits
// for them, and else by forgetting it.
func (h *helped) turn(now stamp, calm bool) {
	switch {
	case h.Limit == 0 || now < h.Until:
	case calm:
		h.Limit, h.Flat, h.Tasks = 0, flatRises-1, 0
	case h.Limit <= ceil(h.From) || h.Flat >= flatRises:
		h.From, h.Flat = float64(h.Limit), flatRises-1
		h.Limit = max(h.Limit+1, ceil(tryMore*float64(h.Limit)))
	}
}
