package scaling

import (
	"math"

	"github.com/novaura/acs-operator/config"
)

// zerosOfSilence is how many depths in a row, in flight counted, must be zero
// to say that nothing arrives.
const zerosOfSilence = 4

// learn takes one observation of a queue into what is remembered of it.
func (q *queueMemory) learn(spec *config.QueueSpec, o Queue, tasks *taskMemory, now stamp) {
	running := 0
	if len(tasks.Running) > 0 {
		running = tasks.Running[len(tasks.Running)-1].Tasks
	}
	newer := q.lookAt(o, running)
	live := now.sub(q.Depth.At) <= liveWithin.Seconds()
	served := o.Deleted
	if served == nil {
		served = o.Received
	}
	limited := o.ProviderLimited != nil && *o.ProviderLimited
	q.Service.observeMinute(served, tasks, func(from, to stamp) bool {
		atLimit := spec.MaxThroughput > 0 && served.Value/served.Period > 0.9*spec.MaxThroughput
		return q.busyThrough(from, to) && !limited && !atLimit
	})
	if newer && live {
		q.learnLive(spec, tasks)
	}
	q.Arrival.observeMinute(o.Sent, live)
}

// learnLive reads the arrivals since the last look from two live depths: what
// the backlog grew by, and what the tasks took away meanwhile. A queue near
// empty tells nothing; one that shows nothing at all, not even in flight, again
// and again, tells that nothing comes, until a count of sent messages says more.
func (q *queueMemory) learnLive(spec *config.QueueSpec, tasks *taskMemory) {
	passed := q.Depth.At.sub(q.Before.At)
	if q.Before.At == 0 || passed <= 0 || passed > maxGap.Seconds() {
		return
	}
	if q.Zeros >= zerosOfSilence && q.Arrival.Minute <= q.Calm {
		q.Arrival.observe(rateSample{from: q.Before.At, to: q.Depth.At, variance: 25})
		return
	}
	grown := q.Depth.Visible + q.Depth.InFlight - q.Before.Visible - q.Before.InFlight
	ran, _, known := tasks.seconds(q.Before.At, q.Depth.At)
	noise := depthNoise(q.Before, q.Depth)
	if known {
		q.Service.observeDrop(q.Arrival.Rate*passed-grown, math.Sqrt(noise), ran)
	}
	perTask := q.perTask(spec)
	busy := q.busyThrough(q.Before.At, q.Depth.At)
	if !known || perTask == 0 || (!busy && grown < 5*math.Sqrt(noise)) {
		return
	}
	served := perTask * ran
	if !busy {
		served = min(served, q.Arrival.Rate*passed)
	}
	arrived := max(0, grown+served)
	variance := (noise + arrived + 0.01*served*served) / (passed * passed)
	hadSurge := q.Arrival.Surge > q.Arrival.Rate
	surge, surged := q.Arrival.Surge, q.Arrival.Surged
	rate := q.Arrival.Rate
	q.Arrival.observe(rateSample{from: q.Before.At, to: q.Depth.At, rate: arrived / passed, variance: variance})
	if hadSurge && q.Arrival.Surge == 0 && q.Arrival.Rate < rate+0.5*(surge-rate) {
		q.Arrival.noteDump(surged, (surge-rate)*passed)
	}
}

// perTask is the rate a task: told, learned, or the best lower bound.
func (q *queueMemory) perTask(spec *config.QueueSpec) float64 {
	if spec.ThroughputPerTask > 0 {
		return spec.ThroughputPerTask
	}
	perTask, _ := q.Service.rate()
	return perTask
}
