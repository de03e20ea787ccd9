package scaling

const (
	// newestWeight is the say of the newest busy minute in the rate a task.
	newestWeight = 0.3
	// guessedPerTask is what a task may do at best, in messages/s, while
	// nothing is known: an optimist's guess starts too few tasks, and the
	// growing backlog doubles them.
	guessedPerTask = 10.0
)

// serviceRate estimates the messages/s that one task works off.
type serviceRate struct {
	PerTask float64 `json:"perTask,omitempty"` // learned; 0: not yet
	Minutes int     `json:"minutes,omitempty"` // busy minutes it was learned from
	Bound   float64 `json:"bound,omitempty"`   // a task did at least this
	Minute  stamp   `json:"minute,omitempty"`  // end of the newest count
}

// rate returns the best estimate, 0 when nothing is known, and whether it was
// learned: a lower bound was not.
func (r *serviceRate) rate() (perTask float64, learned bool) {
	if r.PerTask > 0 {
		return r.PerTask, true
	}
	return r.Bound, false
}

// observeMinute learns from a count of deleted (or received) messages over
// the task-seconds that ran. A busy minute tells what a task does; another
// one tells what it does at least. busy is false too when a provider's limit,
// not the tasks, set the pace.
func (r *serviceRate) observeMinute(s *Sample, tasks *taskMemory, busy func(from, to stamp) bool) {
	if s == nil || stampOf(s.Time) <= r.Minute {
		return
	}
	end := stampOf(s.Time)
	begin := end - stamp(s.Period*1000)
	r.Minute = end
	ran, steady, known := tasks.seconds(begin, end)
	if !known || ran < s.Period/2 || s.Value == 0 {
		return
	}
	r.learn(s.Value/ran, busy(begin, end), steady)
}

func (r *serviceRate) learn(rate float64, busy, steady bool) {
	weight := newestWeight
	switch {
	case busy && r.Minutes == 0:
		weight = 1
	case busy && !steady:
		weight = 0.1
	case !busy && (rate <= r.PerTask || !steady):
		return
	case !busy && r.PerTask == 0:
		r.Bound = max(r.Bound, rate)
		return
	}
	r.PerTask += weight * (rate - r.PerTask)
	if busy {
		r.Minutes = min(r.Minutes+1, 1000)
	}
}

// observeDrop learns from a backlog that shrinks before the first busy minute
// was counted: the tasks did at least that.
func (r *serviceRate) observeDrop(served, noise, taskSeconds float64) {
	if r.PerTask > 0 || taskSeconds <= 0 || served < 3*noise {
		return
	}
	r.Bound = max(r.Bound, served/taskSeconds)
}
