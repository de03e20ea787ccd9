package scaling

import (
	"math"
	"slices"
	"time"
)

const (
	// defaultStartLag is assumed until enough starts were seen; a Fargate
	// task takes 45 to 90 s.
	defaultStartLag = 60 * time.Second
	minLags         = 3  // starts before the learned lag is believed
	maxLags         = 60 // starts remembered
	// taskHistory is how far back running tasks are remembered: longer than
	// CloudWatch's latest minute is late.
	taskHistory = 10 * time.Minute
	// maxGap is the longest time between two observations that still says something of
	// what was between, unless the policy's interval is longer.
	maxGap = 2 * time.Minute
	// supposed is how long before the first look, or the first after a gap that changed
	// nothing, as many tasks are supposed to have run as then, where none is starting: as
	// long as the counts reach back that CloudWatch has by then.
	supposed = 5 * time.Minute
	// failedStartsHold is how long after a failed start no task is added.
	failedStartsHold = 5 * time.Minute
)

// runningSince is a change of the running count.
type runningSince struct {
	At    stamp `json:"at"`
	Tasks int   `json:"n"`
}

// taskMemory is what is remembered of the service: what runs, what starts,
// and how long a start takes.
type taskMemory struct {
	every    time.Duration  // the policy's interval
	Seen     stamp          `json:"seen,omitempty"`     // newest observation of the service
	Desired  int            `json:"desired,omitempty"`  // count that the starts below lead to
	Running  []runningSince `json:"running,omitempty"`  // oldest first
	Supposed stamp          `json:"supposed,omitempty"` // up to when Running is supposed, not seen
	Starts   []runningSince `json:"starts,omitempty"`   // asked for at, and how many do not run yet
	Lags     []float64      `json:"lags,omitempty"`     // seconds from asked for to running
	Overdue  stamp          `json:"overdue,omitempty"`  // when the newest start ran that was noted as overdue
	// FailedStarts is the newest count that was told, FailedAt when it rose.
	FailedStarts int   `json:"failedStarts,omitempty"`
	FailedAt     stamp `json:"failedAt,omitempty"`
}

// longestGap is maxGap where looks are so far apart, in seconds: one of them may be late.
func longestGap(every time.Duration) float64 { return max(maxGap, every*3/2).Seconds() }

func (m taskMemory) clone() taskMemory {
	m.Running = copied(m.Running)
	m.Starts = copied(m.Starts)
	m.Lags = copied(m.Lags)
	return m
}

func (m *taskMemory) forgetAfter(now stamp) {
	late := func(r runningSince) bool { return r.At > now }
	m.Running = slices.DeleteFunc(m.Running, late)
	m.Starts = slices.DeleteFunc(m.Starts, late)
	m.Seen = min(m.Seen, now)
	m.FailedAt = min(m.FailedAt, now)
	m.Overdue = min(m.Overdue, now)
	m.Supposed = min(m.Supposed, now)
}

// observe takes in the service's counts as they are now.
func (m *taskMemory) observe(now stamp, s Service) {
	first := m.Seen == 0
	if now.sub(m.Seen) > longestGap(m.every) {
		same := first || m.runningNow() == s.Running && m.Desired == s.Desired
		m.Running, m.Starts = nil, nil
		if same && s.Running == s.Desired {
			m.Running, m.Supposed = []runningSince{{At: now.add(-supposed), Tasks: s.Running}}, now
		}
	}
	if !first {
		m.ask(now, s.Desired)
	}
	m.Desired = s.Desired
	m.land(now, s)
	if !s.rollsOut() && s.Running >= s.Desired {
		m.Starts = nil
	}
	m.noticeFailures(now, s)
	m.Seen = now
}

// ask notes tasks asked for, or no longer.
func (m *taskMemory) ask(now stamp, desired int) {
	if desired > m.Desired {
		m.Starts = newest(append(m.Starts, runningSince{At: now, Tasks: desired - m.Desired}), maxRuns)
	}
	for less := m.Desired - desired; less > 0 && len(m.Starts) > 0; {
		last := &m.Starts[len(m.Starts)-1]
		taken := min(less, last.Tasks)
		last.Tasks -= taken
		less -= taken
		if last.Tasks == 0 {
			m.Starts = m.Starts[:len(m.Starts)-1]
		}
	}
	m.Desired = desired
}

// land notes the tasks that run now: a rise ends the oldest starts. The extra tasks
// of a rollout work as any, but tell nothing of a start; where all run after it, so do
// those that it hid.
func (m *taskMemory) land(now stamp, s Service) {
	if len(m.Running) == 0 {
		m.Running = append(m.Running, runningSince{At: now, Tasks: s.Running})
		return
	}
	before := m.Running[len(m.Running)-1].Tasks
	if s.Running == before {
		return
	}
	overdue := m.overdue()
	for risen := s.Running - before; risen > 0 && len(m.Starts) > 0 && !s.rollsOut(); {
		oldest := &m.Starts[0]
		taken := min(risen, oldest.Tasks)
		m.noteLag(now, oldest.At, overdue)
		oldest.Tasks -= taken
		risen -= taken
		if oldest.Tasks == 0 {
			m.Starts = m.Starts[1:]
		}
	}
	m.Lags = m.Lags[max(0, len(m.Lags)-maxLags):]
	between := m.Seen + (now-m.Seen)/2 // somewhere between two looks
	m.Running = newest(append(m.Running, runningSince{At: between, Tasks: s.Running}), maxRuns)
	for len(m.Running) > 1 && !m.Running[1].At.within(taskHistory, now) {
		m.Running = m.Running[1:]
	}
}

// noteLag notes how long a start took. One that was overdue waited for something
// that is over, an image or capacity: it is noted as the latest that was not, once
// an outage, and not at all where tasks are known to have failed meanwhile.
func (m *taskMemory) noteLag(now, asked stamp, overdue float64) {
	took := math.Round(now.sub(asked)*10) / 10
	if took > overdue {
		if m.FailedAt > asked || m.Overdue >= asked {
			return
		}
		took, m.Overdue = overdue, now
	}
	m.Lags = append(m.Lags, took)
}

// overdue is after how long, in seconds, a task that was asked for should run. It
// rests on the median: a few starts that waited for an outage to end do not move it.
func (m *taskMemory) overdue() float64 {
	return max(failedStartsHold.Seconds(), 4*m.lagOf(5))
}

func (m *taskMemory) noticeFailures(now stamp, s Service) {
	if s.FailedStarts == nil {
		return
	}
	if *s.FailedStarts > m.FailedStarts {
		m.FailedAt = now
	}
	m.FailedStarts = *s.FailedStarts
}

// lag returns how long a task takes from asked for to running, in seconds:
// the 90th percentile of the last starts.
func (m *taskMemory) lag() float64 { return m.lagOf(9) }

// lagOf is the lag that so many tenths of the last starts stayed within, in seconds.
func (m *taskMemory) lagOf(tenths int) float64 {
	if len(m.Lags) < minLags {
		return defaultStartLag.Seconds()
	}
	var room [maxLags]float64 // every decision sorts them
	sorted := append(room[:0], m.Lags...)
	slices.Sort(sorted)
	return sorted[(len(sorted)*tenths-1)/10]
}

// longest is the longest of the lags remembered, in seconds.
func (m *taskMemory) longest() float64 {
	if len(m.Lags) < minLags {
		return defaultStartLag.Seconds()
	}
	return slices.Max(m.Lags)
}

// runningNow is the count that ran at the newest look.
func (m *taskMemory) runningNow() int {
	if len(m.Running) == 0 {
		return 0
	}
	return m.Running[len(m.Running)-1].Tasks
}

// grown is when the newest task came up that runs; 0: it is not remembered.
func (m *taskMemory) grown() stamp {
	for i := len(m.Running) - 1; i > 0; i-- {
		if m.Running[i].Tasks > m.Running[i-1].Tasks {
			return m.Running[i].At
		}
	}
	return 0
}

// startingWork is the part of the next so many seconds that a task which is
// starting now will work, on average over those that are.
func (m *taskMemory) startingWork(now stamp, lag, next float64) float64 {
	tasks, work := 0, 0.0
	for _, s := range m.Starts {
		up := max(0, lag-now.sub(s.At))
		tasks += s.Tasks
		work += float64(s.Tasks) * max(0, next-up)
	}
	if tasks == 0 || next <= 0 {
		return 0.5
	}
	return work / next / float64(tasks)
}

// seconds integrates the running tasks over from..to, in task-seconds. It
// says whether the count was steady enough to learn from, and nothing when
// the time lies outside what is remembered.
func (m *taskMemory) seconds(from, to stamp) (total float64, steady, known bool) {
	if len(m.Running) == 0 || m.Running[0].At > from || m.Seen < to {
		return 0, false, false
	}
	low, high := math.MaxInt, 0
	for i, r := range m.Running {
		end := to
		if i+1 < len(m.Running) {
			end = min(end, m.Running[i+1].At)
		}
		if begin := max(from, r.At); end > begin {
			total += end.sub(begin) * float64(r.Tasks)
			low, high = min(low, r.Tasks), max(high, r.Tasks)
		}
	}
	return total, high <= low+low/4, true
}

// unsure is the variance of the task-seconds from..to, in (task-seconds)²: a
// task that came or went did so somewhere between two looks.
func (m *taskMemory) unsure(from, to stamp) (variance float64) {
	for i := 1; i < len(m.Running); i++ {
		if r := m.Running[i]; r.At > from && r.At < to {
			change := float64(r.Tasks - m.Running[i-1].Tasks)
			apart := min(to.sub(from), 2*longestGap(m.every))
			variance += change * change * apart * apart / 12
		}
	}
	return variance
}

const (
	manyStops   = 2    // tasks that stopped by themselves within StopsWithin, and are no accident
	stopsLately = 90.0 // seconds since the newest of them, at most
)

// keepStopping says that most tasks stop by themselves, so that more would too. A few of
// many may crash.
func (s Service) keepStopping(now stamp) (string, bool) {
	n := s.Stops
	if n == nil || *n < manyStops || 2**n < s.Desired || s.LastStop == nil || now.sub(stampOf(s.LastStop.Time)) >= stopsLately {
		return "", false
	}
	return taskCount(*n) + " stopped by themselves within " + duration(StopsWithin), true
}

// failing says that tasks do not start, and how that shows.
func (m *taskMemory) failing(now stamp, s Service) (string, bool) {
	if s.Running >= s.Desired {
		return "", false
	}
	if m.FailedAt != 0 && m.FailedAt.within(failedStartsHold, now) {
		return taskCount(m.FailedStarts) + " failed to start", true
	}
	if len(m.Starts) > 0 && now.sub(m.Starts[0].At) > m.overdue() {
		return "tasks asked for " + seconds(now.sub(m.Starts[0].At)) + " ago do not run", true
	}
	return "", false
}
