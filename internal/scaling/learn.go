package scaling

import (
	"math"
	"slices"
	"time"

	"github.com/novaura/acs-operator/config"
)

const (
	// zerosOfSilence is how many depths in a row, in flight counted, must be
	// zero to say that nothing arrives while nobody counts what is sent.
	zerosOfSilence = 4
	// zeroNoise is the variance of what arrived between two depths of zero, in messages².
	zeroNoise = 25.0
	// sampleEvery is the shortest time that a live sample counts over: in less,
	// the counts' error is larger than what arrives.
	sampleEvery = 12.0 // seconds
	// inFlightError is how far what is in flight is off as a sign of what
	// arrives, as a part.
	inFlightError = 0.15
	// clearlyLow is the part of what is expected below which a count may be one
	// that CloudWatch still adds to.
	clearlyLow = 0.95
	// settled is when a minute's metrics are no longer waited for.
	settled = 4 * time.Minute
)

// see takes one observation of a queue in, and says whether it tells a newer
// depth.
func (q *queueMemory) see(spec *config.QueueSpec, o Queue, running int, now stamp) (newer bool) {
	newer = q.lookAt(o, running, q.perTask(spec))
	q.join(o, now)
	q.Returned.learn(q, now)
	if newer {
		q.noteFlight(q.Depth)
	}
	return newer
}

// live says that the newest depth is of now.
func (q *queueMemory) live(now stamp) bool { return now.sub(q.Depth.At) <= liveWithin.Seconds() }

// learn learns from what was seen. newer says that the depth is; limited, that
// the provider's limit sets the pace.
func (q *queueMemory) learn(spec *config.QueueSpec, tasks *taskMemory, now stamp, newer, limited bool, others beside) {
	for i := range q.Minutes {
		q.learnMinute(spec, &q.Minutes[i], tasks, now, limited, others)
	}
	if newer {
		q.learnLive(spec, tasks, others, q.live(now))
	}
	if q.Calm != 0 || tasks.runningNow() == 0 {
		q.Service.Idle = 0 // only a busy minute would end it, and there is none to come
	}
	q.judge(spec.MaxAge.Seconds(), now)
	q.Service.Helped.turn(now, q.Calm != 0)
	q.Calendar.turn(q.knownUntil(now, q.live(now)), now)
}

// knownUntil is the time up to which arrivals are known.
func (q *queueMemory) knownUntil(now stamp, live bool) stamp {
	if live {
		return q.Depth.At
	}
	return min(max(q.Arrival.Minute, now.add(-2*settled)), now)
}

// learnMinute learns from a minute once all that it needs is told.
func (q *queueMemory) learnMinute(spec *config.QueueSpec, m *minuteCounts, tasks *taskMemory, now stamp, limited bool, others beside) {
	if m.Sent >= 0 && m.End > q.Arrival.Minute {
		q.learnArrivals(*m, now)
	}
	work := m.served()
	if work < 0 && !m.End.within(settled, now) {
		work = m.Received
	}
	waitForDepth := q.Depth.At < m.End && m.End.within(settled, now)
	if m.Done || work < 0 || waitForDepth {
		return
	}
	ran, steady, known := tasks.seconds(m.begin(), m.End)
	unseen := m.begin() < tasks.Supposed
	known = known && (!unseen || !q.live(now)) // live depths soon tell better
	if known && q.fills(m, now) && (float64(work) < clearlyLow*q.perTask(spec)*ran || q.lastsLong(m)) {
		return
	}
	m.Done = true
	q.learnFlight(*m, q.perTask(spec)*ran, q.live(now))
	period := float64(m.Period)
	if !known || ran < period/2 {
		return
	}
	rate := float64(work) / period
	atLimit := limited || spec.MaxThroughput > 0 && rate > 0.9*spec.MaxThroughput
	s := served{end: m.End, rate: rate, tasks: ran / period, busy: q.busyThrough(m.begin(), m.End) && !atLimit && !unseen, steady: steady}
	s.twice = q.grewWith(s, tasks)
	if s.busy {
		s = q.lessOthers(spec, s, m.begin(), others, q.live(now))
	}
	if s.busy || work > 0 {
		q.Worked = undo[serviceRate]{m.End, q.Service}
		q.Service.learn(s)
	}
}

// lessOthers leaves out of a busy minute's tasks what the neighbours took of them; it is
// none that tells of a task where nobody knows what that was.
func (q *queueMemory) lessOthers(spec *config.QueueSpec, s served, begin stamp, others beside, live bool) served {
	if q.alone(spec) > 0 && others.busy(begin, s.end) {
		q.Together = together{At: s.end, PerTask: s.rate / s.tasks}
		s.busy = false // what a task does alone is not to be seen now
		return s
	}
	left, tells := others.leftOf(s.tasks)
	if !others.competing || !live { // of late numbers nobody knows what the others did
		return s
	}
	if s.busy = tells; tells {
		s.tasks, s.net = left, true
	}
	return s
}

// grewWith says that the backlog tells of the same work as a count of it: it grew by
// what arrived, less that. They are two readings, each with its own error.
func (q *queueMemory) grewWith(s served, tasks *taskMemory) bool {
	from, to := q.Before, q.Depth
	passed := to.At.sub(from.At)
	if from.At == 0 || passed < 30 || passed > longestGap(q.every) || to.At < s.end || from.At >= s.end || !q.counted(to.At) {
		return false
	}
	ran, _, known := tasks.seconds(from.At, to.At)
	if !known || ran == 0 {
		return false
	}
	done := (q.Arrival.Rate*passed - (to.Visible - from.Visible)) / ran
	return math.Abs(done-s.rate/s.tasks) < agree*s.rate/s.tasks
}

// learnArrivals takes a count of sent messages in, less the dumps in it, once it is
// not to be added to.
func (q *queueMemory) learnArrivals(m minuteCounts, now stamp) {
	count := float64(m.Sent)
	usual := q.Arrival.Rate * float64(m.Period)
	if q.fills(&m, now) && (count < clearlyLow*usual || q.lastsLong(&m)) {
		return
	}
	q.Arrived = undo[arrivalRate]{m.End, q.Arrival}
	q.Arrived.Was.Live = nil
	q.Calendar.verify(m.begin(), m.End, count-usual, q.Arrival.Minute == m.begin())
	inIt := func(d dump) bool { return d.At.add(time.Second) >= m.begin() && d.At < m.End }
	if i := slices.IndexFunc(q.Calendar.Dumps, inIt); i >= 0 && q.Arrival.At != 0 {
		if count > usual+q.Calendar.Dumps[i].Size/2 {
			q.Calendar.correct(i, count-usual)
		}
		count = min(count, usual)
	}
	if d, found := q.Arrival.observeMinute(m.End, float64(m.Period), count); found {
		q.noteDump(d)
	}
}

// learnFlight learns how long a message is in flight (Little's law) from a
// minute in which none waited: what is in flight then tells what arrives.
func (q *queueMemory) learnFlight(m minuteCounts, capacity float64, live bool) {
	moved := max(m.Received, m.served()) / m.Period
	if m.Looks < 2 || moved <= 0 || m.Flight <= 0 || q.Calm == 0 || q.Calm > m.begin() || q.resting() > 0 {
		return
	}
	long := float64(m.Flight/float32(m.Looks)) / float64(moved)
	flight := &q.Flight
	if !live { // two looks at the ends of a minute tell too little for more
		flight = &q.Stay
	}
	if *flight == 0 {
		*flight = long
	}
	weight := 0.05 // longer ones may have waited in a busy task
	if capacity > 0 && float64(moved*m.Period) > 0.8*capacity {
		weight = 0
	}
	if long < *flight {
		weight = 0.5
	}
	*flight += weight * (long - *flight)
}

// noteDump remembers a dump, unless it is of no size that matters.
func (q *queueMemory) noteDump(d dump) {
	if d.Size > max(20*fewMessages, 20*q.Arrival.Rate) {
		q.Calendar.note(d)
	}
}

// learnLive reads the arrivals since the last sample from two live depths: what
// the backlog grew by, and what the tasks took away meanwhile; or, of a queue
// that stays empty, from what is in flight.
func (q *queueMemory) learnLive(spec *config.QueueSpec, tasks *taskMemory, others beside, live bool) {
	from := q.Anchor
	passed := q.Depth.At.sub(from.At)
	if from.At == 0 || passed > longestGap(q.every) {
		q.Anchor = q.Depth
		return
	}
	if passed < sampleEvery {
		return
	}
	q.Anchor = q.Depth
	s, found := q.sample(spec, tasks, from, passed, others, live)
	if !found {
		return
	}
	s.From, s.To = from.At, q.Depth.At
	q.Arrival.observeLive(s)
	q.Arrival.now(q.noteDump)
}

// counted says that counts of sent messages come: CloudWatch gives none of a queue
// that was idle for hours.
func (q *queueMemory) counted(now stamp) bool { return q.Arrival.Minute >= now.add(-2*settled) }

func (q *queueMemory) sample(spec *config.QueueSpec, tasks *taskMemory, from depth, passed float64, others beside, live bool) (s rateSample, found bool) {
	if q.Zeros >= zerosOfSilence && !q.counted(q.Depth.At) {
		return rateSample{Variance: zeroNoise / (passed * passed)}, true
	}
	rate := q.Arrival.now(nil).Rate
	grown := q.Depth.Visible + q.Depth.InFlight - from.Visible - from.InFlight
	ran, _, known := tasks.seconds(from.At, q.Depth.At)
	unsure := tasks.unsure(from.At, q.Depth.At)
	noise := depthNoise(from, q.Depth)
	if known {
		q.Service.observeDrop(-grown, math.Sqrt(noise), ran+math.Sqrt(3*unsure))
	}
	perTask := q.perTask(spec)
	busy := q.busyThrough(from.At, q.Depth.At)
	atMost := false
	if others.competing && others.busy(from.At, q.Depth.At) && q.Together.PerTask > 0 {
		perTask = min(perTask, q.Together.PerTask)
	} else if q.Service.Net {
		left, _ := others.leftOf(ran / passed)
		ran = left * passed
	}
	if limit := q.Service.Helped.Limit; limit > 0 {
		ran = min(ran, float64(limit)*passed)
	}
	jumped := grown > max(5*math.Sqrt(noise), fewMessages)
	flight, flying := q.sampleFlight(from, perTask, tasks.runningNow())
	flying = flying && live
	switch {
	case known && perTask > 0 && busy:
	case known && jumped && (perTask > 0 || ran == 0): // what was done meanwhile is not known otherwise
	case flying:
		return flight, true
	case known && q.alone(spec) > 0:
		atMost = true
	default:
		return rateSample{}, false
	}
	work, atLeast := perTask*ran, q.alone(spec) == 0
	if q.Service.Idle > 0 || q.standsStill(spec, tasks, q.Depth.At) {
		work, atLeast = 0, true // next to nothing was done of late
	}
	if !busy && !atMost {
		work = min(work, rate*passed)
	}
	arrived := max(0, grown+work)
	s = rateSample{Rate: arrived / passed, Variance: (noise + arrived + 0.01*work*work + perTask*perTask*unsure) / (passed * passed), AtLeast: atLeast, AtMost: atMost}
	if flying && flight.Rate > s.Rate {
		return flight, true
	}
	return s, true
}

// sampleFlight reads the arrivals from what is in flight, of a queue that was
// calm up to this look.
func (q *queueMemory) sampleFlight(from depth, perTask float64, running int) (s rateSample, found bool) {
	if q.calm == 0 || q.calm > from.At || q.Flight <= 0 || q.Depth.InFlight <= 0 || q.held(perTask, running) > 0 || q.resting() > inFlightError*q.Depth.InFlight {
		return s, false
	}
	inFlight := (q.Depth.InFlight + from.InFlight) / 2
	told := inFlight / q.Flight
	return rateSample{Rate: told, Variance: max(inFlight, 1)/(q.Flight*q.Flight) + inFlightError*inFlightError*told*told}, true
}
