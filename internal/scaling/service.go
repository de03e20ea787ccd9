package scaling

import "math"

const (
	// newestWeight is the say of the newest busy minute in the rate a task.
	newestWeight = 0.3
	// agree is how far two readings of a rate may lie apart to agree, as a part.
	agree = 0.15
	// idleMinutes is for how many busy minutes next to nothing must have been done
	// for the tasks to be failing.
	idleMinutes = 2
	// guessedPerTask is what a task may do at best, in messages/s, while
	// nothing is known: an optimist's guess starts too few tasks, and the
	// growing backlog doubles them.
	guessedPerTask = 10.0
)

// serviceRate estimates the messages/s that one task works off.
type serviceRate struct {
	PerTask float64 `json:"perTask,omitempty"` // learned; 0: not yet
	Minutes int     `json:"minutes,omitempty"` // busy minutes it was learned from
	// Net: what queues that compete took of the tasks is left out of PerTask.
	Net   bool    `json:"net,omitempty"`
	Bound float64 `json:"bound,omitempty"` // a task did at least this
	// Off is the rate of the busy minute before, when it lay far off: two that
	// agree are a change, one is a bad reading.
	Off float64 `json:"off,omitempty"`
	// Idle is how many busy minutes in a row next to nothing was done.
	Idle   int    `json:"idle,omitempty"`
	Helped helped `json:"helped"`
}

// rate returns the best estimate, 0 when nothing is known, and whether it was
// learned: a lower bound was not.
func (r *serviceRate) rate() (perTask float64, learned bool) {
	if r.PerTask > 0 {
		return r.PerTask, true
	}
	return r.Bound, false
}

// served is one minute's work.
type served struct {
	end    stamp
	rate   float64 // messages/s
	tasks  float64 // that ran, on average
	busy   bool    // the queue never ran near empty: the tasks set the pace
	steady bool    // as many tasks all the time
	net    bool    // tasks are without those that other queues kept busy
	twice  bool    // the backlog tells of the same rate
}

// learn takes a minute in. A busy one tells what a task does, another one what
// it does at least.
func (r *serviceRate) learn(s served) {
	perTask := s.rate / s.tasks
	if s.busy {
		r.noteIdle(perTask, s)
	}
	if r.Idle == 0 {
		before := r.Helped.Limit
		r.Helped.compare(s, r.PerTask)
		if before == 0 && r.Helped.Limit > 0 && r.PerTask > 0 { // minutes at the limit told too little
			r.PerTask = max(r.PerTask, r.Helped.Each)
		}
	}
	switch {
	case s.busy && r.Idle > 0:
	case s.busy && (r.Helped.slows(perTask) || r.Helped.Limit > 0 && s.tasks > float64(r.Helped.Limit)):
	case s.busy:
		if s.net && !r.Net {
			r.Net, r.Minutes = true, 0
		}
		r.learnBusy(perTask, s)
	case s.steady && r.PerTask == 0:
		r.Bound = max(r.Bound, perTask)
	case s.steady && perTask > r.PerTask:
		r.PerTask += newestWeight * (perTask - r.PerTask)
	}
}

func (r *serviceRate) learnBusy(perTask float64, s served) {
	weight := newestWeight
	switch far := math.Abs(perTask-r.PerTask) > 0.2*r.PerTask; {
	case r.Minutes == 0:
		weight = 1
	case !s.steady:
		weight = 0.1
	case far && (s.twice || r.Off > 0 && math.Abs(perTask-r.Off) < agree*r.Off):
		weight, r.Off = 1, 0
	case far:
		r.Off = perTask
	default:
		r.Off = 0
	}
	r.PerTask += weight * (perTask - r.PerTask)
	r.Minutes = min(r.Minutes+1, 1000)
}

// noteIdle counts the busy minutes in which next to nothing was done: the
// database is down, or every message fails. Where as much is done as fewer tasks did,
// a limit is met.
func (r *serviceRate) noteIdle(perTask float64, s served) {
	if perTask > 0.1*r.PerTask || r.Helped.asMuch(s) {
		r.Idle = 0
		return
	}
	r.Idle = min(r.Idle+1, 1000)
}

// observeDrop learns from a backlog that shrinks before the first busy minute
// was counted: the tasks did at least that.
func (r *serviceRate) observeDrop(gone, noise, taskSeconds float64) {
	if r.PerTask > 0 || taskSeconds <= 0 || gone < 3*noise {
		return
	}
	r.Bound = max(r.Bound, gone/taskSeconds)
}
