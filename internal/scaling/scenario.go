package scaling

import (
	"math"
	"slices"
)

const (
	// scenarios are the courses that arrivals may have taken since the newest
	// numbers, when those are minutes late.
	scenarios = 24
	// percentile of their needs is what is asked for.
	percentile = 0.97
	// scenarioSteps bounds the steps of one course.
	scenarioSteps = 24
)

// shocks are fixed draws of the standard normal distribution, one course a
// row: the same observation must give the same decision.
var shocks = drawShocks()

func drawShocks() (draws [scenarios][scenarioSteps + 1]float64) {
	seed := uint64(0x9e3779b97f4a7c15)
	uniform := func() float64 { // SplitMix64
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return (float64((z^z>>31)>>11) + 0.5) / (1 << 53)
	}
	for i := range draws {
		// The first shock, how far off the level is, is spread evenly.
		draws[i][0] = math.Sqrt2 * math.Erfinv(2*(float64(i)+0.5)/scenarios-1)
		for j := 1; j <= scenarioSteps; j += 2 {
			radius, angle := math.Sqrt(-2*math.Log(uniform())), 2*math.Pi*uniform()
			draws[i][j], draws[i][min(j+1, scenarioSteps)] = radius*math.Cos(angle), radius*math.Sin(angle)
		}
	}
	return draws
}

// past is the time from the newest numbers to now, in steps.
type past struct {
	step  float64                // seconds
	ran   [scenarioSteps]float64 // task-seconds that ran in each
	burst [scenarioSteps]float64 // messages of a predicted dump in each
	steps int
}

// pastOf cuts the time since the newest depth into steps, and says what ran
// in each.
func (q *queueMemory) pastOf(tasks *taskMemory, now stamp) (p past) {
	late := min(now.sub(q.Depth.At), 900)
	p.steps = min(scenarioSteps, max(1, int(math.Ceil(late/20))))
	p.step = late / float64(p.steps)
	for i := range p.steps {
		from := q.Depth.At + stamp(float64(i)*p.step*1000)
		to := from + stamp(p.step*1000)
		ran, _, known := tasks.seconds(from, min(to, tasks.Seen))
		if !known {
			ran = float64(tasks.runningNow()) * p.step
		}
		p.ran[i] = ran
		if due, found := q.Calendar.due(from, to-1, 0); found {
			p.burst[i] = due.Size
		} else if came, size := q.Calendar.cameIn(from, to); came {
			p.burst[i] = size
		}
	}
	return p
}

// course is what one scenario comes to: the backlog and the rate by now.
type course struct{ waiting, rate float64 }

// courses replays the time since the newest depth along every scenario.
func (q *queueMemory) courses(e estimate, p past, now stamp, perTask float64) (all [scenarios]course) {
	rate := e.plan(now.sub(e.At) + 60)
	first := 0.0
	if e.At != 0 {
		first = math.Sqrt(e.Variance + q.Arrival.drift(rate)*max(0, q.Depth.At.sub(e.At)))
	}
	minutes := p.step / 60
	momentum := q.Arrival.momentum()
	kept, trend := 0.0, q.Arrival.trend(q.Arrival.Minute)
	shock := math.Sqrt(q.Arrival.drift(1) * p.step * max(0.1, 1+2*min(momentum, 0)))
	if momentum > 0.1 { // changes last: they move the trend, and it the rate
		kept = math.Pow(momentum, minutes)
		shock = math.Sqrt(q.Arrival.drift(1)*60*(1-kept*kept)) * minutes
	}
	for i := range all {
		at := max(0, rate+first*shocks[i][0])
		waiting, pace := q.Depth.Visible, trend*minutes
		for j := range p.steps {
			pace = pace*kept + shock*shocks[i][j+1]
			at = max(0, at*(1+pace))
			waiting = max(0, waiting+at*p.step+p.burst[j]-p.ran[j]*perTask)
		}
		all[i] = course{waiting, at}
	}
	return all
}

// worst is the need that a percentile of the courses stays within.
func worst(needs []verdict) verdict {
	slices.SortFunc(needs, func(a, b verdict) int { return a.tasks - b.tasks })
	return needs[min(len(needs)-1, int(percentile*float64(len(needs))))]
}
