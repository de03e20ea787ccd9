package scaling

import "time"

const (
	// gainExpected is the part of a rise in tasks that must show as a rise in
	// work for the rise to have helped.
	gainExpected = 0.3
	// flatRises is how many rises in a row that gained nothing are proof: one
	// may have met a slowdown.
	flatRises = 2
	// tryAgain is how long the proof holds before more tasks are tried again;
	// doubled each time it proves right.
	tryAgain    = 15 * time.Minute
	tryAgainMax = 4 * time.Hour
)

// helped watches whether more tasks do more work: a provider's limit or a
// slow database shows as work that stays the same while tasks rise.
type helped struct {
	Tasks float64 `json:"tasks,omitempty"` // that ran in the busy minute compared with
	Rate  float64 `json:"rate,omitempty"`  // messages/s then
	At    stamp   `json:"at,omitempty"`    // its end
	Flat  int     `json:"flat,omitempty"`  // rises in a row that gained nothing
	From  float64 `json:"from,omitempty"`  // tasks before the first of them
	Limit int     `json:"limit,omitempty"` // more tasks than these do not help; 0: they do
	Until stamp   `json:"until,omitempty"` // when that is tried again
	Waits int     `json:"waits,omitempty"` // how often it proved right in a row
}

// compare takes a busy minute in.
func (h *helped) compare(s served) {
	if h.At == 0 || !h.At.within(30*time.Minute, s.end) || s.tasks < 0.85*h.Tasks {
		if h.Limit == 0 {
			h.Flat = 0
		}
		h.Tasks, h.Rate, h.At = s.tasks, s.rate, s.end
		return
	}
	if s.tasks < 1.15*h.Tasks { // as many tasks: the newest word counts
		h.Tasks, h.Rate, h.At = s.tasks, s.rate, s.end
		return
	}
	gain := (s.rate/max(h.Rate, 1e-9) - 1) / (s.tasks/h.Tasks - 1)
	switch {
	case gain >= gainExpected:
		h.Flat, h.Limit, h.Waits = 0, 0, 0
	default:
		if h.Flat == 0 {
			h.From = h.Tasks
		}
		h.Flat++
	}
	if h.Flat >= flatRises && h.Limit == 0 {
		h.Limit = max(1, ceil(h.From))
		wait := min(tryAgain<<min(h.Waits, 6), tryAgainMax)
		h.Until, h.Waits = s.end.add(wait), h.Waits+1
	}
	h.Tasks, h.Rate, h.At = s.tasks, s.rate, s.end
}

// turn forgets a limit that is due to be tried again.
func (h *helped) turn(now stamp) {
	if h.Limit > 0 && now >= h.Until {
		h.Limit, h.Flat, h.At = 0, flatRises-1, 0
	}
}
