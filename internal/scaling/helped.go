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
	tryAgainMax = time.Hour
	// tryMore is how many times the tasks are tried then.
	tryMore = 1.5
	// roseTo is the part of the work that the limit was, above which it has risen.
	roseTo = 1.08
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
	Each  float64 `json:"each,omitempty"`  // messages/s that one task did before it
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
	case s.busy && s.steady && h.Limit > 0 && s.rate > roseTo*h.Most && s.tasks < float64(h.Limit)+0.5: // so few do more than all did
		h.Until, h.Waits = min(h.Until, s.end), 0
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
			h.From, h.Each = h.Tasks, max(perTask, h.Rate/h.Tasks)
		}
		h.Flat++
		if times >= steepRise {
			h.Flat = max(h.Flat, flatRises)
		}
	case !h.Least:
		h.Flat, h.Limit, h.Waits = 0, 0, 0
	}
	if h.Flat >= flatRises && (h.Limit == 0 || s.end >= h.Until) {
		h.From = min(max(h.From, headroom*s.rate/max(h.Each, h.Rate/h.Tasks, 1e-9)), s.tasks)
		h.Limit = max(1, ceil(h.From))
		h.Most = s.rate
		wait := min(tryAgain<<min(h.Waits, 6), tryAgainMax)
		h.Until, h.Waits = s.end.add(wait), h.Waits+1
	}
}

// asMuch says that at least half of the work of the minute compared with is done.
func (h *helped) asMuch(s served) bool {
	return h.Tasks > 0 && h.At.within(30*time.Minute, s.end) && s.rate >= h.Rate/2 && h.Rate > 0
}

// slows says that the limit, and not the task, sets what one of so many does.
func (h *helped) slows(perTask float64) bool { return h.Limit > 0 && perTask < h.Each }

// disproved says that so few tasks do clearly less than more did: it was each task
// that got slower, not a limit that was met.
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
