package scaling

import (
	"math"
	"slices"
	"time"
)

const (
	// surprise is how many standard deviations a sample must lie off to be
	// taken for a step or a dump, not for noise.
	surprise = 4.0
	// usualVolatility is the relative change of a rate in a minute that is
	// assumed until it was seen.
	usualVolatility = 0.08
	// lasting is how many times as long as it has lasted a surge is expected
	// to go on: one tick of it may be a dump that is over.
	lasting = 2.0
	// usualStep is how many times its level a rate may jump to and stay there;
	// what jumps farther is likelier a dump, the first samples of it at least.
	usualStep = 10.0
	oneSample = 15.0 // seconds
	// seenAgain is how much of a farther jump, or of one from nothing, is believed
	// at once; with each sample that tells it again the more, since a dump is over.
	seenAgain = 0.1
	// shortest is how soon a surge must end to be called a dump.
	shortest = 3 * time.Minute
	maxLive  = 24
	// climbSurprise is how many standard deviations a climb must stand out by.
	climbSurprise = 2.0
	// learnChange is the say of the newest minute in how rates change.
	learnChange = 0.05
)

// level is a rate that wanders, as known at a time.
type level struct {
	At       stamp   `json:"at,omitempty"`       // newest sample; 0: none yet
	Rate     float64 `json:"rate,omitempty"`     // messages/s
	Variance float64 `json:"variance,omitempty"` // of Rate at At
}

// rateSample is one reading of a rate.
type rateSample struct {
	From     stamp   `json:"from"`
	To       stamp   `json:"to"`
	Rate     float64 `json:"rate"` // messages/s
	Variance float64 `json:"variance"`
	// AtLeast: what the tasks did meanwhile was known as a lower bound only.
	AtLeast bool `json:"atLeast,omitempty"`
	// AtMost: the tasks may have had nothing to do for a part of it.
	AtMost bool `json:"atMost,omitempty"`
}

func (s rateSample) middle() stamp { return s.From + (s.To-s.From)/2 }

// bound says that it is no reading, but one side of it.
func (s rateSample) bound() bool { return s.AtLeast || s.AtMost }

// atMost says that the sample tells of no more than a rate; none tells nothing.
func (s *rateSample) atMost(rate float64) bool {
	return s != nil && !s.AtLeast && (s.AtMost || s.Rate <= rate)
}

// arrivalRate estimates messages/s that arrive: a level that wanders, seen
// through samples of known error (a Kalman filter of one dimension). The level
// it keeps rests on counts of sent messages; the live samples since are laid
// on top, so that a count that comes late still comes first.
type arrivalRate struct {
	level
	Wander float64      `json:"wander,omitempty"` // squared relative change a minute; 0: not seen yet
	Along  float64      `json:"along,omitempty"`  // as Wander, of a minute's change times the one before it
	Change float64      `json:"change,omitempty"` // relative, of the newest minute
	Minute stamp        `json:"minute,omitempty"` // end of the newest count of sent messages
	Count  float64      `json:"count,omitempty"`  // messages/s of that count
	Surge  float64      `json:"surge,omitempty"`  // messages/s of a count that lay far off; 0: none
	Surged stamp        `json:"surged,omitempty"` // its end
	Live   []rateSample `json:"live,omitempty"`   // oldest first
}

// estimate is the rate at a time, and a surge that may not last.
type estimate struct {
	level
	before float64 // messages/s before the surge
	since  stamp   // when it began; 0: there is none
	extra  float64 // messages that it brought so far
	bias   float64 // messages/s that the newest samples lay off, smoothed
	// A surge tells of no less than the highest sample that would have been
	// none: edge, and the rate that it would have given, least.
	edge, least float64
}

// known says that at least one sample was taken in.
func (a *arrivalRate) known() bool { return a.At != 0 || len(a.Live) > 0 }

// drift is the variance that a rate gains in a second.
func (a *arrivalRate) drift(rate float64) float64 {
	wander := a.Wander
	if wander == 0 {
		wander = usualVolatility * usualVolatility
	}
	rate = max(rate, 0.05)
	return wander * rate * rate / 60
}

// now lays the live samples on the counted level. told is called for each dump
// that they show to be over.
func (a *arrivalRate) now(told func(dump)) estimate { return a.lain(a.Live, told) }

// usual is the rate as it was known before the newest depth, of which a live
// sample may tell.
func (a *arrivalRate) usual(newest stamp) float64 {
	live := a.Live
	if n := len(live); n > 0 && live[n-1].To == newest {
		live = live[:n-1]
	}
	e := a.lain(live, nil)
	if e.since != 0 {
		return min(e.before, e.Rate) // nothing yet says that the tasks keep up with a surge
	}
	return e.Rate
}

func (a *arrivalRate) lain(live []rateSample, told func(dump)) estimate {
	e := estimate{level: a.level}
	if a.Surge != 0 {
		e.before, e.since, e.extra = a.Rate, a.Surged.add(-time.Minute), (a.Surge-a.Rate)*60
		e.Rate, e.At = a.Surge, a.Surged
	}
	for i, s := range live {
		if s.middle() <= a.At {
			continue
		}
		var next *rateSample
		if i+1 < len(live) {
			next = &live[i+1]
		}
		a.lay(&e, s, next, told)
	}
	return e
}

// lay takes one live sample in. One far off is a step when the next one says
// so too, and a dump otherwise, which tells nothing of the rate.
func (a *arrivalRate) lay(e *estimate, s rateSample, next *rateSample, told func(dump)) {
	length := s.To.sub(s.From)
	if e.At == 0 && s.AtMost {
		return
	}
	if e.At == 0 {
		e.level = level{s.To, s.Rate, s.Variance + s.Rate*s.Rate/4}
		return
	}
	if s.AtLeast && s.Rate < e.Rate || s.AtMost && s.Rate > e.Rate {
		return
	}
	if e.since != 0 && a.isOver(e, s) {
		if told != nil && s.From < e.since.add(shortest) && e.extra > 0 {
			told(dump{At: e.since, Size: e.extra})
		}
		e.Rate, e.since, e.extra = e.before, 0, 0
	}
	prior := e.Variance + a.drift(e.Rate)*max(0, s.To.sub(e.At))
	variance := s.Variance + a.drift(e.Rate)*max(0, e.At.sub(s.middle()))
	off := s.Rate - e.Rate
	// Samples that lie off on one side again and again tell of a ramp: the
	// level is less sure than it thinks.
	e.bias += 0.4 * (min(max(off, -e.Rate), e.Rate) - e.bias)
	far := surprise * math.Sqrt(prior+variance)
	prior = max(prior, e.bias*e.bias-0.5*variance)
	gain := prior / (prior + variance)
	// One low sample may be a count that was wrong, until the next agrees: it
	// tells no more than the lowest that is believed.
	low := off < -far && !next.atMost(e.Rate+off/2)
	if low {
		off = -far
	}
	if math.Abs(off) <= far {
		e.Rate, e.Variance, e.At = max(0, e.Rate+gain*off), (1-gain)*prior, max(e.At, s.To)
		if e.since != 0 && !low {
			e.extra += (s.Rate - e.before) * length
		}
		return
	}
	if e.since == 0 {
		e.before, e.since = e.Rate, s.From
		e.least, e.edge = e.Rate+gain*far, e.Rate+far
	}
	e.extra += (s.Rate - e.before) * length
	e.level, e.bias = level{s.To, s.Rate, s.Variance}, 0
	if off < 0 {
		e.since, e.extra = 0, 0
	}
}

// isOver says that a sample lies nearer to the rate before the surge.
func (a *arrivalRate) isOver(e *estimate, s rateSample) bool {
	return e.Rate > e.before && s.Rate < (e.Rate+e.before)/2 ||
		e.Rate < e.before && s.Rate > (e.Rate+e.before)/2
}

// plan is the mean rate to expect over the next so many seconds: a surge goes
// on for about as long again as it has lasted.
func (e estimate) plan(seconds float64) float64 {
	if e.since == 0 || e.Rate <= e.before {
		return e.Rate
	}
	lasted := max(0, e.At.sub(e.since))
	samples := lasted / oneSample
	believed := samples * max(usualStep*e.before/e.Rate, seenAgain*samples)
	goesOn := lasting * lasted / max(1, seconds)
	return max(e.least, e.before+(e.Rate-e.before)*min(1, goesOn*min(1, believed)))
}

// climb is by how much the rate will lie higher on average over the next so
// many seconds, by the newest live samples: a climb that stands out of their
// error is expected to go on for as long as it was seen.
//
// No sample counts for more than highest.
func (a *arrivalRate) climb(seconds, highest float64) float64 {
	n := len(a.Live)
	if n < 4 || seconds <= 0 || a.Live[n-4].From < a.At.add(-2*time.Minute) || slices.ContainsFunc(a.Live[n-4:], rateSample.bound) {
		return 0
	}
	last, first := a.Live[n-2:], a.Live[n-4:n-2]
	rise := (min(last[0].Rate, highest) + min(last[1].Rate, highest) - first[0].Rate - first[1].Rate) / 2
	variance := (last[0].Variance + last[1].Variance + first[0].Variance + first[1].Variance) / 4
	variance += a.drift(first[0].Rate) * last[1].To.sub(first[0].From) / 2
	if rise <= 0 || rise*rise <= climbSurprise*climbSurprise*variance {
		return 0
	}
	rise *= 1 - climbSurprise*climbSurprise*variance/(rise*rise)
	apart := last[0].To.sub(first[0].To)
	goesOn := min(seconds, 2*apart)
	return rise / max(apart, 1) * goesOn * (1 - goesOn/(2*seconds))
}

// observeLive takes in a live sample.
func (a *arrivalRate) observeLive(s rateSample) {
	a.Live = append(a.Live, s)
	for len(a.Live) > 0 && (a.Live[0].middle() <= a.At || len(a.Live) > maxLive) {
		first := a.Live[0]
		if first.middle() > a.At { // no count tells of it: it is all there is
			e := estimate{level: a.level}
			a.lay(&e, first, nil, nil)
			a.level = e.level
		}
		a.Live = a.Live[1:]
	}
}

// observeMinute takes in a count of sent messages, from which the dumps seen
// live were taken out. It returns a dump that only the counts show.
func (a *arrivalRate) observeMinute(end stamp, period, count float64) (found dump, isDump bool) {
	if end <= a.Minute {
		return dump{}, false
	}
	begin := end - stamp(period*1000)
	rate := count / period
	a.learnWander(begin, rate, period)
	first := a.Minute == 0 // what was reckoned from depths alone gives way
	a.Minute, a.Count = end, rate
	variance := max(count, 1) / (period * period)
	if first {
		a.level = level{end, rate, variance + rate*rate/4}
		return dump{}, false
	}
	prior := a.Variance + a.drift(a.Rate)*max(0, end.sub(a.At))
	off := rate - a.Rate
	far := surprise * math.Sqrt(prior+variance)
	switch {
	case math.Abs(off) <= far:
		if a.Surge > a.Rate && a.Surged.within(shortest, end) {
			found, isDump = dump{At: a.Surged.add(-time.Minute), Size: (a.Surge - a.Rate) * 60, Counted: true}, true
		}
		gain := prior / (prior + variance)
		a.level = level{end, max(0, a.Rate+gain*off), (1 - gain) * prior}
		a.Surge = 0
	case a.Surge != 0 && off*(a.Surge-a.Rate) > 0 && math.Abs(off) > 0.5*math.Abs(a.Surge-a.Rate), a.agrees(end, rate, far):
		a.level = level{end, rate, variance}
		a.Surge = 0
	default:
		a.Surge, a.Surged = max(rate, 1e-9), end
	}
	return found, isDump
}

// agrees says that the live samples since a minute tell the rate it counted.
func (a *arrivalRate) agrees(end stamp, rate, far float64) bool {
	sum, n := 0.0, 0
	for _, s := range a.Live {
		if s.From >= end {
			sum += s.Rate
			n++
		}
	}
	return n >= 2 && math.Abs(sum/float64(n)-rate) < max(far, 0.3*math.Abs(rate-a.Rate))
}

// learnWander follows how much the rate changes from minute to minute, less
// what is chance (Poisson), and how far one change foretells the next; a jump
// is clipped, or the fleet would stay fat for an hour.
func (a *arrivalRate) learnWander(begin stamp, rate, period float64) {
	if a.Minute != begin || a.Count+rate == 0 {
		a.Change = 0
		return
	}
	const clip = 0.3 // of the level
	level := (a.Count + rate) / 2
	change := min(max((rate-a.Count)/level, -clip), clip)
	chance := 2 / (level * period) // variance of the change that Poisson makes
	if a.Wander == 0 {
		a.Wander = usualVolatility * usualVolatility
	}
	a.Wander = min(max(a.Wander+learnChange*(change*change-chance-a.Wander), 1e-4), clip*clip)
	a.Along += learnChange * (change*a.Change + chance/2 - a.Along)
	a.Change = change
}

// momentum is how much of a minute's change the next one repeats: above 0
// where ramps last for minutes, below where the rate falls back.
func (a *arrivalRate) momentum() float64 {
	if a.Wander == 0 {
		return 0
	}
	return min(max(a.Along/a.Wander, -0.45), 0.85)
}

// trend is the relative change a minute to expect at a time.
func (a *arrivalRate) trend(at stamp) float64 {
	m := a.momentum()
	if m <= 0.1 || a.Change == 0 {
		return 0
	}
	return a.Change * math.Pow(m, max(0, at.sub(a.Minute))/60+0.5)
}

// ahead is by how much the rate will have grown, as a part of it and on
// average over the next so many seconds.
func (a *arrivalRate) ahead(at stamp, seconds float64) float64 {
	trend, minutes := a.trend(at), seconds/60
	if trend == 0 {
		return 0
	}
	fade := -math.Log(a.momentum()) // a minute
	return trend / fade * (1 - (1-math.Exp(-fade*minutes))/(fade*minutes))
}
